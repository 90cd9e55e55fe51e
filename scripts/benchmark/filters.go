package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
)

// shares of the documents that filters are to leave.
var shares = []float64{1, 0.5, 0.1, 0.05, 0.01, 0.001, 0.0001}

// attributed gives documents attributes to filter by: "u" is random; "c" orders
// them by the real document that they were made of, so that a filter on it leaves
// neighbours and may leave nothing near to a query. "plain" is u, and gets no
// index.
func attributed(docs []item, sources int) {
	r := rand.New(rand.NewPCG(3, 4))
	for i := range docs {
		u := r.Float64()
		docs[i].attributes = fmt.Appendf(nil, `{"u":%.6f,"c":%.6f,"plain":%.6f}`, u, (float64(docs[i].source)+r.Float64())/float64(sources), u)
	}
}

// filtered is what searches with one filter found and took.
type filtered struct {
	name, text       string
	filter           *engine.Filter
	took, stage      []time.Duration
	hits, candidates int // that an exact search finds too: float32, own planes
	of               int
	matches, scanned int
	exhaustive       int
}

// filters prints a table: for each share of documents left by a filter, what is
// found and how long it takes. Searches with all filters take turns.
func filters(ctx context.Context, docs, queries []item, sources int) error {
	attributed(docs, sources)
	var all []*filtered
	add := func(name, text string) error {
		f := &filtered{name: name, text: text}
		if text != "" {
			var err error
			if f.filter, err = engine.ParseFilter(text); err != nil {
				return err
			}
		}
		all = append(all, f)
		return nil
	}
	for _, name := range []string{"u", "c"} {
		for _, s := range shares {
			text := fmt.Sprintf("%s < %v", name, s)
			if s == 1 && name == "u" {
				text = ""
			}
			if s == 1 && name == "c" {
				continue
			}
			if err := add(map[string]string{"u": "random", "c": "neighbours"}[name], text); err != nil {
				return err
			}
		}
	}
	if err := add("no index", "plain < 0.1"); err != nil {
		return err
	}
	// Float32 first, and its store closed again: two would be much memory.
	truth := make([][]string, len(all)*len(queries))
	if err := withStore(ctx, docs, &engine.Options{TrainTokens: 1 << 60}, true, func(col *engine.Collection) error {
		for i, f := range all {
			for j, q := range queries {
				res, err := col.Search(ctx, engine.SearchRequest{Vectors: q.vectors, Weights: q.weights, K: k, Exact: true, Filter: f.filter})
				if err != nil {
					return err
				}
				truth[i*len(queries)+j] = ids(res)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return withStore(ctx, docs, nil, false, func(col *engine.Collection) error {
		for round := range 4 { // the first warms up
			for j, q := range queries {
				for i, f := range all {
					if err := f.search(ctx, col, q, truth[i*len(queries)+j], round); err != nil {
						return err
					}
				}
			}
		}
		fmt.Println("| filter | share | documents | candidate recall@10 | recall@10 | p50 | × unfiltered | filter stage | scored all | attributes read |")
		fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
		for _, f := range all {
			f.print(len(docs), len(queries), all[0])
		}
		return nil
	})
}

// withStore makes a store of the documents, hands it over and closes it.
func withStore(ctx context.Context, docs []item, o *engine.Options, raw bool, f func(*engine.Collection) error) error {
	db, err := engine.OpenMem(o)
	if err != nil {
		return err
	}
	defer db.Close()
	col, err := build(ctx, db, docs, engine.CollectionConfig{Dim: docs[0].vectors.Dim, RetainRaw: raw})
	if err != nil {
		return err
	}
	start := time.Now()
	if err := col.IndexAttributes(ctx, "u", "c"); err != nil {
		return err
	}
	indexes, err := col.AttributeIndexes()
	if err != nil {
		return err
	}
	if !raw {
		info := col.Info()
		fmt.Printf("%d segments; indexes of %d attributes in %.2f s", info.Segments, len(indexes), time.Since(start).Seconds())
		for _, x := range indexes {
			fmt.Printf("; %s: %d values, %d bytes", x.Path, x.Values, x.Bytes)
		}
		fmt.Print("\n\n")
	}
	return f(col)
}

func (f *filtered) search(ctx context.Context, col *engine.Collection, q item, truth []string, round int) error {
	res, err := col.Search(ctx, engine.SearchRequest{Vectors: q.vectors, Weights: q.weights, K: k, Filter: f.filter})
	if err != nil || round == 0 {
		return err
	}
	f.took = append(f.took, res.Took)
	for _, s := range res.Stages {
		if s.Name == "filter" {
			f.stage = append(f.stage, s.Duration)
		}
	}
	if round > 1 {
		return nil
	}
	exact, err := col.Search(ctx, engine.SearchRequest{Vectors: q.vectors, Weights: q.weights, K: k, Filter: f.filter, Exact: true, Explain: true})
	if err != nil {
		return err
	}
	found := ids(res)
	f.of += len(truth)
	f.hits += common(found, truth)
	f.candidates += common(found, ids(exact))
	if len(found) != len(truth) {
		return fmt.Errorf("%s: %d hits, %d are allowed", f.text, len(found), len(truth))
	}
	if res.Exhaustive {
		f.exhaustive++
	}
	if exact.Filter != nil {
		f.matches, f.scanned = exact.Filter.Matches, exact.Filter.Scanned
	}
	return nil
}

func (f *filtered) print(docs, queries int, unfiltered *filtered) {
	if f.filter == nil {
		f.matches = docs
	}
	recall := func(n int) string {
		if f.of == 0 {
			return "–"
		}
		return fmt.Sprintf("%.3f", float64(n)/float64(f.of))
	}
	name := f.name
	if f.filter == nil {
		name = "none"
	}
	fmt.Printf("| %s | %.4g %% | %d | %s | %s | %.2f ms | %.2f | %.3f ms | %d %% | %d |\n", name, 100*float64(f.matches)/float64(docs), f.matches,
		recall(f.candidates), recall(f.hits), ms(f.took, 0.5), ms(f.took, 0.5)/ms(unfiltered.took, 0.5), ms(f.stage, 0.5),
		100*f.exhaustive/queries, f.scanned)
}

func ids(r *engine.SearchResult) (out []string) {
	for _, h := range r.Hits {
		out = append(out, h.ID)
	}
	return out
}

func common(a, b []string) (n int) {
	for _, x := range a {
		if slices.Contains(b, x) {
			n++
		}
	}
	return n
}
