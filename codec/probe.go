package codec

import (
	"math"
	"math/bits"
	"slices"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// Probe is one fine centroid that a query token looks into, with their dot
// product times the token's weight.
type Probe struct {
	Centroid uint32
	Score    float32
}

// Prober finds the fine centroids nearest to each token of a query: it scores
// all cells, takes the best few of each token, and then scores the fine
// centroids of the union of those cells for all tokens at once. It is used by
// one goroutine at a time and allocates nothing once warm.
type Prober struct {
	scores []int32  // [rows][blocks][16] of the blocks in hand
	above  []uint16 // [rows][blocks]: lanes worth a look
	floor  [simd.ScanBlocks][simd.Lanes]int32
	rows   []int8   // a batch of fine centroids
	ids    []uint32 // their numbers
	chosen []bool   // by cell: it is among the best of a token
	tops   []topN   // one a query token
	flat   []Probe
	result [][]Probe
}

// NewProber returns a Prober.
func NewProber() *Prober { return &Prober{} }

// Probe returns, for each query token, its best n fine centroids among the
// children of the cells that are among the best cells of any token: at most n,
// descending by score, equal scores by centroid. Both counts are at least one.
// The result is valid until the next call. A table gets the similarities of
// all cells; it may be nil.
func (p *Prober) Probe(q *Query, cb *Codebook, rt *Routing, cells, n int, table *CellTable) [][]Probe {
	job := [1]ProbeJob{{Prober: p, Query: q, Cells: cells, N: n, Table: table}}
	ProbeTogether(job[:], cb, rt)
	return p.result
}

// Result is what the last Probe returned.
func (p *Prober) Result() [][]Probe { return p.result }

// ProbeJob is one query of several that probe together: the arguments of Probe.
type ProbeJob struct {
	Prober   *Prober // none is in two jobs
	Query    *Query
	Cells, N int
	Table    *CellTable
}

// ProbeTogether probes for several queries in one pass over cells and centroids,
// so that these come from memory once. Every prober's Result is what its own Probe
// would return.
func ProbeTogether(jobs []ProbeJob, cb *Codebook, rt *Routing) {
	for i := range jobs {
		j := &jobs[i]
		j.Cells, j.N = max(1, j.Cells), max(1, j.N)
		j.Prober.reset(j.Query.Tokens, j.Cells)
		if j.Table != nil {
			j.Table.reset(j.Query, cb.NumCells())
		}
	}
	for at := 0; at < cb.NumCells(); at += rowBatch {
		for i := range jobs {
			j := &jobs[i]
			p := j.Prober
			p.ids = p.ids[:0]
			for c := at; c < min(at+rowBatch, cb.NumCells()); c++ {
				p.ids = append(p.ids, uint32(c))
			}
			p.offer(j.Query, cb.units[at*cb.Dim:], p.ids, j.Table)
		}
	}
	for i := range jobs {
		j := &jobs[i]
		j.Prober.chooseCells(cb)
		j.Prober.reset(j.Query.Tokens, j.N)
	}
	for c := range cb.NumCells() {
		for i := range jobs {
			if p := jobs[i].Prober; p.chosen[c] {
				p.gather(jobs[i].Query, rt, c)
			}
		}
	}
	for i := range jobs {
		j := &jobs[i]
		j.Prober.offer(j.Query, j.Prober.rows, j.Prober.ids, nil)
		j.Prober.finish(j.Query, rt, j.N)
	}
}

// chooseCells leaves the union of every token's best cells in p.chosen.
func (p *Prober) chooseCells(cb *Codebook) {
	p.chosen = resize(p.chosen, cb.NumCells())
	clear(p.chosen)
	for t := range p.tops {
		for _, h := range p.tops[t].heap {
			p.chosen[h.row] = true
		}
	}
	p.rows, p.ids = resize(p.rows, rowBatch*cb.Dim), p.ids[:0]
}

// gather takes the centroids of a cell and offers them batch by batch: cells have
// few centroids each, and kernels like many rows.
func (p *Prober) gather(q *Query, rt *Routing, c int) {
	dim := q.Dim
	for at := int(rt.Start[c]); at < int(rt.Start[c+1]); {
		m := min(rowBatch-len(p.ids), int(rt.Start[c+1])-at)
		copy(p.rows[len(p.ids)*dim:], rt.Centroids[at*dim:(at+m)*dim])
		for range m {
			p.ids = append(p.ids, uint32(at))
			at++
		}
		if len(p.ids) == rowBatch {
			p.offer(q, p.rows, p.ids, nil)
			p.ids = p.ids[:0]
		}
	}
}

// finish sorts what was kept into p.result.
func (p *Prober) finish(q *Query, rt *Routing, n int) {
	unit := 1 / IntScale(q.Dim)
	p.flat, p.result = p.flat[:0], p.result[:0]
	p.flat = slices.Grow(p.flat, q.Tokens*min(n, rt.NumCentroids()))
	for t := range p.tops {
		from := len(p.flat)
		for _, h := range p.tops[t].sorted() {
			p.flat = append(p.flat, Probe{Centroid: h.row, Score: float32(float32(h.score)*q.Scale[t]*unit) * q.Weights[t]})
		}
		p.result = append(p.result, p.flat[from:len(p.flat):len(p.flat)])
	}
}

// offer scores up to rowBatch rows, whose numbers are ids, for every token and
// keeps the best of each. The kernel marks the scores above what a token's worst
// kept row had before the batch; they are few once the first rows are seen. A
// table gets the scores of rows that are cells.
func (p *Prober) offer(q *Query, rows []int8, ids []uint32, table *CellTable) {
	p.scores, p.above = resize(p.scores, rowBatch*simd.ScanBlocks*simd.Lanes), resize(p.above, rowBatch*simd.ScanBlocks)
	for b := 0; b < q.blocks(); b += simd.ScanBlocks {
		blocks := min(simd.ScanBlocks, q.blocks()-b)
		tops := p.tops[b*simd.Lanes : min((b+blocks)*simd.Lanes, q.Tokens)]
		p.floor = [simd.ScanBlocks][simd.Lanes]int32{highest, highest} // lanes without a token never ask for attention
		for l := range tops {
			p.floor[l/simd.Lanes][l%simd.Lanes] = tops[l].floor
		}
		simd.ScanRows(q.packed[b*simd.BlockBytes(q.Dim):], rows, len(ids), q.Dim, p.floor[:blocks], p.scores, p.above)
		if table != nil && len(ids) > 0 {
			table.fill(p.scores, int(ids[0]), len(ids), b, blocks)
		}
		for i, lanes := range p.above[:len(ids)*blocks] {
			for ; lanes != 0; lanes &= lanes - 1 {
				l := bits.TrailingZeros16(lanes)
				s := p.scores[i*simd.Lanes+l]
				if top := &tops[i%blocks*simd.Lanes+l]; s > top.floor {
					top.push(s, ids[i/blocks])
				}
			}
		}
	}
}

// highest is a floor that no score exceeds.
var highest = func() (h [simd.Lanes]int32) {
	for i := range h {
		h[i] = math.MaxInt32
	}
	return h
}()

func (p *Prober) reset(tokens, n int) {
	if cap(p.tops) < tokens {
		p.tops = append(p.tops[:cap(p.tops)], make([]topN, tokens-cap(p.tops))...)
	}
	p.tops = p.tops[:tokens]
	for t := range p.tops {
		p.tops[t].reset(n)
	}
}

type scored struct {
	score int32
	row   uint32
}

// topN keeps the n greatest of what it is offered in ascending row order; of
// equal scores the earlier rows stay. It is a heap with the worst at the root.
type topN struct {
	n     int
	heap  []scored
	floor int32 // what a newcomer must exceed
}

func (t *topN) reset(n int) {
	t.n, t.heap, t.floor = n, t.heap[:0], lowest[0]
}

// worse orders by score, then later rows first.
func worse(a, b scored) bool {
	return a.score < b.score || a.score == b.score && a.row > b.row
}

func (t *topN) push(score int32, row uint32) {
	if len(t.heap) < t.n {
		t.heap = append(t.heap, scored{score, row})
		for i := len(t.heap) - 1; i > 0; {
			parent := (i - 1) / 2
			if !worse(t.heap[i], t.heap[parent]) {
				break
			}
			t.heap[i], t.heap[parent] = t.heap[parent], t.heap[i]
			i = parent
		}
	} else {
		t.heap[0] = scored{score, row}
		for i := 0; ; {
			child := 2*i + 1
			if child >= len(t.heap) {
				break
			}
			if child+1 < len(t.heap) && worse(t.heap[child+1], t.heap[child]) {
				child++
			}
			if !worse(t.heap[child], t.heap[i]) {
				break
			}
			t.heap[i], t.heap[child] = t.heap[child], t.heap[i]
			i = child
		}
	}
	if len(t.heap) == t.n {
		t.floor = t.heap[0].score
	}
}

// sorted returns what was kept, best first.
func (t *topN) sorted() []scored {
	slices.SortFunc(t.heap, func(a, b scored) int {
		if worse(b, a) {
			return -1
		}
		return 1
	})
	return t.heap
}
