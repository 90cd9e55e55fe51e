package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/query/eval"
)

type evalCmd struct {
	Dir       string `arg:"" type:"existingdir" help:"BEIR folder: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv."`
	Split     string `default:"test" help:"Which judgments: qrels/SPLIT.tsv."`
	K         []int  `short:"k" default:"10,100" help:"Cut-offs of the measures."`
	Profile   string `enum:"exact,balanced,compact," default:"" help:"What the collection stores: exact (default), balanced or compact."`
	RetainRaw bool   `help:"The collection also keeps the float16 vectors."`
	NoWindows bool   `help:"Cut documents at the model's window, as published figures do, instead of splitting them."`
	Effort    string `enum:"fast,default,high,full" default:"default" help:"fast, default, high or full."`
	Exact     bool   `help:"Score every document: no candidate generation."`
	Recall    bool   `help:"Search exactly, too, and print candidate recall@10."`
	RunFile   string `name:"run" placeholder:"FILE" help:"Also write the ranking as a TREC run."`
	Limit     int    `help:"Only the first queries. Default: all."`
}

// evalOutput is the JSON of eval.
type evalOutput struct {
	Dataset         string         `json:"dataset"`
	Split           string         `json:"split"`
	Model           string         `json:"model,omitempty"`
	Documents       int64          `json:"documents"`
	Tokens          int64          `json:"tokens"`
	Queries         int            `json:"queries"`
	Metrics         []metricOutput `json:"metrics"`
	CandidateRecall *float64       `json:"candidate_recall_at_10,omitempty"`
	// Times of one query, without and with its encoding.
	SearchP50US int64   `json:"search_p50_us"`
	SearchP95US int64   `json:"search_p95_us"`
	TotalP50US  int64   `json:"total_p50_us"`
	TotalP95US  int64   `json:"total_p95_us"`
	IndexTook   float64 `json:"index_seconds"`
}

type metricOutput struct {
	Name  string  `json:"name"`
	K     int     `json:"k"`
	Value float64 `json:"value"`
}

// Run indexes the folder unless the store has it already, searches every judged
// query and compares the ranking with the judgments. Without --db the store is
// a temporary one.
func (c *evalCmd) Run(a *app) (err error) {
	if len(c.K) == 0 || slices.Min(c.K) < 1 {
		return usagef("-k: cut-offs must be at least 1")
	}
	effort, err := engine.ParseEffort(c.Effort)
	if err != nil {
		return usageError{err}
	}
	judged, err := eval.ReadQrelsFile(filepath.Join(c.Dir, "qrels", c.Split+".tsv"))
	if err != nil {
		return err
	}
	queries, err := readQueries(a.ctx, c.Dir)
	if err != nil {
		return err
	}
	queries = slices.DeleteFunc(queries, func(q ingest.Passage) bool { return len(judged[q.ID]) == 0 })
	if c.Limit > 0 && len(queries) > c.Limit {
		queries = queries[:c.Limit]
		maps.DeleteFunc(judged, func(id string, _ map[string]int) bool {
			return !slices.ContainsFunc(queries, func(q ingest.Passage) bool { return q.ID == id })
		})
	}
	if len(queries) == 0 {
		return fmt.Errorf("no query of %s is judged in qrels/%s.tsv", c.Dir, c.Split)
	}
	if a.DB == "" {
		if a.DB, err = os.MkdirTemp("", "colbertdb-eval-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(a.DB)) }()
	}
	start := time.Now()
	if err := c.index(a); err != nil {
		return err
	}
	out := evalOutput{Dataset: filepath.Base(c.Dir), Split: c.Split, Queries: len(queries), IndexTook: time.Since(start).Seconds()}
	if err := c.search(a, &out, queries, judged, effort); err != nil {
		return err
	}
	if a.JSON {
		return a.printJSON(out)
	}
	c.print(a, &out)
	return nil
}

// index brings the store up to date with the folder.
func (c *evalCmd) index(a *app) error {
	in, err := ingest.Open(c.Dir, ingest.Options{Format: ingest.BEIR}, nil)
	if err != nil {
		return err
	}
	empty := int64(0)
	r := &report{onProblem: func(p *ingest.Problem) {
		if errors.Is(p, ingest.ErrEmpty) {
			empty++
			return
		}
		fmt.Fprintf(a.stderr, "colbertdb: %v\n", p)
	}}
	i := indexCmd{Profile: c.Profile, RetainRaw: c.RetainRaw, NoWindows: c.NoWindows}
	start := time.Now()
	if err := i.sync(a, []source{{in.Source(), in}}, r); err != nil {
		return err
	}
	if failed := r.Failed - int(empty); failed > 0 {
		return fmt.Errorf("%d documents of %s could not be indexed: the figures would not be comparable", failed, c.Dir)
	}
	if empty > 0 {
		a.note("%s documents are empty and can never be found", render.Count(empty))
	}
	if r.Documents > 0 {
		a.note("indexed %s documents, %s tokens in %s", render.Count(r.Documents), render.Count(r.Tokens), render.Duration(time.Since(start)))
	}
	return nil
}

// readQueries reads queries.jsonl.
func readQueries(ctx context.Context, dir string) ([]ingest.Passage, error) {
	in, err := ingest.Open(filepath.Join(dir, "queries.jsonl"), ingest.Options{Format: ingest.JSONL}, nil)
	if err != nil {
		return nil, err
	}
	var out []ingest.Passage
	for q, err := range in.Passages(ctx) {
		if err != nil {
			return nil, err
		}
		out = append(out, q)
	}
	return out, nil
}

// search fills in everything that needs the store.
func (c *evalCmd) search(a *app, out *evalOutput, queries []ingest.Passage, judged eval.Qrels, effort engine.Effort) (err error) {
	db, err := a.readStore()
	if err != nil {
		return err
	}
	defer closing(&err, db)
	col, enc, err := a.withModel(db, a.Collection)
	if err != nil {
		return err
	}
	defer closing(&err, enc)
	info := col.Info()
	out.Documents, out.Tokens = info.Documents, info.Tokens
	if info.Model != nil {
		out.Model = info.Model.Name
	}
	depth := slices.Max(c.K)
	req := engine.SearchRequest{K: depth, Effort: effort, Exact: c.Exact}
	run := eval.Run{}
	var search, total []time.Duration
	found, wanted := 0, 0
	for _, q := range queries {
		req.Text = q.Text
		ranked, res, err := rank(a.ctx, col, req, depth)
		if err != nil {
			return fmt.Errorf("query %s: %w", q.ID, err)
		}
		run[q.ID] = ranked
		encode := time.Duration(0)
		for _, s := range res.Stages {
			if s.Name == "encode" {
				encode = s.Duration
			}
		}
		search, total = append(search, res.Took-encode), append(total, res.Took)
		if c.Recall {
			exact := req
			exact.Exact = true
			truth, _, err := rank(a.ctx, col, exact, 10)
			if err != nil {
				return err
			}
			wanted += len(truth)
			for _, d := range truth {
				if slices.ContainsFunc(ranked[:min(10, len(ranked))], func(r eval.Scored) bool { return r.ID == d.ID }) {
					found++
				}
			}
		}
	}
	if c.RunFile != "" {
		if err := writeRun(c.RunFile, run); err != nil {
			return err
		}
	}
	if c.Recall {
		r := float64(found) / float64(max(wanted, 1))
		out.CandidateRecall = &r
	}
	for _, k := range c.K {
		m := eval.Evaluate(judged, run, k)
		out.Metrics = append(out.Metrics,
			metricOutput{"nDCG", k, m.NDCG}, metricOutput{"recall", k, m.Recall},
			metricOutput{"MRR", k, m.MRR}, metricOutput{"success", k, m.Success})
	}
	out.SearchP50US, out.SearchP95US = percentiles(search)
	out.TotalP50US, out.TotalP95US = percentiles(total)
	return nil
}

// rank searches and joins the windows of a passage: the passage has the score
// of its best window.
func rank(ctx context.Context, col *engine.Collection, req engine.SearchRequest, depth int) ([]eval.Scored, *engine.SearchResult, error) {
	for req.K = depth; ; req.K *= 4 {
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
		if len(ranked) == depth || len(res.Hits) < req.K || req.K >= 16*depth {
			return ranked, res, nil
		}
	}
}

// passageID is the passage that a stored document belongs to.
func passageID(id string, attributes json.RawMessage) string {
	return firstOf(placeOf(attributes).Passage, id)
}

func percentiles(d []time.Duration) (p50, p95 int64) {
	slices.Sort(d)
	at := func(p float64) int64 { return d[min(int(p*float64(len(d))), len(d)-1)].Microseconds() }
	return at(.5), at(.95)
}

func (c *evalCmd) print(a *app, o *evalOutput) {
	a.printf("%s (%s): %s queries, %s documents, %s tokens", o.Dataset, o.Split, render.Count(int64(o.Queries)), render.Count(o.Documents), render.Count(o.Tokens))
	if o.Model != "" {
		a.printf(", %s", o.Model)
	}
	a.printf("\n\n")
	for i, m := range o.Metrics {
		if i%4 == 0 && i > 0 {
			a.printf("\n")
		}
		a.printf("%-14s %.4f\n", fmt.Sprintf("%s@%d", m.Name, m.K), m.Value)
	}
	if o.CandidateRecall != nil {
		a.printf("\ncandidate recall@10 against exact search: %.4f\n", *o.CandidateRecall)
	}
	us := func(n int64) string { return render.Duration(time.Duration(n) * time.Microsecond) }
	a.printf("\nsearch for %d hits p50 %s, p95 %s; with encoding p50 %s, p95 %s\n", slices.Max(c.K), us(o.SearchP50US), us(o.SearchP95US), us(o.TotalP50US), us(o.TotalP95US))
}

// writeRun writes a ranking for other scorers.
func writeRun(name string, run eval.Run) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return eval.WriteRun(f, run, "colbertdb")
}
