package tokenizer

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// ErrUnsupported marks a tokenizer.json that asks for a component, or a setting
// of one, that this package does not have.
var ErrUnsupported = errors.New("colbertdb: unsupported tokenizer")

// Token is one word piece of a text.
type Token struct {
	ID int
	// Start and End are the bytes of the original text that the piece stands for.
	Start, End int
	// Joined says that the piece continues the word of the token before it, so
	// that a text cut here would not give the same pieces.
	Joined bool
}

// Tokenizer cuts text into word pieces. It is immutable.
type Tokenizer struct {
	norm  normalizer
	model wordPiece
	// Added tokens are split off before anything else: first those that match
	// the text as it is, then those that match it normalised.
	raw, normalized matcher

	pieces map[int]string
	ids    map[string]int
}

// Encode returns the pieces of a text, without the special tokens that a model
// puts around them; special tokens that the text spells out are recognised.
// Bytes that are not UTF-8 count as U+FFFD, which the normaliser drops.
func (t *Tokenizer) Encode(text string) []Token {
	clean, offsets := validUTF8(text)
	e := encoding{out: make([]Token, 0, len(text)/4+1)}
	t.raw.split(clean, func(start, end, id int) {
		if id >= 0 {
			e.out = append(e.out, Token{ID: id, Start: start, End: end})
			return
		}
		e.stretch = t.norm.normalize(clean[start:end], start, e.stretch)
		t.encodeNormalized(&e)
	})
	if offsets != nil {
		for i := range e.out {
			e.out[i].Start, e.out[i].End = offsets[e.out[i].Start], offsets[e.out[i].End]
		}
	}
	return e.out
}

// encoding is what one call of Encode carries along.
type encoding struct {
	out     []Token
	stretch stretch
}

// encodeNormalized splits a normalised stretch into words and the words into
// pieces.
func (t *Tokenizer) encodeNormalized(e *encoding) {
	text := string(e.stretch.text)
	t.normalized.split(text, func(start, end, id int) {
		if id >= 0 {
			at := e.stretch.original(start, end)
			e.out = append(e.out, Token{ID: id, Start: at.start, End: at.end})
			return
		}
		words(text[start:end], func(a, b int) {
			first := len(e.out)
			e.out = t.model.appendPieces(e.out, text[start+a:start+b])
			for i := first; i < len(e.out); i++ {
				piece := &e.out[i]
				at := e.stretch.original(start+a+piece.Start, start+a+piece.End)
				piece.Start, piece.End, piece.Joined = at.start, at.end, i > first
			}
		})
	})
}

// ID returns the id of a piece or added token.
func (t *Tokenizer) ID(piece string) (int, bool) {
	id, ok := t.ids[piece]
	return id, ok
}

// Piece returns the piece or added token with this id, "" where there is none.
func (t *Tokenizer) Piece(id int) string { return t.pieces[id] }

// Size returns one more than the greatest id.
func (t *Tokenizer) Size() int {
	n := 0
	for id := range t.pieces {
		n = max(n, id+1)
	}
	return n
}

// Lowercase reports whether text is lower-cased.
func (t *Tokenizer) Lowercase() bool { return t.norm.lowercase }

// validUTF8 replaces every invalid byte by U+FFFD. The offsets map a byte of
// the result, or its end, to the byte of text; nil where text was valid.
func validUTF8(text string) (clean string, offsets []int) {
	if utf8.ValidString(text) {
		return text, nil
	}
	var b strings.Builder
	for i, r := range text {
		b.WriteRune(r)
		for len(offsets) < b.Len() {
			offsets = append(offsets, i)
		}
	}
	return b.String(), append(offsets, len(text))
}
