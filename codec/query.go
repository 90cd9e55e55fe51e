package codec

import (
	"fmt"
	"slices"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// Limits of a query.
const (
	MaxQueryTokens = 4096 // token vectors
	MaxQueryWeight = 1000 // of one token
)

// Query is one query prepared for scoring. It is immutable and may be shared.
type Query struct {
	Dim, Tokens int
	F32         []float32 // [Tokens][Dim], unit vectors
	I8          []int8    // [Tokens][Dim] in ±127
	Scale       []float32 // [Tokens]: component = I8 · Scale
	Weights     []float32 // [Tokens] of their similarities in MaxSim
	packed      []int8    // blocks of simd's lanes
}

// NewQuery validates, normalises and quantises the token vectors of a query;
// every token gets a scale of its own. weights has one for each token, zero or
// more and not all zero; nil weighs them all 1.
func NewQuery(m Matrix, weights []float32) (*Query, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	if m.Len() > MaxQueryTokens {
		return nil, fmt.Errorf("query: %w: %d token vectors, the limit is %d", ErrBadVector, m.Len(), MaxQueryTokens)
	}
	weights, err := queryWeights(weights, m.Len())
	if err != nil {
		return nil, err
	}
	unit := m.Normalized()
	q := &Query{
		Dim: m.Dim, Tokens: m.Len(), F32: unit.Data,
		I8: make([]int8, len(unit.Data)), Scale: make([]float32, m.Len()),
		Weights: weights,
	}
	for t := range q.Tokens {
		row := unit.Row(t)
		var top float32
		for _, x := range row {
			top = max(top, x, -x)
		}
		q.Scale[t] = top / 127
		simd.QuantizeInt8(q.I8[t*q.Dim:(t+1)*q.Dim], row, 127/top)
	}
	q.packed = packLanes(nil, q.I8, q.Dim)
	return q, nil
}

// queryWeights checks weights, or makes them.
func queryWeights(weights []float32, tokens int) ([]float32, error) {
	if weights == nil {
		weights = make([]float32, tokens)
		for i := range weights {
			weights[i] = 1
		}
		return weights, nil
	}
	if len(weights) != tokens {
		return nil, fmt.Errorf("query: %w: %d weights for %d token vectors", ErrBadVector, len(weights), tokens)
	}
	var top float32
	for i, w := range weights {
		if !(w >= 0 && w <= MaxQueryWeight) { // NaN is neither
			return nil, fmt.Errorf("query: %w: the weight of token %d is %v, it must be 0 to %d", ErrBadVector, i, w, MaxQueryWeight)
		}
		top = max(top, w)
	}
	if top == 0 {
		return nil, fmt.Errorf("query: %w: all weights are zero", ErrBadVector)
	}
	return slices.Clone(weights), nil
}

// blocks is the number of packed blocks of 16 lanes.
func (q *Query) blocks() int { return blocksOf(q.Tokens) }

// packLanes packs any number of int8 vectors into blocks of 16 lanes.
func packLanes(dst, vectors []int8, dim int) []int8 {
	size := simd.BlockBytes(dim)
	blocks := blocksOf(len(vectors) / dim)
	dst = resize(dst, blocks*size)
	for b := range blocks {
		lanes := vectors[b*simd.Lanes*dim : min((b+1)*simd.Lanes*dim, len(vectors))]
		simd.PackLanes(dst[b*size:], lanes, dim)
	}
	return dst
}
