package tokenizer

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// normalizer rewrites text before it is cut.
type normalizer interface {
	// normalize may reuse the memory of its argument.
	normalize(in []origin) []origin
	// keepsASCII says that text of ASCII characters comes out as it is.
	keepsASCII() bool
}

// normalization is a chain of normalisers.
type normalization []normalizer

// apply normalises a stretch of the original text that begins at byte offset,
// reusing the memory of into.
func (n normalization) apply(text string, offset int, into stretch) stretch {
	into.text, into.origins = into.text[:0], into.origins[:0]
	if n.applyASCII(text, offset, &into) {
		return into
	}
	into.text, into.origins = into.text[:0], into.origins[:0]
	runes := into.runes[:0]
	for i, r := range text {
		runes = append(runes, origin{r, span{offset + i, offset + i + utf8.RuneLen(r)}})
	}
	into.runes = runes
	for _, z := range n {
		if len(runes) > 0 {
			runes = z.normalize(runes)
		}
	}
	for _, o := range runes {
		into.add(o.r, o.span)
	}
	return into
}

// applyASCII does the work where the text turns out to be ASCII and the chain to
// be simple enough, and reports whether it did.
func (n normalization) applyASCII(text string, offset int, into *stretch) bool {
	if len(n) == 1 {
		if z, ok := n[0].(bertNormalizer); ok {
			return z.normalizeASCII(text, offset, into)
		}
	}
	if slices.ContainsFunc(n, func(z normalizer) bool { return !z.keepsASCII() }) {
		return false
	}
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
		into.origins = append(into.origins, span{offset + i, offset + i + 1})
	}
	into.text = append(into.text, text...)
	return true
}

// lowercases reports whether the chain lower-cases text.
func (n normalization) lowercases() bool {
	return slices.ContainsFunc(n, func(z normalizer) bool {
		b, ok := z.(bertNormalizer)
		_, lower := z.(lowercase)
		return lower || ok && b.lowercase
	})
}

// bertNormalizer is the BertNormalizer.
type bertNormalizer struct {
	cleanText, spaceIdeographs, stripAccents, lowercase bool
}

func (z bertNormalizer) keepsASCII() bool { return false }

func (z bertNormalizer) normalize(in []origin) []origin {
	runes := make([]origin, 0, len(in)+len(in)/4)
	for _, o := range in {
		if z.cleanText {
			if isRemoved(o.r) {
				continue
			}
			if unicode.IsSpace(o.r) {
				o.r = ' '
			}
		}
		if z.spaceIdeographs && unicode.Is(ideographs, o.r) {
			runes = append(runes, origin{' ', o.span}, o, origin{' ', o.span})
			continue
		}
		runes = append(runes, o)
	}
	if z.stripAccents {
		runes = nfd.normalize(runes)
		runes = slices.DeleteFunc(runes, func(o origin) bool { return unicode.Is(nonspacing, o.r) })
	}
	if z.lowercase {
		runes = lowercase{}.normalize(runes)
	}
	return runes
}

// normalizeASCII does the work where the text turns out to be ASCII, and
// reports whether it did.
func (z bertNormalizer) normalizeASCII(text string, offset int, into *stretch) bool {
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= utf8.RuneSelf:
			return false
		case c >= ' ' && c != 0x7f:
			if z.lowercase && 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
		case z.cleanText:
			if isRemoved(rune(c)) {
				continue
			}
			c = ' ' // tab, line feed, carriage return
		}
		into.text = append(into.text, c)
		into.origins = append(into.origins, span{offset + i, offset + i + 1})
	}
	return true
}

// isRemoved reports whether clean_text drops a character.
func isRemoved(r rune) bool {
	if r >= ' ' && r < 0x7f || r == '\t' || r == '\n' || r == '\r' {
		return false
	}
	return unicode.Is(removed, r)
}

// lowercase is the Lowercase normaliser.
type lowercase struct{}

func (lowercase) keepsASCII() bool { return false }

func (lowercase) normalize(in []origin) []origin {
	for i := range in {
		if in[i].r == 0x130 { // the only character whose lower-case form has two
			return lowercaseLonger(in)
		}
		in[i].r = toLower(in[i].r)
	}
	return in
}

func lowercaseLonger(in []origin) []origin {
	out := make([]origin, 0, len(in)+8)
	for _, o := range in {
		if o.r == 0x130 {
			out = append(out, origin{'i', o.span})
			o.r = 0x307
		}
		out = append(out, origin{toLower(o.r), o.span})
	}
	return out
}

// caseRange maps every step-th code point from first to last to its lower-case
// form, delta away.
type caseRange struct{ first, last, step, delta rune }

// toLower returns the lower-case form of a character, but for U+0130.
func toLower(r rune) rune {
	if r < utf8.RuneSelf {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}
	i, ok := slices.BinarySearchFunc(lower, r, func(c caseRange, r rune) int {
		switch {
		case c.last < r:
			return -1
		case c.first > r:
			return 1
		}
		return 0
	})
	if ok && (r-lower[i].first)%lower[i].step == 0 {
		return r + lower[i].delta
	}
	return r
}

// stripAccents drops combining marks.
type stripAccents struct{}

func (stripAccents) keepsASCII() bool { return true }

func (stripAccents) normalize(in []origin) []origin {
	return slices.DeleteFunc(in, func(o origin) bool { return unicode.Is(marks, o.r) })
}

// strip drops white space at the ends.
type strip struct{ left, right bool }

func (strip) keepsASCII() bool { return false }

func (z strip) normalize(in []origin) []origin {
	for z.left && len(in) > 0 && unicode.IsSpace(in[0].r) {
		in = in[1:]
	}
	for z.right && len(in) > 0 && unicode.IsSpace(in[len(in)-1].r) {
		in = in[:len(in)-1]
	}
	return in
}

// prepend puts text before text that is not empty.
type prepend string

func (prepend) keepsASCII() bool { return false }

func (z prepend) normalize(in []origin) []origin {
	out := make([]origin, 0, len(z)+len(in))
	for _, r := range z {
		out = append(out, origin{r, in[0].span})
	}
	return append(out, in...)
}

// replace puts text in the place of what find finds, where it has the origin of
// the last character that it replaces.
type replace struct {
	find func(text string) [][]int // matches, as regexp gives them
	with string
}

// findString finds a string.
func findString(s string) func(text string) [][]int {
	return func(text string) (out [][]int) {
		for at := 0; ; {
			i := strings.Index(text[at:], s)
			if i < 0 {
				return out
			}
			out = append(out, []int{at + i, at + i + len(s)})
			at += i + len(s)
		}
	}
}

func (replace) keepsASCII() bool { return false }

func (z replace) normalize(in []origin) []origin {
	var s stretch
	for _, o := range in {
		s.add(o.r, o.span)
	}
	text := string(s.text)
	matches := z.find(text)
	if len(matches) == 0 {
		return in
	}
	out, done := make([]origin, 0, len(in)), 0
	keep := func(to int) {
		for i, r := range text[done:to] {
			out = append(out, origin{r, s.origins[done+i]})
		}
	}
	for _, m := range matches {
		keep(m[0])
		for _, r := range z.with {
			out = append(out, origin{r, s.origins[m[1]-1]})
		}
		done = m[1]
	}
	keep(len(text))
	return out
}
