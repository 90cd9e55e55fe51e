package simd

import "math"

// The inner loops of a transformer encoder. Weights are int8 with a scale for
// each column; activations are rounded to int16, row by row, so that products
// are exact in int32. Sums over a row are made in eight lanes and floats are
// never fused, so that every tier gives the same bits.

// PackColumns packs weights [k][n]int8 into [n/16][k/2][16][2]int8, the layout
// that Linear reads. k and n are multiples of 16.
func PackColumns(w []int8, k, n int) []int8 {
	check(k%16 == 0 && n%16 == 0 && len(w) >= k*n, "PackColumns")
	out := make([]int8, k*n)
	for panel := range n / 16 {
		for i := range k {
			for c := range 16 {
				out[panel*k*16+i/2*32+c*2+i%2] = w[i*n+panel*16+c]
			}
		}
	}
	return out
}

// leastQuantized is what a row's greatest magnitude must be: below, limit ÷
// magnitude is not finite.
const leastQuantized = 1e-30

// QuantizeLimit is the greatest magnitude of Quantize for rows of k values, so
// that their products with int8 weights sum to less than 2³¹.
func QuantizeLimit(k int) float32 {
	return float32(min(math.MaxInt16, math.MaxInt32/(128*k)))
}

// Quantize rounds a row to integers of at most limit in magnitude, and returns
// the scale that gives it back: src ≈ scale·dst. A row with a value that is not
// finite has scale NaN. The length is a multiple of 16.
func Quantize(dst []int16, src []float32, limit float32) (scale float32) {
	check(len(src)%16 == 0 && len(dst) >= len(src), "Quantize")
	if len(src) == 0 {
		return 0
	}
	most := active.maxAbs(src)
	if !(most >= leastQuantized && most <= math.MaxFloat32) {
		clear(dst[:len(src)])
		return most * 0 // NaN where a value is not finite
	}
	active.round(dst, src, limit/most)
	return most / limit
}

// Linear multiplies quantised rows [rows][k] by packed weights [k][n], n being
// len(columns), into out with rows ldo apart:
//
//	out[r][c] = a[r]·w[c] · scales[r] · columns[c] + bias[c]
//
// rows is a multiple of 4, k and n of 16.
func Linear(out []float32, ldo int, a []int16, scales []float32, rows, k int, w []int8, columns, bias []float32) {
	n := len(columns)
	if rows == 0 || k == 0 || n == 0 {
		return
	}
	check(rows%4 == 0 && k%16 == 0 && n%16 == 0 && ldo >= n && len(out) >= (rows-1)*ldo+n && len(a) >= rows*k &&
		len(scales) >= rows && len(w) >= k*n && len(bias) >= n, "Linear")
	for c := 0; c < n; c += 16 {
		for r := 0; r < rows; {
			tile := active.linearRows(rows - r)
			active.linearTile(tile, out[r*ldo+c:], ldo, a[r*k:], k, w[c*k:], scales[r:], columns[c:], bias[c:])
			r += tile
		}
	}
}

// linearRows6 is how many of some rows, a multiple of 4 at first, are computed at
// once: 6, or 4 where sixes would leave 2.
func linearRows6(left int) int {
	if left == 4 || left == 8 {
		return 4
	}
	return 6
}

// MatMul multiplies rows of a, lda apart, by b [k][n] with rows ldb apart, into
// out with rows ldo apart. rows is a multiple of 4 and n of 16.
func MatMul(out []float32, ldo int, a []float32, lda int, b []float32, ldb int, rows, k, n int) {
	if rows == 0 || k == 0 || n == 0 {
		return
	}
	check(rows%4 == 0 && n%16 == 0 && len(out) >= (rows-1)*ldo+n && len(a) >= (rows-1)*lda+k && len(b) >= (k-1)*ldb+n, "MatMul")
	for c := 0; c < n; c += 16 {
		for r := 0; r < rows; r += 4 {
			active.matMulTile(out[r*ldo+c:], ldo, a[r*lda:], lda, k, b[c:], ldb)
		}
	}
}

// Softmax replaces a row by exp(x-max)/sum. The length is a multiple of 8; what
// is far below the maximum, such as padding, becomes about 0. The exponential
// is right to 2·10⁻⁷.
func Softmax(row []float32) {
	check(len(row)%8 == 0, "Softmax")
	if len(row) > 0 {
		active.softmax(row)
	}
}

// Gelu replaces each x by x·Φ(x), right to 10⁻⁶. The length is a multiple of 8.
func Gelu(x []float32) {
	check(len(x)%8 == 0, "Gelu")
	if len(x) > 0 {
		active.gelu(x)
	}
}

// LayerNorm sets dst to (x - mean)/√(variance + eps) · gain + bias of the sum
// x = a + b. The length is a multiple of 8; dst may be a or b.
func LayerNorm(dst, a, b, gain, bias []float32, eps float32) {
	n := len(dst)
	check(n%8 == 0 && len(a) >= n && len(b) >= n && len(gain) >= n && len(bias) >= n, "LayerNorm")
	if n > 0 {
		active.layerNorm(dst, a[:n], b[:n], gain[:n], bias[:n], eps)
	}
}

func linearTileGeneric(rows int, out []float32, ldo int, a []int16, k int, w []int8, scales, columns, bias []float32) {
	for r := 0; r < rows; r += 2 {
		for c := 0; c < 16; c += 4 {
			sums := tile2x4(a[r*k:(r+1)*k], a[(r+1)*k:(r+2)*k], w[2*c:16*k])
			for i, s := range sums {
				row, column := r+i/4, c+i%4
				out[row*ldo+column] = float32(float32(float32(s)*scales[row])*columns[column]) + bias[column]
			}
		}
	}
}

// tile2x4 multiplies two rows by four columns of a panel. One multiplication
// makes two products: a pair of columns is the number low + high·2³², and so is
// the pair of their sums, which fit 32 bits each.
func tile2x4(x, y []int16, w []int8) (sums [8]int32) {
	var x01, x23, y01, y23 int64
	y = y[:len(x)]
	for i := 0; i+1 < len(x) && len(w) >= 8; i += 2 {
		p := (*[8]int8)(w)
		w01, w23 := int64(p[0])+int64(p[2])<<32, int64(p[4])+int64(p[6])<<32
		x01 += w01 * int64(x[i])
		x23 += w23 * int64(x[i])
		y01 += w01 * int64(y[i])
		y23 += w23 * int64(y[i])
		w01, w23 = int64(p[1])+int64(p[3])<<32, int64(p[5])+int64(p[7])<<32
		x01 += w01 * int64(x[i+1])
		x23 += w23 * int64(x[i+1])
		y01 += w01 * int64(y[i+1])
		y23 += w23 * int64(y[i+1])
		w = w[min(32, len(w)):]
	}
	for i, s := range [4]int64{x01, x23, y01, y23} {
		sums[2*i] = int32(s)
		sums[2*i+1] = int32((s - int64(int32(s))) >> 32)
	}
	return sums
}

func matMulTileGeneric(out []float32, ldo int, a []float32, lda, k int, b []float32, ldb int) {
	for r := range 4 {
		row := a[r*lda : r*lda+k]
		for c := 0; c < 16; c += 4 {
			var s [4]float32
			for i, x := range row { // the conversions forbid fused multiply-add
				y := (*[4]float32)(b[i*ldb+c:])
				s[0] += float32(x * y[0])
				s[1] += float32(x * y[1])
				s[2] += float32(x * y[2])
				s[3] += float32(x * y[3])
			}
			*(*[4]float32)(out[r*ldo+c:]) = s
		}
	}
}

func maxAbsGeneric(src []float32) (most float32) {
	for _, x := range src {
		most = max(most, float32(math.Abs(float64(x))))
	}
	return most
}

func roundGeneric(dst []int16, src []float32, factor float32) {
	for i, x := range src {
		dst[i] = int16(math.RoundToEven(float64(float32(x * factor))))
	}
}

// sum8 adds eight lanes in the order of the assembly.
func sum8(l *[8]float32) float32 {
	a, b, c, d := l[0]+l[4], l[1]+l[5], l[2]+l[6], l[3]+l[7]
	return (a + c) + (b + d)
}

// Coefficients fitted by least squares on the relative error.
var (
	expCoefficients = [7]float32{1, 1.000000028, 0.5000000085, 0.1666645564, 0.04166627991, 0.008371933518, 0.001394463159}
	erfNumerator    = [6]float32{1.128378976, 0.1962519781, 0.05346785468, 0.004003769411, 0.0002880432756, 1.974794391e-06}
	erfDenominator  = [6]float32{1, 0.5072549455, 0.1164776485, 0.01544466941, 0.001216388183, 3.748059068e-05}
)

const (
	expLeast = -80 // further down, shares of a sum would be denormal and slow
	log2e    = 1.44269504
	ln2High  = 0.693359375
	ln2Low   = -2.12194440e-4
	sqrtHalf = 0.707106781
	erfMost  = 4
)

// polynomial evaluates by Horner's rule.
func polynomial(c []float32, x float32) float32 {
	s := c[len(c)-1]
	for i := len(c) - 2; i >= 0; i-- {
		s = float32(s*x) + c[i]
	}
	return s
}

func exp32(x float32) float32 {
	x = max(x, expLeast)
	n := float32(math.RoundToEven(float64(float32(x * log2e))))
	r := x - float32(n*ln2High)
	r -= float32(n * ln2Low)
	return polynomial(expCoefficients[:], r) * math.Float32frombits(uint32(int32(n)+127)<<23)
}

func softmaxGeneric(row []float32) {
	most := row[0]
	for _, x := range row {
		most = max(most, x)
	}
	var lanes [8]float32
	for i, x := range row {
		row[i] = exp32(x - most)
		lanes[i%8] += row[i]
	}
	factor := 1 / sum8(&lanes)
	for i := range row {
		row[i] *= factor
	}
}

func geluGeneric(x []float32) {
	for i, v := range x {
		u := min(max(float32(v*sqrtHalf), -erfMost), erfMost)
		z := float32(u * u)
		e := float32(u*polynomial(erfNumerator[:], z)) / polynomial(erfDenominator[:], z)
		x[i] = float32(v*0.5) * (e + 1)
	}
}

func layerNormGeneric(dst, a, b, gain, bias []float32, eps float32) {
	var lanes [8]float32
	for i := range dst {
		dst[i] = a[i] + b[i]
		lanes[i%8] += dst[i]
	}
	n := float32(len(dst))
	mean := sum8(&lanes) / n
	lanes = [8]float32{}
	for i, x := range dst {
		dst[i] = x - mean
		lanes[i%8] += float32(dst[i] * dst[i])
	}
	factor := 1 / float32(math.Sqrt(float64(float32(sum8(&lanes)/n)+eps)))
	for i, x := range dst {
		dst[i] = float32(float32(x*factor)*gain[i]) + bias[i]
	}
}
