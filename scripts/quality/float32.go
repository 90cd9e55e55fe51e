package main

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/colbertdb-go/colbertdb/internal/simd"
	"github.com/colbertdb-go/colbertdb/query/eval"
)

// float32s ranks every document by MaxSim of the vectors as they came from the
// model. It knows nothing of the engine.
func (c *collection) float32s() eval.Run {
	rankings := make([][]eval.Scored, len(c.queries))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(c.queries); i = int(next.Add(1)) - 1 {
				rankings[i] = c.rank(c.queries[i])
			}
		})
	}
	workers.Wait()
	out := eval.Run{}
	for i, q := range c.queries {
		out[q.id] = rankings[i]
	}
	return out
}

// rank returns the k best documents for a query.
func (c *collection) rank(q item) []eval.Scored {
	n := q.vectors.Len()
	blocks := (n + simd.Lanes - 1) / simd.Lanes
	lanes := make([]float32, blocks*c.dim*simd.Lanes)
	for b := range blocks {
		simd.PackLanesF32(lanes[b*c.dim*simd.Lanes:], q.vectors.Data[b*simd.Lanes*c.dim:min(n, (b+1)*simd.Lanes)*c.dim], c.dim)
	}
	best, ids := make([][simd.Lanes]float32, blocks), make([][simd.Lanes]int32, blocks)
	out := make([]eval.Scored, len(c.docs))
	for i, d := range c.docs {
		for b := range best {
			for l := range best[b] {
				best[b][l] = float32(math.Inf(-1))
			}
		}
		simd.ArgmaxRowsF32(lanes, d.vectors.Data, d.vectors.Len(), c.dim, 0, best, ids)
		out[i].ID = d.id
		for t := range n {
			weight := 1.0
			if q.weights != nil {
				weight = float64(q.weights[t])
			}
			out[i].Score += weight * float64(best[t/simd.Lanes][t%simd.Lanes])
		}
	}
	return eval.Ranked(out)[:min(k, len(out))]
}
