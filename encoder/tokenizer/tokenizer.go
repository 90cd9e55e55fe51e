package tokenizer

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// ErrUnsupported marks a tokenizer.json that asks for a component, or a setting
// of one, that this package does not have.
var ErrUnsupported = errors.New("colbertdb: unsupported tokenizer")

// Token is one piece of a text.
type Token struct {
	ID int
	// Start and End are the bytes of the original text that the piece stands for,
	// as the Hugging Face library gives them: a byte-level piece that begins with
	// a space counts the space, and pieces of one character share its bytes.
	Start, End int
	// Joined says that the piece continues the word of the token before it, so
	// that a text cut here would not give the same pieces.
	Joined bool
}

// Tokenizer cuts text into pieces. It is immutable.
type Tokenizer struct {
	norm  normalization
	pre   []preTokenizer
	model model
	post  postProcessor
	// Added tokens are split off before anything else: first those that match
	// the text as it is, then those that match it normalised.
	raw, normalized matcher

	pieces map[int]string
	ids    map[string]int
	added  map[int]bool
}

// model cuts words into pieces.
type model interface {
	// appendPieces appends the pieces of a word, with offsets in the word.
	appendPieces(out []Token, word string, s *scratch) []Token
}

// Encode returns the pieces of a text, without the special tokens that a model
// puts around them; special tokens that the text spells out are recognised.
// Bytes that are not UTF-8 count as U+FFFD.
func (t *Tokenizer) Encode(text string) []Token {
	clean, offsets := validUTF8(text)
	e := encoding{out: make([]Token, 0, len(text)/4+1)}
	t.raw.split(clean, func(start, end, id int) {
		if id >= 0 {
			e.out = append(e.out, Token{ID: id, Start: start, End: end})
			return
		}
		e.stretch = t.norm.apply(clean[start:end], start, e.stretch)
		t.encodeNormalized(&e)
	})
	t.trim(clean, e.out)
	if offsets != nil {
		for i := range e.out {
			e.out[i].Start, e.out[i].End = offsets[e.out[i].Start], offsets[e.out[i].End]
		}
	}
	return e.out
}

// Special returns the ids that go before and after the pieces of a text that is
// encoded alone, such as [CLS] and [SEP].
func (t *Tokenizer) Special() (before, after []int) { return t.post.before, t.post.after }

// encoding is what one call of Encode carries along.
type encoding struct {
	out     []Token
	stretch stretch
	pieces  pieces
	scratch scratch
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
		p := &e.pieces
		p.text, p.origins = text, e.stretch.origins
		p.words = append(p.words[:0], span{start, end})
		for _, pre := range t.pre {
			pre.split(p)
		}
		for _, w := range p.words {
			first := len(e.out)
			e.out = t.model.appendPieces(e.out, p.text[w.start:w.end], &e.scratch)
			for i := first; i < len(e.out); i++ {
				piece := &e.out[i]
				at := originalOf(p.origins, w.start+piece.Start, w.start+piece.End)
				piece.Joined = i > first && !t.beginsWord(p.text[w.start+piece.Start:])
				piece.Start, piece.End = at.start, at.end
			}
		}
	})
}

// beginsWord reports whether text within a word of the pre-tokenisers begins one
// all the same: where Metaspace marks words and does not cut.
func (t *Tokenizer) beginsWord(text string) bool {
	for _, pre := range t.pre {
		if m, ok := pre.(metaspace); ok && m.whole && strings.HasPrefix(text, m.mark) {
			return true
		}
	}
	return false
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

// Model returns the type of the model, as tokenizer.json has it.
func (t *Tokenizer) Model() string {
	switch t.model.(type) {
	case *bpe:
		return "BPE"
	case *unigram:
		return "Unigram"
	}
	return "WordPiece"
}

// Lowercase reports whether text is lower-cased.
func (t *Tokenizer) Lowercase() bool { return t.norm.lowercases() }

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
