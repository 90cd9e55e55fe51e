package query

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// idSource has ids and nothing else.
type idSource struct {
	testSource
	ids []string
}

func (s *idSource) ExternalID(ord int) string { return s.ids[ord] }

func TestTopIsTheHeadOfTheSorted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		size := rapid.OneOf(rapid.IntRange(0, 300), rapid.IntRange(histogramBins, 3000)).Draw(rt, "size")
		levels := rapid.SampledFrom([]int{1, 2, 10, 100000}).Draw(rt, "levels") // of scores: few make many equal
		outlier := rapid.Bool().Draw(rt, "outlier")
		src := &idSource{}
		cands := make([]candidate, size)
		for i := range cands {
			src.ids = append(src.ids, fmt.Sprintf("%x", i*7919%100003))
			cands[i] = candidate{ord: i, score: float32(r.IntN(levels))}
			if outlier && i%9 == 0 { // of a source without postings
				cands[i].score = math.MaxFloat32
			}
		}
		rank := ranking{[]Source{src}}
		want := slices.Clone(cands)
		slices.SortFunc(want, rank.compare)
		n := rapid.IntRange(0, size+3).Draw(rt, "n")
		want = top(want, n)

		part := slices.Clone(cands)
		rank.selectTop(part, n)
		head := slices.Clone(top(part, n))
		slices.SortFunc(head, rank.compare)
		if !slices.Equal(head, want) {
			rt.Fatalf("selectTop(%d) of %v: %v, want %v", n, cands, head, want)
		}
		if got := rank.top(slices.Clone(cands), n); !slices.Equal(got, want) {
			rt.Fatalf("top(%d) of %v: %v, want %v", n, cands, got, want)
		}
	})
}
