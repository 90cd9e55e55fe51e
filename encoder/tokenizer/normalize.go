package tokenizer

import (
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer is the BertNormalizer.
type normalizer struct {
	cleanText, spaceIdeographs, stripAccents, lowercase bool
}

// span is a range of bytes of the original text.
type span struct{ start, end int }

// stretch is normalised text with, for each of its bytes, the character of the
// original text that it came from.
type stretch struct {
	text    []byte
	origins []span
	runes   []origin // scratch
}

// origin is a normalised character and where it came from.
type origin struct {
	r rune
	span
}

// original returns the original bytes of normalised bytes [start, end).
func (s *stretch) original(start, end int) span {
	return span{s.origins[start].start, s.origins[end-1].end}
}

func (s *stretch) add(o origin) {
	s.text = utf8.AppendRune(s.text, o.r)
	for len(s.origins) < len(s.text) {
		s.origins = append(s.origins, o.span)
	}
}

// normalize normalises a stretch of the original text that begins at byte
// offset, reusing the memory of into.
func (z *normalizer) normalize(text string, offset int, into stretch) stretch {
	into.text, into.origins = into.text[:0], into.origins[:0]
	if z.normalizeASCII(text, offset, &into) {
		return into
	}
	into.text, into.origins = into.text[:0], into.origins[:0]
	runes := into.runes[:0]
	for i, r := range text {
		at := span{offset + i, offset + i + utf8.RuneLen(r)}
		if z.cleanText {
			if isRemoved(r) {
				continue
			}
			if unicode.IsSpace(r) {
				r = ' '
			}
		}
		if z.spaceIdeographs && unicode.Is(ideographs, r) {
			runes = append(runes, origin{' ', at}, origin{r, at}, origin{' ', at})
			continue
		}
		runes = append(runes, origin{r, at})
	}
	if z.stripAccents {
		runes = decompose(runes)
		runes = slices.DeleteFunc(runes, func(o origin) bool { return unicode.Is(nonspacing, o.r) })
	}
	for _, o := range runes {
		if z.lowercase {
			if o.r == 0x130 { // the only character whose lower-case form has two
				into.add(origin{'i', o.span})
				o.r = 0x307
			}
			o.r = toLower(o.r)
		}
		into.add(o)
	}
	into.runes = runes
	return into
}

// normalizeASCII does the work where the text turns out to be ASCII, and
// reports whether it did.
func (z *normalizer) normalizeASCII(text string, offset int, into *stretch) bool {
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

// decompose puts text into canonical decomposition (NFD). Origins are dealt out
// in the order of the result, as the Hugging Face library does even where
// canonical ordering has exchanged two characters: one that begins a
// decomposition takes the next original character, one inside a decomposition
// shares the origin of the character that was taken last.
func decompose(in []origin) []origin {
	if !slices.ContainsFunc(in, func(o origin) bool { return o.r >= 0xc0 }) {
		return in
	}
	var d decomposition
	for _, o := range in {
		if o.r < 0xc0 || !unicode.Is(decomposable, o.r) {
			d.push(o.r, false)
			continue
		}
		var buf [16]byte
		full := norm.NFD.AppendString(buf[:0], string(o.r))
		for i := 0; i < len(full); {
			r, size := utf8.DecodeRune(full[i:])
			d.push(r, i > 0)
			i += size
		}
	}
	d.order()

	out := make([]origin, len(d.parts))
	taken := 0
	for i, p := range d.parts {
		out[i].r = p.r
		if !p.inner {
			taken++
		}
		if taken > 0 {
			out[i].span = in[taken-1].span
		}
	}
	return out
}

// decomposition collects decomposed characters in canonical order.
type decomposition struct {
	parts   []part
	ordered int // parts before it are in their final place
}

type part struct {
	r     rune
	class uint8 // canonical combining class
	inner bool  // not the first of its character's decomposition
}

func (d *decomposition) push(r rune, inner bool) {
	class := combiningClass(r)
	if class == 0 {
		d.order()
	}
	d.parts = append(d.parts, part{r, class, inner})
}

func (d *decomposition) order() {
	if len(d.parts)-d.ordered > 1 {
		slices.SortStableFunc(d.parts[d.ordered:], func(a, b part) int { return int(a.class) - int(b.class) })
	}
	d.ordered = len(d.parts)
}

// combiningClass returns the canonical combining class.
func combiningClass(r rune) uint8 {
	if r < 0x300 || !unicode.Is(combining, r) {
		return 0
	}
	return norm.NFD.PropertiesString(string(r)).CCC()
}

// caseRange maps every step-th code point from first to last to its lower-case
// form, delta away.
type caseRange struct{ first, last, step, delta rune }

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
