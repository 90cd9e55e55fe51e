package codec

import (
	"math"
	"math/rand/v2"
	"testing"
)

// MaxSim over cells is the weighted sum of the greatest similarities, whatever the
// size of the weights.
func TestCellTableMaxSim(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 15))
	for _, tokens := range []int{1, 17, 32, 33, 64} {
		for _, size := range []float32{1e-3, 1, 900} {
			m := NewMatrix(tokens, 16)
			weights := make([]float32, tokens)
			for i := range m.Data {
				m.Data[i] = float32(r.NormFloat64())
			}
			for i := range weights {
				weights[i] = size * r.Float32()
			}
			weights[0] = size
			q, err := NewQuery(m.Normalized(), weights)
			if err != nil {
				t.Fatal(err)
			}
			const cells = 50
			var table CellTable
			table.reset(q, cells)
			for i := range table.sims {
				table.sims[i] = uint8(r.IntN(256))
			}
			var codes []byte
			for range 30 {
				codes = append(codes, byte(r.IntN(cells)), 0)
			}
			want := 0.0
			for l := range tokens {
				best := uint8(0)
				for i := 0; i < len(codes); i += 2 {
					best = max(best, table.sims[int(codes[i])*table.lanes+l])
				}
				want += float64(best) / cellUnit * float64(weights[l])
			}
			if got := float64(table.MaxSim(codes)); math.Abs(got-want) > 1e-4*want {
				t.Errorf("%d tokens, weights up to %v: %v, want %v", tokens, size, got, want)
			}
		}
	}
}
