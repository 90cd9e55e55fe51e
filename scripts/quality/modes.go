package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/query/eval"
)

// variant is one way to search by text.
type variant struct {
	name    string
	request engine.SearchRequest
}

// modes are the modes of search with their defaults; sweep adds the fusions that the
// default was chosen from.
func modes(sweep bool) []variant {
	var out []variant
	for m := engine.ModeLateInteraction; m <= engine.ModeHybrid; m++ {
		out = append(out, variant{m.String(), engine.SearchRequest{Mode: m}})
	}
	if !sweep {
		return out
	}
	for _, k := range []float64{10, 60} {
		out = append(out, variant{fmt.Sprintf("RRF %g", k), engine.SearchRequest{Mode: engine.ModeHybrid, Fusion: engine.Fusion{RRF: true, RankConstant: k}}})
	}
	for _, w := range []float64{.8, .85, .89, .9, .91, .93, .95} {
		out = append(out, variant{fmt.Sprintf("weight %g", w), engine.SearchRequest{Mode: engine.ModeHybrid, Fusion: engine.Fusion{Weight: &w}}})
	}
	return out
}

// bm25Of are the constants that the independent figures of collections are of, where
// they are not the default.
var bm25Of = map[string]*engine.BM25{
	"vaswani": {K1: .9, B: .4}, "msmarco-dl19-20-pool": {K1: .9, B: .4},
}

// printModes prints nDCG@10 of the modes on every collection, and of BM25 with other
// constants where the independent figure has them.
func printModes(ctx context.Context, o options, names []string, load func(name string) (*collection, error)) error {
	variants := modes(o.sweep)
	header := []string{}
	for _, v := range variants {
		header = append(header, v.name)
	}
	fmt.Printf("| collection | queries | %s | bm25, k1 0.9, b 0.4 |\n|---|---|%s---|\n", strings.Join(header, " | "), strings.Repeat("---|", len(header)))
	sums := make([]float64, len(variants))
	for _, name := range names {
		c, err := load(name)
		if err != nil {
			return err
		}
		row, other, err := c.measureModes(ctx, variants)
		if err != nil {
			return err
		}
		last := " |"
		if other > 0 {
			last = fmt.Sprintf(" %.4f |", other)
		}
		fmt.Printf("| %s, %s | %d |%s%s\n", c.name, c.split, len(c.queries), cells("%.4f", row), last)
		for i, x := range row {
			sums[i] += x / float64(len(names))
		}
	}
	fmt.Printf("| **mean** | |%s |\n", cells("%.4f", sums))
	return nil
}

// measureModes returns nDCG@10 of every variant, and of BM25 with the constants of the
// independent figure, 0 where they are the default.
func (c *collection) measureModes(ctx context.Context, variants []variant) (row []float64, other float64, err error) {
	db, err := engine.OpenMem(&engine.Options{TrainTokens: 100_000})
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	col, err := db.CreateCollection(ctx, "modes", engine.CollectionConfig{Dim: c.dim, TextIndex: engine.AnalyzerEnglish})
	if err != nil {
		return nil, 0, err
	}
	for batch := range slices.Chunk(c.docs, 200) {
		b := make([]engine.Document, len(batch))
		for i, d := range batch {
			b[i] = engine.Document{ID: d.id, Text: d.text, Vectors: d.vectors}
		}
		if _, err := col.Upsert(ctx, b...); err != nil {
			return nil, 0, err
		}
	}
	if err := col.Compact(ctx); err != nil {
		return nil, 0, err
	}
	for _, v := range variants {
		x, err := c.ndcg(ctx, col, v.request)
		if err != nil {
			return nil, 0, err
		}
		row = append(row, x)
		fmt.Fprintf(os.Stderr, "%s %s %s %.4f\n", time.Now().Format(time.TimeOnly), c.name, v.name, x)
	}
	if bm25 := bm25Of[c.name]; bm25 != nil {
		other, err = c.ndcg(ctx, col, engine.SearchRequest{Mode: engine.ModeBM25, BM25: bm25})
	}
	return row, other, err
}

// ndcg searches every query.
func (c *collection) ndcg(ctx context.Context, col *engine.Collection, req engine.SearchRequest) (float64, error) {
	r := eval.Run{}
	for _, q := range c.queries {
		req := req
		req.K = k
		if req.Mode != engine.ModeLateInteraction {
			req.Text = q.text
		}
		if req.Mode != engine.ModeBM25 {
			req.Vectors, req.Weights = q.vectors, q.weights
		}
		res, err := col.Search(ctx, req)
		if err != nil {
			return 0, err
		}
		for _, h := range res.Hits {
			r[q.id] = append(r[q.id], eval.Scored{ID: h.ID, Score: float64(h.Score)})
		}
	}
	return eval.Evaluate(c.qrels, r, k).NDCG, nil
}
