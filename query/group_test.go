package query

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/colbertdb-go/colbertdb/codec"
)

// twoVersions are a collection's documents in two spaces, as they are while a
// new codebook (or, with the same codebook, a new routing) is rolled out.
type twoVersions struct {
	spaces [2]Space
	docs   [2][]testDoc
}

func newTwoVersions(t *testing.T, r *rand.Rand, p codec.Profile, raw, routingOnly bool, n int) *twoVersions {
	t.Helper()
	ctx := context.Background()
	old := encodings()[0].space
	cb := old.Codebook
	var rt *codec.Routing
	var err error
	sample := testVectors(r, 3000)
	if routingOnly {
		rt, err = codec.TrainRouting(ctx, cb, sample, codec.TrainOptions{Centroids: 400, RoutingID: 2, Seed: 5})
	} else {
		cb, rt, err = codec.Train(ctx, sample, codec.TrainOptions{Cells: 32, Centroids: 400, CodebookID: 2, RoutingID: 2, Seed: 5})
	}
	if err != nil {
		t.Fatal(err)
	}
	rep := codec.Representation(p, raw, true)
	v := &twoVersions{spaces: [2]Space{{old.Codebook, old.Routing, rep}, {cb, rt, rep}}}
	for i, sp := range v.spaces {
		e := encoding{space: sp, encoder: codec.NewEncoder(testDim, p, raw, sp.Codebook, sp.Routing)}
		v.docs[i] = e.docs(t, r, n)
		for j := range v.docs[i] {
			v.docs[i][j].id += string(rune('a' + i))
		}
	}
	return v
}

func (v *twoVersions) sources() []Source {
	return append(in(v.spaces[0], spread(v.docs[0], 2, true)), in(v.spaces[1], spread(v.docs[1], 3, true))...)
}

func (v *twoVersions) oracle(q *codec.Query) []answer {
	out := append(oracle(v.spaces[0], q, v.docs[0], nil), oracle(v.spaces[1], q, v.docs[1], nil)...)
	slices.SortFunc(out, func(a, b answer) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// A search over sources of two codec versions, or two routings, finds what
// brute force over both finds, with the same scores.
func TestTwoVersionsAtOnce(t *testing.T) {
	for _, p := range []codec.Profile{codec.Exact, codec.Balanced, codec.Compact} {
		for _, raw := range []bool{false, true} {
			for _, routingOnly := range []bool{false, true} {
				r := rand.New(rand.NewPCG(31, uint64(p)))
				v := newTwoVersions(t, r, p, raw, routingOnly, 500)
				s := NewSearcher()
				for range 8 {
					q := testQuery(t, r, 1+r.IntN(20))
					want := v.oracle(q)
					exact, err := s.Search(context.Background(), q, v.sources(), Params{Exact: true})
					if err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(answers(exact.Hits), want[:10]) {
						t.Fatalf("%s raw=%v routing=%v: exact found %v, want %v", p, raw, routingOnly, answers(exact.Hits), want[:10])
					}
					// Enough probes to see every document, and room for nearly all.
					wide := Params{Cells: 64, NProbe: 256, NA: 450, NFullScores: 400}
					res, err := s.Search(context.Background(), q, v.sources(), wide)
					if err != nil {
						t.Fatal(err)
					}
					if res.Exhaustive || res.Candidates < 450 {
						t.Fatalf("exhaustive %v, %d candidates", res.Exhaustive, res.Candidates)
					}
					if !slices.Equal(answers(res.Hits), want[:10]) {
						t.Fatalf("%s raw=%v routing=%v: found %v, want %v", p, raw, routingOnly, answers(res.Hits), want[:10])
					}
					res, err = s.Search(context.Background(), q, v.sources(), Params{Explain: true, NA: 100, NFullScores: 40})
					if err != nil {
						t.Fatal(err)
					}
					for _, h := range res.Hits {
						if !slices.Contains(want, answer{h.ID, h.Score}) {
							t.Fatalf("%v is not a document with its score", h)
						}
						var sum float32
						for i, sim := range h.Explain.Sims {
							sum += float32(sim * h.Explain.Weights[i])
						}
						if sum != h.Score {
							t.Fatalf("explained %v of %v", sum, h.Score)
						}
					}
				}
			}
		}
	}
}

// However much better one group's estimates are, the other keeps its places.
func TestSelectionKeepsPlacesForEveryGroup(t *testing.T) {
	rapidGroups(t, func(t *testing.T, r *rand.Rand, ends []int, keep int) {
		s := NewSearcher()
		from := 0
		var found []candidate
		srcs := in(Space{}, []Source{newTestSource(make([]testDoc, 5000), false)})
		for g, end := range ends {
			s.groups = append(s.groups, group{end: end})
			for i := from; i < end; i++ {
				found = append(found, candidate{ord: i, score: float32(1000*g) + r.Float32()})
			}
			from = end
		}
		s.rank = ranking{srcs}
		got := s.selectCandidates(slices.Clone(found), keep)
		if len(got) != keep {
			t.Fatalf("%d of %d", len(got), keep)
		}
		kept := map[int]bool{}
		for _, c := range got {
			if kept[c.ord] {
				t.Fatalf("%d twice", c.ord)
			}
			kept[c.ord] = true
		}
		from = 0
		for _, end := range ends {
			part := slices.Clone(found[from:end])
			slices.SortFunc(part, s.rank.compare)
			for _, c := range part[:min(len(part), keep/(2*len(ends)))] {
				if len(ends) > 1 && !kept[c.ord] {
					t.Fatalf("%v lost its place", c)
				}
			}
			from = end
		}
	})
}

func rapidGroups(t *testing.T, f func(t *testing.T, r *rand.Rand, ends []int, keep int)) {
	r := rand.New(rand.NewPCG(41, 41))
	for range 200 {
		var ends []int
		n := 0
		for range 1 + r.IntN(3) {
			n += r.IntN(400)
			ends = append(ends, n)
		}
		if n > 8 {
			f(t, r, ends, 1+r.IntN(n-1))
		}
	}
}
