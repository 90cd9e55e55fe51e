package codec

import (
	"encoding/binary"
	"fmt"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// Scorer computes MaxSim of one query with documents: for each query token the
// greatest dot product over the document's tokens, summed over the query's
// tokens (Khattab and Zaharia 2020, section 3.2). It is used by one goroutine
// at a time and allocates nothing once warm.
//
// Integer planes are expanded, sixty-four tokens at a time, to int16 rows that
// stay in the first-level cache and are scored against sixteen query tokens at
// once. The maxima are integers; the sum is float32, in the order of the query.
type Scorer struct {
	q    *Query
	cb   *Codebook
	rows []int16
	f32  []float32
	best [][simd.Lanes]int32
	ids  [][simd.Lanes]int32
	sims []float32
	at   []int32
}

// NewScorer returns a Scorer; Reset comes before its first use.
func NewScorer() *Scorer { return &Scorer{} }

// Reset sets the query and the codebook of the documents to come; the codebook
// is nil for a flat collection.
func (s *Scorer) Reset(q *Query, cb *Codebook) {
	s.q, s.cb = q, cb
	s.rows = resize(s.rows, rowBatch*q.Dim)
	s.f32 = resize(s.f32, q.Dim)
	s.best, s.ids = resize(s.best, q.blocks()), resize(s.ids, q.blocks())
	s.sims, s.at = resize(s.sims, q.Tokens), resize(s.at, q.Tokens)
}

// MaxSim returns the score of a document on plane p.
func (s *Scorer) MaxSim(p Plane, v View) float32 {
	return s.score(p, v, s.sims, s.at)
}

// Explain is MaxSim that also tells, for each query token, the document token
// that matched best (the first of equals) and their similarity. Both slices
// have room for the query's tokens.
func (s *Scorer) Explain(p Plane, v View, tokens []int32, sims []float32) float32 {
	return s.score(p, v, sims, tokens)
}

func (s *Scorer) score(p Plane, v View, sims []float32, at []int32) float32 {
	if p == PlaneRaw {
		s.maxRaw(v, sims, at)
	} else {
		s.maxInt(p, v, sims, at)
	}
	var sum float32
	for t := range s.q.Tokens {
		sum += sims[t]
	}
	return sum
}

func (s *Scorer) maxInt(p Plane, v View, sims []float32, at []int32) {
	dim, blocks := s.q.Dim, s.q.blocks()
	for b := range blocks {
		s.best[b] = lowest
	}
	for first := 0; first < v.Tokens; first += rowBatch {
		n := min(rowBatch, v.Tokens-first)
		expand(s.cb, dim, v, p, first, n, s.rows)
		for b := range blocks {
			simd.ArgmaxRows(s.q.block(b), s.rows, n, dim, int32(first), &s.best[b], &s.ids[b])
		}
	}
	unit := 1 / (IntScale(dim) / float32(int(1)<<v.Exp))
	for t := range s.q.Tokens {
		b, l := t/simd.Lanes, t%simd.Lanes
		sims[t] = float32(float32(s.best[b][l])*s.q.Scale[t]) * unit
		at[t] = s.ids[b][l]
	}
}

func (s *Scorer) maxRaw(v View, sims []float32, at []int32) {
	dim := s.q.Dim
	for tok := range v.Tokens {
		simd.F16ToF32(s.f32, v.Raw[2*tok*dim:2*(tok+1)*dim])
		for t := range s.q.Tokens {
			sim := simd.DotF32(s.q.F32[t*dim:(t+1)*dim], s.f32)
			if tok == 0 || sim > sims[t] {
				sims[t], at[t] = sim, int32(tok)
			}
		}
	}
}

// expand writes n tokens of an integer plane, from the first, as int16 rows.
func expand(cb *Codebook, dim int, v View, p Plane, first, n int, rows []int16) {
	switch p {
	case PlaneC:
		simd.Widen(rows, v.C[first*dim:(first+n)*dim])
	case PlaneA:
		pb := PlaneBytes(dim)
		for i := range n {
			a := v.A[(first+i)*pb : (first+i+1)*pb]
			simd.ExpandA(rows[i*dim:(i+1)*dim], cb.cellOf(v, first+i), a, &cb.CoarseLevels, factor(a[pb-1], v.Exp))
		}
	case PlaneB:
		pb := PlaneBytes(dim)
		for i := range n {
			a, b := v.A[(first+i)*pb:(first+i+1)*pb], v.B[(first+i)*pb:(first+i+1)*pb]
			simd.ExpandAB(rows[i*dim:(i+1)*dim], cb.cellOf(v, first+i), a, b, &cb.Levels, factor(b[pb-1], v.Exp))
		}
	default:
		panic(fmt.Sprintf("colbertdb: %s has no integer vectors", p)) // a bug of the caller in this module
	}
}

// cellOf returns the cell of a token. A code beyond the codebook, which only
// damaged bytes can hold, counts as the last cell.
func (cb *Codebook) cellOf(v View, t int) []int16 {
	return cb.cell(min(int(binary.LittleEndian.Uint16(v.Codes[2*t:])), cb.NumCells()-1))
}

// Reconstruct writes the vectors that plane p of a document stands for to dst,
// reusing its memory.
func Reconstruct(cb *Codebook, dim int, v View, p Plane, dst *Matrix) {
	dst.Dim = dim
	dst.Data = resize(dst.Data, v.Tokens*dim)
	if p == PlaneRaw {
		DecodeF16(dst.Data, v.Raw)
		return
	}
	rows := make([]int16, min(rowBatch, v.Tokens)*dim)
	unit := 1 / (IntScale(dim) / float32(int(1)<<v.Exp))
	for first := 0; first < v.Tokens; first += rowBatch {
		n := min(rowBatch, v.Tokens-first)
		expand(cb, dim, v, p, first, n, rows)
		for i, x := range rows[:n*dim] {
			dst.Data[first*dim+i] = float32(x) * unit
		}
	}
}
