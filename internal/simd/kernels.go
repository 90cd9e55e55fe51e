package simd

import (
	"errors"
	"fmt"
)

// Lanes is the number of vectors that a packed block scores at once.
const Lanes = 16

// MaxRows is the number of rows of up to 128 dimensions that one call should
// be given, so that it stays under 100 µs.
const MaxRows = 4096

// kernels is one tier.
type kernels struct {
	name       string
	argmaxRows func(q, rows []int16, n, dim int, base int32, best, ids *[Lanes]int32)
	scoreRows  func(q, rows []int16, n, dim int, out []int32)
	widen      func(dst []int16, src []byte)
	expandA    func(dst, cell []int16, bits []byte, levels *[4]int16, factor int16)
	expandAB   func(dst, cell []int16, a, b []byte, levels *[16]int16, factor int16)
	dotF32     func(a, b []float32) float32
	f16ToF32   func(dst []float32, src []byte)
}

var generic = &kernels{
	name:       "generic",
	argmaxRows: argmaxRowsGeneric,
	scoreRows:  scoreRowsGeneric,
	widen:      widenGeneric,
	expandA:    expandAGeneric,
	expandAB:   expandABGeneric,
	dotF32:     dotF32Generic,
	f16ToF32:   f16ToF32Generic,
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

// ScoreRows writes the dot products of n rows with the packed lanes to out,
// [n][16]int32.
func ScoreRows(q, rows []int16, n, dim int, out []int32) {
	if n == 0 {
		return
	}
	_, _, _ = q[dim*Lanes-1], rows[n*dim-1], out[n*Lanes-1]
	active.scoreRows(q, rows, n, dim, out)
}

// Widen converts int8 values to int16; len(src) is a multiple of 8.
func Widen(dst []int16, src []byte) {
	if len(src) == 0 {
		return
	}
	_ = dst[len(src)-1]
	active.widen(dst, src)
}

// ExpandA reconstructs a token from two bits a dimension (LSB first, four to a
// byte): dst = clamp((cell + levels[code]) * factor >> 15), rounded, to ±127.
// The dimension is len(cell), a multiple of 8.
func ExpandA(dst, cell []int16, bits []byte, levels *[4]int16, factor int16) {
	_, _ = dst[len(cell)-1], bits[len(cell)/4-1]
	active.expandA(dst, cell, bits, levels, factor)
}

// ExpandAB is ExpandA with four bits a dimension: code = 4*a + b.
func ExpandAB(dst, cell []int16, a, b []byte, levels *[16]int16, factor int16) {
	_, _, _ = dst[len(cell)-1], a[len(cell)/4-1], b[len(cell)/4-1]
	active.expandAB(dst, cell, a, b, levels, factor)
}

// DotF32 returns the dot product of two vectors of equal length, a multiple of 8.
func DotF32(a, b []float32) float32 {
	if len(a) == 0 {
		return 0
	}
	_ = b[len(a)-1]
	return active.dotF32(a, b)
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
