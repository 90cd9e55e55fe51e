package codec

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// Codec ids of columns. Others may be added: a segment names the codec of each
// of its columns.
const (
	CodecFlat     uint8 = 1 // int8 and float16 originals, independent of a codebook
	CodecResidual uint8 = 2 // cells and residual planes of a Codebook
	CodecPLAID    uint8 = 3 // centroids and packed residuals of a PLAID codebook
)

// ColumnSpec describes one stored column of token records.
type ColumnSpec struct {
	Name          string `json:"name"` // "codes", "a", "b", "c", "raw" or "plaid"
	Codec         uint8  `json:"codec"`
	Version       uint8  `json:"version"`
	BytesPerToken int    `json:"bytes_per_token"`
}

// Columns lists what a collection stores for a token, hottest first.
func Columns(dim int, p Profile, retainRaw, coded bool) []ColumnSpec {
	var out []ColumnSpec
	add := func(name string, codec uint8, bytes int) {
		out = append(out, ColumnSpec{Name: name, Codec: codec, Version: 1, BytesPerToken: bytes})
	}
	if bits := p.PLAIDBits(); bits > 0 {
		add("plaid", CodecPLAID, plaidCodeBytes+dim*bits/8)
		return out
	}
	if coded {
		add("codes", CodecResidual, 2)
		add("a", CodecResidual, PlaneBytes(dim))
		if p == Balanced {
			add("b", CodecResidual, PlaneBytes(dim))
		}
	}
	if !coded || p == Exact {
		add("c", CodecFlat, dim)
	}
	if retainRaw {
		add("raw", CodecFlat, 2*dim)
	}
	return out
}

// Representation is the plane that decides a collection's scores: raw where it
// is retained, else the most accurate plane that is stored.
func Representation(p Profile, retainRaw, coded bool) Plane {
	switch {
	case p.PLAIDBits() > 0:
		return PlanePLAID
	case retainRaw:
		return PlaneRaw
	case !coded || p == Exact:
		return PlaneC
	case p == Balanced:
		return PlaneB
	}
	return PlaneA
}

// Encoded is one document in every column that its collection stores. It owns
// its memory.
type Encoded struct {
	View
	Centroids []uint32 // [Tokens] routing centroid, nil without a codebook
	Clipped   int      // components outside the int8 range
	Norms     []uint8  // [Tokens] norms of the residuals in 1/128, nil without a codebook
}

// Encoder encodes documents. It is used by one goroutine at a time.
type Encoder struct {
	dim       int
	profile   Profile
	retainRaw bool
	cb        *Codebook
	rt        *Routing

	i8, plain     []int8
	packed        []int8
	best, ids     [][simd.Lanes]int32
	cells, scores []int32
}

// NewEncoder returns an encoder; cb and rt are both nil for a flat collection.
func NewEncoder(dim int, p Profile, retainRaw bool, cb *Codebook, rt *Routing) *Encoder {
	return &Encoder{dim: dim, profile: p, retainRaw: retainRaw, cb: cb, rt: rt}
}

// Encode encodes the token vectors of one document, normalising them.
func (e *Encoder) Encode(m Matrix) (*Encoded, error) {
	if m.Dim != e.dim {
		return nil, fmt.Errorf("%w: vectors have dimension %d, the collection %d", ErrDimension, m.Dim, e.dim)
	}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	unit := m.Normalized()
	if e.cb != nil && e.cb.PLAID != nil {
		return e.encodePLAID(unit), nil
	}
	n := unit.Len()
	out := &Encoded{View: View{Tokens: n, Exp: scaleExponent(unit)}}
	scale := IntScale(e.dim) / float32(int(1)<<out.Exp)
	e.i8 = resize(e.i8, n*e.dim)
	for t := range n {
		out.Clipped += simd.QuantizeInt8(e.i8[t*e.dim:(t+1)*e.dim], unit.Row(t), scale)
	}
	if e.cb != nil {
		e.encodeResiduals(out, unit)
	}
	if e.cb == nil || e.profile == Exact {
		out.C = make([]byte, n*e.dim)
		for i, x := range e.i8 {
			out.C[i] = byte(x)
		}
	}
	if e.retainRaw {
		out.Raw = AppendF16(make([]byte, 0, 2*n*e.dim), unit.Data)
	}
	return out, nil
}

func (e *Encoder) encodeResiduals(out *Encoded, unit Matrix) {
	n := unit.Len()
	e.assignCells(unit)
	out.Centroids = e.assignCentroids(make([]uint32, n))
	out.Codes = make([]byte, 2*n)
	out.A = make([]byte, n*PlaneBytes(e.dim))
	withB := e.profile == Balanced
	if withB {
		out.B = make([]byte, n*PlaneBytes(e.dim))
	}
	// Codes are of the residual against the int8 cell, which is what expansion
	// adds a level to, and lengths are those of the integers that it makes.
	scale, step := float64(codebookScale(e.dim)), float64(e.cb.step())
	length1 := float64(IntScale(e.dim)) / float64(int(1)<<e.cb.exp)
	var bounds [15]float64
	for i, b := range e.cb.Bounds {
		bounds[i] = float64(b)
	}
	out.Norms = make([]uint8, n)
	pb := PlaneBytes(e.dim)
	for t := range n {
		c := int(e.cells[t])
		binary.LittleEndian.PutUint16(out.Codes[2*t:], uint16(c))
		cell := e.cb.cell8(c)
		a := out.A[t*pb : (t+1)*pb]
		var b []byte
		if withB {
			b = out.B[t*pb : (t+1)*pb]
		}
		var norm float64    // squared, of the residual
		var lenA, lenAB int // squared, of the reconstructions
		for d, x := range unit.Row(t) {
			res := float64(x)*scale - float64(cell[d])*step
			norm += res * res
			code := level(&bounds, res)
			a[d/4] |= code >> 2 << (2 * (d % 4))
			ra := int(simd.Saturate(int(cell[d]) + int(e.cb.coarseLevels8[code>>2])))
			lenA += ra * ra
			if withB {
				b[d/4] |= code & 3 << (2 * (d % 4))
				rb := int(simd.Saturate(int(cell[d]) + int(e.cb.levels8[code])))
				lenAB += rb * rb
			}
		}
		a[pb-1] = lengthByte(math.Sqrt(float64(lenA)) / length1)
		if withB {
			b[pb-1] = lengthByte(math.Sqrt(float64(lenAB)) / length1)
		}
		out.Norms[t] = normByte(math.Sqrt(norm) / scale)
	}
}

// level returns the code, 0 to 15, of a residual component in codebook units:
// the number of bounds that it reaches, found in four steps without branches.
func level(bounds *[15]float64, res float64) byte {
	i := 0
	if res >= bounds[7] {
		i = 8
	}
	if res >= bounds[i+3] {
		i += 4
	}
	if res >= bounds[i+1] {
		i += 2
	}
	if res >= bounds[i] {
		i++
	}
	return byte(i)
}

// factorUnit is the factor of a reconstruction that has unit length already.
const factorUnit = 128

// lengthByte encodes the factor that gives a reconstruction of the given length
// unit length: simd.Factor of it ÷ factorUnit, 0.63 to 2.62.
func lengthByte(length float64) byte {
	return byte(max(0, min(255, math.RoundToEven(factorUnit/max(length, 1e-9))-float64(simd.Factor(0)))))
}

// assignCells finds the cell with the greatest dot product for each token, and
// leaves the tokens in e.plain at the plain scale: where a token belongs must
// not depend on its document's exponent.
func (e *Encoder) assignCells(unit Matrix) {
	n := unit.Len()
	e.cells = resize(e.cells, n)
	e.plain = resize(e.plain, n*e.dim)
	for t := range n {
		simd.QuantizeInt8(e.plain[t*e.dim:(t+1)*e.dim], unit.Row(t), IntScale(e.dim))
	}
	e.packed = packLanes(e.packed, e.plain, e.dim)
	e.best, e.ids = resize(e.best, blocksOf(n)), resize(e.ids, blocksOf(n))
	argmaxAll(e.packed, e.cb.units, e.dim, e.best, e.ids)
	for b := range e.ids {
		copy(e.cells[b*simd.Lanes:], e.ids[b][:])
	}
}

// assignCentroids finds each token's best fine centroid inside its cell, the
// first of equals.
func (e *Encoder) assignCentroids(out []uint32) []uint32 {
	dim := e.dim
	e.scores = resize(e.scores, rowBatch)
	for t := range out {
		first, last := int(e.rt.Start[e.cells[t]]), int(e.rt.Start[e.cells[t]+1])
		out[t] = uint32(first)
		if last-first < 2 {
			continue
		}
		best := int32(math.MinInt32)
		for at := first; at < last; at += rowBatch {
			n := min(last-at, rowBatch)
			simd.DotRows(e.plain[t*dim:], e.rt.Centroids[at*dim:(at+n)*dim], n, dim, e.scores)
			for i, s := range e.scores[:n] {
				if s > best {
					best, out[t] = s, uint32(at+i)
				}
			}
		}
	}
	return out
}

// Assign returns the routing centroids of an encoded document from the best
// vectors that are stored of it: for moving postings to another routing.
func (e *Encoder) Assign(v View, p Plane) []uint32 {
	if p == PlanePLAID {
		return e.cb.plaidCentroids(v.PLAID)
	}
	var m Matrix
	Reconstruct(e.cb, e.dim, v, p, &m)
	unit := m.Normalized()
	e.plain = resize(e.plain, len(unit.Data))
	e.cells = resize(e.cells, v.Tokens)
	for t := range v.Tokens {
		simd.QuantizeInt8(e.plain[t*e.dim:(t+1)*e.dim], unit.Row(t), IntScale(e.dim))
		e.cells[t] = int32(min(int(binary.LittleEndian.Uint16(v.Codes[2*t:])), e.cb.NumCells()-1))
	}
	return e.assignCentroids(make([]uint32, v.Tokens))
}
