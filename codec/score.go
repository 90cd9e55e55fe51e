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
// Planes are expanded, sixty-four tokens at a time, to rows that stay in the
// first-level cache and are scored against sixteen query tokens at once: int16
// rows and integer maxima for planes A, B and C, float32 for the float16
// originals. The sum is float32, in the order of the query. Scores are the same
// on every kernel tier.
type Scorer struct {
	q       *Query
	cb      *Codebook
	rows    []int16
	rowsF32 []float32
	best    [][simd.Lanes]int32
	bestF32 [][simd.Lanes]float32
	ids     [][simd.Lanes]int32
	sims    []float32
	at      []int32
}

// NewScorer returns a Scorer; Reset comes before its first use.
func NewScorer() *Scorer { return &Scorer{} }

// Reset sets the query and the codebook of the documents to come; the codebook
// is nil for a flat collection.
func (s *Scorer) Reset(q *Query, cb *Codebook) {
	s.q, s.cb = q, cb
	s.rows = resize(s.rows, rowBatch*q.Dim)
	s.rowsF32 = resize(s.rowsF32, rowBatch*q.Dim)
	s.best, s.ids = resize(s.best, q.blocks()), resize(s.ids, q.blocks())
	s.bestF32 = resize(s.bestF32, q.blocks())
	s.sims, s.at = resize(s.sims, q.Tokens), resize(s.at, q.Tokens)
}

// MaxSim returns the score of a document on plane p.
func (s *Scorer) MaxSim(p Plane, v View) float32 {
	return s.score(p, v, s.sims, s.at)
}

// Explain is MaxSim that also tells, for each query token, the document token
// that matched best (the first of equals) and their similarity, not weighted. Both slices
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
		sum += float32(sims[t] * s.q.Weights[t])
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
	dim, blocks := s.q.Dim, s.q.blocks()
	for b := range blocks {
		s.bestF32[b] = lowestF32
	}
	for first := 0; first < v.Tokens; first += rowBatch {
		n := min(rowBatch, v.Tokens-first)
		simd.F16ToF32(s.rowsF32[:n*dim], v.Raw[2*first*dim:])
		for b := range blocks {
			simd.ArgmaxRowsF32(s.q.blockF32(b), s.rowsF32, n, dim, int32(first), &s.bestF32[b], &s.ids[b])
		}
	}
	for t := range s.q.Tokens {
		b, l := t/simd.Lanes, t%simd.Lanes
		sims[t], at[t] = s.bestF32[b][l], s.ids[b][l]
	}
}

// lowestF32 is where a search for float maxima starts.
var lowestF32 = func() (l [simd.Lanes]float32) {
	for i := range l {
		l[i] = float32(math.Inf(-1))
	}
	return l
}()

// expand writes n tokens of an integer plane, from the first, as int16 rows.
func expand(cb *Codebook, dim int, v View, p Plane, first, n int, rows []int16) {
	pb := PlaneBytes(dim)
	switch p {
	case PlaneC:
		simd.Widen(rows, signed(v.C[first*dim:(first+n)*dim]))
	case PlaneA:
		r := simd.Residuals{Dim: dim, Cells: cb.Cells, Codes: v.Codes[2*first:], Exp: v.Exp}
		simd.ExpandA(rows, r, v.A[first*pb:], n, &cb.CoarseLevels)
	case PlaneB:
		r := simd.Residuals{Dim: dim, Cells: cb.Cells, Codes: v.Codes[2*first:], Exp: v.Exp}
		simd.ExpandAB(rows, r, v.A[first*pb:], v.B[first*pb:], n, &cb.Levels)
	default:
		panic(fmt.Sprintf("colbertdb: %s has no integer vectors", p)) // a bug of the caller in this module
	}
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
