package simd

import (
	"encoding/binary"
	"math"
)

func argmaxRowsGeneric(q, rows []int16, n, dim int, base int32, best, ids *[Lanes]int32) {
	var sums [Lanes]int32
	for r := range n {
		scoreRow(q, rows[r*dim:(r+1)*dim], &sums)
		for l, s := range sums {
			if s > best[l] {
				best[l], ids[l] = s, base+int32(r)
			}
		}
	}
}

func scanRowsGeneric(q, rows []int16, n, dim int, floor *[Lanes]int32, out []int32, above []uint16) {
	for r := range n {
		sums := (*[Lanes]int32)(out[r*Lanes:])
		scoreRow(q, rows[r*dim:(r+1)*dim], sums)
		above[r] = 0
		for l, s := range sums {
			if s > floor[l] {
				above[r] |= 1 << l
			}
		}
	}
}

// scoreRow multiplies a row with all lanes, four at a time so that their sums
// stay in registers.
func scoreRow(q, row []int16, sums *[Lanes]int32) {
	for l := 0; l < Lanes; l += 4 {
		var s0, s1, s2, s3 int32
		for p := 0; p+1 < len(row); p += 2 {
			x, y := int32(row[p]), int32(row[p+1])
			lanes := (*[8]int16)(q[p*Lanes+2*l:])
			s0 += x*int32(lanes[0]) + y*int32(lanes[1])
			s1 += x*int32(lanes[2]) + y*int32(lanes[3])
			s2 += x*int32(lanes[4]) + y*int32(lanes[5])
			s3 += x*int32(lanes[6]) + y*int32(lanes[7])
		}
		sums[l], sums[l+1], sums[l+2], sums[l+3] = s0, s1, s2, s3
	}
}

func argmaxRowsF32Generic(q, rows []float32, n, dim int, base int32, best *[Lanes]float32, ids *[Lanes]int32) {
	for r := range n {
		row := rows[r*dim : (r+1)*dim]
		for l := 0; l < Lanes; l += 4 {
			var s [4]float32
			for d, x := range row { // the conversions forbid fused multiply-add
				lanes := (*[4]float32)(q[d*Lanes+l:])
				s[0] += float32(x * lanes[0])
				s[1] += float32(x * lanes[1])
				s[2] += float32(x * lanes[2])
				s[3] += float32(x * lanes[3])
			}
			for i, sum := range s {
				if sum > best[l+i] {
					best[l+i], ids[l+i] = sum, base+int32(r)
				}
			}
		}
	}
}

func dotRowsGeneric(v []int16, rows []int8, n, dim int, out []int32) {
	v = v[:dim]
	for r := range n {
		var s int32
		for d, x := range rows[r*dim : (r+1)*dim] {
			s += int32(v[d]) * int32(x)
		}
		out[r] = s
	}
}

func widenGeneric(dst []int16, src []int8) {
	for i, x := range src {
		dst[i] = int16(x)
	}
}

func expandAGeneric(dst []int16, r Residuals, a []byte, n int, levels *[4]int16) {
	size := r.Dim / 4
	for t := range n {
		bits := a[t*(size+1) : (t+1)*(size+1)]
		factor := r.factor(bits[size])
		out := dst[t*r.Dim:]
		for d, c := range r.cell(t) {
			out[d] = scaled(c+levels[bits[d/4]>>(2*(d%4))&3], factor)
		}
	}
}

func expandABGeneric(dst []int16, r Residuals, a, b []byte, n int, levels *[16]int16) {
	size := r.Dim / 4
	for t := range n {
		high, low := a[t*(size+1):(t+1)*(size+1)], b[t*(size+1):(t+1)*(size+1)]
		factor := r.factor(low[size])
		out := dst[t*r.Dim:]
		for d, c := range r.cell(t) {
			shift := 2 * (d % 4)
			out[d] = scaled(c+levels[high[d/4]>>shift&3<<2|low[d/4]>>shift&3], factor)
		}
	}
}

func (r *Residuals) cell(t int) []int16 {
	c := min(int(binary.LittleEndian.Uint16(r.Codes[2*t:])), r.lastCell())
	return r.Cells[c*r.Dim : (c+1)*r.Dim]
}

func (r *Residuals) factor(length byte) int16 { return int16(4 * (int(length) + 80) >> r.Exp) }

// scaled is the rounding high multiply of VPMULHRSW, clamped to ±127.
func scaled(v, factor int16) int16 {
	return int16(max(-127, min(127, (int32(v)*int32(factor)+0x4000)>>15)))
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
