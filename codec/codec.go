package codec

import (
	"fmt"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// Profile says which planes a collection stores once it has a codebook.
type Profile uint8

const (
	Exact    Profile = iota // planes A and C: int8 originals decide the ranking. The default.
	Balanced                // planes A and B: 4 bits a dimension
	Compact                 // plane A: 2 bits a dimension
	PLAID1                  // an imported codebook (PLAID), 1 bit a dimension
	PLAID2                  // 2 bits
	PLAID4                  // 4 bits
	PLAID8                  // 8 bits
)

// PLAIDBits is the number of bits a dimension of an imported codebook, 0 for the
// other profiles.
func (p Profile) PLAIDBits() int {
	if p < PLAID1 || p > PLAID8 {
		return 0
	}
	return 1 << (p - PLAID1)
}

// PLAIDProfile is the profile of imported codebooks with so many bits a dimension.
func PLAIDProfile(bits int) (Profile, error) {
	for p := PLAID1; p <= PLAID8; p++ {
		if p.PLAIDBits() == bits {
			return p, nil
		}
	}
	return 0, fmt.Errorf("colbertdb: %d bits a dimension: use 1, 2, 4 or 8", bits)
}

// Plane names a representation of token vectors that can be scored, coarsest
// first. PlaneB means A and B together.
type Plane uint8

const (
	PlaneNone  Plane = iota
	PlaneA           // cell + 2-bit residual, scaled to unit length
	PlaneB           // cell + 4-bit residual (planes A and B), scaled to unit length
	PlaneC           // int8 originals
	PlaneRaw         // float16 originals (RetainRaw)
	PlanePLAID       // centroid and bucket weights of an imported codebook, at unit length
)

// View is one document's stored columns, aliasing memory that belongs to a
// segment or a memory buffer. Columns that the collection does not store, or
// that the caller did not ask for, are nil.
type View struct {
	Tokens int
	Exp    uint8  // scale exponent: int8 units are IntScale(dim) / 2^Exp per 1.0
	Codes  []byte // [Tokens] little-endian uint16 cell of the codebook
	A      []byte // [Tokens][PlaneBytes(dim)]: residual bits, then the scale byte
	B      []byte // [Tokens][PlaneBytes(dim)]: next residual bits, then the scale byte for A+B
	C      []byte // [Tokens][dim] int8 originals
	Raw    []byte // [Tokens][dim] little-endian IEEE float16 originals
	PLAID  []byte // [Tokens][PLAID.RecordBytes]: centroid and packed residual of an imported codebook
}

// Prefetch asks for the view's bytes to be brought near the processor. It has no
// other effect.
func (v View) Prefetch() {
	for _, column := range [...][]byte{v.Codes, v.A, v.B, v.C, v.Raw, v.PLAID} {
		simd.Prefetch(column)
	}
}

// PrefetchCodes is Prefetch of the codes alone.
func (v View) PrefetchCodes() { simd.Prefetch(v.Codes) }

// PrefetchA is Prefetch of plane A's records of the tokens whose numbers are
// given.
func (v View) PrefetchA(tokens []uint32, dim int) {
	simd.PrefetchSome(v.A, tokens, PlaneBytes(dim))
}

// PlaneBytes is the stored size of one token in plane A or plane B: two bits a
// dimension and one byte of scale.
func PlaneBytes(dim int) int { return dim/4 + 1 }

// Kernels names the kernels in use: "avx512", "avx2", "neon" or "generic".
func Kernels() string { return simd.Tier() }

// ParseProfile reads "exact", "balanced" or "compact", or what an import has made,
// such as "plaid-2".
func ParseProfile(s string) (Profile, error) {
	for p := Exact; p <= PLAID8; p++ {
		if s == p.String() {
			return p, nil
		}
	}
	return 0, fmt.Errorf("colbertdb: unknown profile %q: use exact, balanced or compact", s)
}

// String returns the profile's name.
func (p Profile) String() string {
	switch p {
	case Exact:
		return "exact"
	case Balanced:
		return "balanced"
	case Compact:
		return "compact"
	case PLAID1, PLAID2, PLAID4, PLAID8:
		return fmt.Sprintf("plaid-%d", p.PLAIDBits())
	}
	return fmt.Sprintf("Profile(%d)", uint8(p))
}

// String returns the plane's name as used in stage names.
func (p Plane) String() string {
	switch p {
	case PlaneNone:
		return "none"
	case PlaneA:
		return "plane_a"
	case PlaneB:
		return "plane_b"
	case PlaneC:
		return "plane_c"
	case PlaneRaw:
		return "raw"
	case PlanePLAID:
		return "plaid"
	}
	return fmt.Sprintf("Plane(%d)", uint8(p))
}
