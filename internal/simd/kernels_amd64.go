//go:build !noasm

package simd

import "golang.org/x/sys/cpu"

func archTiers() []*kernels {
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA || !cpu.X86.HasOSXSAVE {
		return nil
	}
	return []*kernels{{
		name: "avx2",
		argmaxRows: func(q, rows []int16, n, dim int, base int32, best, ids *[Lanes]int32) {
			argmaxRowsAVX2(&q[0], &rows[0], n, dim/2, base, best, ids)
		},
		scoreRows: func(q, rows []int16, n, dim int, out []int32) {
			scoreRowsAVX2(&q[0], &rows[0], n, dim/2, &out[0])
		},
		widen: func(dst []int16, src []byte) {
			widenAVX2(&dst[0], &src[0], len(src)/8)
		},
		expandA: func(dst, cell []int16, bits []byte, levels *[4]int16, factor int16) {
			expandAAVX2(&dst[0], &cell[0], &bits[0], len(cell)/8, levels, factor)
		},
		expandAB: func(dst, cell []int16, a, b []byte, levels *[16]int16, factor int16) {
			var lo, hi [16]byte
			for i, v := range levels {
				lo[i], hi[i] = byte(v), byte(uint16(v)>>8)
			}
			expandABAVX2(&dst[0], &cell[0], &a[0], &b[0], len(cell)/8, &lo, &hi, factor)
		},
		dotF32: func(a, b []float32) float32 {
			return dotF32AVX2(&a[0], &b[0], len(a)/8)
		},
		f16ToF32: func(dst []float32, src []byte) {
			f16ToF32AVX2(&dst[0], &src[0], len(dst)/8)
		},
	}}
}

//go:noescape
func argmaxRowsAVX2(q, rows *int16, n, pairs int, base int32, best, ids *[Lanes]int32)

//go:noescape
func scoreRowsAVX2(q, rows *int16, n, pairs int, out *int32)

//go:noescape
func widenAVX2(dst *int16, src *byte, eights int)

//go:noescape
func expandAAVX2(dst, cell *int16, bits *byte, eights int, levels *[4]int16, factor int16)

//go:noescape
func expandABAVX2(dst, cell *int16, a, b *byte, eights int, lo, hi *[16]byte, factor int16)

//go:noescape
func dotF32AVX2(a, b *float32, eights int) float32

//go:noescape
func f16ToF32AVX2(dst *float32, src *byte, eights int)
