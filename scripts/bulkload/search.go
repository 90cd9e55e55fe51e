package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/resample"
)

const (
	k           = 10
	queryTokens = 32
)

// search opens the store anew and measures: memory without searches and after
// them, the time of searches, and against exact searches of the same planes and
// of the float32 vectors what they find. The second is brute force over all
// documents, made again: minutes for a million.
func (m *measurement) search(ctx context.Context, path string) (err error) {
	queries, err := readQueries(path, m.searches)
	if err != nil {
		return err
	}
	runtime.GC()
	start := time.Now()
	db, err := engine.Open(ctx, m.dir, &engine.Options{MemoryBudget: m.budget, DisableAutoCompaction: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	opened := time.Since(start)
	idle := rss("VmRSS")
	col, err := db.Collection("load")
	if err != nil {
		return err
	}
	start = time.Now()
	if _, err := col.Search(ctx, engine.SearchRequest{Vectors: queries[0], K: k, Effort: m.effort}); err != nil {
		return err
	}
	first := time.Since(start)
	var took []time.Duration
	found := make([][]string, len(queries))
	for range 3 { // the last counts
		took = took[:0]
		for i, q := range queries {
			res, err := col.Search(ctx, engine.SearchRequest{Vectors: q, K: k, Effort: m.effort})
			if err != nil {
				return err
			}
			took = append(took, res.Took)
			found[i] = ids(res)
		}
	}
	slices.Sort(took)
	searching := rss("VmRSS")
	info := col.Info()
	fmt.Printf("%s, %d documents, %d tokens, %d cells, %d centroids, %d segments; opened in %.2f s, RSS %d MB; first search after %.1f s; searching RSS %d MB; %d columns on disk, budget %d MB; %d queries: p50 %.2f ms, p95 %.2f ms\n",
		m.profile, info.Documents, info.Tokens, info.Cells, info.Centroids, info.Segments, opened.Seconds(), idle>>20, first.Seconds(), searching>>20,
		info.UnpinnedColumns, m.budget>>20, len(queries), ms(took, 0.5), ms(took, 0.95))
	if !m.recall {
		return nil
	}
	var exactTook time.Duration
	candidates := 0
	for i, q := range queries {
		res, err := col.Search(ctx, engine.SearchRequest{Vectors: q, K: k, Exact: true})
		if err != nil {
			return err
		}
		exactTook += res.Took
		candidates += overlap(found[i], ids(res))
	}
	truth, err := m.truth(queries)
	if err != nil {
		return err
	}
	hits := 0
	for i := range queries {
		hits += overlap(found[i], truth[i])
	}
	n := float64(k * len(queries))
	fmt.Printf("candidate recall@10 %.3f; recall@10 %.3f; exact scan %.2f s\n",
		float64(candidates)/n, float64(hits)/n, exactTook.Seconds()/float64(len(queries)))
	return nil
}

// truth ranks all documents by MaxSim of the vectors that were given to the store.
func (m *measurement) truth(queries []engine.Matrix) ([][]string, error) {
	type scored struct {
		doc   int
		score float32
	}
	workers := runtime.GOMAXPROCS(0)
	best := make([][][]scored, workers) // [worker][query]
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			best[w] = make([][]scored, len(queries))
			scorers := make([]*codec.Scorer, len(queries))
			for i, q := range queries {
				query, err := codec.NewQuery(q, nil)
				if err != nil {
					errs[w] = err
					return
				}
				scorers[i] = codec.NewScorer()
				scorers[i].Reset(query, nil)
			}
			var raw []byte
			for doc := w; doc < m.documents; doc += workers {
				vectors := m.src.Vectors(doc).Normalized()
				raw = codec.AppendF16(raw[:0], vectors.Data)
				view := codec.View{Tokens: vectors.Len(), Raw: raw}
				for i, s := range scorers {
					top := append(best[w][i], scored{doc, s.MaxSim(codec.PlaneRaw, view)})
					if len(top) >= 1024 {
						slices.SortFunc(top, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
						top = top[:k]
					}
					best[w][i] = top
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	out := make([][]string, len(queries))
	for i := range queries {
		var all []scored
		for w := range workers {
			all = append(all, best[w][i]...)
		}
		slices.SortFunc(all, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
		for _, s := range all[:min(k, len(all))] {
			out[i] = append(out[i], resample.ID(s.doc))
		}
	}
	return out, nil
}

func readQueries(path string, n int) ([]engine.Matrix, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	have := len(b) / (4 * dim * queryTokens)
	out := make([]engine.Matrix, min(n, have))
	for i := range out {
		m := engine.Matrix{Dim: dim, Data: make([]float32, queryTokens*dim)}
		for j := range m.Data {
			m.Data[j] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*(i*len(m.Data)+j):]))
		}
		out[i] = m
	}
	return out, nil
}

func ids(r *engine.SearchResult) (out []string) {
	for _, h := range r.Hits {
		out = append(out, h.ID)
	}
	return out
}

// overlap counts what is in both rankings.
func overlap(a, b []string) (n int) {
	for _, x := range a {
		if slices.Contains(b, x) {
			n++
		}
	}
	return n
}

func ms(sorted []time.Duration, q float64) float64 {
	return float64(sorted[int(q*float64(len(sorted)-1))]) / 1e6
}
