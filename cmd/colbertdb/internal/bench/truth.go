package bench

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/query/eval"
)

// truthBatch is how many documents are scored for all queries at a time.
const truthBatch = 256

// Truth returns, for each query, the k documents with the greatest float32
// MaxSim, whose vectors are float16 or float32 as the set has them. It reads the
// documents once. progress is called with the number of documents done.
func Truth(ctx context.Context, s *Set, k int, progress func(done int)) ([][]eval.Scored, error) {
	queries := make([]*codec.Query, len(s.Queries))
	for i, q := range s.Queries {
		var err error
		if queries[i], err = codec.NewQuery(q.Vectors, q.Weights); err != nil {
			return nil, err
		}
	}
	tops := make([][]eval.Scored, len(queries))
	type document struct {
		id   string
		view codec.View
	}
	var batch []document
	done := 0
	score := func() error {
		var wg sync.WaitGroup
		workers := runtime.GOMAXPROCS(0)
		for w := range workers {
			wg.Go(func() {
				scorer := codec.NewScorer()
				for i := w; i < len(queries) && ctx.Err() == nil; i += workers {
					scorer.Reset(queries[i], nil)
					for _, d := range batch {
						tops[i] = append(tops[i], eval.Scored{ID: d.id, Score: float64(scorer.MaxSim(codec.PlaneRaw, d.view))})
					}
					tops[i] = best(tops[i], k)
				}
			})
		}
		wg.Wait()
		done += len(batch)
		batch = batch[:0]
		progress(done)
		return ctx.Err()
	}
	for d, err := range s.Docs() {
		if err != nil {
			return nil, err
		}
		unit := d.Vectors.Normalized()
		batch = append(batch, document{d.ID, codec.View{Tokens: unit.Len(), Raw: codec.AppendF16(nil, unit.Data)}})
		if len(batch) == truthBatch {
			if err := score(); err != nil {
				return nil, err
			}
		}
	}
	return tops, score()
}

// best keeps the k best, in the order of searches: by score, then by id.
func best(s []eval.Scored, k int) []eval.Scored {
	slices.SortFunc(s, func(a, b eval.Scored) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
	})
	return s[:min(k, len(s))]
}
