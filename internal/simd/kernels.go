package simd

import (
	"errors"
	"fmt"
	"os"
)

// Lanes is the number of vectors in a packed block.
const Lanes = 16

// MaxWork bounds rows times dimensions times blocks of one call, so that it
// stays well under 100 µs: 2,048 rows of 128 dimensions against one block.
const MaxWork = 2048 * 128

// kernels is one tier. Row kernels take one block, or two where pairs is set.
type kernels struct {
	name          string
	pairs         bool
	maxRows       func(q, rows []int8, n, dim int, best [][Lanes]int32)
	maxScaledRows func(q, rows []int8, n, dim int, factors []int32, best [][Lanes]int32)
	argmaxRows    func(q, rows []int8, n, dim int, base int32, best, ids [][Lanes]int32)
	scanRows      func(q, rows []int8, n, dim int, floor [][Lanes]int32, out []int32, above []uint16)
	argmaxRowsF32 func(q, rows []float32, n, dim int, base int32, best [][Lanes]float32, ids [][Lanes]int32)
	dotRows       func(v, rows []int8, n, dim int, out []int32)
	expandA       func(dst []int8, factors []int32, r Residuals, a []byte, n int, levels *[16]int8)
	expandSomeA   func(dst []int8, factors []int32, r Residuals, a []byte, ids []uint32, levels *[16]int8)
	expandAB      func(dst []int8, factors []int32, r Residuals, a, b []byte, n int, levels *[16]int8)
	cellSims      func(dst []uint8, stride int, products []int32, step int, factors *[Lanes]int32, n int)
	maxCells      func(best *[CellLanes]uint8, table []uint8, lanes int, codes []byte, n int)
	selectCells   func(ids []uint32, floor *[CellLanes]uint8, table []uint8, lanes int, codes []byte, n int) int
	quantize      func(dst []int8, src []float32, scale float32) int
	f16ToF32      func(dst []float32, src []byte)
	prefetch      func(b []byte)
	prefetchSome  func(b []byte, ids []uint32, size int)

	linearRows func(left int) int
	linearTile func(rows int, out []float32, ldo int, a []int16, k int, w []int8, scales, columns, bias []float32)
	matMulTile func(out []float32, ldo int, a []float32, lda, k int, b []float32, ldb int)
	maxAbs     func(src []float32) float32
	round      func(dst []int16, src []float32, factor float32)
	softmax    func(row []float32)
	gelu       func(x []float32)
	layerNorm  func(dst, a, b, gain, bias []float32, eps float32)
}

var generic = &kernels{
	name: "generic",
	maxRows: func(q, rows []int8, n, dim int, best [][Lanes]int32) {
		maxRowsGeneric(q, rows, n, dim, &best[0])
	},
	maxScaledRows: func(q, rows []int8, n, dim int, factors []int32, best [][Lanes]int32) {
		maxScaledRowsGeneric(q, rows, n, dim, factors, &best[0])
	},
	argmaxRows: func(q, rows []int8, n, dim int, base int32, best, ids [][Lanes]int32) {
		argmaxRowsGeneric(q, rows, n, dim, base, &best[0], &ids[0])
	},
	scanRows: func(q, rows []int8, n, dim int, floor [][Lanes]int32, out []int32, above []uint16) {
		for b := range floor {
			scanRowsGeneric(q[b*BlockBytes(dim):], rows, n, dim, &floor[b], out[b*Lanes:], above[b:], len(floor))
		}
	},
	argmaxRowsF32: func(q, rows []float32, n, dim int, base int32, best [][Lanes]float32, ids [][Lanes]int32) {
		argmaxRowsF32Generic(q, rows, n, dim, base, &best[0], &ids[0])
	},
	dotRows:      dotRowsGeneric,
	expandA:      expandAGeneric,
	expandSomeA:  expandSomeAGeneric,
	expandAB:     expandABGeneric,
	cellSims:     cellSimsGeneric,
	maxCells:     maxCellsGeneric,
	selectCells:  selectCellsGeneric,
	quantize:     quantizeGeneric,
	f16ToF32:     f16ToF32Generic,
	prefetch:     func([]byte) {},
	prefetchSome: func([]byte, []uint32, int) {},
	linearRows:   linearRows6,
	linearTile:   linearTileGeneric,
	matMulTile:   matMulTileGeneric,
	maxAbs:       maxAbsGeneric,
	round:        roundGeneric,
	softmax:      softmaxGeneric,
	gelu:         geluGeneric,
	layerNorm:    layerNormGeneric,
}

// tiers lists what this processor can run, best first.
var tiers = append(archTiers(), generic)

var active = chosen(os.Getenv(tierVariable))

// tierVariable names a tier to run instead of the best, for comparing them.
const tierVariable = "COLBERTDB_KERNELS"

// chosen returns the tier of a name, the best where there is none.
func chosen(name string) *kernels {
	for _, t := range tiers {
		if t.name == name {
			return t
		}
	}
	return tiers[0]
}

// Tier names the kernels in use: "avx512", "avx2", "neon" or "generic".
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

// ArgmaxRowsF32 is ArgmaxRows for float32 rows and lanes. A dot product adds
// rounded products in the order of the dimensions.
func ArgmaxRowsF32(q, rows []float32, n, dim int, base int32, best [][Lanes]float32, ids [][Lanes]int32) {
	check(n == 0 || dim%8 == 0 && dim > 0 && len(q) >= len(best)*dim*Lanes && len(rows) >= n*dim && len(ids) == len(best), "ArgmaxRowsF32")
	for b := 0; n > 0 && b < len(best); {
		c := active.blocks(len(best) - b)
		active.argmaxRowsF32(q[b*dim*Lanes:], rows, n, dim, base, best[b:b+c], ids[b:b+c])
		b += c
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

// QuantizeInt8 rounds len(src) values times scale to the nearest integers, ties
// to even, of at most 127 in magnitude, and returns how many were beyond. The
// products are less than 2³¹ in magnitude.
func QuantizeInt8(dst []int8, src []float32, scale float32) (clipped int) {
	dst = dst[:len(src)]
	eights := len(src) &^ 7
	if eights > 0 {
		clipped = active.quantize(dst[:eights], src[:eights], scale)
	}
	return clipped + quantizeGeneric(dst[eights:], src[eights:], scale)
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

// maxPrefetch bounds what one call asks for: a document's plane A, and as much of
// its plane C as is read before the processor sees that it is read in order.
const maxPrefetch = 8 << 10

// Prefetch asks for the beginning of b to be brought into the second-level
// cache. It has no other effect.
func Prefetch(b []byte) {
	if len(b) > 0 {
		active.prefetch(b[:min(len(b), maxPrefetch)])
	}
}

// PrefetchSome is Prefetch of the records of b, of size bytes, at most two
// lines, whose numbers ids holds.
func PrefetchSome(b []byte, ids []uint32, size int) {
	if len(b) > 0 && len(ids) > 0 {
		active.prefetchSome(b, ids, size)
	}
}

func check(ok bool, name string) {
	if !ok {
		panic("simd: " + name + ": sizes do not fit")
	}
}
