package codec_test

import (
	"context"
	"os"
	"slices"
	"testing"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/simd"
	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

// What encoding anew from residual planes costs, without the originals, again
// and again: each generation has a codebook of its own, trained on what the one
// before stands for. Recall@10 of exhaustive scans against float32 MaxSim on the
// real vectors, beside that of the originals encoded with the same codebook.
func TestReencodingLoss(t *testing.T) {
	all, docs := testdata.Lotte(t)
	queries, generations := all[:20], 2
	if os.Getenv("COLBERTDB_RELIABILITY") == "full" {
		generations = 5
	} else if testing.Short() || simd.Tier() == "generic" {
		queries, generations = queries[:10], 1
	}
	want := make([][]int, len(queries))
	for i, q := range queries {
		truth := make([]float64, len(docs))
		for d := range docs {
			truth[d] = float64(maxSimF32(q, docs[d]))
		}
		want[i] = top10(truth)
	}
	recall := func(cb *codec.Codebook, p codec.Plane, views []codec.View) float64 {
		hits := 0
		s := codec.NewScorer()
		for i, q := range queries {
			s.Reset(mustQuery(t, q), cb)
			scores := make([]float64, len(views))
			for d, v := range views {
				scores[d] = float64(s.MaxSim(p, v))
			}
			for _, d := range top10(scores) {
				if slices.Contains(want[i], d) {
					hits++
				}
			}
		}
		return float64(hits) / float64(10*len(queries))
	}
	for _, c := range []struct {
		profile codec.Profile
		plane   codec.Plane
		loss    float64 // allowed for each time
	}{{codec.Balanced, codec.PlaneB, 0.02}, {codec.Compact, codec.PlaneA, 0.06}} {
		from := docs
		for g := range generations + 1 {
			sample := codec.Matrix{Dim: 128}
			for i, d := range from {
				if i%2 == g%2 {
					sample.Data = append(sample.Data, d.Data...)
				}
			}
			cb, rt, err := codec.Train(context.Background(), sample, codec.TrainOptions{Cells: 256, Centroids: 1024, Seed: uint64(g)})
			if err != nil {
				t.Fatal(err)
			}
			enc := codec.NewEncoder(128, c.profile, false, cb, rt)
			views, direct, next := make([]codec.View, len(docs)), make([]codec.View, len(docs)), make([]codec.Matrix, len(docs))
			for i := range docs {
				views[i], direct[i] = mustEncode(t, enc, from[i]).View, mustEncode(t, enc, docs[i]).View
				codec.Reconstruct(cb, 128, views[i], c.plane, &next[i])
			}
			got, best := recall(cb, c.plane, views), recall(cb, c.plane, direct)
			t.Logf("%s, encoded anew %d times: recall@10 %.3f, from the originals %.3f", c.profile, g, got, best)
			if best-got > c.loss*float64(g)+2/float64(10*len(queries)) { // two hits are chance
				t.Errorf("%s, encoded anew %d times: recall@10 %.3f, from the originals %.3f: more than %.2f lost", c.profile, g, got, best, c.loss*float64(g))
			}
			from = next
		}
	}
}
