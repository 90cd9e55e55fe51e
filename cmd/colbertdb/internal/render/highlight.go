package render

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Match is the best match of one query token in a passage.
type Match struct {
	Query      string  // the query token, as the tokenizer writes it
	Start, End int     // bytes of the document token in the passage's text; empty for [CLS] and the like
	Similarity float32 // cosine
}

// Mark is a word of a passage that matched.
type Mark struct {
	Start, End int
	Weight     float32 // the best similarity of its tokens
	Queries    []int   // indices of the matches that fell on it
}

// A match below minSimilarity marks nothing, nor does one below minRelative of
// the passage's best.
const (
	minSimilarity = 0.4
	minRelative   = 0.6
)

// Marks merges matches into whole words, in text order. Query tokens that mean
// nothing by themselves ([MASK] and other special tokens, punctuation, function
// words) mark nothing: they match something in every passage.
func Marks(text string, matches []Match) []Mark {
	best := float32(0)
	for _, m := range matches {
		if contentToken(m.Query) && m.Start < m.End {
			best = max(best, m.Similarity)
		}
	}
	words := map[int]*Mark{}
	for i, m := range matches {
		if !contentToken(m.Query) || m.Start >= m.End || m.Start < 0 || m.End > len(text) {
			continue
		}
		if m.Similarity < minSimilarity || m.Similarity < minRelative*best {
			continue
		}
		start, end := wordAround(text, m.Start, m.End)
		if start >= end || functionWords[strings.ToLower(text[start:end])] {
			continue
		}
		w := words[start]
		if w == nil {
			w = &Mark{Start: start, End: end}
			words[start] = w
		}
		w.End = max(w.End, end)
		w.Weight = max(w.Weight, m.Similarity)
		w.Queries = append(w.Queries, i)
	}
	out := make([]Mark, 0, len(words))
	for _, w := range words {
		out = append(out, *w)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Start < out[j].Start })
	return dropOverlaps(out)
}

func dropOverlaps(marks []Mark) []Mark {
	out := marks[:0]
	for _, m := range marks {
		if len(out) > 0 && m.Start < out[len(out)-1].End {
			last := &out[len(out)-1]
			last.End = max(last.End, m.End)
			last.Weight = max(last.Weight, m.Weight)
			last.Queries = append(last.Queries, m.Queries...)
			continue
		}
		out = append(out, m)
	}
	return out
}

// wordAround widens a word piece to the word it belongs to, and narrows it to
// letters and digits where the tokenizer's span has a space in front.
func wordAround(text string, start, end int) (int, int) {
	for start < end {
		r, n := utf8.DecodeRuneInString(text[start:end])
		if wordRune(r) {
			break
		}
		start += n
	}
	for start < end {
		r, n := utf8.DecodeLastRuneInString(text[start:end])
		if wordRune(r) {
			break
		}
		end -= n
	}
	if start == end {
		return start, end
	}
	for first, _ := utf8.DecodeRuneInString(text[start:]); start > 0; {
		r, n := utf8.DecodeLastRuneInString(text[:start])
		if !joined(r, first) {
			break
		}
		start -= n
	}
	for last, _ := utf8.DecodeLastRuneInString(text[:end]); end < len(text); {
		r, n := utf8.DecodeRuneInString(text[end:])
		if !joined(r, last) {
			break
		}
		end += n
	}
	return start, end
}

func wordRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.M, r) || r == '_'
}

// joined reports whether two neighbours belong to one word. Scripts written
// without spaces have words of their own that no rule here knows.
func joined(a, b rune) bool {
	return wordRune(a) && wordRune(b) && !unspaced(a) && !unspaced(b)
}

func unspaced(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// contentToken reports whether a query token names something to look for.
func contentToken(token string) bool {
	t := strings.TrimLeft(token, "▁Ġ ")
	t = strings.TrimPrefix(t, "##")
	if strings.HasPrefix(t, "[") && strings.HasSuffix(t, "]") || strings.HasPrefix(t, "<") && strings.HasSuffix(t, ">") {
		return false
	}
	return strings.ContainsFunc(t, wordRune) && !functionWords[strings.ToLower(t)]
}

var functionWords = func() map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(`a an the and or but not no of in on at to for from by with without as into over under about
		is are was were be been being am do does did done doing have has had having can could will would shall should may might must
		it its this that these those there here he she they them his her their we us our you your i me my
		what which who whom whose when where why how if then than so such s t`) {
		m[w] = true
	}
	return m
}()
