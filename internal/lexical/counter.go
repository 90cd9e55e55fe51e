package lexical

import (
	"iter"
	"strings"
)

// Counted is a term of a text with how often it occurs.
type Counted struct {
	Term int32 // Counter.Term
	N    uint32
}

// Counter counts the terms of texts and numbers them from 0. It remembers what
// became of a word, so that each is put into lower case and stemmed once. It belongs
// to one goroutine.
type Counter struct {
	analyzer Analyzer
	words    map[string]int32 // to numbers of terms, noTerm
	numbers  map[string]int32
	terms    []string
	at       []int32 // by term: its place in counts + 1, 0: none
	counts   []Counted
}

const noTerm = -1

// maxWords bounds the words remembered, as misspellings and numbers never end.
const maxWords = 1 << 17

// NewCounter returns a counter without terms.
func NewCounter(a Analyzer) *Counter {
	return &Counter{analyzer: a, words: map[string]int32{}, numbers: map[string]int32{}}
}

// Analyzer is what makes the terms.
func (c *Counter) Analyzer() Analyzer { return c.analyzer }

// Len is the number of terms seen, Term the one of a number.
func (c *Counter) Len() int            { return len(c.terms) }
func (c *Counter) Term(i int32) string { return c.terms[i] }

// Number returns the number of a term, a new one where it has none.
func (c *Counter) Number(term string) int32 {
	n, ok := c.numbers[term]
	if !ok {
		n = int32(len(c.terms))
		term = strings.Clone(term)
		c.numbers[term] = n
		c.terms, c.at = append(c.terms, term), append(c.at, 0)
	}
	return n
}

// Count returns the terms of a text in the order of their first occurrence, valid
// until the next call, and how many there are with repetitions.
func (c *Counter) Count(text string) (counts []Counted, length uint32) {
	c.counts = c.counts[:0]
	for w := range words(text) {
		n, ok := c.words[w]
		if !ok {
			n = noTerm
			if term, isTerm := c.analyzer.term(w); isTerm {
				n = c.Number(term)
			}
			if len(c.words) >= maxWords {
				clear(c.words)
			}
			c.words[strings.Clone(w)] = n
		}
		if n == noTerm {
			continue
		}
		length++
		if c.at[n] == 0 {
			c.counts = append(c.counts, Counted{Term: n})
			c.at[n] = int32(len(c.counts))
		}
		c.counts[c.at[n]-1].N++
	}
	for _, t := range c.counts {
		c.at[t.Term] = 0
	}
	return c.counts, length
}

// words yields the words of a text: runs of letters, marks and digits. Those of
// more than maxWordBytes are none.
func words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for w := range strings.FieldsFuncSeq(text, between) {
			if len(w) <= maxWordBytes && !yield(w) {
				return
			}
		}
	}
}
