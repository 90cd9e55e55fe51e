package codec

import (
	"fmt"
	"math"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// Scorer computes MaxSim of one query with documents: for each query token the
// greatest dot product over the document's tokens, summed over the query's
// tokens (Khattab and Zaharia 2020, section 3.2), each times its weight. It is used by one goroutine
// at a time and allocates nothing once warm.
//
// Planes A and B are expanded, a batch of tokens at a time, to int8 rows that
// stay in the first-level cache; plane C's rows are scored where they lie. A
// row's integer products, times its factor on planes A and B, are reduced to
// maxima for two blocks of query tokens at once; float16 originals are widened
// to float32. The sum is float32, in the order of the query. Scores are the same
// on every kernel tier.
type Scorer struct {
	q       *Query
	cb      *Codebook
	rows    []int8
	factors []int32 // of the rows
	rowsF32 []float32
	lanes   []float32 // the query's packed float32 vectors; empty until they are used
	best    [][simd.Lanes]int32
	bestF32 [][simd.Lanes]float32
	ids     [][simd.Lanes]int32
	sims    []float32
	scan    []int32 // Explain's products
	above   []uint16
}

// NewScorer returns a Scorer; Reset comes before its first use.
func NewScorer() *Scorer { return &Scorer{} }

// Reset sets the query and the codebook of the documents to come; the codebook
// is nil for a flat collection.
func (s *Scorer) Reset(q *Query, cb *Codebook) {
	s.q, s.cb = q, cb
	s.rows, s.factors = resize(s.rows, rowBatch*q.Dim), resize(s.factors, rowBatch)
	s.best, s.ids = resize(s.best, q.blocks()), resize(s.ids, q.blocks())
	s.sims, s.lanes = resize(s.sims, q.Tokens), s.lanes[:0]
}

// SetCodebook sets the codebook of the documents to come and keeps the query.
func (s *Scorer) SetCodebook(cb *Codebook) { s.cb = cb }

// MaxSim returns the score of a document on plane p.
func (s *Scorer) MaxSim(p Plane, v View) float32 {
	if p.floats() {
		s.maxFloats(p, v)
		for t := range s.sims {
			s.sims[t] = s.bestF32[t/simd.Lanes][t%simd.Lanes]
		}
	} else {
		s.maxInt(p, v)
		s.similarities(p, v, s.sims)
	}
	return s.sum(s.sims)
}

// MaxSimOf is MaxSim on plane A over the tokens whose numbers are given,
// ascending: what a CellTable selects. It is at most MaxSim.
func (s *Scorer) MaxSimOf(v View, tokens []uint32) float32 {
	for b := range s.best {
		s.best[b] = lowest
	}
	dim := s.q.Dim
	r := simd.Residuals{Dim: dim, Cells: s.cb.cells8, Codes: v.Codes}
	for first := 0; first < len(tokens); first += rowBatch {
		some := tokens[first:min(first+rowBatch, len(tokens))]
		simd.ExpandSomeA(s.rows, s.factors, r, v.A, some, &s.cb.coarseLevels8)
		simd.MaxScaledRows(s.q.packed, s.rows, len(some), dim, s.factors, s.best)
	}
	s.similarities(PlaneA, v, s.sims)
	return s.sum(s.sims)
}

// Explain is MaxSim that also tells, for each query token, the document token
// that matched best (the first of equals) and their similarity, not weighted. Both slices
// have room for the query's tokens.
func (s *Scorer) Explain(p Plane, v View, tokens []int32, sims []float32) float32 {
	if p.floats() {
		s.maxFloats(p, v)
		for t := range s.q.Tokens {
			sims[t] = s.bestF32[t/simd.Lanes][t%simd.Lanes]
		}
	} else {
		s.argmaxInt(p, v)
		s.similarities(p, v, sims)
	}
	for t := range s.q.Tokens {
		tokens[t] = s.ids[t/simd.Lanes][t%simd.Lanes]
	}
	return s.sum(sims)
}

func (s *Scorer) sum(sims []float32) (sum float32) {
	for t := range s.q.Tokens {
		sum += float32(sims[t] * s.q.Weights[t])
	}
	return sum
}

// similarities turns integer maxima into floats.
func (s *Scorer) similarities(p Plane, v View, sims []float32) {
	unit := planeUnit(s.cb, s.q.Dim, p, v)
	for t := range s.q.Tokens {
		sims[t] = float32(float32(s.best[t/simd.Lanes][t%simd.Lanes])*s.q.Scale[t]) * unit
	}
}

// planeUnit is what one step of a plane's integers stands for, factors included.
func planeUnit(cb *Codebook, dim int, p Plane, v View) float32 {
	if p == PlaneC {
		return 1 / (IntScale(dim) / float32(int(1)<<v.Exp))
	}
	return 1 / (IntScale(dim) / float32(int(1)<<cb.exp) * factorUnit)
}

// maxInt leaves each query token's integer maximum in s.best.
func (s *Scorer) maxInt(p Plane, v View) {
	for b := range s.best {
		s.best[b] = lowest
	}
	dim := s.q.Dim
	for first := 0; first < v.Tokens; first += rowBatch {
		n := min(rowBatch, v.Tokens-first)
		rows := expand(s.cb, dim, v, p, first, n, s.rows, s.factors)
		if p == PlaneC {
			simd.MaxRows(s.q.packed, rows, n, dim, s.best)
		} else {
			simd.MaxScaledRows(s.q.packed, rows, n, dim, s.factors, s.best)
		}
	}
}

// argmaxInt is maxInt that leaves the document tokens in s.ids.
func (s *Scorer) argmaxInt(p Plane, v View) {
	dim := s.q.Dim
	s.scan, s.above = resize(s.scan, rowBatch*simd.Lanes), resize(s.above, rowBatch)
	for b := range s.best {
		s.best[b], s.ids[b] = lowest, [simd.Lanes]int32{}
		block := s.q.packed[b*simd.BlockBytes(dim):]
		for first := 0; first < v.Tokens; first += rowBatch {
			n := min(rowBatch, v.Tokens-first)
			rows := expand(s.cb, dim, v, p, first, n, s.rows, s.factors)
			simd.ScanRows(block, rows, n, dim, s.best[b:b+1], s.scan, s.above)
			for i, x := range s.scan[:n*simd.Lanes] {
				if p != PlaneC {
					x *= s.factors[i/simd.Lanes]
				}
				if l := i % simd.Lanes; x > s.best[b][l] {
					s.best[b][l], s.ids[b][l] = x, int32(first+i/simd.Lanes)
				}
			}
		}
	}
}

// floats reports whether a plane is scored in float32.
func (p Plane) floats() bool { return p == PlaneRaw || p == PlanePLAID }

// maxFloats leaves each query token's maximum in s.bestF32, and where in s.ids.
func (s *Scorer) maxFloats(p Plane, v View) {
	dim := s.q.Dim
	if len(s.lanes) == 0 {
		s.packF32()
	}
	s.rowsF32, s.bestF32 = resize(s.rowsF32, rowBatchF32*dim), resize(s.bestF32, s.q.blocks())
	for b := range s.bestF32 {
		s.bestF32[b] = lowestF32
	}
	for first := 0; first < v.Tokens; first += rowBatchF32 {
		n := min(rowBatchF32, v.Tokens-first)
		if p == PlanePLAID {
			s.cb.decodePLAID(s.rowsF32, v, first, n)
		} else {
			simd.F16ToF32(s.rowsF32[:n*dim], v.Raw[2*first*dim:])
		}
		simd.ArgmaxRowsF32(s.lanes, s.rowsF32, n, dim, int32(first), s.bestF32, s.ids)
	}
}

// packF32 packs the query's vectors into s.lanes.
func (s *Scorer) packF32() {
	block := simd.Lanes * s.q.Dim
	s.lanes = resize(s.lanes, s.q.blocks()*block)
	for b := range s.q.blocks() {
		simd.PackLanesF32(s.lanes[b*block:], s.q.F32[b*block:min((b+1)*block, len(s.q.F32))], s.q.Dim)
	}
}

// lowestF32 is where a search for float maxima starts.
var lowestF32 = func() (l [simd.Lanes]float32) {
	for i := range l {
		l[i] = float32(math.Inf(-1))
	}
	return l
}()

// expand returns n tokens of an integer plane, from the first, as int8 rows:
// plane C's own bytes, or planes A and B expanded into rows, with the factors of
// their lengths.
func expand(cb *Codebook, dim int, v View, p Plane, first, n int, rows []int8, factors []int32) []int8 {
	if p == PlaneC {
		return signed(v.C[first*dim : (first+n)*dim])
	}
	pb := PlaneBytes(dim)
	r := simd.Residuals{Dim: dim, Cells: cb.cells8, Codes: v.Codes[2*first:]}
	switch p {
	case PlaneA:
		simd.ExpandA(rows, factors, r, v.A[first*pb:], n, &cb.coarseLevels8)
	case PlaneB:
		simd.ExpandAB(rows, factors, r, v.A[first*pb:], v.B[first*pb:], n, &cb.levels8)
	default:
		panic(fmt.Sprintf("colbertdb: %s has no integer vectors", p)) // a bug of the caller in this module
	}
	return rows
}

// Reconstruct writes the vectors that plane p of a document stands for to dst,
// reusing its memory.
func Reconstruct(cb *Codebook, dim int, v View, p Plane, dst *Matrix) {
	dst.Dim = dim
	dst.Data = resize(dst.Data, v.Tokens*dim)
	switch p {
	case PlaneRaw:
		DecodeF16(dst.Data, v.Raw)
		return
	case PlanePLAID:
		cb.decodePLAID(dst.Data, v, 0, v.Tokens)
		return
	}
	buffer, factors := make([]int8, min(rowBatch, v.Tokens)*dim), make([]int32, rowBatch)
	unit := planeUnit(cb, dim, p, v)
	for first := 0; first < v.Tokens; first += rowBatch {
		n := min(rowBatch, v.Tokens-first)
		rows := expand(cb, dim, v, p, first, n, buffer, factors)
		for i, x := range rows[:n*dim] {
			y := int32(x)
			if p != PlaneC {
				y *= factors[i/dim]
			}
			dst.Data[first*dim+i] = float32(y) * unit
		}
	}
}
