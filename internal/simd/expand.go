package simd

// Residuals says what the two-bit codes of some tokens are relative to. A
// token's record in a plane is two bits a dimension, the least significant
// first, and a length byte.
type Residuals struct {
	Dim   int
	Cells []int8 // [cells][Dim]
	Codes []byte // [tokens] little-endian uint16 cell; beyond the last counts as the last
}

func (r *Residuals) lastCell() int { return len(r.Cells)/r.Dim - 1 }

func (r *Residuals) check(dst []int8, factors []int32, a, b []byte, n int, name string) {
	bytes := n * (r.Dim/4 + 1)
	check(r.Dim > 0 && r.Dim%8 == 0 && len(r.Cells) >= r.Dim && len(r.Codes) >= 2*n &&
		len(dst) >= n*r.Dim && len(factors) >= n && len(a) >= bytes && len(b) >= bytes, name)
}

// ExpandA reconstructs n tokens from records of plane A as rows and the factors
// that restore their lengths: cell + levels[code], saturating at -128 and 127,
// and the length byte + 80. The four levels stand in the table four times over.
func ExpandA(dst []int8, factors []int32, r Residuals, a []byte, n int, levels *[16]int8) {
	if n == 0 {
		return
	}
	r.check(dst, factors, a, a, n, "ExpandA")
	active.expandA(dst, factors, r, a, n, levels)
}

// ExpandSomeA is ExpandA for the tokens whose numbers ids holds, ascending.
func ExpandSomeA(dst []int8, factors []int32, r Residuals, a []byte, ids []uint32, levels *[16]int8) {
	if len(ids) == 0 {
		return
	}
	n := int(ids[len(ids)-1]) + 1
	check(len(r.Codes) >= 2*n && len(a) >= n*(r.Dim/4+1) && len(dst) >= len(ids)*r.Dim && len(factors) >= len(ids) && r.Dim%8 == 0, "ExpandSomeA")
	active.expandSomeA(dst, factors, r, a, ids, levels)
}

// ExpandAB is ExpandA for planes A and B together: a code is 4·a + b, and the
// length byte is plane B's.
func ExpandAB(dst []int8, factors []int32, r Residuals, a, b []byte, n int, levels *[16]int8) {
	if n == 0 {
		return
	}
	r.check(dst, factors, a, b, n, "ExpandAB")
	active.expandAB(dst, factors, r, a, b, n, levels)
}
