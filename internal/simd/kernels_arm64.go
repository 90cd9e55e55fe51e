//go:build !noasm

package simd

import (
	"runtime"

	"golang.org/x/sys/cpu"
)

// archTiers asks for the dot-product instructions, which all processors of
// Apple and most others since 2018 have.
func archTiers() []*kernels {
	if !cpu.ARM64.HasASIMDDP && runtime.GOOS != "darwin" {
		return nil
	}
	return []*kernels{neon()}
}

// neon is generic but for what search needs and the products of a transformer.
func neon() *kernels {
	k := *generic
	k.name = "neon"
	k.maxRows = func(q, rows []int8, n, dim int, best [][Lanes]int32) {
		maxRowsNEON(&q[0], &rows[0], n, dim/8, &best[0])
	}
	k.maxScaledRows = func(q, rows []int8, n, dim int, factors []int32, best [][Lanes]int32) {
		maxScaledRowsNEON(&q[0], &rows[0], n, dim/8, &best[0], &factors[0])
	}
	k.argmaxRows = func(q, rows []int8, n, dim int, base int32, best, ids [][Lanes]int32) {
		argmaxRowsNEON(&q[0], &rows[0], n, dim/8, &best[0], &ids[0], base)
	}
	k.scanRows = func(q, rows []int8, n, dim int, floor [][Lanes]int32, out []int32, above []uint16) {
		for b := range floor {
			scanRowsNEON(&q[b*BlockBytes(dim)], &rows[0], n, dim/8, &floor[b], &out[b*Lanes], &above[b], len(floor))
		}
	}
	k.argmaxRowsF32 = func(q, rows []float32, n, dim int, base int32, best [][Lanes]float32, ids [][Lanes]int32) {
		argmaxRowsF32NEON(&q[0], &rows[0], n, dim/8, base, &best[0], &ids[0])
	}
	k.dotRows = func(v, rows []int8, n, dim int, out []int32) {
		dotRowsNEON(&v[0], &rows[0], n, dim/16, dim%16/8, &out[0])
	}
	k.expandA = func(dst []int8, factors []int32, r Residuals, a []byte, n int, levels *[16]int8) {
		expandANEON(&dst[0], &factors[0], &r.Cells[0], r.lastCell(), &r.Codes[0], &a[0], n, r.Dim, levels)
	}
	k.expandSomeA = func(dst []int8, factors []int32, r Residuals, a []byte, ids []uint32, levels *[16]int8) {
		expandSomeANEON(&dst[0], &factors[0], &r.Cells[0], r.lastCell(), &r.Codes[0], &a[0], &ids[0], len(ids), r.Dim, levels)
	}
	k.expandAB = func(dst []int8, factors []int32, r Residuals, a, b []byte, n int, levels *[16]int8) {
		expandABNEON(&dst[0], &factors[0], &r.Cells[0], r.lastCell(), &r.Codes[0], &a[0], &b[0], n, r.Dim, levels)
	}
	k.cellSims = func(dst []uint8, stride int, products []int32, step int, factors *[Lanes]int32, n int) {
		cellSimsNEON(&dst[0], stride, &products[0], step, factors, n)
	}
	k.maxCells = func(best *[CellLanes]uint8, table []uint8, lanes int, codes []byte, n int) {
		f := maxCells64NEON
		if lanes == 32 {
			f = maxCells32NEON
		}
		f(best, &table[0], len(table)/lanes-1, &codes[0], n)
	}
	k.selectCells = func(ids []uint32, floor *[CellLanes]uint8, table []uint8, lanes int, codes []byte, n int) int {
		f := selectCells64NEON
		if lanes == 32 {
			f = selectCells32NEON
		}
		return f(&ids[0], floor, &table[0], len(table)/lanes-1, &codes[0], n)
	}
	k.quantize = func(dst []int8, src []float32, scale float32) int {
		return quantizeNEON(&dst[0], &src[0], len(src)/8, scale)
	}
	k.f16ToF32 = func(dst []float32, src []byte) { f16ToF32NEON(&dst[0], &src[0], len(dst)/8) }
	k.prefetch = func(b []byte) { prefetchNEON(&b[0], len(b)) }
	k.prefetchSome = func(b []byte, ids []uint32, size int) { prefetchSomeNEON(&b[0], &ids[0], len(ids), size) }
	k.linearRows = func(int) int { return 4 }
	k.linearTile = func(_ int, out []float32, ldo int, a []int16, k int, w []int8, scales, columns, bias []float32) {
		linear4NEON(&out[0], 4*ldo, &a[0], k/8, &w[0], &scales[0], &columns[0], &bias[0])
	}
	k.matMulTile = func(out []float32, ldo int, a []float32, lda, k int, b []float32, ldb int) {
		matMulTileNEON(&out[0], 4*ldo, &a[0], 4*lda, k, &b[0], 4*ldb)
	}
	k.maxAbs = func(src []float32) float32 { return maxAbsNEON(&src[0], len(src)/16) }
	k.round = func(dst []int16, src []float32, factor float32) {
		roundNEON(&dst[0], &src[0], len(src)/16, factor)
	}
	return &k
}

//go:noescape
func maxRowsNEON(q, rows *int8, n, eights int, best *[Lanes]int32)

//go:noescape
func maxScaledRowsNEON(q, rows *int8, n, eights int, best *[Lanes]int32, factors *int32)

//go:noescape
func argmaxRowsNEON(q, rows *int8, n, eights int, best, ids *[Lanes]int32, base int32)

//go:noescape
func scanRowsNEON(q, rows *int8, n, eights int, floor *[Lanes]int32, out *int32, above *uint16, blocks int)

//go:noescape
func argmaxRowsF32NEON(q, rows *float32, n, eights int, base int32, best *[Lanes]float32, ids *[Lanes]int32)

//go:noescape
func dotRowsNEON(v, rows *int8, n, sixteens, eight int, out *int32)

//go:noescape
func expandANEON(dst *int8, factors *int32, cells *int8, last int, codes, a *byte, n, dim int, levels *[16]int8)

//go:noescape
func expandSomeANEON(dst *int8, factors *int32, cells *int8, last int, codes, a *byte, ids *uint32, n, dim int, levels *[16]int8)

//go:noescape
func expandABNEON(dst *int8, factors *int32, cells *int8, last int, codes, a, b *byte, n, dim int, levels *[16]int8)

//go:noescape
func cellSimsNEON(dst *uint8, stride int, products *int32, step int, factors *[Lanes]int32, n int)

//go:noescape
func maxCells32NEON(best *[CellLanes]uint8, table *uint8, last int, codes *byte, n int)

//go:noescape
func maxCells64NEON(best *[CellLanes]uint8, table *uint8, last int, codes *byte, n int)

//go:noescape
func selectCells32NEON(ids *uint32, floor *[CellLanes]uint8, table *uint8, last int, codes *byte, n int) int

//go:noescape
func selectCells64NEON(ids *uint32, floor *[CellLanes]uint8, table *uint8, last int, codes *byte, n int) int

//go:noescape
func quantizeNEON(dst *int8, src *float32, eights int, scale float32) int

//go:noescape
func f16ToF32NEON(dst *float32, src *byte, eights int)

//go:noescape
func prefetchNEON(p *byte, n int)

//go:noescape
func prefetchSomeNEON(p *byte, ids *uint32, n, size int)

//go:noescape
func linear4NEON(out *float32, outBytes int, a *int16, eights int, w *int8, scales, columns, bias *float32)

//go:noescape
func matMulTileNEON(out *float32, outBytes int, a *float32, aBytes, k int, b *float32, bBytes int)

//go:noescape
func maxAbsNEON(src *float32, sixteens int) float32

//go:noescape
func roundNEON(dst *int16, src *float32, sixteens int, factor float32)
