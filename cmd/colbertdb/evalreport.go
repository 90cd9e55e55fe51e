package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/judged"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/internal/benchdoc"
	"github.com/colbertdb-go/colbertdb/query/eval"
)

// evalReport is the JSON of eval.
type evalReport struct {
	Machine     benchdoc.Machine `json:"machine"`
	Command     string           `json:"command"`
	K           int              `json:"k"` // the cut-off of tables and comparisons
	Results     []*evalResult    `json:"results"`
	Comparisons []comparison     `json:"comparisons,omitempty"`
	Tables      []suiteTable     `json:"tables,omitempty"`

	parts []string // of --tables
}

// comparison is what nDCG says of a configuration and the first, on one test
// collection or, where Dataset is "", on the queries of all together.
type comparison struct {
	Dataset string `json:"dataset"`
	Split   string `json:"split"`
	Base    string `json:"base"`
	Config  string `json:"config"`
	eval.Comparison
}

// suiteTable is a published table and what was measured of it.
type suiteTable struct {
	*judged.Table `json:"-"`
	Name          string   `json:"name"`
	Absent        []string `json:"absent,omitempty"` // collections that --data has not
	NoRun         []string `json:"no_run,omitempty"` // those without a run to be reranked

	configs []string
	found   map[string][]*evalResult // by Set.Title
}

// datasets are the results in groups of one test collection and split.
func (r *evalReport) datasets() (groups [][]*evalResult) {
	at := map[[2]string]int{}
	for _, res := range r.Results {
		key := [2]string{res.Dataset, res.Split}
		i, ok := at[key]
		if !ok {
			i = len(groups)
			at[key] = i
			groups = append(groups, nil)
		}
		if !slices.ContainsFunc(groups[i], func(x *evalResult) bool { return x.Config == res.Config }) {
			groups[i] = append(groups[i], res)
		}
	}
	return groups
}

// compare compares every configuration with the first, query by query.
func (r *evalReport) compare(margin float64, seed uint64) error {
	type pair struct{ base, other string }
	all := map[pair][2][]float64{}
	var order []pair
	groups := r.datasets()
	for _, g := range groups {
		for _, res := range g[1:] {
			base, other := ndcgs(g[0]), ndcgs(res)
			p := pair{g[0].Config, res.Config}
			if _, ok := all[p]; !ok {
				order = append(order, p)
			}
			all[p] = [2][]float64{append(all[p][0], base...), append(all[p][1], other...)}
			if len(base) < 2 {
				continue
			}
			c, err := eval.Compare(base, other, margin, seed)
			if err != nil {
				return err
			}
			r.Comparisons = append(r.Comparisons, comparison{res.Dataset, res.Split, p.base, p.other, c})
		}
	}
	if len(groups) < 2 {
		return nil
	}
	for _, p := range order {
		if v := all[p]; len(v[0]) > 1 {
			c, err := eval.Compare(v[0], v[1], margin, seed)
			if err != nil {
				return err
			}
			r.Comparisons = append(r.Comparisons, comparison{Base: p.base, Config: p.other, Comparison: c})
		}
	}
	return nil
}

// ndcgs are the values of the queries, in order of their ids.
func ndcgs(r *evalResult) []float64 {
	out := make([]float64, len(r.PerQuery))
	for i, q := range r.PerQuery {
		out[i] = q.NDCG
	}
	return out
}

// perQuery is a table of the measures of every query.
func (r *evalReport) perQuery() string {
	var b strings.Builder
	fmt.Fprintf(&b, "collection\tsplit\tconfiguration\tquery\tnDCG@%d\trecall@%d\tMRR@%d\tsuccess@%d\tMAP\n", r.K, r.K, r.K, r.K)
	for _, res := range r.Results {
		for _, q := range res.PerQuery {
			fmt.Fprintf(&b, "%s\t%s\t%s\t%s\t%.6f\t%.6f\t%.6f\t%.0f\t%.6f\n", res.Dataset, res.Split, res.Config, q.Query, q.NDCG, q.Recall, q.MRR, q.Success, q.MAP)
		}
	}
	return b.String()
}

// text is the report for a terminal: one result by lines, several by tables.
func (r *evalReport) text() string {
	var b strings.Builder
	if len(r.Results) == 1 && len(r.Tables) == 0 {
		r.Results[0].write(&b)
		return b.String()
	}
	r.tables(&b)
	return b.String()
}

// write prints one result.
func (res *evalResult) write(b *strings.Builder) {
	fmt.Fprintf(b, "%s (%s): %s queries", res.Dataset, res.Split, render.Count(int64(res.Queries)))
	if res.Tokens > 0 {
		fmt.Fprintf(b, ", %s documents, %s tokens", render.Count(res.Documents), render.Count(res.Tokens))
	}
	for _, s := range []string{res.Model, res.Rules} {
		if s != "" {
			fmt.Fprintf(b, ", %s", s)
		}
	}
	b.WriteString("\n\n")
	for i, m := range res.Metrics {
		if i > 0 && m.K != res.Metrics[i-1].K {
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "%-14s %.4f\n", metricName(m.Name, m.K), m.Value)
	}
	if res.CandidateRecall != nil {
		fmt.Fprintf(b, "\ncandidate recall@10 against exact search: %.4f\n", *res.CandidateRecall)
	}
	if res.Threads > 0 {
		fmt.Fprintf(b, "\nsearch for %d hits p50 %s, p95 %s; with encoding p50 %s, p95 %s\n", res.deepest(), microseconds(res.SearchP50US), microseconds(res.SearchP95US), microseconds(res.TotalP50US), microseconds(res.TotalP95US))
		var stages []string
		for _, s := range res.Stages {
			stages = append(stages, s.Stage+" "+microseconds(s.Microseconds))
		}
		fmt.Fprintf(b, "mean by stage: %s\n", strings.Join(stages, ", "))
	}
}

func (res *evalResult) deepest() (k int) {
	for _, m := range res.Metrics {
		k = max(k, m.K)
	}
	return k
}

// metricName is nDCG@10, or MAP.
func metricName(name string, k int) string {
	if k == 0 {
		return name
	}
	return fmt.Sprintf("%s@%d", name, k)
}

// markdown is the report for a document.
func (r *evalReport) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "    %s\n\n%s.\n\n", r.Command, r.Machine)
	r.tables(&b)
	return b.String()
}

// tables are a suite's, then one in their shape, all measures, the comparisons and the
// times.
func (r *evalReport) tables(b *strings.Builder) {
	for i := range r.Tables {
		r.Tables[i].write(b)
	}
	for _, part := range []struct {
		name  string
		write func(*strings.Builder)
	}{{"ndcg", r.shape}, {"measures", r.measures}, {"comparisons", r.compared}, {"times", r.times}} {
		if slices.Contains(r.parts, part.name) {
			part.write(b)
		}
	}
}

// shape is a table of nDCG in the shape of model cards: a row a test collection, a
// column a system.
func (r *evalReport) shape(b *strings.Builder) {
	groups := r.datasets()
	if len(groups) == 0 || len(r.Tables) > 0 { // a suite has its own
		return
	}
	var configs []string
	for _, g := range groups {
		for _, res := range g {
			if !slices.Contains(configs, res.Config) {
				configs = append(configs, res.Config)
			}
		}
	}
	rows := [][]string{append([]string{fmt.Sprintf("nDCG@%d", r.K), "queries"}, configs...)}
	sums, counts := make([]float64, len(configs)), make([]int, len(configs))
	for _, g := range groups {
		row := []string{g[0].Dataset + " (" + g[0].Split + ")", asked(g[0])}
		for i, name := range configs {
			cell := "–"
			for _, res := range g {
				if v, ok := res.Metric("nDCG", r.K); ok && res.Config == name {
					cell = fmt.Sprintf("%.4f", v)
					sums[i] += v
					counts[i]++
				}
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	if len(groups) > 1 {
		row := []string{"**average**", ""}
		for i := range configs {
			cell := "–"
			if counts[i] == len(groups) {
				cell = fmt.Sprintf("**%.4f**", sums[i]/float64(counts[i]))
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	table(b, rows)
}

// asked is the number of queries, and of how many they were taken.
func asked(res *evalResult) string {
	if res.LeftOut > 0 {
		return fmt.Sprintf("%d of %d", res.Queries, res.Queries+res.LeftOut)
	}
	return fmt.Sprint(res.Queries)
}

func (r *evalReport) measures(b *strings.Builder) {
	if len(r.Results) == 0 {
		return
	}
	var names []eval.Metric
	for _, res := range r.Results {
		for _, m := range res.Metrics {
			if !slices.ContainsFunc(names, func(n eval.Metric) bool { return n.Name == m.Name && n.K == m.K }) {
				names = append(names, m)
			}
		}
	}
	slices.SortStableFunc(names, func(x, y eval.Metric) int { return cmp.Compare(last(x.K), last(y.K)) })
	head := []string{"collection", "configuration", "least relevant grade"}
	for _, n := range names {
		head = append(head, metricName(n.Name, n.K))
	}
	rows := [][]string{head}
	for _, g := range r.datasets() {
		for _, res := range g {
			row := []string{res.Dataset + " (" + res.Split + ")", res.Config, fmt.Sprint(res.MinGrade)}
			for _, n := range names {
				cell := "–"
				if v, ok := res.Metric(n.Name, n.K); ok {
					cell = fmt.Sprintf("%.4f", v)
				}
				row = append(row, cell)
			}
			rows = append(rows, row)
		}
	}
	table(b, rows)
}

// last puts the measure without a cut-off behind the others.
func last(k int) int {
	if k == 0 {
		return 1 << 30
	}
	return k
}

func (r *evalReport) compared(b *strings.Builder) {
	if len(r.Comparisons) == 0 {
		return
	}
	fmt.Fprintf(b, "Against the first configuration, nDCG@%d query by query: the difference of the means with its interval of 95 %% by Student's t and by the bootstrap, the two-sided p of the paired t-test, and whether a loss of the margin or more is excluded (one-sided p < %g).\n\n", r.K, eval.Level)
	rows := [][]string{{"collection", "configuration", "against", "queries", "difference", "95 % by t", "95 % by bootstrap", "p", "loss excluded"}}
	for _, c := range r.Comparisons {
		name := "all queries"
		if c.Dataset != "" {
			name = c.Dataset + " (" + c.Split + ")"
		}
		verdict := fmt.Sprintf("%g: no (p %.3f)", c.Margin, c.PLoss)
		if c.NoLoss() {
			verdict = fmt.Sprintf("%g: yes (p %.3f)", c.Margin, c.PLoss)
		}
		rows = append(rows, []string{name, c.Config, c.Base, fmt.Sprint(c.Queries), fmt.Sprintf("%+.4f", c.Difference),
			fmt.Sprintf("%+.4f to %+.4f", c.Low, c.High), fmt.Sprintf("%+.4f to %+.4f", c.BootstrapLow, c.BootstrapHigh), fmt.Sprintf("%.3f", c.P), verdict})
	}
	table(b, rows)
}

// times are those of searches one at a time, the query's encoding among their stages.
func (r *evalReport) times(b *strings.Builder) {
	var names []string
	for _, res := range r.Results {
		for _, s := range res.Stages {
			if !slices.Contains(names, s.Stage) {
				names = append(names, s.Stage)
			}
		}
	}
	if len(names) == 0 {
		return
	}
	fmt.Fprint(b, "Size, and times of one search at a time: quantiles without the query's encoding, means by stage in µs.\n\n")
	rows := [][]string{append([]string{"collection", "configuration", "documents", "token vectors", "MB", "indexed in", "p50", "p95"}, names...)}
	for _, g := range r.datasets() {
		for _, res := range g {
			if res.Threads == 0 {
				continue
			}
			row := []string{res.Dataset + " (" + res.Split + ")", res.Config, fmt.Sprint(res.Documents), fmt.Sprint(res.Tokens), fmt.Sprintf("%.1f", float64(res.Bytes)/1e6),
				fmt.Sprintf("%.0f s", res.IndexTook), microseconds(res.SearchP50US), microseconds(res.SearchP95US)}
			for _, n := range names {
				cell := "–"
				for _, s := range res.Stages {
					if s.Stage == n {
						cell = fmt.Sprint(s.Microseconds)
					}
				}
				row = append(row, cell)
			}
			rows = append(rows, row)
		}
	}
	table(b, rows)
}

// write prints a published table with ours beside it, in percent as there.
func (t *suiteTable) write(b *strings.Builder) {
	fmt.Fprintf(b, "**%s**\n\n", t.Title)
	head := []string{"dataset"}
	column := func(system string) {
		for _, m := range t.Metrics {
			name := system
			if len(t.Metrics) > 1 {
				name += ", " + metricName(m.Name, m.K)
			}
			head = append(head, name)
		}
	}
	for _, s := range t.Systems {
		column(s)
	}
	ours := slices.Clone(t.configs)
	if t.Reranked {
		ours = append([]string{"first stage"}, ours...)
	}
	for _, c := range ours {
		column("ours: " + c)
	}
	rows := [][]string{head}
	width := len(t.Systems) * len(t.Metrics)
	sums := make([]float64, width+len(ours)*len(t.Metrics)) // of the sets that are there
	there := 0
	for _, s := range t.Sets {
		row := []string{s.Title}
		for i := range width {
			if t.OnlyMean {
				row = append(row, "–")
				continue
			}
			row = append(row, fmt.Sprintf("%.1f", s.Published[i]))
		}
		found := t.found[s.Title]
		for i, c := range ours {
			for j, m := range t.Metrics {
				cell := "absent"
				if slices.Contains(t.NoRun, s.Title) {
					cell = "no run"
				}
				for _, res := range found {
					if v, ok := res.Metric(m.Name, m.K); ok && res.Config == c {
						cell = fmt.Sprintf("%.1f", 100*v)
						sums[width+i*len(t.Metrics)+j] += 100 * v
					}
				}
				row = append(row, cell)
			}
		}
		if len(found) > 0 {
			there++
			for i := range width {
				if !t.OnlyMean {
					sums[i] += s.Published[i]
				}
			}
		}
		rows = append(rows, row)
	}
	if t.Mean != nil {
		row := []string{"average, all"}
		for _, v := range t.Mean {
			row = append(row, fmt.Sprintf("%.1f", v))
		}
		for range ours {
			cell := "–"
			if there == len(t.Sets) {
				cell = fmt.Sprintf("%.1f", sums[width+len(row)-1-len(t.Mean)]/float64(there))
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	if there > 0 && there < len(t.Sets) {
		row := []string{fmt.Sprintf("average of the %d that are here", there)}
		for i, v := range sums {
			cell := "–"
			if i >= width || !t.OnlyMean {
				cell = fmt.Sprintf("%.1f", v/float64(there))
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	table(b, rows)
	if len(t.Absent) > 0 {
		fmt.Fprintf(b, "Absent: %s.\n\n", strings.Join(t.Absent, ", "))
	}
	if len(t.NoRun) > 0 {
		fmt.Fprintf(b, "Without a run to be reranked (--rerank DIR with NAME.run): %s.\n\n", strings.Join(t.NoRun, ", "))
	}
}

// table prints rows, the first of them the headings.
func table(b *strings.Builder, rows [][]string) {
	for i, row := range rows {
		for _, cell := range row {
			fmt.Fprintf(b, "| %s ", strings.ReplaceAll(cell, "|", `\|`))
		}
		b.WriteString("|\n")
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	b.WriteString("\n")
}
