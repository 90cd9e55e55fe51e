package engine

import (
	"sort"
	"sync"

	"github.com/colbertdb-go/colbertdb/internal/lexical"
	"github.com/colbertdb-go/colbertdb/segment"
)

// memTerms is the text index of a buffer's documents. It only grows: a view reads as
// much of it as was there when the view was made.
type memTerms struct {
	spec    segment.IndexSpec
	lengths []uint32 // of the documents, in terms
	length  int64    // of all

	mu    sync.RWMutex // guards lists against readers
	lists map[string][]segment.TermPosting
}

// newMemTerms returns what a buffer keeps for the text index declared, nil where
// there is none.
func newMemTerms(declared []segment.IndexSpec) *memTerms {
	spec, ok := textSpec(declared)
	if !ok {
		return nil
	}
	return &memTerms{spec: spec, lists: map[string][]segment.TermPosting{}}
}

// docTerms are the terms of one document.
type docTerms struct {
	analyzer Analyzer
	terms    []termCount
	length   uint32
}

type termCount struct {
	term string
	n    uint32
}

// termCounters are kept for their memory of words.
var termCounters = map[Analyzer]*sync.Pool{
	AnalyzerEnglish: {New: func() any { return lexical.NewCounter(AnalyzerEnglish) }},
	AnalyzerPlain:   {New: func() any { return lexical.NewCounter(AnalyzerPlain) }},
}

// maxCounterTerms bounds what is kept.
const maxCounterTerms = 1 << 18

// countTerms reads a text. It takes about 0.1 µs a word.
func countTerms(a Analyzer, text string) *docTerms {
	c := termCounters[a].Get().(*lexical.Counter)
	counts, length := c.Count(text)
	out := &docTerms{analyzer: a, length: length, terms: make([]termCount, len(counts))}
	for i, t := range counts {
		out.terms[i] = termCount{c.Term(t.Term), t.N}
	}
	if c.Len() < maxCounterTerms {
		termCounters[a].Put(c)
	}
	return out
}

// add adds the next document. Its terms were counted when it was encoded, or are now.
func (x *memTerms) add(d *memDoc) {
	if x == nil {
		return
	}
	t := d.terms
	if t == nil || t.analyzer != x.spec.Analyzer {
		t = countTerms(x.spec.Analyzer, d.op.text)
	}
	d.terms = nil // they are of no more use
	x.put(t)
}

func (x *memTerms) put(t *docTerms) {
	ord := uint16(len(x.lengths))
	x.mu.Lock()
	for _, c := range t.terms {
		x.lists[c.term] = append(x.lists[c.term], segment.TermPosting{Ord: ord, N: c.n})
	}
	x.mu.Unlock()
	x.lengths = append(x.lengths, t.length)
	x.length += int64(t.length)
}

// view fixes what a version sees.
func (x *memTerms) view() *termsView {
	if x == nil {
		return nil
	}
	return &termsView{of: x, lengths: x.lengths[:len(x.lengths):len(x.lengths)], length: x.length}
}

// termsView is a memTerms as one version sees it.
type termsView struct {
	of      *memTerms
	lengths []uint32
	length  int64
}

// Lengths are the documents' lengths in terms, Length their sum.
func (v *termsView) Lengths() []uint32 { return v.lengths }
func (v *termsView) Length() int64     { return v.length }

func (v *termsView) list(term string) []segment.TermPosting {
	v.of.mu.RLock()
	list := v.of.lists[term]
	v.of.mu.RUnlock()
	n := len(list)
	if n > 0 && int(list[n-1].Ord) >= len(v.lengths) {
		n = sort.Search(n, func(i int) bool { return int(list[i].Ord) >= len(v.lengths) })
	}
	return list[:n]
}

// Count is the number of documents with a term.
func (v *termsView) Count(term string) int { return len(v.list(term)) }

// Postings appends the documents with a term.
func (v *termsView) Postings(term string, dst []segment.TermPosting) []segment.TermPosting {
	return append(dst, v.list(term)...)
}
