package simd

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
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

func TestATierCanBeChosen(t *testing.T) {
	for _, name := range Tiers() {
		if got := chosen(name); got.name != name {
			t.Errorf("chose %s, got %s", name, got.name)
		}
	}
	for _, name := range []string{"", "avx1024"} {
		if got := chosen(name); got != tiers[0] {
			t.Errorf("chose %q, got %s", name, got.name)
		}
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

// pack packs any number of vectors into blocks.
func pack(vectors []int8, dim int) []int8 {
	blocks := (len(vectors)/dim + Lanes - 1) / Lanes
	q := make([]int8, blocks*BlockBytes(dim))
	for b := range blocks {
		PackLanes(q[b*BlockBytes(dim):], vectors[b*Lanes*dim:min((b+1)*Lanes*dim, len(vectors))], dim)
	}
	return q
}

// sumsOf is the oracle of row scores: [n][blocks·16], in plain arithmetic.
func sumsOf(vectors, rows []int8, n, dim, blocks int) []int32 {
	out := make([]int32, n*blocks*Lanes)
	for r := range n {
		for l := range len(vectors) / dim {
			for d := range dim {
				out[r*blocks*Lanes+l] += int32(vectors[l*dim+d]) * int32(rows[r*dim+d])
			}
		}
	}
	return out
}

func TestRowsMatchOracle(t *testing.T) {
	onEveryTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, dim := range dims {
			for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 33} {
				for blocks := 1; blocks <= 3; blocks++ {
					lanes := (blocks-1)*Lanes + 1 + r.IntN(Lanes)
					vectors, rows := random8(r, lanes*dim), random8(r, n*dim)
					switch n { // the extremes: all products of one sign
					case 3:
						fill(vectors, -127)
						fill(rows, 127)
					case 5: // stored by another program
						fill(rows, -128)
						fill(vectors, int8(127-254*r.IntN(2)))
					}
					testRows(t, r, vectors, rows, n, dim, blocks)
				}
			}
		}
	})
}

func fill(s []int8, v int8) {
	for i := range s {
		s[i] = v
	}
}

func testRows(t *testing.T, r *rand.Rand, vectors, rows []int8, n, dim, blocks int) {
	t.Helper()
	lanes, width := len(vectors)/dim, blocks*Lanes
	want := sumsOf(vectors, rows, n, dim, blocks)
	q := pack(vectors, dim)
	factors := make([]int32, n)
	for i := range factors {
		factors[i] = int32(80 + r.IntN(256))
		if dim > 256 { // products stay within int32
			factors[i] = int32(r.IntN(3))
		}
	}
	best, intactBest := guarded(blocks, lowestLanes)
	scaled, intactScaled := guarded(blocks, lowestLanes)
	argBest, intactArg := guarded(blocks, lowestLanes)
	ids, intactIDs := guarded(blocks, [Lanes]int32{})
	MaxRows(q, rows, n, dim, best)
	MaxScaledRows(q, rows, n, dim, factors, scaled)
	ArgmaxRows(q, rows, n, dim, 1000, argBest, ids)
	for l := range lanes {
		top, topScaled, at := int32(math.MinInt32), int32(math.MinInt32), int32(0)
		for row := range n {
			s := want[row*width+l]
			topScaled = max(topScaled, s*factors[row])
			if s > top {
				top, at = s, 1000+int32(row)
			}
		}
		b, i := l/Lanes, l%Lanes
		if best[b][i] != top || scaled[b][i] != topScaled || argBest[b][i] != top || ids[b][i] != at {
			t.Fatalf("dim %d, %d rows, lane %d of %d: max %d, scaled %d, argmax %d at %d; want %d, %d, at %d",
				dim, n, l, lanes, best[b][i], scaled[b][i], argBest[b][i], ids[b][i], top, topScaled, at)
		}
	}
	if !intactBest() || !intactScaled() || !intactArg() || !intactIDs() {
		t.Fatalf("dim %d, %d rows: wrote out of bounds", dim, n)
	}
	if blocks <= ScanBlocks {
		floor := make([][Lanes]int32, blocks)
		for b := range floor {
			for l := range floor[b] {
				floor[b][l] = int32(r.IntN(1000*dim) - 500*dim)
			}
		}
		out, intact := guarded(n*width, int32(-5))
		above, intactAbove := guarded(n*blocks, uint16(0xabcd))
		ScanRows(q, rows, n, dim, floor, out, above)
		if !slices.Equal(out, want) {
			t.Fatalf("dim %d, %d rows, %d lanes: ScanRows differs", dim, n, lanes)
		}
		for i, s := range want {
			row, b, l := i/width, i%width/Lanes, i%Lanes
			if got := above[row*blocks+b]>>l&1 == 1; got != (s > floor[b][l]) {
				t.Fatalf("dim %d, row %d of %d, lane %d: %d above %d: %v", dim, row, n, i%width, s, floor[b][l], got)
			}
		}
		if !intact() || !intactAbove() {
			t.Fatalf("dim %d, %d rows: ScanRows wrote out of bounds", dim, n)
		}
	}
	dots, intactDots := guarded(n, int32(-5))
	DotRows(vectors[:dim], rows, n, dim, dots)
	for row, got := range dots {
		if got != want[row*width] {
			t.Fatalf("dim %d, row %d of %d: dot product %d, want %d", dim, row, n, got, want[row*width])
		}
	}
	if !intactDots() {
		t.Fatalf("dim %d, %d rows: DotRows wrote out of bounds", dim, n)
	}
}

var lowestLanes = func() (l [Lanes]int32) {
	for i := range l {
		l[i] = math.MinInt32
	}
	return l
}()

// Every tier is the generic one on bytes as a fuzzer gives them.
func FuzzTiersAgree(f *testing.F) {
	f.Add(uint8(0), uint8(3), []byte{0x80, 0x7f, 1, 0xff})
	f.Add(uint8(15), uint8(200), []byte("residual codes and int8 rows"))
	f.Fuzz(func(t *testing.T, eights, tokens uint8, data []byte) {
		if len(data) == 0 {
			return
		}
		dim, n := 8*(1+int(eights)%16), 1+int(tokens)%70
		at := 0
		next := func() byte { at++; return data[at%len(data)] ^ byte(at/len(data)) }
		lanes, rows := make([]int8, 2*Lanes*dim), make([]int8, n*dim)
		for i := range lanes {
			lanes[i] = max(-127, int8(next()))
		}
		for i := range rows {
			rows[i] = int8(next())
		}
		q := pack(lanes, dim)
		cells := 1 + n/3
		res := Residuals{Dim: dim, Cells: make([]int8, cells*dim), Codes: make([]byte, 2*n)}
		for i := range res.Cells {
			res.Cells[i] = int8(next())
		}
		planes := make([]byte, n*(dim/4+1))
		for i := range planes {
			planes[i] = next()
		}
		for i := range res.Codes {
			res.Codes[i] = next()
		}
		var levels [16]int8
		for i := range levels {
			levels[i] = int8(next())
		}
		coarse := [16]int8(slices.Repeat(levels[:4], 4))
		type result struct {
			best, scaled, ids [2][Lanes]int32
			a, ab             []int8
			fa, fab           []int32
		}
		run := func() (out result) {
			out.a, out.ab = make([]int8, n*dim), make([]int8, n*dim)
			out.fa, out.fab = make([]int32, n), make([]int32, n)
			ExpandA(out.a, out.fa, res, planes, n, &coarse)
			ExpandAB(out.ab, out.fab, res, planes, planes, n, &levels)
			MaxScaledRows(q, out.ab, n, dim, out.fab, out.scaled[:])
			ArgmaxRows(q, rows, n, dim, 0, out.best[:], out.ids[:])
			return out
		}
		restore, err := Force("generic")
		if err != nil {
			t.Fatal(err)
		}
		want := run()
		restore()
		for _, name := range Tiers() {
			restore, err := Force(name)
			if err != nil {
				t.Fatal(err)
			}
			got := run()
			restore()
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s differs from generic: dim %d, %d rows", name, dim, n)
			}
		}
	})
}

func TestRowsF32MatchGenericAndOracle(t *testing.T) {
	onEveryTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 2))
		for _, dim := range dims {
			for _, n := range []int{1, 3, 4, 6, 8, 13, 33} {
				for blocks := 1; blocks <= 3; blocks++ {
					lanes := (blocks-1)*Lanes + 1 + r.IntN(Lanes)
					vectors, rows := normal(r, lanes*dim), normal(r, n*dim)
					q := make([]float32, blocks*dim*Lanes)
					for b := range blocks {
						PackLanesF32(q[b*dim*Lanes:], vectors[b*Lanes*dim:min((b+1)*Lanes*dim, len(vectors))], dim)
					}
					start := [Lanes]float32{}
					for l := range start {
						start[l] = float32(math.Inf(-1))
					}
					best, intact := guarded(blocks, start)
					ids, intactIDs := guarded(blocks, [Lanes]int32{})
					ArgmaxRowsF32(q, rows, n, dim, 5, best, ids)
					for b := range blocks {
						wantBest, wantIDs := start, [Lanes]int32{}
						argmaxRowsF32Generic(q[b*dim*Lanes:], rows, n, dim, 5, &wantBest, &wantIDs)
						if best[b] != wantBest || ids[b] != wantIDs {
							t.Fatalf("dim %d, %d rows, block %d: %v at %v, want %v at %v", dim, n, b, best[b], ids[b], wantBest, wantIDs)
						}
					}
					if !intact() || !intactIDs() {
						t.Fatalf("dim %d, %d rows: wrote out of bounds", dim, n)
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
						if got := best[l/Lanes][l%Lanes]; math.Abs(float64(got)-want) > 1e-6*size {
							t.Fatalf("dim %d, lane %d: %g, want %g", dim, l, got, want)
						}
					}
				}
			}
		}
	})
}

func TestArgmaxKeepsFirstOfEqualRows(t *testing.T) {
	onEveryTier(t, func(t *testing.T) {
		for n := 1; n < 20; n++ {
			rows := make([]int8, 8*n)
			for i := range n {
				rows[i*8] = 5
			}
			best, ids := make([][Lanes]int32, 2), make([][Lanes]int32, 2)
			ArgmaxRows(pack([]int8{127: 0, 128: 1, 135: 0}, 8), rows, n, 8, 7, best, ids)
			if best[1][0] != 5 || ids[1][0] != 7 {
				t.Fatalf("%d rows: got %d at %d, want 5 at 7", n, best[1][0], ids[1][0])
			}
		}
	})
}

// Plane expansion against its definition, in plain arithmetic.
func TestExpandMatchesOracle(t *testing.T) {
	onEveryTier(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 4))
		for _, dim := range dims {
			for _, n := range []int{1, 2, 9, 30} {
				cells, record := 1+r.IntN(5), dim/4+1
				res := Residuals{Dim: dim, Cells: random8(r, cells*dim), Codes: make([]byte, 2*n)}
				for i := range n { // some beyond the last cell
					binary.LittleEndian.PutUint16(res.Codes[2*i:], uint16(r.IntN(cells+2)*(1+r.IntN(9000)*(i%2))))
				}
				a, b := make([]byte, n*record), make([]byte, n*record)
				for i := range a {
					a[i], b[i] = byte(r.Uint32()), byte(r.Uint32())
				}
				l4, l16 := [16]int8(slices.Repeat(random8(r, 4), 4)), [16]int8(random8(r, 16))
				want := func(t, d int, level int8) int8 {
					cell := min(int(binary.LittleEndian.Uint16(res.Codes[2*t:])), cells-1)
					return int8(max(-128, min(127, int(res.Cells[cell*dim+d])+int(level))))
				}
				gotA, intactA := guarded(n*dim, int8(99))
				gotAB, intactAB := guarded(n*dim, int8(99))
				factorsA, intactFA := guarded(n, int32(-1))
				factorsAB, intactFAB := guarded(n, int32(-1))
				ExpandA(gotA, factorsA, res, a, n, &l4)
				ExpandAB(gotAB, factorsAB, res, a, b, n, &l16)
				if !intactA() || !intactAB() || !intactFA() || !intactFAB() {
					t.Fatalf("dim %d, %d tokens: wrote out of bounds", dim, n)
				}
				ids := []uint32{}
				for i := range n {
					if r.IntN(2) == 0 {
						ids = append(ids, uint32(i))
					}
				}
				some, intactSome := guarded(len(ids)*dim, int8(99))
				factors, intactFactors := guarded(len(ids), int32(-1))
				ExpandSomeA(some, factors, res, a, ids, &l4)
				if !intactSome() || !intactFactors() {
					t.Fatalf("dim %d, tokens %v: wrote out of bounds", dim, ids)
				}
				for i, id := range ids {
					if factors[i] != factorsA[id] || !slices.Equal(some[i*dim:(i+1)*dim], gotA[int(id)*dim:(int(id)+1)*dim]) {
						t.Fatalf("dim %d, tokens %v: token %d is not that of ExpandA", dim, ids, id)
					}
				}
				for i := range n {
					ra, rb := a[i*record:(i+1)*record], b[i*record:(i+1)*record]
					if factorsA[i] != int32(ra[dim/4])+80 || factorsAB[i] != int32(rb[dim/4])+80 {
						t.Fatalf("dim %d, token %d: factors %d and %d", dim, i, factorsA[i], factorsAB[i])
					}
					for d := range dim {
						ca, cb := ra[d/4]>>(2*(d%4))&3, rb[d/4]>>(2*(d%4))&3
						if g, w := gotA[i*dim+d], want(i, d, l4[ca]); g != w {
							t.Fatalf("dim %d, token %d, dimension %d, plane A: %d, want %d", dim, i, d, g, w)
						}
						if g, w := gotAB[i*dim+d], want(i, d, l16[4*ca+cb]); g != w {
							t.Fatalf("dim %d, token %d, dimension %d, planes A and B: %d, want %d", dim, i, d, g, w)
						}
					}
				}
			}
		}
	})
}

func TestQuantizeInt8(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 8))
	onEveryTier(t, func(t *testing.T) {
		for n := range 70 {
			src := normal(r, n)
			for i := range src {
				if r.IntN(6) == 0 { // ties, and the ends of the range
					src[i] = float32(r.IntN(260)-130) + 0.5
				}
			}
			got, intact := guarded(n, int8(99))
			clipped := QuantizeInt8(got, src, 1)
			if !intact() {
				t.Fatalf("%d values: wrote out of bounds", n)
			}
			for i, x := range src {
				q := math.RoundToEven(float64(x))
				if math.Abs(q) > 127 {
					q = math.Copysign(127, q)
					clipped--
				}
				if got[i] != int8(q) {
					t.Fatalf("%v became %d", x, got[i])
				}
			}
			if clipped != 0 {
				t.Fatalf("%d values: %d too many counted as clipped", n, clipped)
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

func TestPrefetchTakesAnyBytes(t *testing.T) {
	onEveryTier(t, func(t *testing.T) {
		b := make([]byte, 3*maxPrefetch)
		for _, n := range []int{0, 1, 63, 64, 65, maxPrefetch, len(b)} {
			Prefetch(b[:n])
			Prefetch(b[len(b)-n:])
		}
		for _, x := range b {
			if x != 0 {
				t.Fatal("wrote")
			}
		}
	})
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

const benchDim, benchRows = 128, 128

// benchmarkRows is one block of a query or two, and the tokens of a document.
func benchmarkRows(b *testing.B, f func(b *testing.B, q, rows []int8, blocks int)) {
	r := rand.New(rand.NewPCG(1, 1))
	rows := random8(r, benchRows*benchDim)
	for blocks := 1; blocks <= 2; blocks++ {
		q := pack(random8(r, blocks*Lanes*benchDim), benchDim)
		b.Run(fmt.Sprintf("lanes=%d", blocks*Lanes), func(b *testing.B) { f(b, q, rows, blocks) })
	}
}

func BenchmarkMaxRows(b *testing.B) {
	benchmarkRows(b, func(b *testing.B, q, rows []int8, blocks int) {
		best := make([][Lanes]int32, blocks)
		benchmarkTiers(b, benchRows*blocks*Lanes, func() { MaxRows(q, rows, benchRows, benchDim, best) })
	})
}

func BenchmarkMaxScaledRows(b *testing.B) {
	benchmarkRows(b, func(b *testing.B, q, rows []int8, blocks int) {
		best, factors := make([][Lanes]int32, blocks), make([]int32, benchRows)
		benchmarkTiers(b, benchRows*blocks*Lanes, func() { MaxScaledRows(q, rows, benchRows, benchDim, factors, best) })
	})
}

func BenchmarkArgmaxRows(b *testing.B) {
	benchmarkRows(b, func(b *testing.B, q, rows []int8, blocks int) {
		best, ids := make([][Lanes]int32, blocks), make([][Lanes]int32, blocks)
		benchmarkTiers(b, benchRows*blocks*Lanes, func() { ArgmaxRows(q, rows, benchRows, benchDim, 0, best, ids) })
	})
}

func BenchmarkScanRows(b *testing.B) {
	benchmarkRows(b, func(b *testing.B, q, rows []int8, blocks int) {
		floor := make([][Lanes]int32, blocks)
		out, above := make([]int32, benchRows*blocks*Lanes), make([]uint16, benchRows*blocks)
		benchmarkTiers(b, benchRows*blocks*Lanes, func() { ScanRows(q, rows, benchRows, benchDim, floor, out, above) })
	})
}

func BenchmarkArgmaxRowsF32(b *testing.B) {
	benchmarkRows(b, func(b *testing.B, _, _ []int8, blocks int) {
		q, rows := make([]float32, blocks*benchDim*Lanes), make([]float32, benchRows*benchDim)
		for i := range rows {
			rows[i] = float32(i % 7)
		}
		best, ids := make([][Lanes]float32, blocks), make([][Lanes]int32, blocks)
		benchmarkTiers(b, benchRows*blocks*Lanes, func() { ArgmaxRowsF32(q, rows, benchRows, benchDim, 0, best, ids) })
	})
}

func BenchmarkDotRows(b *testing.B) {
	rows, out := random8(rand.New(rand.NewPCG(1, 1)), benchRows*benchDim), make([]int32, benchRows)
	benchmarkTiers(b, benchRows, func() { DotRows(rows, rows, benchRows, benchDim, out) })
}

// Quantisation, a pair being a vector.
func BenchmarkQuantizeInt8(b *testing.B) {
	src, dst := normal(rand.New(rand.NewPCG(1, 1)), benchDim), make([]int8, benchDim)
	benchmarkTiers(b, 1, func() { QuantizeInt8(dst, src, 30) })
}

// Widening, a pair being a vector.
func BenchmarkF16ToF32(b *testing.B) {
	dst, src := make([]float32, benchRows*benchDim), make([]byte, 2*benchRows*benchDim)
	benchmarkTiers(b, benchRows, func() { F16ToF32(dst, src) })
}

// Expansion, a pair being a token.
func BenchmarkExpand(b *testing.B) {
	dst, factors := make([]int8, benchRows*benchDim), make([]int32, benchRows)
	res := Residuals{Dim: benchDim, Cells: make([]int8, 4096*benchDim), Codes: make([]byte, 2*benchRows)}
	for i := range benchRows {
		binary.LittleEndian.PutUint16(res.Codes[2*i:], uint16(i*61%4096))
	}
	plane := make([]byte, benchRows*(benchDim/4+1))
	var l4, l16 [16]int8
	b.Run("A", func(b *testing.B) {
		benchmarkTiers(b, benchRows, func() { ExpandA(dst, factors, res, plane, benchRows, &l4) })
	})
	b.Run("AB", func(b *testing.B) {
		benchmarkTiers(b, benchRows, func() { ExpandAB(dst, factors, res, plane, plane, benchRows, &l16) })
	})
}
