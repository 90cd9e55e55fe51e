package query

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/colbertdb-go/colbertdb/segment"
)

// The accumulator agrees with a map, over many searches of one accumulator and
// over the wrap-around of its stamps.
func TestAccumulatorAgreesWithMap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		var a accumulator
		for range 6 {
			if r.IntN(2) == 0 {
				a.now = max(a.now, math.MaxUint32-uint32(r.IntN(60))) // about to wrap around; stamps only grow
			}
			n := 1 + r.IntN(200)
			var allowed *segment.Bitset
			if r.IntN(2) == 0 {
				allowed = segment.NewBitset(n, false)
				for i := range n {
					if r.IntN(2) == 0 {
						allowed.Set(i)
					}
				}
			}
			a.reset(n)
			want := map[uint16]uint32{}
			for range r.IntN(40) { // tokens
				a.nextToken()
				seen := map[uint16]bool{}
				for range 1 + r.IntN(5) { // lists
					var l segment.List
					bits := make([]uint64, segment.MaxDocuments/64)
					for ord := range n {
						if r.IntN(4) == 0 {
							l.Array = append(l.Array, uint16(ord))
							bits[ord/64] |= 1 << (ord % 64)
						}
					}
					excess := 1 + r.Uint32N(1000)
					for _, ord := range l.Array {
						if !seen[ord] && (allowed == nil || allowed.Get(int(ord))) {
							seen[ord] = true
							want[ord] += excess
						}
					}
					if r.IntN(2) == 0 {
						l = segment.List{Bits: bits}
					}
					a.add(l, excess, allowed)
				}
			}
			got := map[uint16]uint32{}
			for _, ord := range a.touched {
				if _, twice := got[ord]; twice {
					rt.Fatalf("document %d is met twice", ord)
				}
				got[ord] = a.entries[ord].sum
			}
			if len(got) != len(want) {
				rt.Fatalf("%d documents met, want %d", len(got), len(want))
			}
			for ord, sum := range want {
				if got[ord] != sum {
					rt.Fatalf("document %d has %d, want %d", ord, got[ord], sum)
				}
			}
		}
	})
}

// The posting budget keeps the best pairs of token and centroid, and a token's
// pairs come best first.
func TestBudgetKeepsTheBestPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 21))
	e := encodings()[0]
	srcs := spread(e.docs(t, r, 500), 3, true)
	q := testQuery(t, r, 16)
	g := NewSearcher().gen
	p := Params{Cells: 16, NProbe: 20}
	g.probe(q, &group{space: &e.space}, &p)
	all := slices.Clone(g.pairs)
	if total := g.budget(srcs, []int{0, 1, 2}, math.MaxInt); len(g.pairs) != len(all) {
		t.Fatalf("%d pairs of %d without a limit, %d postings", len(g.pairs), len(all), total)
	}
	for _, limit := range []int{1, 100, 1000, 5000} {
		g.probe(q, &group{space: &e.space}, &p)
		total := g.budget(srcs, []int{0, 1, 2}, limit)
		if len(g.pairs) == 0 || len(g.pairs) > 1 && total > limit || len(g.pairs) == len(all) {
			t.Fatalf("limit %d: %d pairs of %d with %d postings", limit, len(g.pairs), len(all), total)
		}
		worst := float32(math.Inf(1))
		kept := map[[2]int]bool{}
		postings := 0
		for i, pr := range g.pairs {
			worst = min(worst, pr.score)
			kept[[2]int{pr.token, int(pr.centroid)}] = true
			for _, s := range srcs {
				postings += s.Postings().List(pr.centroid).Len()
			}
			if i > 0 && (pr.token < g.pairs[i-1].token || pr.token == g.pairs[i-1].token && pr.score > g.pairs[i-1].score) {
				t.Fatalf("pairs out of order at %d", i)
			}
			if pr.excess == 0 {
				t.Fatal("a pair that adds nothing")
			}
		}
		if postings != total {
			t.Errorf("limit %d: %d postings reported, %d are in the lists", limit, total, postings)
		}
		for _, pr := range all {
			if !kept[[2]int{pr.token, int(pr.centroid)}] && pr.score > worst {
				t.Fatalf("limit %d: a pair of score %v was dropped and one of %v kept", limit, pr.score, worst)
			}
		}
	}
}
