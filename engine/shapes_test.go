package engine_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Vectors of every size that models have, and queries from one token vector to more
// than the kernels' tables of cells take: an exact search scores as brute force over
// the float32 vectors does, and one by candidates finds the best of those.
func TestDimensionsAndQueryLengths(t *testing.T) {
	for _, dim := range []int{48, 64, 96, 128, 256, 768} {
		for _, profile := range []engine.Profile{engine.Exact, engine.Balanced} {
			t.Run(fmt.Sprint(dim, " ", profile), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(dim), 48))
				about := topics(r, 40, dim)
				o := &engine.Options{TrainTokens: 1500, Sync: engine.SyncNever, DisableAutoCompaction: true}
				db := mustOpen(t, vfs.NewMem(), o)
				col, err := db.CreateCollection(ctx, "test", engine.CollectionConfig{Dim: dim, Profile: profile})
				if err != nil {
					t.Fatal(err)
				}
				docs := make([]engine.Document, 240)
				for i := range docs {
					docs[i] = engine.Document{ID: fmt.Sprint(i), Vectors: near(r, about, 8+r.IntN(8))}
				}
				for half := range slices.Chunk(docs, 160) { // the second half: in the buffer
					if _, err := col.Upsert(ctx, half...); err != nil {
						t.Fatal(err)
					}
					if col.Info().CodebookID == 0 {
						if err := col.Compact(ctx); err != nil {
							t.Fatal(err)
						}
					}
				}
				if col.Info().CodebookID == 0 {
					t.Fatal("the collection has no codebook: no candidates are tested")
				}
				for _, n := range []int{1, 31, 64, 65, 512} {
					q := near(r, about, n)
					exact, err := col.Search(ctx, engine.SearchRequest{Vectors: q, K: 10, Exact: true})
					if err != nil {
						t.Fatal(err)
					}
					// What a plane rounds away, in the mean over a query's tokens.
					bound := map[engine.Profile]float64{engine.Exact: 0.01, engine.Balanced: 0.06}[profile]
					least := math.Inf(1)
					for _, h := range exact.Hits {
						want := maxSim(q, docs[slices.IndexFunc(docs, func(d engine.Document) bool { return d.ID == h.ID })].Vectors)
						if d := math.Abs(float64(h.Score)-want) / float64(n); d > bound {
							t.Errorf("%d query tokens: %q scores %.3f, by brute force %.3f", n, h.ID, h.Score, want)
						}
						least = min(least, want)
					}
					for _, d := range docs[:3000/(n*dim/8+10)] { // as many as cost little
						hit := slices.ContainsFunc(exact.Hits, func(h engine.Hit) bool { return h.ID == d.ID })
						if s := maxSim(q, d.Vectors); !hit && (s-least)/float64(n) > 2*bound {
							t.Errorf("%d query tokens: %q is no hit with %.3f, the last hit has %.3f", n, d.ID, s, least)
						}
					}
					found, err := col.Search(ctx, engine.SearchRequest{Vectors: q, K: 10, NProbe: 32, NCandidates: 100, NFullScores: 50})
					if err != nil {
						t.Fatal(err)
					}
					common := 0
					for _, h := range found.Hits {
						if slices.ContainsFunc(exact.Hits, func(x engine.Hit) bool { return x.ID == h.ID && x.Score == h.Score }) {
							common++
						}
					}
					if len(exact.Hits) != 10 || found.Exhaustive || common < 9 {
						t.Errorf("%d query tokens: %d of %d hits by candidates (exhaustive: %t)", n, common, len(exact.Hits), found.Exhaustive)
					}
				}
				mustClose(t, db)
			})
		}
	}
}

// topics are unit vectors for documents to be about.
func topics(r *rand.Rand, n, dim int) engine.Matrix {
	m := engine.Matrix{Dim: dim, Data: make([]float32, n*dim)}
	for i := range m.Data {
		m.Data[i] = float32(r.NormFloat64())
	}
	return m.Normalized()
}

// near draws n unit vectors, each near one of a few topics.
func near(r *rand.Rand, about engine.Matrix, n int) engine.Matrix {
	m := engine.Matrix{Dim: about.Dim, Data: make([]float32, n*about.Dim)}
	few := [4]int{r.IntN(about.Len()), r.IntN(about.Len()), r.IntN(about.Len()), r.IntN(about.Len())}
	for t := range n {
		for d, x := range about.Row(few[r.IntN(len(few))]) {
			m.Row(t)[d] = x + float32(0.7*r.NormFloat64()/math.Sqrt(float64(about.Dim)))
		}
	}
	return m.Normalized()
}
