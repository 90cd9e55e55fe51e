package tokenizer

import (
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// unicodeForm is one of Unicode's normalisation forms. Which code points it
// changes is in tables.go, what it changes them to in package norm.
type unicodeForm struct{ compatibility, composed bool }

var (
	nfd  = unicodeForm{}
	nfc  = unicodeForm{composed: true}
	nfkd = unicodeForm{compatibility: true}
	nfkc = unicodeForm{compatibility: true, composed: true}
)

func (unicodeForm) keepsASCII() bool { return true }

// normalize puts text into the form. Origins are dealt out in the order of the
// result, as the Hugging Face library does even where canonical ordering has
// exchanged two characters.
func (f unicodeForm) normalize(in []origin) []origin {
	if !slices.ContainsFunc(in, func(o origin) bool { return o.r >= 0xa0 }) {
		return in
	}
	table, decompose := decomposable, norm.NFD
	if f.compatibility {
		table, decompose = compatible, norm.NFKD
	}
	d := decomposition{parts: make([]part, 0, len(in)+len(in)/4)}
	for _, o := range in {
		if o.r < 0xa0 || !unicode.Is(table, o.r) {
			d.push(o.r, 0)
			continue
		}
		var buf [64]byte
		full := decompose.AppendString(buf[:0], string(o.r))
		for i := 0; i < len(full); {
			r, size := utf8.DecodeRune(full[i:])
			d.push(r, min(i, 1))
			i += size
		}
	}
	d.order()
	if f.composed {
		d.compose()
	}
	changes := make([]change, len(d.parts))
	for i, p := range d.parts {
		changes[i] = p.change
	}
	return rewrite(in, changes)
}

// decomposition collects decomposed characters in canonical order.
type decomposition struct {
	parts   []part
	ordered int // parts before it are in their final place
}

type part struct {
	change
	class uint8 // canonical combining class
}

func (d *decomposition) push(r rune, n int) {
	class := combiningClass(r)
	if class == 0 {
		d.order()
	}
	d.parts = append(d.parts, part{change{r, n}, class})
}

func (d *decomposition) order() {
	if len(d.parts)-d.ordered > 1 {
		slices.SortStableFunc(d.parts[d.ordered:], func(a, b part) int { return int(a.class) - int(b.class) })
	}
	d.ordered = len(d.parts)
}

// compose joins every starter with the following characters that compose with it
// and are not blocked by another of the same or a higher class. A character that
// is joined counts as removed from its starter, and cancels its own change.
func (d *decomposition) compose() {
	out := d.parts[:0] // never longer than what has been read
	starter := -1
	last := 0 // the class of the last part after the starter, 0: there is none
	for _, p := range d.parts {
		if starter >= 0 && (last == 0 || last < int(p.class)) {
			if r, ok := composite(out[starter].r, p.r); ok {
				out[starter].change = change{r, out[starter].n + p.n - 1}
				continue
			}
		}
		out = append(out, p)
		last = int(p.class)
		if p.class == 0 {
			starter = len(out) - 1
		}
	}
	d.parts = out
}

// Hangul syllables compose by arithmetic (Unicode, section 3.12).
const (
	hangulBase, leadBase, vowelBase, tailBase = 0xac00, 0x1100, 0x1161, 0x11a7
	leads, vowels, tails                      = 19, 21, 28
)

// composite returns the character that two compose to.
func composite(a, b rune) (rune, bool) {
	switch {
	case b < 0x300:
		return 0, false
	case leadBase <= a && a < leadBase+leads && vowelBase <= b && b < vowelBase+vowels:
		return hangulBase + ((a-leadBase)*vowels+b-vowelBase)*tails, true
	case hangulBase <= a && a < hangulBase+leads*vowels*tails && (a-hangulBase)%tails == 0 && tailBase < b && b < tailBase+tails:
		return a + b - tailBase, true
	}
	r, ok := composites()[[2]rune{a, b}]
	return r, ok
}

// composites are the pairs that compose, but for Hangul: what a decomposable
// character is composed from again.
var composites = sync.OnceValue(func() map[[2]rune]rune {
	pairs := map[[2]rune]rune{}
	add := func(r rune) {
		full := []rune(norm.NFD.String(string(r)))
		if len(full) < 2 || hangulBase <= r && r < hangulBase+leads*vowels*tails {
			return
		}
		first := []rune(norm.NFC.String(string(full[:len(full)-1])))
		if len(first) == 1 && norm.NFC.String(string(full)) == string(r) {
			pairs[[2]rune{first[0], full[len(full)-1]}] = r
		}
	}
	for _, t := range decomposable.R16 {
		for r := rune(t.Lo); r <= rune(t.Hi); r++ {
			add(r)
		}
	}
	for _, t := range decomposable.R32 {
		for r := rune(t.Lo); r <= rune(t.Hi); r++ {
			add(r)
		}
	}
	return pairs
})

// combiningClass returns the canonical combining class.
func combiningClass(r rune) uint8 {
	if r < 0x300 || !unicode.Is(combining, r) {
		return 0
	}
	return norm.NFD.PropertiesString(string(r)).CCC()
}
