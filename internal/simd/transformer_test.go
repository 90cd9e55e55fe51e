package simd

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func normal(r *rand.Rand, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}

// sameOnTiers runs f, which fills a guarded result, on the generic tier and on
// every other, and wants the same bits.
func sameOnTiers[T int16 | float32](t *testing.T, n int, f func(out []T)) {
	t.Helper()
	restore, err := Force("generic")
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Repeat([]T{77}, n)
	f(want)
	restore()
	forEachTier(t, func(t *testing.T) {
		got, intact := guarded[T](n, 77)
		f(got)
		if !intact() {
			t.Error("wrote out of bounds")
		}
		for i := range want {
			if math.Float64bits(float64(got[i])) != math.Float64bits(float64(want[i])) {
				t.Fatalf("value %d: %v, generic %v", i, got[i], want[i])
			}
		}
	})
}

func TestLinear(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for _, size := range [][3]int{{4, 16, 16}, {4, 384, 128}, {12, 48, 48}, {8, 1536, 32}, {16, 64, 32}, {20, 32, 16}} {
		rows, k, n := size[0], size[1], size[2]
		w := random8(r, k*n)
		src, columns, bias := normal(r, rows*k), normal(r, n), normal(r, n)
		packed := PackColumns(w, k, n)
		a, scales := make([]int16, rows*k), make([]float32, rows)
		for i := range rows {
			scales[i] = Quantize(a[i*k:], src[i*k:(i+1)*k], QuantizeLimit(k))
		}
		ldo := n + 3
		sameOnTiers(t, (rows-1)*ldo+n, func(out []float32) { Linear(out, ldo, a, scales, rows, k, packed, columns, bias) })
		out := make([]float32, rows*n)
		Linear(out, n, a, scales, rows, k, packed, columns, bias)
		for i := range rows {
			for c := range n {
				var exact, size float64
				for j := range k {
					p := float64(src[i*k+j]) * float64(w[j*n+c])
					exact += p
					size += math.Abs(p)
				}
				exact = exact*float64(columns[c]) + float64(bias[c])
				size = size*math.Abs(float64(columns[c])) + math.Abs(float64(bias[c]))
				if diff := math.Abs(float64(out[i*n+c]) - exact); diff > 2e-4*size {
					t.Fatalf("%v at %d, %d: %v, exactly %v", size, i, c, out[i*n+c], exact)
				}
			}
		}
	}
}

// The greatest activations and weights do not overflow.
func TestLinearAtTheLimit(t *testing.T) {
	onEveryTier(t, func(t *testing.T) {
		for _, k := range []int{16, 384, 1536, 4096} {
			src, w := make([]float32, k), make([]int8, k*16)
			for i := range src {
				src[i] = 3
			}
			for i := range w {
				w[i] = -128
			}
			a, scales := make([]int16, 4*k), make([]float32, 4)
			scales[0] = Quantize(a, src, QuantizeLimit(k))
			columns, bias, out := make([]float32, 16), make([]float32, 16), make([]float32, 64)
			columns[0] = 1
			Linear(out, 16, a, scales, 4, k, PackColumns(w, k, 16), columns, bias)
			if want := float32(-3 * 128 * k); math.Abs(float64(out[0]/want-1)) > 1e-4 {
				t.Errorf("k %d: %v, want %v", k, out[0], want)
			}
		}
	})
}

func TestQuantize(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 2))
	for _, k := range []int{16, 48, 384} {
		src := normal(r, k)
		sameOnTiers(t, k, func(out []int16) { Quantize(out, src, 11008) })
		out := make([]int16, k)
		scale := Quantize(out, src, 11008)
		for i, x := range src {
			if math.Abs(float64(x-scale*float32(out[i]))) > float64(scale)*0.51 {
				t.Fatalf("%v became %v", x, scale*float32(out[i]))
			}
		}
	}
	onEveryTier(t, func(t *testing.T) {
		for _, tiny := range []float32{0, 1e-44} {
			src := make([]float32, 16)
			src[5] = tiny
			if s := Quantize(make([]int16, 16), src, 100); s != 0 {
				t.Errorf("%v has scale %v", tiny, s)
			}
		}
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			for at := range 32 {
				src := normal(r, 32)
				src[at] = float32(bad)
				if s := Quantize(make([]int16, 32), src, 100); !math.IsNaN(float64(s)) {
					t.Errorf("a row with %v has scale %v", bad, s)
				}
			}
		}
	})
}

func TestMatMul(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for _, size := range [][3]int{{4, 1, 16}, {8, 32, 48}, {4, 133, 32}} {
		rows, k, n := size[0], size[1], size[2]
		lda, ldb, ldo := k+3, n+5, n+1
		a, b := normal(r, rows*lda), normal(r, k*ldb)
		sameOnTiers(t, rows*ldo, func(out []float32) { MatMul(out, ldo, a, lda, b, ldb, rows, k, n) })
		out := make([]float32, rows*ldo)
		MatMul(out, ldo, a, lda, b, ldb, rows, k, n)
		for i := range rows {
			for c := range n {
				var want float64
				for j := range k {
					want += float64(a[i*lda+j]) * float64(b[j*ldb+c])
				}
				if math.Abs(float64(out[i*ldo+c])-want) > 1e-4 {
					t.Fatalf("%v at %d, %d: %v, want %v", size, i, c, out[i*ldo+c], want)
				}
			}
		}
	}
}

func TestSoftmax(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{8, 16, 136} {
		src := normal(r, n)
		src[1], src[2], src[n-1] = 80, -10000, -1e30
		for i := range src {
			src[i] *= 2
		}
		run := func(out []float32) { copy(out, src); Softmax(out) }
		sameOnTiers(t, n, run)
		out := make([]float32, n)
		run(out)
		var sum float64
		for _, x := range src {
			sum += math.Exp(float64(x) - 160)
		}
		for i, x := range src {
			if want := math.Exp(float64(x)-160) / sum; math.Abs(float64(out[i])-want) > 1e-6*want+1e-30 {
				t.Fatalf("%v gave %v, want %v", x, out[i], want)
			}
		}
	}
}

func TestGelu(t *testing.T) {
	src := make([]float32, 4000)
	for i := range src {
		src[i] = float32(i-2000) / 200
	}
	run := func(out []float32) { copy(out, src); Gelu(out) }
	sameOnTiers(t, len(src), run)
	out := make([]float32, len(src))
	run(out)
	for i, x := range src {
		if want := float64(x) / 2 * (1 + math.Erf(float64(x)/math.Sqrt2)); math.Abs(float64(out[i])-want) > 2e-6 {
			t.Fatalf("%v gave %v, want %v", x, out[i], want)
		}
	}
}

func TestLayerNorm(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	for _, n := range []int{8, 24, 384} {
		a, b, gain, bias := normal(r, n), normal(r, n), normal(r, n), normal(r, n)
		run := func(out []float32) { LayerNorm(out, a, b, gain, bias, 1e-12) }
		sameOnTiers(t, n, run)
		out := make([]float32, n)
		run(out)
		var mean, variance float64
		for i := range a {
			mean += float64(a[i]+b[i]) / float64(n)
		}
		for i := range a {
			variance += math.Pow(float64(a[i]+b[i])-mean, 2) / float64(n)
		}
		for i := range a {
			want := (float64(a[i]+b[i])-mean)/math.Sqrt(variance)*float64(gain[i]) + float64(bias[i])
			if math.Abs(float64(out[i])-want) > 1e-5 {
				t.Fatalf("%v, want %v", out[i], want)
			}
		}
	}
}

func BenchmarkLinear(b *testing.B) {
	for _, size := range [][3]int{{128, 384, 1536}, {128, 1536, 384}, {12, 384, 1536}} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchmarkLinear(b, size[0], size[1], size[2]) })
	}
}

func benchmarkLinear(b *testing.B, rows, k, n int) {
	r := rand.New(rand.NewPCG(3, 6))
	w := PackColumns(random8(r, k*n), k, n)
	a, out := make([]int16, rows*k), make([]float32, rows*n)
	for i := range a {
		a[i] = int16(r.IntN(65535) - 32767)
	}
	scales, columns := make([]float32, rows), make([]float32, n)
	benchmarkTiers(b, rows*k*n, func() { Linear(out, n, a, scales, rows, k, w, columns, columns) })
}

func BenchmarkSoftmax(b *testing.B) {
	for _, n := range []int{16, 56, 304} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			src := normal(rand.New(rand.NewPCG(3, 7)), n)
			row := make([]float32, n)
			benchmarkTiers(b, n, func() { copy(row, src); Softmax(row) })
		})
	}
}
