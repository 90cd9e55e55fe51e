//go:build !noasm

package simd

import "golang.org/x/sys/cpu"

// archTiers lists the tiers of this processor, best first. All processors with
// AVX2 convert float16 (F16C).
func archTiers() []*kernels {
	if !cpu.X86.HasAVX2 {
		return nil
	}
	return []*kernels{{
		name: "avx2",
		argmaxRows: func(q, rows []int16, n, dim int, base int32, best, ids *[Lanes]int32) {
			argmaxRowsAVX2(&q[0], &rows[0], n, dim/8, base, best, ids)
		},
		scanRows: func(q, rows []int16, n, dim int, floor *[Lanes]int32, out []int32, above []uint16) {
			scanRowsAVX2(&q[0], &rows[0], n, dim/8, floor, &out[0], &above[0])
		},
		argmaxRowsF32: func(q, rows []float32, n, dim int, base int32, best *[Lanes]float32, ids *[Lanes]int32) {
			argmaxRowsF32AVX2(&q[0], &rows[0], n, dim/8, base, best, ids)
		},
		dotRows: func(v []int16, rows []int8, n, dim int, out []int32) {
			dotRowsAVX2(&v[0], &rows[0], n, dim/16, dim%16/8, &out[0])
		},
		widen: func(dst []int16, src []int8) {
			widenAVX2(&dst[0], &src[0], len(src)/8)
		},
		expandA: func(dst []int16, r Residuals, a []byte, n int, levels *[4]int16) {
			expandAAVX2(&dst[0], &r.Cells[0], r.lastCell(), &r.Codes[0], &a[0],
				n, r.Dim/16, r.Dim%16/8, levels, uint64(min(r.Exp, 31)))
		},
		expandAB: func(dst []int16, r Residuals, a, b []byte, n int, levels *[16]int16) {
			var lows, highs [16]byte
			for i, v := range levels {
				lows[i], highs[i] = byte(v), byte(uint16(v)>>8)
			}
			expandABAVX2(&dst[0], &r.Cells[0], r.lastCell(), &r.Codes[0], &a[0], &b[0],
				n, r.Dim/16, r.Dim%16/8, &lows, &highs, uint64(min(r.Exp, 31)))
		},
		f16ToF32: func(dst []float32, src []byte) {
			f16ToF32AVX2(&dst[0], &src[0], len(dst)/8)
		},
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
	}}
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
func argmaxRowsAVX2(q, rows *int16, n, eights int, base int32, best, ids *[Lanes]int32)

//go:noescape
func scanRowsAVX2(q, rows *int16, n, eights int, floor *[Lanes]int32, out *int32, above *uint16)

//go:noescape
func argmaxRowsF32AVX2(q, rows *float32, n, eights int, base int32, best *[Lanes]float32, ids *[Lanes]int32)

//go:noescape
func dotRowsAVX2(v *int16, rows *int8, n, sixteens, eight int, out *int32)

//go:noescape
func widenAVX2(dst *int16, src *int8, eights int)

//go:noescape
func expandAAVX2(dst, cells *int16, last int, codes, a *byte, n, sixteens, eight int, levels *[4]int16, exp uint64)

//go:noescape
func expandABAVX2(dst, cells *int16, last int, codes, a, b *byte, n, sixteens, eight int, lows, highs *[16]byte, exp uint64)

//go:noescape
func f16ToF32AVX2(dst *float32, src *byte, eights int)

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
