package simd

import (
	"encoding/binary"
	"math"
)

func maxRowsGeneric(q, rows []int8, n, dim int, best *[Lanes]int32) {
	var sums [Lanes]int32
	for r := range n {
		scoreRow(q, rows[r*dim:(r+1)*dim], &sums)
		for l, s := range sums {
			best[l] = max(best[l], s)
		}
	}
}

func maxScaledRowsGeneric(q, rows []int8, n, dim int, factors []int32, best *[Lanes]int32) {
	var sums [Lanes]int32
	for r := range n {
		scoreRow(q, rows[r*dim:(r+1)*dim], &sums)
		for l, s := range sums {
			best[l] = max(best[l], s*factors[r])
		}
	}
}

func argmaxRowsGeneric(q, rows []int8, n, dim int, base int32, best, ids *[Lanes]int32) {
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

// scanRowsGeneric writes every blocks-th result.
func scanRowsGeneric(q, rows []int8, n, dim int, floor *[Lanes]int32, out []int32, above []uint16, blocks int) {
	for r := range n {
		sums := (*[Lanes]int32)(out[r*blocks*Lanes:])
		scoreRow(q, rows[r*dim:(r+1)*dim], sums)
		var mask uint16
		for l, s := range sums {
			if s > floor[l] {
				mask |= 1 << l
			}
		}
		above[r*blocks] = mask
	}
}

// scoreRow multiplies a row with all lanes, four at a time so that their sums
// stay in registers.
func scoreRow(q, row []int8, sums *[Lanes]int32) {
	for l := 0; l < Lanes; l += 4 {
		var s0, s1, s2, s3 int32
		for d := 0; d+3 < len(row); d += 4 {
			x := (*[4]int8)(row[d:])
			x0, x1, x2, x3 := int32(x[0]), int32(x[1]), int32(x[2]), int32(x[3])
			y := (*[16]int8)(q[d*Lanes+4*l:])
			s0 += x0*int32(y[0]) + x1*int32(y[1]) + x2*int32(y[2]) + x3*int32(y[3])
			s1 += x0*int32(y[4]) + x1*int32(y[5]) + x2*int32(y[6]) + x3*int32(y[7])
			s2 += x0*int32(y[8]) + x1*int32(y[9]) + x2*int32(y[10]) + x3*int32(y[11])
			s3 += x0*int32(y[12]) + x1*int32(y[13]) + x2*int32(y[14]) + x3*int32(y[15])
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

func dotRowsGeneric(v, rows []int8, n, dim int, out []int32) {
	v = v[:dim]
	for r := range n {
		var s int32
		for d, x := range rows[r*dim : (r+1)*dim] {
			s += int32(v[d]) * int32(x)
		}
		out[r] = s
	}
}

func expandAGeneric(dst []int8, factors []int32, r Residuals, a []byte, n int, levels *[16]int8) {
	size := r.Dim / 4
	for t := range n {
		bits := a[t*(size+1) : (t+1)*(size+1)]
		factors[t] = Factor(bits[size])
		out := dst[t*r.Dim:]
		for d, c := range r.cell(t) {
			out[d] = Saturate(int(c) + int(levels[bits[d/4]>>(2*(d%4))&3]))
		}
	}
}

func expandSomeAGeneric(dst []int8, factors []int32, r Residuals, a []byte, ids []uint32, levels *[16]int8) {
	size := r.Dim/4 + 1
	for i, t := range ids {
		one := Residuals{Dim: r.Dim, Cells: r.Cells, Codes: r.Codes[2*t:]}
		expandAGeneric(dst[i*r.Dim:], factors[i:], one, a[int(t)*size:], 1, levels)
	}
}

func expandABGeneric(dst []int8, factors []int32, r Residuals, a, b []byte, n int, levels *[16]int8) {
	size := r.Dim / 4
	for t := range n {
		high, low := a[t*(size+1):(t+1)*(size+1)], b[t*(size+1):(t+1)*(size+1)]
		factors[t] = Factor(low[size])
		out := dst[t*r.Dim:]
		for d, c := range r.cell(t) {
			shift := 2 * (d % 4)
			out[d] = Saturate(int(c) + int(levels[high[d/4]>>shift&3<<2|low[d/4]>>shift&3]))
		}
	}
}

func (r *Residuals) cell(t int) []int8 {
	c := min(int(binary.LittleEndian.Uint16(r.Codes[2*t:])), r.lastCell())
	return r.Cells[c*r.Dim : (c+1)*r.Dim]
}

// Factor is what a token's products are multiplied by, given its length byte.
func Factor(length byte) int32 { return int32(length) + 80 }

// Saturate is the addition of VPADDSB: what is beyond int8 becomes -128 or 127.
func Saturate(v int) int8 { return int8(max(math.MinInt8, min(math.MaxInt8, v))) }

func quantizeGeneric(dst []int8, src []float32, scale float32) (clipped int) {
	for i, x := range src {
		q := math.RoundToEven(float64(float32(x * scale)))
		if q > 127 || q < -127 {
			q = max(-127, min(127, q))
			clipped++
		}
		dst[i] = int8(q)
	}
	return clipped
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
