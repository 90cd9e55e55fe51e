package query

import (
	"context"
	"math"
	"math/bits"
	"slices"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

// postingBudget bounds the postings of one search, over all sources: where the
// probes' lists are longer, the pairs with the best scores go first.
const postingBudget = 64_000

// generator finds candidates. For every query token it probes a few centroids;
// a document's estimate is the sum over the tokens of the score of the best
// centroid where it has a token, and for a token that no list has shown it in,
// the score of the last centroid probed for it: its true score is likely lower,
// but not much.
//
// Sums are kept as the excess over that floor, in 1/4096 units, so that a
// document seen by few tokens needs no second pass:
//
//	estimate = Σ floor(t) + Σ over tokens seen (best(t) − floor(t))
//
// It works for one group of sources at a time, those of one codebook and
// routing: pairs, floors and base are the group's, found gathers over all.
type generator struct {
	prober *codec.Prober
	pairs  []pair
	floors []float32
	base   float32 // Σ floor(t), in excess units
	acc    accumulator
	found  []candidate

	starts  []int  // groupByToken's: where each token's pairs begin
	ordered []pair // and the pairs before
}

// pair is a centroid that one query token probes.
type pair struct {
	token    int
	centroid uint32
	score    float32
	excess   uint32
}

const excessUnit = 4096

// probe chooses the pairs: for each token its best n centroids, then, of all,
// the best until the lists of the sources hold the budget.
func (g *generator) probe(q *codec.Query, of *group, p *Params) {
	g.prober.Probe(q, of.space.Codebook, of.space.Routing, p.Cells, p.NProbe, &of.cells)
	g.take(q)
}

// take makes pairs of what the prober found.
func (g *generator) take(q *codec.Query) {
	probes := g.prober.Result()
	g.pairs, g.floors = g.pairs[:0], g.floors[:0]
	for t, list := range probes {
		if q.Weights[t] == 0 {
			list = nil // says nothing about documents
		}
		for _, pr := range list {
			g.pairs = append(g.pairs, pair{token: t, centroid: pr.Centroid, score: pr.Score})
		}
		floor := float32(0)
		if len(list) > 0 {
			floor = list[len(list)-1].Score
		}
		g.floors = append(g.floors, floor)
	}
}

// cells fills in a group's table of cells, for a search that needs no candidates.
func (g *generator) cells(q *codec.Query, of *group) {
	if of.space.Routing != nil {
		g.prober.Probe(q, of.space.Codebook, of.space.Routing, 1, 1, &of.cells)
	}
}

// budget drops the worst pairs beyond the group's posting budget and orders the rest
// by token, best first, so that the first time a document is seen for a token
// is with that token's best score. It returns the number of postings left.
func (g *generator) budget(sources []Source, members []int, limit int) int {
	slices.SortFunc(g.pairs, func(a, b pair) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		case a.token != b.token:
			return a.token - b.token
		}
		return int(a.centroid) - int(b.centroid)
	})
	total := 0
	for i, p := range g.pairs {
		n := 0
		for _, i := range members {
			if l := sources[i].Postings(); l != nil {
				n += l.List(p.centroid).Len()
			}
		}
		if total+n > limit && total > 0 {
			g.pairs = g.pairs[:i]
			break
		}
		total += n
	}
	// The floor of a token is the score of the last centroid that it kept.
	for _, p := range g.pairs {
		g.floors[p.token] = p.score
	}
	g.base = 0
	for _, f := range g.floors {
		g.base += float32(math.Round(float64(f) * excessUnit))
	}
	for i := range g.pairs {
		p := &g.pairs[i]
		// At least one unit: to be seen at the floor is more than not to be seen.
		p.excess = 1 + uint32(math.Round(float64(p.score-g.floors[p.token])*excessUnit))
	}
	g.groupByToken()
	return total
}

// groupByToken orders the pairs by token, those of one token as they were.
func (g *generator) groupByToken() {
	g.starts = append(g.starts[:0], make([]int, len(g.floors)+1)...)
	for _, p := range g.pairs {
		g.starts[p.token+1]++
	}
	for t := range g.floors {
		g.starts[t+1] += g.starts[t]
	}
	g.ordered = append(g.ordered[:0], g.pairs...)
	for _, p := range g.ordered {
		g.pairs[g.starts[p.token]] = p
		g.starts[p.token]++
	}
}

// accumulate adds the documents of one source that the pairs lead to to found.
func (g *generator) accumulate(ctx context.Context, index int, s Source, allowed *segment.Bitset) error {
	lists := s.Postings()
	g.acc.reset(s.Len())
	for i := 0; i < len(g.pairs); {
		if err := ctx.Err(); err != nil {
			return err
		}
		g.acc.nextToken()
		for t := g.pairs[i].token; i < len(g.pairs) && g.pairs[i].token == t; i++ {
			g.acc.add(lists.List(g.pairs[i].centroid), g.pairs[i].excess, allowed)
		}
	}
	for _, ord := range g.acc.touched {
		g.found = append(g.found, candidate{source: index, ord: int(ord), score: g.base + float32(g.acc.entries[ord].sum)})
	}
	return nil
}

// accumulator sums the excess of the documents of one source. Nothing is
// cleared between searches: an entry counts only when its stamp is newer than
// the search's first.
type accumulator struct {
	entries []entry
	touched []uint16
	first   uint32 // stamps of this search are above
	now     uint32
}

// entry is one document's, stamp and sum in one line of the cache.
type entry struct {
	stamp uint32 // of the last token that saw the document
	sum   uint32
}

func (a *accumulator) reset(n int) {
	if len(a.entries) < n {
		a.entries = make([]entry, n)
		a.now = 0
	}
	if a.now > math.MaxUint32-codec.MaxQueryTokens-1 { // stamps wrap around
		clear(a.entries)
		a.now = 0
	}
	a.first = a.now
	a.touched = a.touched[:0]
}

// nextToken begins the lists of another query token.
func (a *accumulator) nextToken() { a.now++ }

func (a *accumulator) add(l segment.List, excess uint32, allowed *segment.Bitset) {
	for _, ord := range l.Array {
		a.see(ord, excess, allowed)
	}
	for i, w := range l.Bits {
		for ; w != 0; w &= w - 1 {
			a.see(uint16(i<<6+bits.TrailingZeros64(w)), excess, allowed)
		}
	}
}

func (a *accumulator) see(ord uint16, excess uint32, allowed *segment.Bitset) {
	switch e := &a.entries[ord]; {
	case e.stamp == a.now: // seen by this token, with a score at least as good
	case e.stamp > a.first:
		e.stamp = a.now
		e.sum += excess
	case allowed == nil || allowed.Get(int(ord)):
		*e = entry{a.now, excess}
		a.touched = append(a.touched, ord)
	}
}
