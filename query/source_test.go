package query

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/query/filter"
	"github.com/colbertdb-go/colbertdb/segment"
)

// testDoc is one document of a test: what a Source serves of it.
type testDoc struct {
	id    string
	attrs string
	dead  bool
	enc   *codec.Encoded
}

// testSource is a Source in memory.
type testSource struct {
	space     *Space
	docs      []testDoc
	live      *segment.Bitset
	postings  map[uint32][]uint16 // nil: flat
	views     int                 // calls of View
	fail      error               // what View returns
	unpinned  bool                // View reads
	allArrays bool                // no list as a bitset
}

func newTestSource(docs []testDoc, coded bool) *testSource {
	s := &testSource{docs: docs}
	for ord, d := range docs {
		if d.dead && s.live == nil {
			s.live = segment.NewBitset(len(docs), true)
		}
		if d.dead {
			s.live.Clear(ord)
		}
	}
	if coded {
		s.postings = map[uint32][]uint16{}
		for ord, d := range docs {
			for _, c := range d.enc.Centroids {
				if l := s.postings[c]; len(l) == 0 || l[len(l)-1] != uint16(ord) {
					s.postings[c] = append(l, uint16(ord))
				}
			}
		}
	}
	return s
}

func (s *testSource) Space() *Space                      { return s.space }
func (s *testSource) Len() int                           { return len(s.docs) }
func (s *testSource) Live() *segment.Bitset              { return s.live }
func (s *testSource) ExternalID(ord int) string          { return s.docs[ord].id }
func (s *testSource) Tokens(ord int) int                 { return s.docs[ord].enc.Tokens }
func (s *testSource) Attributes(ord int) ([]byte, error) { return []byte(s.docs[ord].attrs), nil }

func (s *testSource) AttributeIndex(string) filter.Index { return nil }

func (s *testSource) EachAttributes(ctx context.Context, which *segment.Bitset, f func(int, []byte) error) error {
	for ord, d := range s.docs {
		if which != nil && !which.Get(ord) {
			continue
		}
		if err := f(ord, []byte(d.attrs)); err != nil {
			return err
		}
	}
	return nil
}

func (s *testSource) View(ord int, _ codec.Plane, _ *segment.Buffer) (codec.View, error) {
	s.views++
	return s.docs[ord].enc.View, s.fail
}

func (s *testSource) Pinned(codec.Plane) bool { return !s.unpinned }

func (s *testSource) Postings() Lister {
	if s.postings == nil {
		return nil
	}
	return s
}

// List serves long lists as bitsets, as segments do.
func (s *testSource) List(c uint32) segment.List {
	l := s.postings[c]
	if len(l) <= 20 || s.allArrays {
		return segment.List{Array: l}
	}
	bits := make([]uint64, segment.MaxDocuments/64)
	for _, o := range l {
		bits[o/64] |= 1 << (o % 64)
	}
	return segment.List{Bits: bits}
}

func mustFilter(tb testing.TB, text string) *filter.Filter {
	tb.Helper()
	f, err := filter.Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// spread deals documents over n sources, each with its postings.
func spread(docs []testDoc, n int, coded bool) []Source {
	parts := make([][]testDoc, n)
	for i, d := range docs {
		parts[i%n] = append(parts[i%n], d)
	}
	out := make([]Source, n)
	for i, p := range parts {
		out[i] = newTestSource(p, coded)
	}
	return out
}

// in says how the documents of test sources are encoded.
func in(sp Space, srcs []Source) []Source {
	for _, s := range srcs {
		s.(*testSource).space = &sp
	}
	return srcs
}

const testDim = 32

// testVectors returns vectors around sixty centres, as real token vectors are.
func testVectors(r *rand.Rand, tokens int) codec.Matrix {
	centres := rand.New(rand.NewPCG(7, 7))
	c := codec.NewMatrix(60, testDim)
	for i := range c.Data {
		c.Data[i] = float32(centres.NormFloat64())
	}
	m := codec.NewMatrix(tokens, testDim)
	for t := range tokens {
		row := c.Row(r.IntN(60))
		for d := range row {
			m.Row(t)[d] = row[d] + 0.6*float32(r.NormFloat64())
		}
	}
	return m.Normalized()
}

// encoding is one way to store documents.
type encoding struct {
	name    string
	space   Space
	encoder *codec.Encoder
}

// encodings are all ways: profiles and raw, with a codebook and without.
var encodings = sync.OnceValue(func() []encoding {
	cb, rt, err := codec.Train(context.Background(), testVectors(rand.New(rand.NewPCG(1, 1)), 4000),
		codec.TrainOptions{Cells: 16, Centroids: 96, CodebookID: 1, RoutingID: 1})
	if err != nil {
		panic(err)
	}
	var out []encoding
	for _, p := range []codec.Profile{codec.Exact, codec.Balanced, codec.Compact} {
		for _, raw := range []bool{false, true} {
			out = append(out, encoding{
				name:    fmt.Sprintf("%s raw=%v", p, raw),
				space:   Space{Codebook: cb, Routing: rt, Representation: codec.Representation(p, raw, true)},
				encoder: codec.NewEncoder(testDim, p, raw, cb, rt),
			})
		}
	}
	for _, raw := range []bool{false, true} {
		out = append(out, encoding{
			name:    fmt.Sprintf("flat raw=%v", raw),
			space:   Space{Representation: codec.Representation(codec.Exact, raw, false)},
			encoder: codec.NewEncoder(testDim, codec.Exact, raw, nil, nil),
		})
	}
	return out
})

func (e encoding) coded() bool { return e.space.Codebook != nil }

// docs encodes n documents of 1 to 12 tokens; every fifth repeats the vectors
// of the one before, so that there are equal scores.
func (e encoding) docs(tb testing.TB, r *rand.Rand, n int) []testDoc {
	tb.Helper()
	out := make([]testDoc, n)
	for i := range out {
		if i%5 == 4 {
			out[i] = out[i-1]
		} else {
			enc, err := e.encoder.Encode(testVectors(r, 1+r.IntN(12)))
			if err != nil {
				tb.Fatal(err)
			}
			out[i].enc = enc
		}
		// Ids are in no order of ordinals, some are prefixes of others.
		out[i].id = fmt.Sprintf("%x", uint64(i)*2654435761%(1<<20))
		out[i].attrs = fmt.Sprintf(`{"n":%d,"parity":"%s","tags":["t%d","t%d"]}`, i, []string{"even", "odd"}[i%2], i%3, i%7)
	}
	return out
}

func testQuery(tb testing.TB, r *rand.Rand, tokens int) *codec.Query {
	tb.Helper()
	q, err := codec.NewQuery(testVectors(r, tokens), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

// answer is a hit without its place.
type answer struct {
	ID    string
	Score float32
}

func answers(hits []Hit) []answer {
	out := make([]answer, len(hits))
	for i, h := range hits {
		out[i] = answer{h.ID, h.Score}
	}
	return out
}

// oracle ranks all documents that are alive and allowed by brute force.
func oracle(sp Space, q *codec.Query, docs []testDoc, allowed func(testDoc) bool) []answer {
	s := codec.NewScorer()
	s.Reset(q, sp.Codebook)
	out := []answer{}
	for _, d := range docs {
		if !d.dead && (allowed == nil || allowed(d)) {
			out = append(out, answer{d.id, s.MaxSim(sp.Representation, d.enc.View)})
		}
	}
	slices.SortFunc(out, func(a, b answer) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func mustSearch(tb testing.TB, s *Searcher, q *codec.Query, srcs []Source, sp Space, p Params) *Result {
	tb.Helper()
	res, err := s.Search(context.Background(), q, in(sp, srcs), p)
	if err != nil {
		tb.Fatal(err)
	}
	return res
}

func top[T any](s []T, n int) []T { return s[:min(n, len(s))] }

// sparse makes the source serve its lists without allocating.
func (s *testSource) sparse() { s.allArrays = true }
