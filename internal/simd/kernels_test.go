package simd

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// forEachTier runs a test on every tier but the generic one, its oracle.
func forEachTier(t *testing.T, f func(t *testing.T)) {
	for _, name := range Tiers() {
		if name == "generic" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			restore, err := Force(name)
			if err != nil {
				t.Fatal(err)
			}
			defer restore()
			if Tier() != name {
				t.Fatalf("forced %s, runs %s", name, Tier())
			}
			f(t)
		})
	}
}

var dims = []int{8, 16, 24, 48, 64, 96, 128, 136, 256, 768, 1024}

// guarded returns a slice of n values with sentinels on both sides, and a check
// that they are intact.
func guarded[T comparable](n int, sentinel T) (s []T, intact func() bool) {
	const pad = 64
	all := slices.Repeat([]T{sentinel}, n+2*pad)
	return all[pad : pad+n : pad+n], func() bool {
		for i, v := range all {
			if (i < pad || i >= pad+n) && v != sentinel {
				return false
			}
		}
		return true
	}
}

func random8(r *rand.Rand, n int) []int8 {
	out := make([]int8, n)
	for i := range out {
		out[i] = int8(r.IntN(255) - 127)
		if r.IntN(8) == 0 {
			out[i] = int8(127 - 254*r.IntN(2))
		}
	}
	return out
}

// onEveryTier runs a test against an independent oracle.
func onEveryTier(t *testing.T, f func(t *testing.T)) {
	t.Run("generic", func(t *testing.T) {
		restore, err := Force("generic")
		if err != nil {
			t.Fatal(err)
		}
		defer restore()
		f(t)
	})
	forEachTier(t, f)
}

func TestRowsMatchOracle(t *testing.T) {
	onEveryTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, dim := range dims {
			for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 33} {
				lanes := 1 + r.IntN(Lanes)
				q8, rows8 := random8(r, lanes*dim), random8(r, n*dim)
				if n == 3 { // the extremes: all products of one sign
					for i := range q8 {
						q8[i] = -127
					}
					for i := range rows8 {
						rows8[i] = 127
					}
				}
				q := make([]int16, dim*Lanes)
				PackLanes(q, q8, dim)
				rows, intactRows := guarded(n*dim, int16(9999))
				Widen(rows, rows8)
				if !intactRows() {
					t.Fatalf("dim %d: Widen wrote out of bounds", dim)
				}
				var floor [Lanes]int32
				for l := range floor {
					floor[l] = int32(r.IntN(1000*dim) - 500*dim)
				}
				out, intact := guarded(n*Lanes, int32(-5))
				above, intactAbove := guarded(n, uint16(0xabcd))
				ScanRows(q, rows, n, dim, &floor, out, above)
				if !intact() || !intactAbove() {
					t.Fatalf("dim %d, %d rows: ScanRows wrote out of bounds", dim, n)
				}
				var best, ids [Lanes]int32
				for l := range best {
					best[l] = math.MinInt32
				}
				ArgmaxRows(q, rows, n, dim, 1000, &best, &ids)
				for l := range lanes {
					wantBest, wantID := int32(math.MinInt32), int32(0)
					for row := range n {
						var s int32
						for d := range dim {
							s += int32(q8[l*dim+d]) * int32(rows8[row*dim+d])
						}
						if got := out[row*Lanes+l]; got != s {
							t.Fatalf("dim %d, row %d of %d, lane %d: score %d, want %d", dim, row, n, l, got, s)
						}
						if got := above[row]>>l&1 == 1; got != (s > floor[l]) {
							t.Fatalf("dim %d, row %d of %d, lane %d: %d above %d: %v", dim, row, n, l, s, floor[l], got)
						}
						if s > wantBest {
							wantBest, wantID = s, 1000+int32(row)
						}
					}
					if best[l] != wantBest || ids[l] != wantID {
						t.Fatalf("dim %d, lane %d: best %d at %d, want %d at %d", dim, l, best[l], ids[l], wantBest, wantID)
					}
				}
				token := make([]int16, dim)
				Widen(token, q8[:dim])
				dots, intactDots := guarded(n, int32(-5))
				DotRows(token, rows8, n, dim, dots)
				for row, got := range dots {
					if got != out[row*Lanes] {
						t.Fatalf("dim %d, row %d of %d: dot product %d, want %d", dim, row, n, got, out[row*Lanes])
					}
				}
				if !intactDots() {
					t.Fatalf("dim %d, %d rows: DotRows wrote out of bounds", dim, n)
				}
			}
		}
	})
}

// Float maxima are the same bits on every tier, and near a float64 oracle.
func TestRowsF32MatchGenericAndOracle(t *testing.T) {
	onEveryTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, dim := range dims {
			for _, n := range []int{1, 3, 4, 6, 33} {
				lanes := 1 + r.IntN(Lanes)
				vectors, rows := make([]float32, lanes*dim), make([]float32, n*dim)
				for i := range vectors {
					vectors[i] = float32(r.NormFloat64())
				}
				for i := range rows {
					rows[i] = float32(r.NormFloat64())
				}
				q := make([]float32, dim*Lanes)
				PackLanesF32(q, vectors, dim)
				var best, wantBest [Lanes]float32
				var ids, wantIDs [Lanes]int32
				for l := range best {
					best[l] = float32(math.Inf(-1))
				}
				wantBest = best
				ArgmaxRowsF32(q, rows, n, dim, 5, &best, &ids)
				argmaxRowsF32Generic(q, rows, n, dim, 5, &wantBest, &wantIDs)
				if best != wantBest || ids != wantIDs {
					t.Fatalf("dim %d, %d rows: %v at %v, want %v at %v", dim, n, best, ids, wantBest, wantIDs)
				}
				for l := range lanes {
					want, size := math.Inf(-1), 0.0
					for row := range n {
						var s, abs float64
						for d := range dim {
							x := float64(vectors[l*dim+d]) * float64(rows[row*dim+d])
							s += x
							abs += math.Abs(x)
						}
						want, size = max(want, s), max(size, abs)
					}
					if math.Abs(float64(best[l])-want) > 1e-6*size {
						t.Fatalf("dim %d, lane %d: %g, want %g", dim, l, best[l], want)
					}
				}
			}
		}
	})
}

func TestArgmaxKeepsFirstOfEqualRows(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		q, rows := make([]int16, 8*Lanes), make([]int16, 8*9)
		PackLanes(q, []int8{1, 0, 0, 0, 0, 0, 0, 0}, 8)
		for i := range 9 {
			rows[i*8] = 5
		}
		best, ids := [Lanes]int32{}, [Lanes]int32{}
		ArgmaxRows(q, rows, 9, 8, 7, &best, &ids)
		if best[0] != 5 || ids[0] != 7 {
			t.Fatalf("got %d at %d, want 5 at 7", best[0], ids[0])
		}
	})
}

// Plane expansion against its definition, in plain arithmetic.
func TestExpandMatchesOracle(t *testing.T) {
	onEveryTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, dim := range dims {
			for _, n := range []int{1, 2, 9} {
				cells, record := 1+r.IntN(5), dim/4+1
				res := Residuals{Dim: dim, Cells: make([]int16, cells*dim), Codes: make([]byte, 2*n), Exp: uint8(r.IntN(5))}
				for i := range res.Cells {
					res.Cells[i] = int16(r.IntN(40001) - 20000)
				}
				for i := range n { // some beyond the last cell
					binary.LittleEndian.PutUint16(res.Codes[2*i:], uint16(r.IntN(cells+2)*(1+r.IntN(9000)*(i%2))))
				}
				a, b := make([]byte, n*record), make([]byte, n*record)
				for i := range a {
					a[i], b[i] = byte(r.Uint32()), byte(r.Uint32())
				}
				var l4 [4]int16
				var l16 [16]int16
				for i := range l16 {
					l16[i] = int16(r.IntN(24001) - 12000)
					l4[i/4] = l16[i]
				}
				want := func(t, d int, level int16, length byte) int16 {
					cell := min(int(binary.LittleEndian.Uint16(res.Codes[2*t:])), cells-1)
					factor := 4 * (int(length) + 80) >> res.Exp
					v := (int(res.Cells[cell*dim+d]) + int(level)) * factor
					return int16(max(-127, min(127, math.Floor(float64(v)/32768+0.5))))
				}
				gotA, intactA := guarded(n*dim, int16(9999))
				gotAB, intactAB := guarded(n*dim, int16(9999))
				ExpandA(gotA, res, a, n, &l4)
				ExpandAB(gotAB, res, a, b, n, &l16)
				if !intactA() || !intactAB() {
					t.Fatalf("dim %d, %d tokens: wrote out of bounds", dim, n)
				}
				for i := range n {
					ra, rb := a[i*record:(i+1)*record], b[i*record:(i+1)*record]
					for d := range dim {
						ca, cb := ra[d/4]>>(2*(d%4))&3, rb[d/4]>>(2*(d%4))&3
						if g, w := gotA[i*dim+d], want(i, d, l4[ca], ra[dim/4]); g != w {
							t.Fatalf("dim %d, token %d, dimension %d, plane A: %d, want %d", dim, i, d, g, w)
						}
						if g, w := gotAB[i*dim+d], want(i, d, l16[4*ca+cb], rb[dim/4]); g != w {
							t.Fatalf("dim %d, token %d, dimension %d, planes A and B: %d, want %d", dim, i, d, g, w)
						}
					}
				}
			}
		}
	})
}

func TestF16RoundTripsEveryValue(t *testing.T) {
	src := make([]byte, 0, 2<<16)
	for h := range 1 << 16 {
		f := F16(uint16(h))
		if f == f && ToF16(f) != uint16(h) {
			t.Fatalf("%#04x -> %g -> %#04x", h, f, ToF16(f))
		}
		if e := h >> 10 & 31; e == 31 && h&0x3ff != 0 {
			h = 0 // no NaN in the comparison below
		}
		src = append(src, byte(h), byte(h>>8))
	}
	want := make([]float32, 1<<16)
	f16ToF32Generic(want, src)
	forEachTier(t, func(t *testing.T) {
		got := make([]float32, 1<<16)
		F16ToF32(got, src)
		if !slices.Equal(got, want) {
			t.Fatal("differs from generic")
		}
		for n := range 30 { // lengths that are no multiple of eight
			part, intact := guarded(n, float32(-7))
			F16ToF32(part, src[2*100:])
			if !slices.Equal(part, want[100:100+n]) || !intact() {
				t.Fatalf("%d values: %v", n, part)
			}
		}
	})
}

func TestToF16RoundsToNearest(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 100_000 {
		f := float32(math.Ldexp(r.Float64()*2-1, r.IntN(40)-28))
		h := ToF16(f)
		got := math.Abs(float64(F16(h)) - float64(f))
		for _, n := range []uint16{h - 1, h + 1} {
			if d := math.Abs(float64(F16(n)) - float64(f)); d < got {
				t.Fatalf("%g rounds to %#04x, %#04x is nearer", f, h, n)
			}
		}
	}
}

func benchmarkTiers(b *testing.B, pairs int, f func()) {
	for _, name := range Tiers() {
		b.Run(name, func(b *testing.B) {
			restore, _ := Force(name)
			defer restore()
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(pairs), "ns/pair")
		})
	}
}

const benchDim, benchRows = 128, 64

func benchmarkRows() (q, rows []int16, rows8 []int8) {
	r := rand.New(rand.NewPCG(1, 1))
	q, rows, rows8 = make([]int16, benchDim*Lanes), make([]int16, benchRows*benchDim), random8(r, benchRows*benchDim)
	PackLanes(q, random8(r, Lanes*benchDim), benchDim)
	Widen(rows, rows8)
	return q, rows, rows8
}

func BenchmarkArgmaxRows(b *testing.B) {
	q, rows, _ := benchmarkRows()
	var best, ids [Lanes]int32
	benchmarkTiers(b, benchRows*Lanes, func() { ArgmaxRows(q, rows, benchRows, benchDim, 0, &best, &ids) })
}

func BenchmarkScanRows(b *testing.B) {
	q, rows, _ := benchmarkRows()
	var floor [Lanes]int32
	out, above := make([]int32, benchRows*Lanes), make([]uint16, benchRows)
	benchmarkTiers(b, benchRows*Lanes, func() { ScanRows(q, rows, benchRows, benchDim, &floor, out, above) })
}

func BenchmarkArgmaxRowsF32(b *testing.B) {
	q, rows := make([]float32, benchDim*Lanes), make([]float32, benchRows*benchDim)
	for i := range rows {
		rows[i] = float32(i % 7)
	}
	var best [Lanes]float32
	var ids [Lanes]int32
	benchmarkTiers(b, benchRows*Lanes, func() { ArgmaxRowsF32(q, rows, benchRows, benchDim, 0, &best, &ids) })
}

func BenchmarkDotRows(b *testing.B) {
	_, token, rows8 := benchmarkRows()
	out := make([]int32, benchRows)
	benchmarkTiers(b, benchRows, func() { DotRows(token[:benchDim], rows8, benchRows, benchDim, out) })
}

func BenchmarkWiden(b *testing.B) {
	_, rows, rows8 := benchmarkRows()
	benchmarkTiers(b, benchRows, func() { Widen(rows, rows8) })
}

func BenchmarkF16ToF32(b *testing.B) {
	dst, src := make([]float32, benchRows*benchDim), make([]byte, 2*benchRows*benchDim)
	benchmarkTiers(b, benchRows, func() { F16ToF32(dst, src) })
}

// Expansion, a pair being a token.
func BenchmarkExpand(b *testing.B) {
	dst := make([]int16, benchRows*benchDim)
	res := Residuals{Dim: benchDim, Cells: make([]int16, 4096*benchDim), Codes: make([]byte, 2*benchRows)}
	for i := range benchRows {
		binary.LittleEndian.PutUint16(res.Codes[2*i:], uint16(i*61))
	}
	plane := make([]byte, benchRows*(benchDim/4+1))
	var l4 [4]int16
	var l16 [16]int16
	b.Run("A", func(b *testing.B) {
		benchmarkTiers(b, benchRows, func() { ExpandA(dst, res, plane, benchRows, &l4) })
	})
	b.Run("AB", func(b *testing.B) {
		benchmarkTiers(b, benchRows, func() { ExpandAB(dst, res, plane, plane, benchRows, &l16) })
	})
}
