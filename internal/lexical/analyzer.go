package lexical

import (
	"fmt"
	"iter"
	"strings"
	"unicode"

	"github.com/kljensen/snowball/english"
)

// Analyzer says how text becomes terms.
type Analyzer string

const (
	// Plain: runs of letters, marks and digits, in lower case. For every language
	// that is written with spaces.
	Plain Analyzer = "plain"
	// English: Plain without the stop words below, each stemmed by Porter2.
	English Analyzer = "english"
)

// Validate names an analyzer that there is none of.
func (a Analyzer) Validate() error {
	if a != Plain && a != English {
		return fmt.Errorf("colbertdb: unknown analyzer %q: use %s or %s", string(a), English, Plain)
	}
	return nil
}

// stopWords are the short list that Lucene uses for English.
var stopWords = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`a an and are as at be but by for if in into is it no not of on or
		such that the their then there these they this to was will with`) {
		m[w] = true
	}
	return m
}()

// maxWordBytes is the length of the longest word that becomes a term: longer runs
// are no language.
const maxWordBytes = 256

// between reports whether a character separates words.
func between(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) }

// Terms yields the terms of a text in order, repeated as they are in it.
func (a Analyzer) Terms(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for w := range words(text) {
			if t, ok := a.term(w); ok && !yield(t) {
				return
			}
		}
	}
}

// term returns the term that a word becomes, false for a stop word. It is not empty.
func (a Analyzer) term(w string) (string, bool) {
	w = strings.ToLower(w)
	if a != English {
		return w, true
	}
	if stopWords[w] {
		return "", false
	}
	stem := english.Stem(w, false)
	return stem, stem != ""
}
