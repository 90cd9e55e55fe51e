package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/judged"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/query/eval"
)

// evalResult is what one configuration achieved on one test collection.
type evalResult struct {
	eval.Result
	Rules     string `json:"rules,omitempty"`
	Model     string `json:"model,omitempty"`
	Documents int64  `json:"documents,omitempty"` // of the test collection; their windows are more
	Tokens    int64  `json:"tokens,omitempty"`    // token vectors stored
	Bytes     int64  `json:"bytes,omitempty"`     // of the segments
	Queries   int    `json:"queries"`
	LeftOut   int    `json:"queries_left_out,omitempty"` // by --limit
	// Unknown counts documents of the run to be reranked that are not there.
	Unknown         int      `json:"unknown,omitempty"`
	CandidateRecall *float64 `json:"candidate_recall_at_10,omitempty"`

	// Times of one query, without and with its encoding, and the means by stage.
	Threads     int         `json:"threads,omitempty"`
	SearchP50US int64       `json:"search_p50_us,omitempty"`
	SearchP95US int64       `json:"search_p95_us,omitempty"`
	TotalP50US  int64       `json:"total_p50_us,omitempty"`
	TotalP95US  int64       `json:"total_p95_us,omitempty"`
	Stages      []stageTime `json:"stages,omitempty"`
	// IndexTook is the time to bring the store up to date: 0 seconds where it was.
	IndexTook float64 `json:"index_seconds,omitempty"`
}

// search asks every judged query and measures the rankings. With a first stage only
// the documents that it names are ranked.
func (c *evalCmd) search(a *app, m *measured, set *judged.Collection, one *evalConfig, first eval.Run) (*evalResult, error) {
	info := m.col.Info()
	out := &evalResult{
		Result: c.result(set, one.Name), Rules: set.Rules.String(), Documents: m.documents, Tokens: info.Tokens, Bytes: info.Bytes,
		Queries: len(set.Queries), LeftOut: set.Left, IndexTook: m.took.Seconds(), Threads: 1,
	}
	if info.Model != nil {
		out.Model = info.Model.Name
	}
	depth := slices.Max(c.K)
	run := eval.Run{}
	var search, total []time.Duration
	stages := map[string]time.Duration{}
	found, wanted := 0, 0
	for _, q := range set.Queries {
		req := one.request(0)
		req.Text = q.Text
		if first != nil {
			top := set.Keep(q.ID, eval.Ranked(first[q.ID]), c.Depth)
			if len(top) == 0 {
				continue
			}
			req.Exact = true
			var err error
			if req.Filter, err = passagesFilter(top); err != nil {
				return nil, err
			}
			ranked, res, err := rank(a.ctx, m.col, req, len(top))
			if err != nil {
				return nil, fmt.Errorf("query %s: %w", q.ID, err)
			}
			out.Unknown += len(top) - len(ranked)
			run[q.ID] = ranked
			search, total = timed(res, stages, search, total)
			continue
		}
		ranked, res, err := rank(a.ctx, m.col, req, set.Depth(depth))
		if err != nil {
			return nil, fmt.Errorf("query %s: %w", q.ID, err)
		}
		run[q.ID] = set.Keep(q.ID, ranked, depth)
		search, total = timed(res, stages, search, total)
		if c.Recall {
			exact := req
			exact.Exact = true
			truth, _, err := rank(a.ctx, m.col, exact, 10)
			if err != nil {
				return nil, err
			}
			wanted += len(truth)
			for _, d := range truth {
				if slices.ContainsFunc(ranked[:min(10, len(ranked))], func(r eval.Scored) bool { return r.ID == d.ID }) {
					found++
				}
			}
		}
	}
	if c.Recall && first == nil {
		r := float64(found) / float64(max(wanted, 1))
		out.CandidateRecall = &r
	}
	if out.Unknown > 0 {
		a.note("%s documents of the run are not there", render.Count(int64(out.Unknown)))
	}
	out.SearchP50US, out.SearchP95US = percentiles(search)
	out.TotalP50US, out.TotalP95US = percentiles(total)
	for _, name := range engine.Stages() {
		if d := stages[name]; d > 0 {
			out.Stages = append(out.Stages, stageTime{name, d.Microseconds() / int64(len(search))})
		}
	}
	return out, c.measure(set, out, run)
}

// result begins a result of a test collection.
func (c *evalCmd) result(set *judged.Collection, config string) eval.Result {
	return eval.Result{Dataset: set.Name, Split: set.Split, Config: config, Qrels: set.QrelsFile, MinGrade: max(1, set.Rules.MinGrade)}
}

// measure fills in the measures of a run, and keeps it where that is wanted.
func (c *evalCmd) measure(set *judged.Collection, out *evalResult, run eval.Run) error {
	out.Measure(set.Judged, run, c.K...)
	return c.keep(out, run)
}

// timed adds the times of a search.
func timed(res *engine.SearchResult, stages map[string]time.Duration, search, total []time.Duration) (s, t []time.Duration) {
	encode := time.Duration(0)
	for _, st := range res.Stages {
		stages[st.Name] += st.Duration
		if st.Name == "encode" {
			encode = st.Duration
		}
	}
	return append(search, res.Took-encode), append(total, res.Took)
}

// rank searches and joins the windows of a passage: the passage has the score
// of its best window.
func rank(ctx context.Context, col *engine.Collection, req engine.SearchRequest, depth int) ([]eval.Scored, *engine.SearchResult, error) {
	for req.K = min(depth, engine.MaxK); ; req.K = min(4*req.K, engine.MaxK) {
		res, err := col.Search(ctx, req)
		if err != nil {
			return nil, nil, err
		}
		var ranked []eval.Scored
		seen := map[string]bool{}
		for _, h := range res.Hits {
			id := passageID(h.ID, h.Attributes)
			if !seen[id] && len(ranked) < depth {
				seen[id] = true
				ranked = append(ranked, eval.Scored{ID: id, Score: float64(h.Score)})
			}
		}
		if len(ranked) == depth || len(res.Hits) < req.K || req.K == engine.MaxK {
			return ranked, res, nil
		}
	}
}

// passagesFilter leaves the documents that are passages of a ranking, or parts of them.
func passagesFilter(ranking []eval.Scored) (*engine.Filter, error) {
	ids := make([]string, len(ranking))
	for i, d := range ranking {
		ids[i] = d.ID
	}
	raw, err := json.Marshal(map[string]map[string][]string{"in": {attrPassage: ids}})
	if err != nil {
		return nil, err
	}
	return engine.ParseFilter(string(raw))
}

// passageID is the passage that a stored document belongs to.
func passageID(id string, attributes json.RawMessage) string {
	return firstOf(placeOf(attributes).Passage, id)
}

func percentiles(d []time.Duration) (p50, p95 int64) {
	if len(d) == 0 {
		return 0, 0
	}
	slices.Sort(d)
	at := func(p float64) int64 { return d[min(int(p*float64(len(d))), len(d)-1)].Microseconds() }
	return at(.5), at(.95)
}
