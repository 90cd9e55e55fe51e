//go:build !noasm

package simd

import "golang.org/x/sys/cpu"

// archTiers lists the tiers of this processor, best first. All processors with
// AVX2 convert float16 (F16C).
func archTiers() []*kernels {
	if !cpu.X86.HasAVX2 {
		return nil
	}
	if !hasAVX512() {
		return []*kernels{&avx2}
	}
	return []*kernels{avx512(), &avx2}
}

// hasAVX512 asks for VNNI and VBMI beside the basic sets: Ice Lake, Zen 4 and
// later.
func hasAVX512() bool {
	c := &cpu.X86
	return c.HasAVX512F && c.HasAVX512BW && c.HasAVX512DQ && c.HasAVX512VL && c.HasAVX512VNNI && c.HasAVX512VBMI && c.HasBMI2
}

var avx2 = kernels{
	name: "avx2",
	maxRows: func(q, rows []int8, n, dim int, best [][Lanes]int32) {
		maxRowsAVX2(&q[0], &rows[0], n, dim/8, &best[0])
	},
	maxScaledRows: func(q, rows []int8, n, dim int, factors []int32, best [][Lanes]int32) {
		maxScaledRowsAVX2(&q[0], &rows[0], n, dim/8, &best[0], &factors[0])
	},
	argmaxRows: func(q, rows []int8, n, dim int, base int32, best, ids [][Lanes]int32) {
		argmaxRowsAVX2(&q[0], &rows[0], n, dim/8, &best[0], &ids[0], base)
	},
	scanRows: func(q, rows []int8, n, dim int, floor [][Lanes]int32, out []int32, above []uint16) {
		for b := range floor {
			scanRowsAVX2(&q[b*BlockBytes(dim)], &rows[0], n, dim/8, &floor[b], &out[b*Lanes], &above[b], len(floor))
		}
	},
	argmaxRowsF32: func(q, rows []float32, n, dim int, base int32, best [][Lanes]float32, ids [][Lanes]int32) {
		argmaxRowsF32AVX2(&q[0], &rows[0], n, dim/8, base, &best[0], &ids[0])
	},
	dotRows: func(v, rows []int8, n, dim int, out []int32) {
		dotRowsAVX2(&v[0], &rows[0], n, dim/16, dim%16/8, &out[0])
	},
	expandA: func(dst []int8, factors []int32, r Residuals, a []byte, n int, levels *[16]int8) {
		expandAAVX2(&dst[0], &factors[0], &r.Cells[0], r.lastCell(), &r.Codes[0], &a[0], n, r.Dim, levels)
	},
	expandSomeA: func(dst []int8, factors []int32, r Residuals, a []byte, ids []uint32, levels *[16]int8) {
		expandSomeAAVX2(&dst[0], &factors[0], &r.Cells[0], r.lastCell(), &r.Codes[0], &a[0], &ids[0], len(ids), r.Dim, levels)
	},
	expandAB: func(dst []int8, factors []int32, r Residuals, a, b []byte, n int, levels *[16]int8) {
		expandABAVX2(&dst[0], &factors[0], &r.Cells[0], r.lastCell(), &r.Codes[0], &a[0], &b[0], n, r.Dim, levels)
	},
	cellSims: func(dst []uint8, stride int, products []int32, step int, factors *[Lanes]int32, n int) {
		cellSimsAVX2(&dst[0], stride, &products[0], step, factors, n)
	},
	maxCells: func(best *[CellLanes]uint8, table []uint8, lanes int, codes []byte, n int) {
		f := maxCells64AVX2
		if lanes == 32 {
			f = maxCells32AVX2
		}
		f(best, &table[0], len(table)/lanes-1, &codes[0], n)
	},
	selectCells: func(ids []uint32, floor *[CellLanes]uint8, table []uint8, lanes int, codes []byte, n int) int {
		f := selectCells64AVX2
		if lanes == 32 {
			f = selectCells32AVX2
		}
		return f(&ids[0], floor, &table[0], len(table)/lanes-1, &codes[0], n)
	},
	quantize: func(dst []int8, src []float32, scale float32) int {
		return quantizeAVX2(&dst[0], &src[0], len(src)/8, scale)
	},
	f16ToF32: func(dst []float32, src []byte) {
		f16ToF32AVX2(&dst[0], &src[0], len(dst)/8)
	},
	prefetch: func(b []byte) { prefetchAVX2(&b[0], len(b)) },
	prefetchSome: func(b []byte, ids []uint32, size int) {
		prefetchSomeAVX2(&b[0], &ids[0], len(ids), size)
	},
	linearRows: linearRows6,
	linearTile: func(rows int, out []float32, ldo int, a []int16, k int, w []int8, scales, columns, bias []float32) {
		tile := linear6AVX2
		if rows == 4 {
			tile = linear4AVX2
		}
		tile(&out[0], 4*ldo, &a[0], k/8, &w[0], &scales[0], &columns[0], &bias[0])
	},
	matMulTile: func(out []float32, ldo int, a []float32, lda, k int, b []float32, ldb int) {
		matMulTileAVX2(&out[0], 4*ldo, &a[0], 4*lda, k, &b[0], 4*ldb)
	},
	maxAbs: func(src []float32) float32 { return maxAbsAVX2(&src[0], len(src)/16) },
	round: func(dst []int16, src []float32, factor float32) {
		roundAVX2(&dst[0], &src[0], len(src)/16, factor)
	},
	softmax: func(row []float32) { softmaxAVX2(&row[0], len(row)/8, &expTable) },
	gelu:    func(x []float32) { geluAVX2(&x[0], len(x)/8, &geluTable) },
	layerNorm: func(dst, a, b, gain, bias []float32, eps float32) {
		layerNormAVX2(&dst[0], &a[0], &b[0], &gain[0], &bias[0], len(dst)/8, float32(len(dst)), eps)
	},
}

// avx512 is avx2 with what gains from wider registers or from VNNI.
func avx512() *kernels {
	k := avx2
	k.name, k.pairs = "avx512", true
	k.maxRows = func(q, rows []int8, n, dim int, best [][Lanes]int32) {
		f := maxRows2AVX512
		if len(best) == 1 {
			f = maxRows1AVX512
		}
		f(&q[0], BlockBytes(dim), &rows[0], n, dim/8, &best[0])
	}
	k.maxScaledRows = func(q, rows []int8, n, dim int, factors []int32, best [][Lanes]int32) {
		f := maxScaledRows2AVX512
		if len(best) == 1 {
			f = maxScaledRows1AVX512
		}
		f(&q[0], BlockBytes(dim), &rows[0], n, dim/8, &best[0], &factors[0])
	}
	k.argmaxRows = func(q, rows []int8, n, dim int, base int32, best, ids [][Lanes]int32) {
		f := argmaxRows2AVX512
		if len(best) == 1 {
			f = argmaxRows1AVX512
		}
		f(&q[0], BlockBytes(dim), &rows[0], n, dim/8, &best[0], &ids[0], base)
	}
	k.scanRows = func(q, rows []int8, n, dim int, floor [][Lanes]int32, out []int32, above []uint16) {
		f := scanRows2AVX512
		if len(floor) == 1 {
			f = scanRows1AVX512
		}
		f(&q[0], BlockBytes(dim), &rows[0], n, dim/8, &floor[0], &out[0], &above[0])
	}
	k.argmaxRowsF32 = func(q, rows []float32, n, dim int, base int32, best [][Lanes]float32, ids [][Lanes]int32) {
		f := argmaxF32Rows2AVX512
		if len(best) == 1 {
			f = argmaxF32Rows1AVX512
		}
		f(&q[0], 4*Lanes*dim, &rows[0], n, dim/8, &best[0], &ids[0], base)
	}
	k.expandA = func(dst []int8, factors []int32, r Residuals, a []byte, n int, levels *[16]int8) {
		expandAAVX512(&dst[0], &factors[0], &r.Cells[0], r.lastCell(), &r.Codes[0], &a[0], n, r.Dim, levels)
	}
	k.expandSomeA = func(dst []int8, factors []int32, r Residuals, a []byte, ids []uint32, levels *[16]int8) {
		expandSomeAAVX512(&dst[0], &factors[0], &r.Cells[0], r.lastCell(), &r.Codes[0], &a[0], &ids[0], len(ids), r.Dim, levels)
	}
	k.expandAB = func(dst []int8, factors []int32, r Residuals, a, b []byte, n int, levels *[16]int8) {
		expandABAVX512(&dst[0], &factors[0], &r.Cells[0], r.lastCell(), &r.Codes[0], &a[0], &b[0], n, r.Dim, levels)
	}
	k.linearRows = linearRows12
	k.linearTile = func(rows int, out []float32, ldo int, a []int16, k int, w []int8, scales, columns, bias []float32) {
		tile := linear12AVX512
		switch rows {
		case 4:
			tile = linear4AVX512
		case 8:
			tile = linear8AVX512
		}
		tile(&out[0], 4*ldo, &a[0], k/8, &w[0], &scales[0], &columns[0], &bias[0])
	}
	return &k
}

// linearRows12 is how many of some rows, a multiple of 4, are computed at once.
func linearRows12(left int) int {
	if left == 16 {
		return 8
	}
	return min(left, 12)
}

// Constants as the assembly reads them: polynomials with the highest first.
var (
	expTable  = [12]float32{expLeast, log2e, ln2High, ln2Low}
	geluTable = [16]float32{sqrtHalf, -erfMost, erfMost, 0.5}
)

func init() {
	for i, c := range expCoefficients {
		expTable[10-i] = c
	}
	for i := range erfNumerator {
		geluTable[9-i], geluTable[15-i] = erfNumerator[i], erfDenominator[i]
	}
}

//go:noescape
func maxRows1AVX512(q *int8, blockBytes int, rows *int8, n, eights int, best *[Lanes]int32)

//go:noescape
func maxRows2AVX512(q *int8, blockBytes int, rows *int8, n, eights int, best *[Lanes]int32)

//go:noescape
func maxScaledRows1AVX512(q *int8, blockBytes int, rows *int8, n, eights int, best *[Lanes]int32, factors *int32)

//go:noescape
func maxScaledRows2AVX512(q *int8, blockBytes int, rows *int8, n, eights int, best *[Lanes]int32, factors *int32)

//go:noescape
func argmaxRows1AVX512(q *int8, blockBytes int, rows *int8, n, eights int, best, ids *[Lanes]int32, base int32)

//go:noescape
func argmaxRows2AVX512(q *int8, blockBytes int, rows *int8, n, eights int, best, ids *[Lanes]int32, base int32)

//go:noescape
func scanRows1AVX512(q *int8, blockBytes int, rows *int8, n, eights int, floor *[Lanes]int32, out *int32, above *uint16)

//go:noescape
func scanRows2AVX512(q *int8, blockBytes int, rows *int8, n, eights int, floor *[Lanes]int32, out *int32, above *uint16)

//go:noescape
func argmaxF32Rows1AVX512(q *float32, blockBytes int, rows *float32, n, eights int, best *[Lanes]float32, ids *[Lanes]int32, base int32)

//go:noescape
func argmaxF32Rows2AVX512(q *float32, blockBytes int, rows *float32, n, eights int, best *[Lanes]float32, ids *[Lanes]int32, base int32)

//go:noescape
func expandAAVX512(dst *int8, factors *int32, cells *int8, last int, codes, a *byte, n, dim int, levels *[16]int8)

//go:noescape
func expandSomeAAVX512(dst *int8, factors *int32, cells *int8, last int, codes, a *byte, ids *uint32, n, dim int, levels *[16]int8)

//go:noescape
func expandABAVX512(dst *int8, factors *int32, cells *int8, last int, codes, a, b *byte, n, dim int, levels *[16]int8)

//go:noescape
func maxRowsAVX2(q, rows *int8, n, eights int, best *[Lanes]int32)

//go:noescape
func maxScaledRowsAVX2(q, rows *int8, n, eights int, best *[Lanes]int32, factors *int32)

//go:noescape
func argmaxRowsAVX2(q, rows *int8, n, eights int, best, ids *[Lanes]int32, base int32)

//go:noescape
func scanRowsAVX2(q, rows *int8, n, eights int, floor *[Lanes]int32, out *int32, above *uint16, blocks int)

//go:noescape
func argmaxRowsF32AVX2(q, rows *float32, n, eights int, base int32, best *[Lanes]float32, ids *[Lanes]int32)

//go:noescape
func dotRowsAVX2(v, rows *int8, n, sixteens, eight int, out *int32)

//go:noescape
func expandAAVX2(dst *int8, factors *int32, cells *int8, last int, codes, a *byte, n, dim int, levels *[16]int8)

//go:noescape
func expandSomeAAVX2(dst *int8, factors *int32, cells *int8, last int, codes, a *byte, ids *uint32, n, dim int, levels *[16]int8)

//go:noescape
func expandABAVX2(dst *int8, factors *int32, cells *int8, last int, codes, a, b *byte, n, dim int, levels *[16]int8)

//go:noescape
func quantizeAVX2(dst *int8, src *float32, eights int, scale float32) int

//go:noescape
func prefetchAVX2(p *byte, n int)

//go:noescape
func prefetchSomeAVX2(p *byte, ids *uint32, n, size int)

//go:noescape
func f16ToF32AVX2(dst *float32, src *byte, eights int)

//go:noescape
func linear4AVX512(out *float32, outBytes int, a *int16, eights int, w *int8, scales, columns, bias *float32)

//go:noescape
func linear8AVX512(out *float32, outBytes int, a *int16, eights int, w *int8, scales, columns, bias *float32)

//go:noescape
func linear12AVX512(out *float32, outBytes int, a *int16, eights int, w *int8, scales, columns, bias *float32)

//go:noescape
func linear4AVX2(out *float32, outBytes int, a *int16, eights int, w *int8, scales, columns, bias *float32)

//go:noescape
func linear6AVX2(out *float32, outBytes int, a *int16, eights int, w *int8, scales, columns, bias *float32)

//go:noescape
func matMulTileAVX2(out *float32, outBytes int, a *float32, aBytes, k int, b *float32, bBytes int)

//go:noescape
func maxAbsAVX2(src *float32, sixteens int) float32

//go:noescape
func roundAVX2(dst *int16, src *float32, sixteens int, factor float32)

//go:noescape
func softmaxAVX2(row *float32, eights int, c *[12]float32)

//go:noescape
func geluAVX2(x *float32, eights int, c *[16]float32)

//go:noescape
func layerNormAVX2(dst, a, b, gain, bias *float32, eights int, n, eps float32)

//go:noescape
func maxCells32AVX2(best *[CellLanes]uint8, table *uint8, last int, codes *byte, n int)

//go:noescape
func selectCells32AVX2(ids *uint32, floor *[CellLanes]uint8, table *uint8, last int, codes *byte, n int) int

//go:noescape
func maxCells64AVX2(best *[CellLanes]uint8, table *uint8, last int, codes *byte, n int)

//go:noescape
func selectCells64AVX2(ids *uint32, floor *[CellLanes]uint8, table *uint8, last int, codes *byte, n int) int

//go:noescape
func cellSimsAVX2(dst *uint8, stride int, products *int32, step int, factors *[Lanes]int32, n int)
