// Command quality measures what the bundled model and the index's compression do
// to the ranking of judged collections: nDCG@10 of float32 vectors by plain
// MaxSim over every document, and of the profiles exact, balanced and compact,
// each by a search of all stored planes and by one of default effort.
//
//	go run ./scripts/quality -data DIR [-cache DIR] [-runs DIR] [-queries N] scifact:test squadshifts:wiki …
//
// Documents are cut at the model's window. -cache keeps the vectors that were
// made for a collection. -runs writes each ranking as a TREC run with the figures
// beside it, for scripts/check_eval.py.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/query/eval"
)

const k = 10

var profiles = []engine.Profile{engine.Exact, engine.Balanced, engine.Compact}

// columns are the rankings of one collection.
var columns = func() []string {
	out := []string{"float32"}
	for _, p := range profiles {
		out = append(out, p.String()+", all planes", p.String()+", default effort")
	}
	return out
}()

type options struct {
	data, cache, runs string
	queries           int
}

func main() {
	var o options
	flag.StringVar(&o.data, "data", "", "folder of folders in BEIR layout")
	flag.StringVar(&o.cache, "cache", "", "keep vectors here")
	flag.StringVar(&o.runs, "runs", "", "write runs and figures here")
	flag.IntVar(&o.queries, "queries", 0, "only every so manieth query that makes at most so many; 0: all")
	flag.Parse()
	if err := run(context.Background(), o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "quality:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, names []string) error {
	enc, err := bundled.Open()
	if err != nil {
		return err
	}
	defer enc.Close()
	open := func(name string) (*collection, error) {
		folder, split, _ := strings.Cut(name, ":")
		return load(ctx, enc, filepath.Join(o.data, folder), split, o.cache, o.queries)
	}
	fmt.Printf("| collection | queries | token vectors | %s |\n|---|---|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	sums := make([]float64, len(columns))
	for _, name := range names {
		c, err := open(name)
		if err != nil {
			return err
		}
		row, err := c.measure(ctx, o.runs)
		if err != nil {
			return err
		}
		fmt.Printf("| %s | %d | %d |%s\n", c.name, len(c.queries), c.tokens(), cells("%.4f", row))
		for i, x := range row {
			sums[i] += x / float64(len(names))
		}
	}
	fmt.Printf("| **mean** | | |%s\n", cells("%.4f", sums))
	for i := range sums[1:] {
		sums[i+1] -= sums[0]
	}
	fmt.Printf("| against float32 | | | |%s\n", cells("%+.4f", sums[1:]))
	return nil
}

func cells(format string, values []float64) string {
	var out strings.Builder
	for _, v := range values {
		fmt.Fprintf(&out, " "+format+" |", v)
	}
	return out.String()
}

// measure returns nDCG@10 for each of columns.
func (c *collection) measure(ctx context.Context, runs string) ([]float64, error) {
	var row []float64
	keep := func(r eval.Run) error {
		column := columns[len(row)]
		row = append(row, eval.Evaluate(c.qrels, r, k).NDCG)
		fmt.Fprintf(os.Stderr, "%s %s %s %.4f\n", time.Now().Format(time.TimeOnly), c.name, column, row[len(row)-1])
		if runs == "" {
			return nil
		}
		return c.write(filepath.Join(runs, c.name+"-"+strings.ReplaceAll(strings.ReplaceAll(column, ",", ""), " ", "-")), column, r)
	}
	if err := keep(c.float32s()); err != nil {
		return nil, err
	}
	for _, p := range profiles {
		if err := c.search(ctx, p, keep); err != nil {
			return nil, err
		}
	}
	return row, nil
}

// search ranks by a collection in memory: exactly, then with default effort.
func (c *collection) search(ctx context.Context, p engine.Profile, keep func(eval.Run) error) (err error) {
	// Small collections, too, are to have codes.
	db, err := engine.OpenMem(&engine.Options{TrainTokens: 100_000})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	col, err := db.CreateCollection(ctx, "quality", engine.CollectionConfig{Dim: c.dim, Profile: p})
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(c.docs, 200) {
		b := make([]engine.Document, len(batch))
		for i, d := range batch {
			b[i] = engine.Document{ID: d.id, Vectors: d.vectors}
		}
		if _, err := col.Upsert(ctx, b...); err != nil {
			return err
		}
	}
	if err := col.Compact(ctx); err != nil {
		return err
	}
	for _, exact := range []bool{true, false} {
		r := eval.Run{}
		for _, q := range c.queries {
			res, err := col.Search(ctx, engine.SearchRequest{Vectors: q.vectors, Weights: q.weights, K: k, Exact: exact})
			if err != nil {
				return err
			}
			for _, h := range res.Hits {
				r[q.id] = append(r[q.id], eval.Scored{ID: h.ID, Score: float64(h.Score)})
			}
		}
		if err := keep(r); err != nil {
			return err
		}
	}
	return nil
}

// write stores a run and its figures as `colbertdb eval --runs --json` does.
func (c *collection) write(path, column string, r eval.Run) error {
	f, err := os.Create(path + ".run")
	if err != nil {
		return err
	}
	if err := errors.Join(eval.WriteRun(f, r, "colbertdb"), f.Close()); err != nil {
		return err
	}
	result := eval.Result{Dataset: c.name, Split: c.split, Config: column, Qrels: c.judgments, Run: path + ".run"}
	result.Measure(c.qrels, r, k)
	figures, err := json.Marshal(map[string]any{"results": []eval.Result{result}})
	if err != nil {
		return err
	}
	return os.WriteFile(path+".json", figures, 0o644)
}
