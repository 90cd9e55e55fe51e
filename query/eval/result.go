package eval

// Result is what one configuration achieved on one collection, with all that an
// independent scorer needs to check it (scripts/check_eval.py).
type Result struct {
	Dataset string `json:"dataset"`
	Split   string `json:"split"`
	Config  string `json:"config"`
	// Qrels and Run name the files that were measured, where there are any.
	Qrels string `json:"qrels,omitempty"`
	Run   string `json:"run,omitempty"`

	MinGrade int      `json:"min_grade"`
	Metrics  []Metric `json:"metrics"`
	// K is the cut-off of PerQuery, the first of those asked for.
	K        int             `json:"k"`
	PerQuery []QueryMeasures `json:"per_query,omitempty"`
}

// Metric is a mean over queries. K is 0 for the one without a cut-off, MAP.
type Metric struct {
	Name  string  `json:"name"`
	K     int     `json:"k"`
	Value float64 `json:"value"`
}

// QueryMeasures are those of one query.
type QueryMeasures struct {
	Query   string  `json:"query"`
	NDCG    float64 `json:"nDCG"`
	Recall  float64 `json:"recall"`
	MRR     float64 `json:"MRR"`
	Success float64 `json:"success"`
	MAP     float64 `json:"MAP"`
}

// Measure fills in Metrics and PerQuery at one or more cut-offs; MinGrade is r's, 1
// where it is 0.
func (r *Result) Measure(q Qrels, run Run, cuts ...int) {
	r.MinGrade = max(r.MinGrade, 1)
	r.Metrics, r.PerQuery, r.K = nil, nil, cuts[0]
	for i, k := range cuts {
		each := EvaluateEach(q, run, k, MinGrade(r.MinGrade))
		m := Mean(each)
		r.Metrics = append(r.Metrics, Metric{"nDCG", k, m.NDCG}, Metric{"recall", k, m.Recall}, Metric{"MRR", k, m.MRR}, Metric{"success", k, m.Success})
		if i > 0 {
			continue
		}
		for _, id := range sortedKeys(each) {
			m := each[id]
			r.PerQuery = append(r.PerQuery, QueryMeasures{id, m.NDCG, m.Recall, m.MRR, m.Success, m.MAP})
		}
	}
	r.Metrics = append(r.Metrics, Metric{Name: "MAP", Value: Evaluate(q, run, cuts[0], MinGrade(r.MinGrade)).MAP})
}

// Metric returns a mean by name and cut-off; false where it was not measured.
func (r *Result) Metric(name string, k int) (float64, bool) {
	for _, m := range r.Metrics {
		if m.Name == name && m.K == k {
			return m.Value, true
		}
	}
	return 0, false
}
