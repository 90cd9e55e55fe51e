package tokenizer

import "unicode/utf8"

// span is a range of bytes of the original text.
type span struct{ start, end int }

// origin is a character and the bytes of the original text that it stands for.
type origin struct {
	r rune
	span
}

// stretch is text under way with, for each of its bytes, the bytes of the
// original text that it stands for.
type stretch struct {
	text    []byte
	origins []span
	runes   []origin // scratch
}

// original returns the original bytes of bytes [start, end).
func (s *stretch) original(start, end int) span { return originalOf(s.origins, start, end) }

func originalOf(origins []span, start, end int) span {
	return span{origins[start].start, origins[end-1].end}
}

func (s *stretch) add(r rune, at span) {
	s.text = utf8.AppendRune(s.text, r)
	for len(s.origins) < len(s.text) {
		s.origins = append(s.origins, at)
	}
}

// addString adds text whose bytes have origins of their own.
func (s *stretch) addString(text string, origins []span) {
	s.text = append(s.text, text...)
	s.origins = append(s.origins, origins...)
}

// change is a character of rewritten text, as the Hugging Face library
// describes it: with n ≤ 0 it replaces the next character and removes -n more
// after it, with n > 0 it is inserted and shares the origin of the character
// that was taken last.
type change struct {
	r rune
	n int
}

// rewrite deals out the origins of in to what it became.
func rewrite(in []origin, changes []change) []origin {
	out := make([]origin, len(changes))
	taken := 0
	for i, c := range changes {
		out[i].r = c.r
		switch {
		case c.n > 0 && taken == 0:
			out[i].span = span{in[0].start, in[0].start}
		case c.n > 0:
			out[i].span = in[taken-1].span
		default:
			out[i].span = in[min(taken, len(in)-1)].span
			taken = min(taken+1-c.n, len(in))
		}
	}
	return out
}

// pieces is normalised text and the words that it has been cut into so far.
type pieces struct {
	text    string
	origins []span
	words   []span // of text, in order
	next    []span // scratch
}

// recut replaces every word by the ranges that cut emits for it, which are
// relative to the word; empty ones are dropped.
func (p *pieces) recut(cut func(word string, emit func(start, end int))) {
	p.next = p.next[:0]
	for _, w := range p.words {
		cut(p.text[w.start:w.end], func(start, end int) {
			if start < end {
				p.next = append(p.next, span{w.start + start, w.start + end})
			}
		})
	}
	p.words, p.next = p.next, p.words
}

// rewrite replaces the text of every word by what f adds for it to a stretch.
func (p *pieces) rewrite(f func(into *stretch, word string, origins []span)) {
	into := stretch{text: make([]byte, 0, len(p.text)+len(p.text)/4+8), origins: make([]span, 0, len(p.text)+len(p.text)/4+8)}
	for i, w := range p.words {
		start := len(into.text)
		f(&into, p.text[w.start:w.end], p.origins[w.start:w.end])
		p.words[i] = span{start, len(into.text)}
	}
	p.text, p.origins = string(into.text), into.origins
}
