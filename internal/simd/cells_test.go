package simd

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCellSimsMatchOracle(t *testing.T) {
	onEveryTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, n := range []int{1, 2, 7, 64} {
			for _, stride := range []int{16, 32, 64} {
				step := Lanes * (1 + r.IntN(2))
				products := make([]int32, n*step)
				var factors [Lanes]int32
				for l := range factors {
					factors[l] = int32(r.IntN(6000))
				}
				factors[3] = 0
				for i := range products {
					products[i] = int32(r.IntN(300_000) - 120_000)
				}
				products[0], factors[0] = math.MaxInt32/5999, 5999
				dst, intact := guarded((n-1)*stride+Lanes, uint8(0xA5))
				CellSims(dst, stride, products, step, &factors, n)
				for i, got := range dst {
					row, lane := i/stride, i%stride
					want := uint8(0xA5)
					if lane < Lanes {
						x := math.Floor(float64(products[row*step+lane]) * float64(factors[lane]) / (1 << 22))
						want = uint8(min(max(x, 0), 255))
					}
					if got != want {
						t.Fatalf("%d rows, stride %d: row %d lane %d is %d, want %d", n, stride, row, lane, got, want)
					}
				}
				if !intact() {
					t.Fatal("wrote out of bounds")
				}
			}
		}
	})
}

func TestCellsMatchOracle(t *testing.T) {
	onEveryTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for _, lanes := range []int{32, 64} {
			for _, n := range []int{1, 2, 3, 31, 200} {
				cells := 1 + r.IntN(300)
				table := make([]uint8, cells*lanes)
				for i := range table {
					table[i] = uint8(r.IntN(256))
				}
				codes := make([]byte, 2*n)
				cellOf := make([]int, n)
				for i := range n {
					c := r.IntN(cells + 2) // some are beyond the last
					binary.LittleEndian.PutUint16(codes[2*i:], uint16(c))
					cellOf[i] = min(c, cells-1)
				}
				var best, want [CellLanes]uint8
				best[1], want[1] = 250, 250
				best[63], want[63] = 9, 9
				for _, c := range cellOf {
					for l := range lanes {
						want[l] = max(want[l], table[c*lanes+l])
					}
				}
				MaxCells(&best, table, lanes, codes, n)
				if best != want {
					t.Fatalf("%d lanes, %d tokens: best is %v, want %v", lanes, n, best, want)
				}
				floor := best
				for l := range floor {
					if r.IntN(3) == 0 {
						floor[l] = 255 // no lane of the query
					} else {
						floor[l] -= min(floor[l], uint8(r.IntN(3)))
					}
				}
				var selected []uint32
				for i, c := range cellOf {
					row := table[c*lanes : (c+1)*lanes]
					for l := range lanes {
						if row[l] >= floor[l] {
							selected = append(selected, uint32(i))
							break
						}
					}
				}
				ids, intact := guarded(n, uint32(7))
				if got := ids[:SelectCells(ids, &floor, table, lanes, codes, n)]; !slices.Equal(got, selected) {
					t.Fatalf("%d lanes, %d tokens: selected %v, want %v", lanes, n, got, selected)
				}
				if !intact() {
					t.Fatal("wrote out of bounds")
				}
			}
		}
	})
}

func BenchmarkCells(b *testing.B) {
	const cells, n = 4096, 128
	r := rand.New(rand.NewPCG(7, 8))
	for _, lanes := range []int{32, 64} {
		table := make([]uint8, cells*lanes)
		for i := range table {
			table[i] = uint8(r.IntN(200))
		}
		codes := make([]byte, 2*n*64)
		for i := range len(codes) / 2 {
			binary.LittleEndian.PutUint16(codes[2*i:], uint16(r.IntN(cells)))
		}
		ids := make([]uint32, n)
		name := map[int]string{32: "lanes=32", 64: "lanes=64"}[lanes]
		at := 0
		next := func() []byte { at = (at + 1) % 64; return codes[2*n*at:] }
		b.Run("Max/"+name, func(b *testing.B) {
			benchmarkTiers(b, n, func() { var best [CellLanes]uint8; MaxCells(&best, table, lanes, next(), n) })
		})
		b.Run("Select/"+name, func(b *testing.B) {
			var floor [CellLanes]uint8
			for l := range floor {
				floor[l] = 198
			}
			benchmarkTiers(b, n, func() { SelectCells(ids, &floor, table, lanes, next(), n) })
		})
	}
	b.Run("Sims", func(b *testing.B) {
		products, dst := make([]int32, n*Lanes), make([]uint8, n*32)
		var factors [Lanes]int32
		benchmarkTiers(b, n, func() { CellSims(dst, 32, products, Lanes, &factors, n) })
	})
}
