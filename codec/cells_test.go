package codec_test

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/colbertdb-go/colbertdb/codec"
)

// What the table selects is what the definition says, up to the steps that
// similarities are kept in.
func TestCellTableSelectsNearestCells(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	const dim = 64
	cb, rt, err := codec.Train(context.Background(), clustered(r, 3000, dim), codec.TrainOptions{Cells: 48, Centroids: 300})
	if err != nil {
		t.Fatal(err)
	}
	enc := codec.NewEncoder(dim, codec.Exact, false, cb, rt)
	s, p := codec.NewScorer(), codec.NewProber()
	var table codec.CellTable
	var ids []uint32
	share, documents := 0.0, 0
	for _, tokens := range []int{1, 16, 21, 32, 33, 64, 65, 130} {
		weights := make([]float32, tokens)
		for i := range weights {
			weights[i] = float32(i%4) + 0.5*float32(i%2) // every fourth is zero
		}
		weights[0] = 1
		q, err := codec.NewQuery(clustered(r, tokens, dim), weights)
		if err != nil {
			t.Fatal(err)
		}
		p.Probe(q, cb, rt, 4, 4, &table)
		s.Reset(q, cb)
		for _, n := range []int{1, 2, 90, 300} {
			v := mustEncode(t, enc, clustered(r, n, dim)).View
			ids = table.Select(v.Codes, ids)
			pruned, full := s.MaxSimOf(v, ids), s.MaxSim(codec.PlaneA, v)
			if tokens > 64 {
				if len(ids) != n || pruned != full {
					t.Fatalf("%d query tokens: %d of %d document tokens selected, score %v, want %v", tokens, len(ids), n, pruned, full)
				}
				continue
			}
			if pruned > full || !slices.IsSorted(ids) {
				t.Fatalf("%d × %d: pruned score %v, full %v, tokens %v", tokens, n, pruned, full, ids)
			}
			const step = 2.0 / 200
			explained := make([]bool, n) // by a lane in which its cell is nearest
			for lane := range tokens {
				if weights[lane] == 0 {
					continue
				}
				sims := make([]float64, n)
				for i := range sims {
					sims[i] = cellSim(cb, int(binary.LittleEndian.Uint16(v.Codes[2*i:])), q.F32[lane*dim:(lane+1)*dim])
				}
				best := slices.Max(sims)
				if best < step {
					continue
				}
				reached := math.Inf(-1)
				for _, id := range ids {
					reached = max(reached, sims[id])
					explained[id] = explained[id] || sims[id] > best-step
				}
				if reached < best-step {
					t.Fatalf("%d × %d: lane %d reaches %.3f of %.3f", tokens, n, lane, reached, best)
				}
			}
			for _, id := range ids {
				if !explained[id] && len(ids) < n {
					t.Fatalf("%d × %d: token %d is nearest to nothing", tokens, n, id)
				}
			}
			if n == 300 {
				share, documents = share+float64(len(ids))/float64(n), documents+1
			}
		}
	}
	if share /= float64(documents); share > 0.5 {
		t.Errorf("%.2f of the tokens are selected: nothing is pruned", share)
	}
}

// cellSim is the cosine of a vector and a cell.
func cellSim(cb *codec.Codebook, cell int, v []float32) float64 {
	var dot, norm float64
	for d, x := range cb.Cells[cell*cb.Dim : (cell+1)*cb.Dim] {
		dot += float64(x) * float64(v[d])
		norm += float64(x) * float64(x)
	}
	return dot / math.Sqrt(norm)
}
