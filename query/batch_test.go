package query

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/query/filter"
	"github.com/colbertdb-go/colbertdb/segment"
)

// A batch answers each of its searches as a search by itself does, bit by bit:
// with budgets of every size, filters that leave much and little, groups, and
// sources of one version and of two.
func TestBatchIsSearches(t *testing.T) {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(31, 7))
	type sources struct {
		name string
		make func() []Source
	}
	var all []sources
	for _, e := range encodings() {
		docs := e.docs(t, r, 700)
		for i := range docs {
			docs[i].dead = i%13 == 0
		}
		all = append(all, sources{e.name, func() []Source { return in(e.space, spread(docs, 3, e.coded())) }})
	}
	two := newTwoVersions(t, r, codec.Exact, false, false, 300)
	all = append(all, sources{"two versions", two.sources})
	texts := []string{"", "n < 500", "n < 60", "n < 5", `parity = "odd"`, "n < 0"}
	filters := map[string]*filter.Filter{}
	for _, text := range texts[1:] {
		filters[text] = mustFilter(t, text)
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			var queries []*codec.Query
			var params []Params
			var searchers []*Searcher
			for range 24 {
				queries = append(queries, testQuery(t, r, 1+r.IntN(70)))
				p := Params{K: 1 + r.IntN(20), Cells: 1 + r.IntN(6), NProbe: 1 + r.IntN(6), NA: 10 + r.IntN(100), NFullScores: 10 + r.IntN(20)}
				p.Filter = filters[texts[r.IntN(len(texts))]]
				p.Explain = r.IntN(3) == 0
				p.Exact = r.IntN(6) == 0
				if r.IntN(6) == 0 {
					p.GroupBy = "parity"
				}
				params, searchers = append(params, p), append(searchers, NewSearcher())
			}
			srcs := c.make()
			bound := scannedTogether
			defer func() { scannedTogether = bound }()
			for round := range 3 { // with memory of the round before; the last with room for one scan
				if round == 2 {
					scannedTogether = 1000
				}
				got, err := SearchBatch(ctx, searchers, queries, srcs, params)
				if err != nil {
					t.Fatal(err)
				}
				var hits, exhaustive int
				for i, q := range queries {
					want, err := NewSearcher().Search(ctx, q, srcs, params[i])
					if err != nil {
						t.Fatal(err)
					}
					want.Stages = nil
					if d := cmp.Diff(want, got[i], cmp.AllowUnexported(filter.Filter{}), cmp.Comparer(func(a, b *filter.Filter) bool { return a == b })); d != "" {
						t.Fatalf("round %d, search %d, %+v:\n%s", round, i, params[i], d)
					}
					hits += len(want.Hits)
					if want.Exhaustive {
						exhaustive++
					}
				}
				if hits == 0 || !strings.HasPrefix(c.name, "flat") && exhaustive == len(queries) {
					t.Fatalf("%d hits, %d exhaustive: the test tests little", hits, exhaustive)
				}
			}
		})
	}
}

func TestBatchErrors(t *testing.T) {
	e := encodings()[0]
	r := rand.New(rand.NewPCG(1, 2))
	srcs := in(e.space, spread(e.docs(t, r, 50), 1, true))
	queries := []*codec.Query{testQuery(t, r, 3), testQuery(t, r, 3)}
	searchers := []*Searcher{NewSearcher(), NewSearcher()}
	if _, err := SearchBatch(context.Background(), searchers, queries, srcs, []Params{{}, {K: -1}}); !errors.Is(err, ErrInvalid) || err.Error() != fmt.Sprintf("search 1 of the batch: %v: K is -1, it must be 1 to %d", ErrInvalid, MaxK) {
		t.Error(err)
	}
	if _, err := SearchBatch(context.Background(), searchers, queries, srcs, []Params{{K: -1}, {}}); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := SearchBatch(canceled, searchers, queries, srcs, []Params{{}, {}}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	srcs[0].(*testSource).fail = segment.ErrCorruption
	if _, err := SearchBatch(context.Background(), searchers, queries, srcs, []Params{{}, {}}); !errors.Is(err, segment.ErrCorruption) {
		t.Error(err)
	}
}
