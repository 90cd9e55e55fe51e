package lexical

import (
	"cmp"
	"maps"
	"math"
	"slices"
)

// BM25 has the formula's constants. Robertson and Zaragoza, The Probabilistic
// Relevance Framework: BM25 and Beyond, section 3, with the inverse document
// frequency of Lucene, which is never negative.
type BM25 struct {
	K1 float64 `json:"k1"` // how soon repetitions of a term stop counting
	B  float64 `json:"b"`  // how much long documents are marked down, 0 to 1
}

// IDF is the weight of a term that df of n documents have.
func IDF(n, df int) float64 {
	return math.Log1p((float64(n-df) + .5) / (float64(df) + .5))
}

// Default are the constants of Robertson and of Lucene.
var Default = BM25{K1: 1.2, B: .75}

// TF is what tf occurrences in a document count for, whose length has a norm.
func TF(tf int, norm float64) float64 { return float64(tf) / (float64(tf) + norm) }

// Norm is what a document of length terms is marked down by, where the mean length
// is mean. The conversions keep products and sums apart on processors that would do
// both at once, and round otherwise.
func (p BM25) Norm(length int, mean float64) float64 {
	return float64(p.K1 * (1 - p.B + float64(p.B*float64(length))/mean))
}

// Term is a term of a query.
type Term struct {
	Text  string
	Count int // how often the query has it
}

// Query returns the terms of a query, ascending: the order in which every score is
// summed.
func (a Analyzer) Query(text string) []Term {
	counts := map[string]int{}
	for t := range a.Terms(text) {
		counts[t]++
	}
	out := make([]Term, 0, len(counts))
	for _, t := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, Term{t, counts[t]})
	}
	return out
}

// Weight is what a term with the inverse document frequency idf counts in a query
// that has it count times.
func Weight(count int, idf float64) float64 { return float64(count) * idf }

// Index is a BM25 index of live documents in memory.
type Index struct {
	analyzer Analyzer
	bm25     BM25
	docs     map[string]*document // by id
	df       map[string]int
	length   int // of all documents
}

type document struct {
	length int
	tf     map[string]int
}

// Scored is a document found.
type Scored struct {
	ID    string
	Score float64
}

// NewIndex returns an index without documents.
func NewIndex(a Analyzer, p BM25) *Index {
	return &Index{analyzer: a, bm25: p, docs: map[string]*document{}, df: map[string]int{}}
}

// Upsert adds a document, or replaces the one with its id.
func (x *Index) Upsert(id, text string) {
	x.Delete(id)
	d := &document{tf: map[string]int{}}
	for t := range x.analyzer.Terms(text) {
		if d.tf[t]++; d.tf[t] == 1 {
			x.df[t]++
		}
		d.length++
	}
	x.docs[id] = d
	x.length += d.length
}

// Delete removes a document: it no longer counts in any statistic.
func (x *Index) Delete(id string) {
	d, ok := x.docs[id]
	if !ok {
		return
	}
	delete(x.docs, id)
	x.length -= d.length
	for t := range d.tf {
		if x.df[t]--; x.df[t] == 0 {
			delete(x.df, t)
		}
	}
}

// Search returns the k documents with the greatest scores above 0, best first,
// equal ones in the order of their ids. Terms that a query repeats count as often.
func (x *Index) Search(query string, k int) []Scored {
	terms := x.analyzer.Query(query)
	mean := float64(x.length) / float64(max(1, len(x.docs)))
	var out []Scored
	for id, d := range x.docs {
		score := 0.
		for _, t := range terms {
			if tf := d.tf[t.Text]; tf > 0 {
				w := Weight(t.Count, IDF(len(x.docs), x.df[t.Text]))
				score += float64(w * TF(tf, x.bm25.Norm(d.length, mean)))
			}
		}
		if score > 0 {
			out = append(out, Scored{id, score})
		}
	}
	slices.SortFunc(out, func(a, b Scored) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(a.ID, b.ID))
	})
	return out[:min(k, len(out))]
}
