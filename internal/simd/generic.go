package simd

import (
	"encoding/binary"
	"math"
)

func argmaxRowsGeneric(q, rows []int16, n, dim int, base int32, best, ids *[Lanes]int32) {
	var acc [Lanes]int32
	for r := range n {
		scoreRow(q, rows[r*dim:(r+1)*dim], &acc)
		for l, s := range acc {
			if s > best[l] {
				best[l], ids[l] = s, base+int32(r)
			}
		}
	}
}

func scoreRowsGeneric(q, rows []int16, n, dim int, out []int32) {
	for r := range n {
		scoreRow(q, rows[r*dim:(r+1)*dim], (*[Lanes]int32)(out[r*Lanes:]))
	}
}

func scoreRow(q, row []int16, acc *[Lanes]int32) {
	*acc = [Lanes]int32{}
	for p := 0; p < len(row); p += 2 {
		x, y := int32(row[p]), int32(row[p+1])
		lanes := q[p*Lanes : (p+2)*Lanes]
		for l := range acc {
			acc[l] += x*int32(lanes[2*l]) + y*int32(lanes[2*l+1])
		}
	}
}

func widenGeneric(dst []int16, src []byte) {
	for i, b := range src {
		dst[i] = int16(int8(b))
	}
}

func expandAGeneric(dst, cell []int16, bits []byte, levels *[4]int16, factor int16) {
	for d, c := range cell {
		code := bits[d/4] >> (2 * (d % 4)) & 3
		dst[d] = scaled(c+levels[code], factor)
	}
}

func expandABGeneric(dst, cell []int16, a, b []byte, levels *[16]int16, factor int16) {
	for d, c := range cell {
		shift := 2 * (d % 4)
		code := a[d/4]>>shift&3<<2 | b[d/4]>>shift&3
		dst[d] = scaled(c+levels[code], factor)
	}
}

// scaled is the rounding high multiply of VPMULHRSW, clamped to ±127.
func scaled(v, factor int16) int16 {
	return int16(max(-127, min(127, (int32(v)*int32(factor)+0x4000)>>15)))
}

func dotF32Generic(a, b []float32) float32 {
	var s [8]float32
	for i := 0; i+8 <= len(a); i += 8 {
		x, y := a[i:i+8:i+8], b[i:i+8:i+8]
		for l := range s {
			s[l] += float32(x[l] * y[l])
		}
	}
	return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
}

func f16ToF32Generic(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = F16(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

// F16 widens one IEEE float16.
func F16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exp, man := uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch exp {
	case 0: // zero and subnormals: man * 2^-24
		f := float32(man) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 31:
		return math.Float32frombits(sign | 0x7f800000 | man<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | man<<13)
}

// ToF16 rounds to the nearest IEEE float16, ties to even; what is too large
// becomes infinite.
func ToF16(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000: // NaN
		return sign | 0x7e00
	case b >= 0x477ff000: // rounds to 65536 or more
		return sign | 0x7c00
	case b < 0x38800000: // below the smallest normal float16, 2^-14
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(b))*(1<<24)))
	}
	b += 0xfff + b>>13&1
	return sign | uint16((b-(112<<23))>>13)
}
