package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// preTokenizer cuts normalised text into words; some rewrite them too.
type preTokenizer interface{ split(p *pieces) }

// bertWords is the BertPreTokenizer: it cuts at white space, which is dropped,
// and makes every punctuation character a word of its own.
type bertWords struct{}

func (bertWords) split(p *pieces) { p.recut(words) }

func words(text string, emit func(start, end int)) {
	start := 0
	for i, r := range text {
		space := unicode.IsSpace(r)
		if !space && !isPunctuation(r) {
			continue
		}
		if start < i {
			emit(start, i)
		}
		start = i + utf8.RuneLen(r)
		if !space {
			emit(i, start)
		}
	}
	if start < len(text) {
		emit(start, len(text))
	}
}

func isPunctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= '!' && r <= '/' || r >= ':' && r <= '@' || r >= '[' && r <= '`' || r >= '{' && r <= '~'
	}
	return unicode.Is(punctuation, r)
}

// metaspace writes spaces as another character, puts it before words that lack
// it, and cuts before it.
type metaspace struct {
	mark  string // one character
	first bool   // puts it before text that begins the document alone
	never bool   // does not put it before words
	whole bool   // does not cut
}

func (m metaspace) split(p *pieces) {
	p.rewrite(func(into *stretch, word string, origins []span) {
		begins := word[0] == ' ' || strings.HasPrefix(word, m.mark)
		if !begins && !m.never && (!m.first || origins[0].start == 0) {
			for _, r := range m.mark {
				into.add(r, origins[0])
			}
		}
		for done := 0; done < len(word); {
			n := strings.IndexByte(word[done:], ' ')
			if n < 0 {
				n = len(word) - done
			}
			into.addString(word[done:done+n], origins[done:done+n])
			if done += n; done < len(word) {
				for _, r := range m.mark {
					into.add(r, origins[done])
				}
				done++
			}
		}
	})
	if m.whole {
		return
	}
	p.recut(func(word string, emit func(start, end int)) {
		start := 0
		for {
			n := -1
			if start < len(word) {
				_, size := utf8.DecodeRuneInString(word[start:])
				if n = strings.Index(word[start+size:], m.mark); n >= 0 {
					n += start + size
				}
			}
			if n < 0 {
				emit(start, len(word))
				return
			}
			emit(start, n)
			start = n
		}
	})
}

// whitespaceSplit cuts at white space and drops it.
type whitespaceSplit struct{}

func (whitespaceSplit) split(p *pieces) {
	p.recut(func(word string, emit func(start, end int)) {
		delimit(word, discarded, characters(word, unicode.IsSpace), emit)
	})
}

// runeSplit cuts at characters of a kind.
type runeSplit struct {
	is       func(r rune) bool
	behavior behavior
}

func (s runeSplit) split(p *pieces) {
	p.recut(func(word string, emit func(start, end int)) {
		delimit(word, s.behavior, characters(word, s.is), emit)
	})
}

func isDigit(r rune) bool { return unicode.Is(numeric, r) }

// stringSplit cuts at every occurrence of a string.
type stringSplit struct {
	pattern  string
	behavior behavior
}

func (s stringSplit) split(p *pieces) {
	find := findString(s.pattern)
	p.recut(func(word string, emit func(start, end int)) {
		var matches []span
		for _, m := range find(word) {
			matches = append(matches, span{m[0], m[1]})
		}
		delimit(word, s.behavior, matches, emit)
	})
}

// behavior is what becomes of delimiters.
type behavior int

const (
	discarded          behavior = iota
	isolated                    // each a word
	contiguous                  // those in a row are a word
	mergedWithPrevious          // part of the word before them
	mergedWithNext              // part of the word after them
)

// characters returns the characters of a kind, one match each.
func characters(text string, is func(rune) bool) (out []span) {
	for i, r := range text {
		if is(r) {
			out = append(out, span{i, i + utf8.RuneLen(r)})
		}
	}
	return out
}

// delimit emits the words of text between delimiters.
func delimit(text string, b behavior, delimiters []span, emit func(start, end int)) {
	start := 0
	for i, d := range delimiters {
		inRow := i > 0 && delimiters[i-1].end == d.start
		switch b {
		case discarded, isolated:
			emit(start, d.start)
			if start = d.end; b == isolated {
				emit(d.start, d.end)
			}
		case contiguous:
			if !inRow {
				emit(start, d.start)
				start = d.start
			}
			if i+1 == len(delimiters) || delimiters[i+1].start != d.end {
				emit(start, d.end)
				start = d.end
			}
		case mergedWithPrevious:
			// A delimiter after another is a word of its own.
			emit(start, d.end)
			start = d.end
		case mergedWithNext:
			emit(start, d.start)
			start = d.start
		}
	}
	emit(start, len(text))
}
