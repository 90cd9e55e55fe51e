package query

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/simd"
	"github.com/colbertdb-go/colbertdb/query/filter"
)

// narrow are budgets that force the whole pipeline upon a small collection.
var narrow = Params{Cells: 1, NProbe: 1, NA: 1, NFullScores: 1}

func TestExactSearchIsBruteForce(t *testing.T) {
	s := NewSearcher() // one for all, as engines pool them
	rapid.Check(t, func(rt *rapid.T) {
		e := rapid.SampledFrom(encodings()).Draw(rt, "encoding")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		docs := e.docs(t, r, rapid.IntRange(0, 60).Draw(rt, "documents"))
		for i := range docs {
			docs[i].dead = r.IntN(4) == 0
		}
		q := testQuery(t, r, rapid.SampledFrom([]int{1, 2, 16, 17, 32, 40}).Draw(rt, "tokens"))
		k := rapid.IntRange(1, 70).Draw(rt, "k")
		var f *filter.Filter
		allowed := func(testDoc) bool { return true }
		if rapid.Bool().Draw(rt, "filtered") {
			f = mustFilter(t, `parity = "odd"`)
			allowed = func(d testDoc) bool { return strings.Contains(d.attrs, `"odd"`) }
		}
		want := oracle(e.space, q, docs, allowed)
		srcs := spread(docs, rapid.IntRange(1, 4).Draw(rt, "sources"), e.coded())
		for _, p := range []Params{{Exact: true}, {Effort: EffortFull}, {}} {
			p.K, p.Filter = k, f
			res := mustSearch(t, s, q, srcs, e.space, p)
			if d := cmp.Diff(top(want, k), answers(res.Hits)); d != "" {
				rt.Fatalf("%s, %+v: %s", e.name, p, d)
			}
			if !res.Exhaustive || res.Scored != len(want) {
				rt.Fatalf("exhaustive %v, %d scored of %d", res.Exhaustive, res.Scored, len(want))
			}
		}
		// However narrow the budgets, there are min(k, allowed) hits, each with
		// its own score, in order, and none that is not allowed.
		p := narrow
		p.K, p.Filter = k, f
		res := mustSearch(t, s, q, srcs, e.space, p)
		got := answers(res.Hits)
		if len(got) != min(k, len(want)) {
			rt.Fatalf("%s: %d hits, want %d", e.name, len(got), min(k, len(want)))
		}
		at := -1
		for _, a := range got {
			i := slices.Index(want, a)
			if i <= at {
				rt.Fatalf("%s: hit %v at place %d of the exact ranking after %d", e.name, a, i, at)
			}
			at = i
		}
	})
}

// With every centroid probed and room for every document, candidates are all
// documents, and their ranking is the exact one.
func TestProbingEverythingIsExact(t *testing.T) {
	for _, e := range encodings() {
		if !e.coded() {
			continue
		}
		t.Run(e.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 3))
			docs := e.docs(t, r, 300)
			for i := range docs {
				docs[i].dead = i%7 == 0
			}
			want := oracle(e.space, testQuery(t, rand.New(rand.NewPCG(4, 4)), 32), docs, nil)
			q := testQuery(t, rand.New(rand.NewPCG(4, 4)), 32)
			s := NewSearcher()
			s.sources = in(e.space, spread(docs, 3, true))
			s.rank = ranking{s.sources}
			s.formGroups()
			s.res = &Result{}
			s.p = Params{K: 10, Cells: 256, NProbe: 256, NA: 300, NFullScores: 300}
			if err := s.allow(context.Background()); err != nil {
				t.Fatal(err)
			}
			s.scorer.Reset(q, e.space.Codebook)
			found, err := s.generate(context.Background(), q, 10)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]answer, len(found))
			for i, c := range found {
				got[i] = answer{s.sources[c.source].ExternalID(c.ord), c.score}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
			if s.res.Exhaustive || s.res.Candidates != len(want) || s.res.Postings < len(want) {
				t.Errorf("%d candidates of %d, %d postings, exhaustive %v", s.res.Candidates, len(want), s.res.Postings, s.res.Exhaustive)
			}
		})
	}
}

// pipeline are budgets under which a test collection is not searched
// exhaustively, for every representation.
var pipeline = Params{K: 10, Cells: 3, NProbe: 3, NA: 120, NFullScores: 40}

func TestResultsDoNotDependOnSourcesOrTier(t *testing.T) {
	for _, e := range encodings() {
		t.Run(e.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(5, 5))
			docs := e.docs(t, r, 600)
			for i := range docs {
				docs[i].dead = i%11 == 0
			}
			q := testQuery(t, r, 24)
			for _, filter := range []string{"", "n < 500", `parity = "odd" and n > 20`} {
				p := pipeline
				if filter != "" {
					p.Filter = mustFilter(t, filter)
				}
				var want []answer
				for _, tier := range simd.Tiers() {
					restore, err := simd.Force(tier)
					if err != nil {
						t.Fatal(err)
					}
					for trial := range 6 {
						s := NewSearcher()
						order := r.Perm(len(docs))
						if trial == 0 {
							slices.Sort(order)
						}
						shuffled := make([]testDoc, len(docs))
						for i, o := range order {
							shuffled[i] = docs[o]
						}
						srcs := spread(shuffled, 1+trial, e.coded())
						got := mustSearch(t, s, q, srcs, e.space, p)
						if e.coded() && got.Exhaustive {
							t.Fatal("the search was exhaustive: the test tests nothing")
						}
						if want == nil {
							want = answers(got.Hits)
							if len(want) != p.K {
								t.Fatalf("%d hits", len(want))
							}
						}
						if d := cmp.Diff(want, answers(got.Hits), tolerance(e)); d != "" {
							t.Errorf("filter %q, %s, %d sources: %s", filter, tier, len(srcs), d)
						}
					}
					restore()
				}
			}
		})
	}
}

// tolerance is for float32 scores, which may differ in the last bits from tier
// to tier; integer scores may not.
func tolerance(e encoding) cmp.Option {
	if e.space.Representation != codec.PlaneRaw {
		return cmp.Options{}
	}
	return cmp.Comparer(func(a, b float32) bool { return max(a-b, b-a) < 1e-4 })
}

// Searches one after the other with the same Searcher are as with a new one:
// nothing of a search stays behind.
func TestSearcherIsReusable(t *testing.T) {
	e := encodings()[0]
	r := rand.New(rand.NewPCG(6, 6))
	worn := NewSearcher()
	for i := range 40 {
		docs := e.docs(t, r, 250+r.IntN(400))
		srcs := spread(docs, 1+r.IntN(3), true)
		q := testQuery(t, r, 1+r.IntN(40))
		p := pipeline
		p.NA, p.NFullScores = 40, 20
		if i%3 == 0 {
			p.Filter = mustFilter(t, "n >= 100")
		}
		if i%10 == 9 { // stamps are about to wrap around
			worn.gen.acc.now = max(worn.gen.acc.now, ^uint32(0)-uint32(r.IntN(200)))
		}
		got := mustSearch(t, worn, q, srcs, e.space, p)
		want := mustSearch(t, NewSearcher(), q, srcs, e.space, p)
		if d := cmp.Diff(answers(want.Hits), answers(got.Hits)); d != "" {
			t.Fatalf("search %d: %s", i, d)
		}
		if got.Candidates != want.Candidates || got.Postings != want.Postings {
			t.Fatalf("search %d: %d candidates of %d postings, a new searcher finds %d of %d", i, got.Candidates, got.Postings, want.Candidates, want.Postings)
		}
	}
}

// A source without postings beside others with them: all its documents compete.
func TestFlatSourceAmongCoded(t *testing.T) {
	e := encodings()[0]
	r := rand.New(rand.NewPCG(8, 8))
	docs := e.docs(t, r, 400)
	q := testQuery(t, r, 16)
	want := oracle(e.space, q, docs, nil)
	best := slices.IndexFunc(docs, func(d testDoc) bool { return d.id == want[0].ID })
	flat := newTestSource(docs[best:best+1], false)
	rest := newTestSource(slices.Delete(slices.Clone(docs), best, best+1), true)
	res := mustSearch(t, NewSearcher(), q, []Source{rest, flat}, e.space, Params{K: 3, NA: 20, NFullScores: 20})
	if res.Exhaustive || answers(res.Hits)[0] != want[0] {
		t.Errorf("exhaustive %v, best %v, want %v", res.Exhaustive, answers(res.Hits), want[0])
	}
}

// The documents that a filter allows may be far from the query: the search
// goes on until it has enough of them.
func TestFilterFarFromTheQuery(t *testing.T) {
	e := encodings()[0]
	r := rand.New(rand.NewPCG(9, 9))
	docs := e.docs(t, r, 800)
	q := testQuery(t, r, 4)
	ranked := oracle(e.space, q, docs, nil)
	far := map[string]bool{}
	for _, a := range ranked[len(ranked)-100:] {
		far[a.ID] = true
	}
	for i := range docs {
		docs[i].attrs = fmt.Sprintf(`{"far":%v}`, far[docs[i].id])
	}
	allowed := oracle(e.space, q, docs, func(d testDoc) bool { return far[d.id] })
	p := Params{K: 20, Cells: 1, NProbe: 1, NA: 30, NFullScores: 30, Filter: mustFilter(t, "far = true")}
	var res *Result
	for _, p.NA = range []int{20, 30} { // by postings; all of them on plane A
		res = mustSearch(t, NewSearcher(), q, spread(docs, 2, true), e.space, p)
		if len(res.Hits) != 20 || res.Exhaustive || (res.Postings == 0) != (p.NA == 30) {
			t.Fatalf("%d hits, %d documents are allowed; %+v", len(res.Hits), len(allowed), res)
		}
		for _, a := range answers(res.Hits) {
			if !slices.Contains(allowed, a) {
				t.Errorf("%v is not allowed or has another score", a)
			}
		}
	}
	// Few allowed documents: all of them are scored.
	p.NA = 50
	res = mustSearch(t, NewSearcher(), q, spread(docs, 2, true), e.space, p)
	if d := cmp.Diff(allowed[:20], answers(res.Hits)); d != "" || !res.Exhaustive {
		t.Errorf("exhaustive %v: %s", res.Exhaustive, d)
	}
}

// Postings that lead nowhere are no reason to find nothing.
func TestPostingsThatLeadNowhere(t *testing.T) {
	e := encodings()[0]
	r := rand.New(rand.NewPCG(18, 18))
	docs := e.docs(t, r, 300)
	q := testQuery(t, r, 8)
	src := newTestSource(docs, true)
	clear(src.postings)
	want := oracle(e.space, q, docs, nil)[:10]
	for _, filter := range []string{"n >= 0", ""} {
		p := Params{K: 10, NA: 50, NFullScores: 20}
		if filter != "" {
			p.Filter = mustFilter(t, filter)
		}
		res := mustSearch(t, NewSearcher(), q, []Source{src}, e.space, p)
		if d := cmp.Diff(want, answers(res.Hits)); d != "" || !res.Exhaustive {
			t.Errorf("filter %q, exhaustive %v: %s", filter, res.Exhaustive, d)
		}
	}
}

func TestFullEffortScoresEverything(t *testing.T) {
	e := encodings()[0]
	r := rand.New(rand.NewPCG(19, 19))
	docs := e.docs(t, r, 400)
	q := testQuery(t, r, 8)
	for _, p := range []Params{{Effort: EffortFull, NA: 20}, {Exact: true, NA: 20}} {
		res := mustSearch(t, NewSearcher(), q, spread(docs, 2, true), e.space, p)
		if d := cmp.Diff(oracle(e.space, q, docs, nil)[:10], answers(res.Hits)); d != "" || res.Scored != len(docs) {
			t.Errorf("%s, exact %v: %d scored: %s", p.Effort, p.Exact, res.Scored, d)
		}
	}
}

func TestNothingToFind(t *testing.T) {
	e := encodings()[0]
	r := rand.New(rand.NewPCG(10, 10))
	q := testQuery(t, r, 8)
	docs := e.docs(t, r, 20)
	for i := range docs {
		docs[i].dead = true
	}
	for name, srcs := range map[string][]Source{"no sources": nil, "an empty source": spread(nil, 1, true), "all dead": spread(docs, 2, true)} {
		for _, p := range []Params{{}, {Exact: true}, {GroupBy: "n"}, {Filter: mustFilter(t, "n > 3")}} {
			if res := mustSearch(t, NewSearcher(), q, srcs, e.space, p); len(res.Hits) != 0 {
				t.Errorf("%s: %v", name, answers(res.Hits))
			}
		}
	}
}

func TestExplain(t *testing.T) {
	for _, e := range encodings() {
		r := rand.New(rand.NewPCG(11, 11))
		docs := e.docs(t, r, 300)
		q := testQuery(t, r, 20)
		p := Params{K: 5, NA: 60, Explain: true}
		res := mustSearch(t, NewSearcher(), q, spread(docs, 2, e.coded()), e.space, p)
		for _, h := range res.Hits {
			i := slices.IndexFunc(docs, func(d testDoc) bool { return d.id == h.ID })
			var v codec.Matrix
			codec.Reconstruct(e.space.Codebook, testDim, docs[i].enc.View, e.space.Representation, &v)
			var sum float32
			for tok, at := range h.Explain.Tokens {
				sum += h.Explain.Sims[tok]
				best, sim := -1, 0.0
				for d := range v.Len() {
					var s float64
					for c := range testDim {
						s += float64(q.F32[tok*testDim+c]) * float64(v.Row(d)[c])
					}
					if best < 0 || s > sim {
						best, sim = d, s
					}
				}
				if got := float64(h.Explain.Sims[tok]); got < sim-0.03 || got > sim+0.03 || int(at) >= v.Len() {
					t.Errorf("%s: token %d matches %d at %.3f, by float64 %d at %.3f", e.name, tok, at, got, best, sim)
				}
			}
			if sum != h.Score {
				t.Errorf("%s: similarities add up to %v, the score is %v", e.name, sum, h.Score)
			}
		}
		p.Explain = false
		if res := mustSearch(t, NewSearcher(), q, spread(docs, 2, e.coded()), e.space, p); res.Hits[0].Explain != nil {
			t.Error("an explanation that nobody asked for")
		}
	}
}

func TestGroups(t *testing.T) {
	for _, e := range encodings() {
		r := rand.New(rand.NewPCG(12, 12))
		docs := e.docs(t, r, 300)
		// Ten authors; the best fifty documents are all by one of them; some
		// documents have no author.
		q := testQuery(t, r, 20)
		ranked := oracle(e.space, q, docs, nil)
		author := map[string]string{}
		for place, a := range ranked {
			switch {
			case place < 50:
				author[a.ID] = "a0"
			case place%10 != 0:
				author[a.ID] = fmt.Sprintf("a%d", place%10)
			}
		}
		for i := range docs {
			docs[i].attrs = `{"meta":{}}`
			if a := author[docs[i].id]; a != "" {
				docs[i].attrs = fmt.Sprintf(`{"meta":{"author":%q}}`, a)
			}
		}
		// The model: the exact ranking, one a group.
		var want []answer
		seen := map[string]bool{}
		for _, a := range ranked {
			if g := author[a.ID]; g == "" || !seen[g] {
				seen[g] = true
				want = append(want, a)
			}
		}
		for _, k := range []int{1, 2, 8, 20, 300} {
			res := mustSearch(t, NewSearcher(), q, spread(docs, 3, e.coded()), e.space, Params{K: k, Exact: true, GroupBy: "meta.author", GroupSize: 2})
			if d := cmp.Diff(top(want, k), answers(res.Hits)); d != "" {
				t.Fatalf("%s, k = %d: %s", e.name, k, d)
			}
			if g := res.Hits[0].Group; g != `"a0"` {
				t.Errorf("group %s", g)
			}
			if d := cmp.Diff(ranked[:2], answers(res.Hits[0].Passages)); d != "" {
				t.Errorf("%s: passages of the first group: %s", e.name, d)
			}
			// With small budgets the search looks deeper until it has k groups.
			res = mustSearch(t, NewSearcher(), q, spread(docs, 3, e.coded()), e.space, Params{K: k, Cells: 1, NProbe: 1, NA: 10, NFullScores: 10, GroupBy: "meta.author"})
			if len(res.Hits) != min(k, len(want)) {
				t.Errorf("%s, k = %d: %d groups, there are %d", e.name, k, len(res.Hits), len(want))
			}
			seen := map[string]bool{}
			for i, h := range res.Hits {
				if h.Group != "" && seen[h.Group] {
					t.Errorf("%s: group %s twice", e.name, h.Group)
				}
				seen[h.Group] = true
				if i > 0 && h.Score > res.Hits[i-1].Score || len(h.Passages) == 0 || h.Passages[0].ID != h.ID {
					t.Errorf("%s: hit %d: %+v", e.name, i, h)
				}
			}
		}
	}
}

func TestInvalidParams(t *testing.T) {
	q := testQuery(t, rand.New(rand.NewPCG(13, 13)), 4)
	for field, p := range map[string]Params{
		"K": {K: -1}, "NProbe": {NProbe: -1}, "NA": {NA: -1}, "NFullScores": {NFullScores: -3}, "GroupSize": {GroupSize: -1},
		"Cells": {Cells: -3, NProbe: 1}, "effort": {Effort: 9},
	} {
		_, err := NewSearcher().Search(context.Background(), q, nil, p)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %v", field, err)
		}
	}
	for _, name := range []string{"fast", "default", "high", "full"} {
		if e, err := ParseEffort(name); err != nil || e.String() != name {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
	if _, err := ParseEffort("hard"); !errors.Is(err, ErrInvalid) {
		t.Errorf("effort hard: %v", err)
	}
}

func TestCancelledAndFailing(t *testing.T) {
	e := encodings()[0]
	r := rand.New(rand.NewPCG(14, 14))
	docs := e.docs(t, r, 2000)
	q := testQuery(t, r, 8)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s := NewSearcher()
	for _, p := range []Params{{Exact: true}, {NA: 100}} {
		if _, err := s.Search(ctx, q, in(e.space, spread(docs, 1, true)), p); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		broken := newTestSource(docs, true)
		broken.fail = errors.New("disk")
		if _, err := s.Search(context.Background(), q, in(e.space, []Source{broken}), p); !errors.Is(err, broken.fail) {
			t.Errorf("failing source: %v", err)
		}
		// The searcher is as good as before.
		res := mustSearch(t, s, q, spread(docs, 1, true), e.space, Params{Exact: true})
		if d := cmp.Diff(oracle(e.space, q, docs, nil)[:10], answers(res.Hits)); d != "" {
			t.Error(d)
		}
	}
}

func TestBudgetsBoundTheWork(t *testing.T) {
	e := encodings()[0]
	r := rand.New(rand.NewPCG(15, 15))
	src := newTestSource(e.docs(t, r, 1000), true)
	q := testQuery(t, r, 32)
	var res *Result
	for unpinned, views := range map[bool]int{false: 400 + 100 + 20, true: 100 + 20} { // codes of 4·NA documents are looked at where that needs no read
		src.unpinned, src.views = unpinned, 0
		res = mustSearch(t, NewSearcher(), q, []Source{src}, e.space, Params{K: 5, Cells: 4, NProbe: 4, NA: 100, NFullScores: 20})
		if res.Scored != 20 || src.views != views {
			t.Errorf("unpinned %t: %d documents scored in the last stage, %d views; want 20 and %d", unpinned, res.Scored, src.views, views)
		}
	}
	if len(res.Stages) == 0 || res.Candidates < 100 || res.Postings < res.Candidates || res.Exhaustive {
		t.Errorf("%+v", res)
	}
	for _, st := range res.Stages {
		if !slices.Contains(Stages, st.Name) {
			t.Errorf("stage %q", st.Name)
		}
	}
	if res.Params.NA != 100 || res.Params.NFullScores != 20 || res.Params.K != 5 {
		t.Errorf("parameters in force: %+v", res.Params)
	}
}

func TestWarmSearchAllocatesItsResultOnly(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates, and empties pools at random")
	}
	e := encodings()[0]
	r := rand.New(rand.NewPCG(16, 16))
	srcs := spread(e.docs(t, r, 1000), 2, true)
	q := testQuery(t, r, 32)
	s := NewSearcher()
	sources := in(e.space, srcs)
	run := func(p Params) float64 {
		mustSearch(t, s, q, srcs, e.space, p)
		return testing.AllocsPerRun(20, func() {
			if _, err := s.Search(context.Background(), q, sources, p); err != nil {
				t.Fatal(err)
			}
		})
	}
	// The fake source itself allocates one bitset for each dense list.
	for _, src := range srcs {
		src.(*testSource).sparse()
	}
	const result = 3 // a Result, its Stages and its Hits
	if n := run(Params{K: 10, NA: 100}); n > result {
		t.Errorf("%v allocations", n)
	}
	if n := run(Params{K: 10, Exact: true}); n > result {
		t.Errorf("exact: %v allocations", n)
	}
}

func BenchmarkSearch(b *testing.B) {
	e := encodings()[0]
	r := rand.New(rand.NewPCG(17, 17))
	srcs := spread(e.docs(b, r, 20000), 2, true)
	for _, src := range srcs {
		src.(*testSource).sparse()
	}
	q := testQuery(b, r, 32)
	for _, p := range []Params{{}, {Effort: EffortFast}, {Effort: EffortHigh}, {Exact: true}} {
		b.Run(fmt.Sprintf("%s exact=%v", p.Effort, p.Exact), func(b *testing.B) {
			s := NewSearcher()
			b.ReportAllocs()
			for b.Loop() {
				mustSearch(b, s, q, srcs, e.space, p)
			}
		})
	}
}
