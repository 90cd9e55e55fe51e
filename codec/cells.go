package codec

import (
	"math"
	"slices"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// CellTable holds the similarity of every cell of a codebook with every token
// of a query. A lookup by a document token's code tells, for a twentieth of the
// work of plane A, how well it can match each query token: most tokens of a
// document are the best match of none. A Prober fills it in; the zero value is
// that of no codebook.
type CellTable struct {
	lanes   int     // of a row: 32 or 64; 0: none, the query has too many tokens
	sims    []uint8 // [cells][lanes], at least 0, in units of 1/cellUnit
	factors [simd.CellLanes]int32
	weights [simd.CellLanes]int32 // of the tokens, in units of unit times cellUnit
	unit    float32
	floor   [simd.CellLanes]uint8 // scratch
}

// cellUnit is the similarity 1 in a CellTable.
const cellUnit = 200

// Select returns the numbers of the tokens of a document that are worth scoring,
// ascending: those whose cell is the nearest of all the document's cells to some
// token of the query that has a weight. It uses the memory of ids. All tokens
// are worth it where the table cannot tell.
func (t *CellTable) Select(codes []byte, ids []uint32) []uint32 {
	n := len(codes) / 2
	ids = resize(ids, n)
	if t.lanes == 0 {
		return allTokens(ids)
	}
	clear(t.floor[:])
	simd.MaxCells(&t.floor, t.sims, t.lanes, codes, n)
	for l, f := range &t.factors {
		if f == 0 || t.floor[l] == 0 {
			t.floor[l] = 255 // more than any similarity
		}
	}
	if found := simd.SelectCells(ids, &t.floor, t.sims, t.lanes, codes, n); found > 0 {
		return ids[:found]
	}
	return allTokens(ids)
}

// Known reports whether the table has similarities: the query may have too many
// tokens.
func (t *CellTable) Known() bool { return t.lanes > 0 }

// MaxSim returns the weighted sum, over the tokens of the query, of the greatest
// similarity of a document's cells: about its score, for a twentieth of the work of
// plane A. The table must be Known.
func (t *CellTable) MaxSim(codes []byte) (score float32) {
	clear(t.floor[:])
	simd.MaxCells(&t.floor, t.sims, t.lanes, codes, len(codes)/2)
	// Four sums, since one would wait for each of its additions.
	var a, b, c, d int32
	for l := 0; l < t.lanes; l += 4 {
		best, w := (*[4]uint8)(t.floor[l:]), (*[4]int32)(t.weights[l:])
		a += int32(best[0]) * w[0]
		b += int32(best[1]) * w[1]
		c += int32(best[2]) * w[2]
		d += int32(best[3]) * w[3]
	}
	return float32(a+b+c+d) * t.unit
}

// maxCellWeight is the greatest of CellTable.weights: 64 of them times 255 fit into
// an int32.
const maxCellWeight = 1 << 16

func allTokens(ids []uint32) []uint32 {
	for i := range ids {
		ids[i] = uint32(i)
	}
	return ids
}

// reset prepares for the cells of a codebook.
func (t *CellTable) reset(q *Query, cells int) {
	t.lanes = 0
	switch {
	case q.Tokens > simd.CellLanes:
		return
	case q.Tokens > simd.CellLanes/2:
		t.lanes = simd.CellLanes
	default:
		t.lanes = simd.CellLanes / 2
	}
	t.sims = resize(t.sims, cells*t.lanes)
	if blocks := q.blocks(); blocks*simd.Lanes < t.lanes {
		clear(t.sims)
	}
	clear(t.factors[:])
	clear(t.weights[:])
	greatest := slices.Max(q.Weights)
	t.unit = greatest / (maxCellWeight * cellUnit)
	for l, w := range q.Weights {
		if w > 0 {
			t.weights[l] = int32(math.Round(float64(w) / float64(greatest) * maxCellWeight))
			// A product is a similarity times IntScale, divided by the token's scale.
			t.factors[l] = int32(math.Round(cellUnit * (1 << 22) * float64(q.Scale[l]) / float64(IntScale(q.Dim))))
		}
	}
}

// fill takes the products of n cells, beginning with cell first, with one or
// two blocks of lanes, beginning with a block.
func (t *CellTable) fill(products []int32, first, n, block, blocks int) {
	if t.lanes == 0 {
		return
	}
	for b := range blocks {
		lane := (block + b) * simd.Lanes
		simd.CellSims(t.sims[first*t.lanes+lane:], t.lanes, products[b*simd.Lanes:], blocks*simd.Lanes, (*[simd.Lanes]int32)(t.factors[lane:]), n)
	}
}
