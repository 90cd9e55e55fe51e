package simd

import (
	"errors"
	"fmt"
)

// Lanes is the number of vectors that a packed block scores at once.
const Lanes = 16

// MaxWork bounds rows times dimensions of one call, so that it stays well under
// 100 µs: 2,048 rows of 128 dimensions.
const MaxWork = 2048 * 128

// kernels is one tier.
type kernels struct {
	name          string
	argmaxRows    func(q, rows []int16, n, dim int, base int32, best, ids *[Lanes]int32)
	scanRows      func(q, rows []int16, n, dim int, floor *[Lanes]int32, out []int32, above []uint16)
	argmaxRowsF32 func(q, rows []float32, n, dim int, base int32, best *[Lanes]float32, ids *[Lanes]int32)
	dotRows       func(v []int16, rows []int8, n, dim int, out []int32)
	widen         func(dst []int16, src []int8)
	expandA       func(dst []int16, r Residuals, a []byte, n int, levels *[4]int16)
	expandAB      func(dst []int16, r Residuals, a, b []byte, n int, levels *[16]int16)
	f16ToF32      func(dst []float32, src []byte)

	linearTile func(rows int, out []float32, ldo int, a []int16, k int, w []int8, scales, columns, bias []float32)
	matMulTile func(out []float32, ldo int, a []float32, lda, k int, b []float32, ldb int)
	maxAbs     func(src []float32) float32
	round      func(dst []int16, src []float32, factor float32)
	softmax    func(row []float32)
	gelu       func(x []float32)
	layerNorm  func(dst, a, b, gain, bias []float32, eps float32)
}

var generic = &kernels{
	name:          "generic",
	argmaxRows:    argmaxRowsGeneric,
	scanRows:      scanRowsGeneric,
	argmaxRowsF32: argmaxRowsF32Generic,
	dotRows:       dotRowsGeneric,
	widen:         widenGeneric,
	expandA:       expandAGeneric,
	expandAB:      expandABGeneric,
	f16ToF32:      f16ToF32Generic,
	linearTile:    linearTileGeneric,
	matMulTile:    matMulTileGeneric,
	maxAbs:        maxAbsGeneric,
	round:         roundGeneric,
	softmax:       softmaxGeneric,
	gelu:          geluGeneric,
	layerNorm:     layerNormGeneric,
}

// tiers lists what this processor can run, best first.
var tiers = append(archTiers(), generic)

var active = tiers[0]

// Tier names the kernels in use: "avx2" or "generic".
func Tier() string { return active.name }

// Tiers lists the tiers that this machine and build can run, best first.
func Tiers() []string {
	names := make([]string, len(tiers))
	for i, t := range tiers {
		names[i] = t.name
	}
	return names
}

// ErrTier is returned by Force for a tier that cannot run here.
var ErrTier = errors.New("colbertdb: kernel tier is not available on this machine or in this build")

// Force selects a tier by name until restore is called. It is for tests and
// benchmarks: it must not run while kernels do.
func Force(name string) (restore func(), err error) {
	old := active
	for _, t := range tiers {
		if t.name == name {
			active = t
			return func() { active = old }, nil
		}
	}
	return nil, fmt.Errorf("%w: %q; there are %v", ErrTier, name, Tiers())
}

// PackLanes packs up to 16 vectors of dim int8 values, given row-major, into
// dst, [dim/2][16][2]int16; missing lanes are zero.
func PackLanes(dst []int16, vectors []int8, dim int) {
	clear(dst[:dim*Lanes])
	for lane := range len(vectors) / dim {
		for d, x := range vectors[lane*dim : (lane+1)*dim] {
			dst[(d/2)*2*Lanes+lane*2+d%2] = int16(x)
		}
	}
}

// PackLanesF32 packs up to 16 float32 vectors, given row-major, into dst,
// [dim][16]float32; missing lanes are zero.
func PackLanesF32(dst, vectors []float32, dim int) {
	clear(dst[:dim*Lanes])
	for lane := range len(vectors) / dim {
		for d, x := range vectors[lane*dim : (lane+1)*dim] {
			dst[d*Lanes+lane] = x
		}
	}
}

// ArgmaxRows scores n rows against packed lanes and keeps, for each lane, the
// greatest dot product so far in best and its row number (base + row) in ids.
// The first of equal rows wins.
func ArgmaxRows(q, rows []int16, n, dim int, base int32, best, ids *[Lanes]int32) {
	if n == 0 {
		return
	}
	_, _ = q[dim*Lanes-1], rows[n*dim-1]
	active.argmaxRows(q, rows, n, dim, base, best, ids)
}

// ScanRows writes the dot products of n rows with the packed lanes to out,
// [n][16]int32, and to above, for each row, a mask of the lanes whose product
// is greater than their floor.
func ScanRows(q, rows []int16, n, dim int, floor *[Lanes]int32, out []int32, above []uint16) {
	if n == 0 {
		return
	}
	_, _, _, _ = q[dim*Lanes-1], rows[n*dim-1], out[n*Lanes-1], above[n-1]
	active.scanRows(q, rows, n, dim, floor, out, above)
}

// ArgmaxRowsF32 is ArgmaxRows for float32 rows and lanes. A dot product adds
// rounded products in the order of the dimensions.
func ArgmaxRowsF32(q, rows []float32, n, dim int, base int32, best *[Lanes]float32, ids *[Lanes]int32) {
	if n == 0 {
		return
	}
	_, _ = q[dim*Lanes-1], rows[n*dim-1]
	active.argmaxRowsF32(q, rows, n, dim, base, best, ids)
}

// DotRows writes the dot products of n int8 rows with one vector in ±127 to out.
func DotRows(v []int16, rows []int8, n, dim int, out []int32) {
	if n == 0 {
		return
	}
	_, _, _ = v[dim-1], rows[n*dim-1], out[n-1]
	active.dotRows(v, rows, n, dim, out)
}

// Widen converts int8 values to int16; len(src) is a multiple of 8.
func Widen(dst []int16, src []int8) {
	if len(src) == 0 {
		return
	}
	_ = dst[len(src)-1]
	active.widen(dst, src)
}

// Residuals says what the two-bit codes of some tokens are relative to. A
// token's record in a plane is two bits a dimension, the least significant
// first, and a length byte l; its factor is 4·(l + 80) >> Exp.
type Residuals struct {
	Dim   int
	Cells []int16 // [cells][Dim]
	Codes []byte  // [tokens] little-endian uint16 cell; beyond the last counts as the last
	Exp   uint8
}

func (r *Residuals) lastCell() int { return len(r.Cells)/r.Dim - 1 }

// ExpandA reconstructs n tokens from records of plane A as rows:
// (cell + levels[code]) · factor / 2^15, rounded, clamped to ±127. Sums of a
// cell's component and a level are within int16.
func ExpandA(dst []int16, r Residuals, a []byte, n int, levels *[4]int16) {
	if n == 0 {
		return
	}
	record := r.Dim/4 + 1
	_, _, _, _ = dst[n*r.Dim-1], r.Cells[r.Dim-1], r.Codes[2*n-1], a[n*record-1]
	active.expandA(dst, r, a, n, levels)
}

// ExpandAB is ExpandA for planes A and B together: a code is 4·a + b, and the
// length byte is plane B's.
func ExpandAB(dst []int16, r Residuals, a, b []byte, n int, levels *[16]int16) {
	if n == 0 {
		return
	}
	record := r.Dim/4 + 1
	_, _, _, _, _ = dst[n*r.Dim-1], r.Cells[r.Dim-1], r.Codes[2*n-1], a[n*record-1], b[n*record-1]
	active.expandAB(dst, r, a, b, n, levels)
}

// F16ToF32 widens len(dst) little-endian IEEE float16 values.
func F16ToF32(dst []float32, src []byte) {
	eights := len(dst) &^ 7
	if eights > 0 {
		_ = src[2*eights-1]
		active.f16ToF32(dst[:eights], src[:2*eights])
	}
	f16ToF32Generic(dst[eights:], src[2*eights:])
}
