package simd

import (
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

func bytesOf(s []int8) []byte {
	out := make([]byte, len(s))
	for i, v := range s {
		out[i] = byte(v)
	}
	return out
}

func TestRowsMatchOracle(t *testing.T) {
	check := func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, dim := range dims {
			for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 33} {
				lanes := 1 + r.IntN(Lanes)
				q8, rows8 := random8(r, lanes*dim), random8(r, n*dim)
				q := make([]int16, dim*Lanes)
				PackLanes(q, q8, dim)
				rows, intactRows := guarded(n*dim, int16(9999))
				Widen(rows, bytesOf(rows8))
				if !intactRows() {
					t.Fatalf("dim %d: Widen wrote out of bounds", dim)
				}
				out, intact := guarded(n*Lanes, int32(-5))
				ScoreRows(q, rows, n, dim, out)
				if !intact() {
					t.Fatalf("dim %d, %d rows: ScoreRows wrote out of bounds", dim, n)
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
						if s > wantBest {
							wantBest, wantID = s, 1000+int32(row)
						}
					}
					if best[l] != wantBest || ids[l] != wantID {
						t.Fatalf("dim %d, lane %d: best %d at %d, want %d at %d", dim, l, best[l], ids[l], wantBest, wantID)
					}
				}
			}
		}
	}
	t.Run("generic", func(t *testing.T) {
		restore, err := Force("generic")
		if err != nil {
			t.Fatal(err)
		}
		defer restore()
		check(t)
	})
	forEachTier(t, check)
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

func TestExpandMatchesGeneric(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, dim := range dims {
			for range 20 {
				cell := make([]int16, dim)
				for i := range cell {
					cell[i] = int16(r.IntN(40001) - 20000)
				}
				a, b := make([]byte, dim/4), make([]byte, dim/4)
				for i := range a {
					a[i], b[i] = byte(r.Uint32()), byte(r.Uint32())
				}
				var l4 [4]int16
				var l16 [16]int16
				for i := range l16 {
					l16[i] = int16(r.IntN(24001) - 12000)
					l4[i/4] = l16[i]
				}
				factor := int16(r.IntN(1340) + 1)
				want := make([]int16, dim)
				got, intact := guarded(dim, int16(9999))
				expandAGeneric(want, cell, a, &l4, factor)
				ExpandA(got, cell, a, &l4, factor)
				if !slices.Equal(got, want) || !intact() {
					t.Fatalf("dim %d plane A: got %v want %v", dim, got, want)
				}
				expandABGeneric(want, cell, a, b, &l16, factor)
				ExpandAB(got, cell, a, b, &l16, factor)
				if !slices.Equal(got, want) || !intact() {
					t.Fatalf("dim %d planes A and B: got %v want %v", dim, got, want)
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

func TestDotF32(t *testing.T) {
	forEachTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, dim := range dims {
			a, b := make([]float32, dim), make([]float32, dim)
			var want, size float64
			for i := range a {
				a[i], b[i] = float32(r.NormFloat64()), float32(r.NormFloat64())
				want += float64(a[i]) * float64(b[i])
				size += math.Abs(float64(a[i]) * float64(b[i]))
			}
			if got := float64(DotF32(a, b)); math.Abs(got-want) > 1e-6*size {
				t.Fatalf("dim %d: %g, want %g", dim, got, want)
			}
		}
	})
}

func BenchmarkArgmaxRows(b *testing.B) {
	for _, name := range Tiers() {
		b.Run(name, func(b *testing.B) {
			restore, _ := Force(name)
			defer restore()
			const dim, n = 128, 64
			r := rand.New(rand.NewPCG(1, 1))
			q, rows := make([]int16, dim*Lanes), make([]int16, n*dim)
			PackLanes(q, random8(r, Lanes*dim), dim)
			Widen(rows, bytesOf(random8(r, n*dim)))
			var best, ids [Lanes]int32
			b.ReportAllocs()
			for b.Loop() {
				ArgmaxRows(q, rows, n, dim, 0, &best, &ids)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(n*Lanes), "ns/pair")
		})
	}
}

func BenchmarkExpand(b *testing.B) {
	const dim = 128
	dst, cell, bits := make([]int16, dim), make([]int16, dim), make([]byte, dim/4)
	var l4 [4]int16
	var l16 [16]int16
	b.Run("A", func(b *testing.B) {
		for b.Loop() {
			ExpandA(dst, cell, bits, &l4, 512)
		}
	})
	b.Run("AB", func(b *testing.B) {
		for b.Loop() {
			ExpandAB(dst, cell, bits, bits, &l16, 512)
		}
	})
}
