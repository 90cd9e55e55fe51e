package query

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

// collection is encoded documents and prepared queries.
type collection struct {
	docs    []testDoc
	queries []*codec.Query
	space   Space
}

// encodeAll trains on a sample and encodes documents in one profile.
func encodeAll(t *testing.T, sample codec.Matrix, o codec.TrainOptions, p codec.Profile, docs []codec.Matrix, queries []codec.Matrix) *collection {
	t.Helper()
	o.CodebookID, o.RoutingID = 1, 1
	cb, rt, err := codec.Train(context.Background(), sample, o)
	if err != nil {
		t.Fatal(err)
	}
	c := &collection{space: Space{Codebook: cb, Routing: rt, Representation: codec.Representation(p, false, true)}}
	enc := codec.NewEncoder(sample.Dim, p, false, cb, rt)
	for i, m := range docs {
		e, err := enc.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		c.docs = append(c.docs, testDoc{id: fmt.Sprint(i), enc: e})
	}
	for _, m := range queries {
		q, err := codec.NewQuery(m, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.queries = append(c.queries, q)
	}
	return c
}

// candidateRecall is the share of the exact top k, over the representation,
// that a search with p finds.
func (c *collection) candidateRecall(t *testing.T, p Params) (recall, candidates float64) {
	t.Helper()
	s := NewSearcher()
	srcs := spread(c.docs, 3, true)
	found, wanted := 0, 0
	for _, q := range c.queries {
		want := mustSearch(t, s, q, srcs, c.space, Params{K: p.K, Exact: true})
		got := mustSearch(t, s, q, srcs, c.space, p)
		if got.Exhaustive {
			t.Fatal("the search was exhaustive: its recall says nothing")
		}
		candidates += float64(got.Candidates) / float64(len(c.queries))
		wanted += len(want.Hits)
		for _, h := range want.Hits {
			if slices.ContainsFunc(got.Hits, func(g Hit) bool { return g.ID == h.ID }) {
				found++
			}
		}
	}
	return float64(found) / float64(wanted), candidates
}

func concat(ms []codec.Matrix) codec.Matrix {
	out := codec.Matrix{Dim: ms[0].Dim}
	for _, m := range ms {
		out.Data = append(out.Data, m.Data...)
	}
	return out
}

// 500 real documents are few: the default would score them all, so that NA is
// as large as it can be without an exhaustive search. With NA = 100 recall is 0.89.
func TestCandidateRecallOnRealVectors(t *testing.T) {
	queries, docs := testdata.Lotte(t)
	profiles := []codec.Profile{codec.Exact, codec.Balanced, codec.Compact}
	if raceEnabled || testing.Short() {
		queries, profiles = queries[:20], profiles[:1]
	}
	for _, p := range profiles {
		c := encodeAll(t, concat(docs), codec.TrainOptions{Cells: 256, Centroids: 1024, Iterations: 3}, p, docs, queries)
		recall, candidates := c.candidateRecall(t, Params{K: 10, NA: 200})
		t.Logf("%s: candidate recall@10 %.3f, %.0f candidates", p, recall, candidates)
		if recall < 0.95 {
			t.Errorf("%s: candidate recall@10 %.3f, want 0.95", p, recall)
		}
	}
}

// A filter that leaves more documents than plane A scores and fewer than would be
// looked for among postings: the best of them by their cells are scored, which finds
// as much as without a filter.
func TestFilteredRecallOnRealVectors(t *testing.T) {
	queries, docs := testdata.Lotte(t)
	if raceEnabled || testing.Short() {
		queries = queries[:20]
	}
	c := encodeAll(t, concat(docs), codec.TrainOptions{Cells: 1024, Centroids: 1024, Iterations: 3}, codec.Exact, docs, queries)
	for i := range c.docs {
		c.docs[i].attrs = fmt.Sprintf(`{"n": %d}`, i%10)
	}
	srcs, f := spread(c.docs, 3, true), mustFilter(t, "n >= 1")
	s := NewSearcher()
	found, wanted := 0, 0
	for _, q := range c.queries {
		got := mustSearch(t, s, q, srcs, c.space, Params{K: 10, NA: 200, Filter: f})
		if got.Exhaustive || got.Candidates != 450 || got.Scored != 128 {
			t.Fatalf("exhaustive %t, %d candidates, %d scored", got.Exhaustive, got.Candidates, got.Scored)
		}
		for _, h := range mustSearch(t, s, q, srcs, c.space, Params{K: 10, Exact: true, Filter: f}).Hits {
			wanted++
			if slices.ContainsFunc(got.Hits, func(g Hit) bool { return g.ID == h.ID }) {
				found++
			}
		}
	}
	recall := float64(found) / float64(wanted)
	t.Logf("candidate recall@10 %.3f", recall)
	if recall < 0.95 {
		t.Errorf("candidate recall@10 %.3f, want 0.95", recall)
	}
}

// 5,500 synthetic documents, each mixed of the tokens of two real ones, with noise.
func TestCandidateRecallOnResampledVectors(t *testing.T) {
	if testing.Short() || raceEnabled {
		t.Skip("encodes 600,000 token vectors")
	}
	queries, real := testdata.Lotte(t)
	r := rand.New(rand.NewPCG(20, 20))
	docs := make([]codec.Matrix, 5500)
	for i := range docs {
		docs[i] = mix(r, real[i%len(real)], real[r.IntN(len(real))])
	}
	c := encodeAll(t, concat(real), codec.TrainOptions{Cells: 256, Centroids: 4096, Iterations: 3}, codec.Exact, docs, queries[:40])
	for _, effort := range []Effort{EffortFast, EffortDefault} {
		recall, candidates := c.candidateRecall(t, Params{K: 10, Effort: effort})
		t.Logf("%s: candidate recall@10 %.3f, %.0f candidates of %d documents (synthetic)", effort, recall, candidates, len(docs))
		if effort == EffortDefault && recall < 0.95 {
			t.Errorf("candidate recall@10 %.3f, want 0.95", recall)
		}
	}
}

// mix draws tokens of a, and one in three of b, and adds noise of a third of
// their length.
func mix(r *rand.Rand, a, b codec.Matrix) codec.Matrix {
	m := codec.NewMatrix(a.Len(), a.Dim)
	for t := range m.Len() {
		from := a.Row(r.IntN(a.Len()))
		if r.IntN(3) == 0 {
			from = b.Row(r.IntN(b.Len()))
		}
		for d, x := range from {
			m.Row(t)[d] = x + float32(r.NormFloat64())*0.35/11.3
		}
	}
	return m
}
