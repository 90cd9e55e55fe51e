package query

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/colbertdb-go/colbertdb/internal/lexical"
	"github.com/colbertdb-go/colbertdb/segment"
)

// TermIndex is the text index of a source.
type TermIndex interface {
	// Lengths are the lengths of its documents in terms, Length their sum.
	Lengths() []uint32
	Length() int64
	// Count is the number of documents with a term, dead ones included.
	Count(term string) int
	// Postings appends the documents with a term, ascending.
	Postings(term string, dst []segment.TermPosting) []segment.TermPosting
}

// TermQuery is a query by words.
type TermQuery struct {
	Terms   []lexical.Term // ascending
	BM25    lexical.BM25
	Indexes []TermIndex // of the sources
}

// TermMatch is a term of the query in a document, and what it adds to the score.
type TermMatch struct {
	Term  string  `json:"term"`
	Count int     `json:"count"`
	Score float64 `json:"score"`
}

// termScorer computes BM25 of all documents that have a term of a query, term by
// term, source by source. Statistics are of the live documents of all sources, so a
// score does not depend on where a document lies; sums are in float64 in the order
// of the terms, so they are the same bit by bit.
type termScorer struct {
	weights []float64 // by term
	length  float64   // Euclidean, of the weights, those of terms in no document with them
	bm25    lexical.BM25
	mean    float64 // length of a document
	norms   []float64
	once    []float64 // TF of one occurrence, by length
	sums    []float64 // by ordinal; 0 between uses
	touched []uint16
	list    []segment.TermPosting
}

// tabledLengths is the number of lengths whose norms are computed once.
const tabledLengths = 4096

// reset prepares for a query: it adds up the statistics.
func (t *termScorer) reset(q *TermQuery, sources []Source) {
	docs, length := 0, int64(0)
	for i, src := range sources {
		x, live := q.Indexes[i], src.Live()
		docs, length = docs+src.Len(), length+x.Length()
		if live != nil {
			lengths := x.Lengths()
			segment.EachChange(src.Len(), nil, live, func(ord int, _ bool) {
				docs--
				length -= int64(lengths[ord])
			})
		}
	}
	t.bm25, t.mean = q.BM25, float64(length)/float64(max(1, docs))
	t.weights, t.length = t.weights[:0], 0
	for _, term := range q.Terms {
		df := 0
		for i, src := range sources {
			df += t.count(term.Text, q.Indexes[i], src.Live())
		}
		w := lexical.Weight(term.Count, lexical.IDF(docs, df))
		t.length += float64(w * w)
		if df == 0 {
			w = 0
		}
		t.weights = append(t.weights, w)
	}
	t.length = math.Sqrt(t.length)
	t.norms = slices.Grow(t.norms[:0], tabledLengths)[:tabledLengths]
	t.once = slices.Grow(t.once[:0], tabledLengths)[:tabledLengths]
	clear(t.once)
}

// count is the number of live documents with a term.
func (t *termScorer) count(term string, x TermIndex, live *segment.Bitset) int {
	if live == nil {
		return x.Count(term)
	}
	t.list = x.Postings(term, t.list[:0])
	n := 0
	for _, p := range t.list {
		if live.Get(int(p.Ord)) {
			n++
		}
	}
	return n
}

// tf is what n occurrences in a document of a length count for.
func (t *termScorer) tf(n, length uint32) float64 {
	if length >= tabledLengths {
		return lexical.TF(int(n), t.bm25.Norm(int(length), t.mean))
	}
	if t.once[length] == 0 { // TF is above 0
		t.norms[length] = t.bm25.Norm(int(length), t.mean)
		t.once[length] = lexical.TF(1, t.norms[length])
	}
	if n == 1 {
		return t.once[length]
	}
	return lexical.TF(int(n), t.norms[length])
}

// score sums up the documents of one source; each calls f with them, in the order in
// which they were found.
func (t *termScorer) score(ctx context.Context, q *TermQuery, x TermIndex) error {
	lengths := x.Lengths()
	if len(t.sums) < len(lengths) {
		t.sums = make([]float64, len(lengths))
	}
	for i, term := range q.Terms {
		if err := ctx.Err(); err != nil {
			return err
		}
		w := t.weights[i]
		if w == 0 {
			continue
		}
		t.list = x.Postings(term.Text, t.list[:0])
		for _, p := range t.list {
			sum := t.sums[p.Ord]
			if sum == 0 {
				t.touched = append(t.touched, p.Ord)
			}
			t.sums[p.Ord] = sum + float64(w*t.tf(p.N, lengths[p.Ord]))
		}
	}
	return nil
}

// forget clears what score summed.
func (t *termScorer) forget() {
	for _, ord := range t.touched {
		t.sums[ord] = 0
	}
	t.touched = t.touched[:0]
}

// bm25 returns the best want of the allowed documents with a term of the query, in
// order. The scores of also, documents with any score, are set to theirs.
func (s *Searcher) bm25(ctx context.Context, q *TermQuery, want int, also []candidate) ([]candidate, error) {
	defer s.terms.forget()
	s.terms.reset(q, s.sources)
	found := s.gen.found[:0]
	least, some := float32(0), false
	s.res.Candidates = 0
	for i := range s.sources {
		if err := s.terms.score(ctx, q, q.Indexes[i]); err != nil {
			return nil, err
		}
		allowed := s.allowed[i]
		for _, ord := range s.terms.touched {
			if allowed != nil && !allowed.Get(int(ord)) {
				continue
			}
			s.res.Candidates++
			score := float32(s.terms.sums[ord])
			if some && score < least {
				continue
			}
			found = append(found, candidate{i, int(ord), score})
			if len(found) >= 2*want+4096 {
				s.rank.selectTop(found, want)
				found = found[:want]
				least, some = slices.MinFunc(found, func(a, b candidate) int { return cmp.Compare(a.score, b.score) }).score, true
			}
		}
		for j := range also {
			if also[j].source == i {
				also[j].score = float32(s.terms.sums[also[j].ord])
			}
		}
		s.terms.forget()
	}
	s.gen.found = found
	s.stage("bm25")
	return s.rank.top(found, want), nil
}

// explainTerms fills in the terms of hits and their passages.
func (s *Searcher) explainTerms(q *TermQuery, hits []Hit) error {
	for i := range hits {
		h := &hits[i]
		if h.Explain == nil {
			h.Explain = new(Explain)
		}
		x := q.Indexes[h.Source]
		for j, term := range q.Terms {
			s.terms.list = x.Postings(term.Text, s.terms.list[:0])
			list := s.terms.list
			at := sort.Search(len(list), func(i int) bool { return int(list[i].Ord) >= h.Ord })
			if at < len(list) && int(list[at].Ord) == h.Ord {
				n := list[at].N
				h.Explain.Terms = append(h.Explain.Terms, TermMatch{term.Text, int(n), s.terms.weights[j] * s.terms.tf(n, x.Lengths()[h.Ord])})
			}
		}
		if err := s.explainTerms(q, h.Passages); err != nil {
			return err
		}
	}
	return nil
}

// check finds fault with a query by words.
func (q *TermQuery) check(sources []Source) error {
	if len(q.Indexes) != len(sources) {
		return fmt.Errorf("%w: %d text indexes for %d sources", ErrInvalid, len(q.Indexes), len(sources))
	}
	if !(q.BM25.K1 >= 0 && q.BM25.B >= 0 && q.BM25.B <= 1) {
		return fmt.Errorf("%w: BM25 has k1 %v and b %v, they must be from 0 on and 0 to 1", ErrInvalid, q.BM25.K1, q.BM25.B)
	}
	return nil
}
