package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// postProcessor is what a tokenizer does with the pieces of a text: the special
// tokens around them, and white space that their offsets leave out.
type postProcessor struct {
	before, after []int
	trims         []trim
}

// trim leaves white space out of offsets, as ByteLevel and RobertaProcessing do.
type trim struct{ prefixSpace bool }

func (t *Tokenizer) trim(text string, tokens []Token) {
	for _, trim := range t.post.trims {
		for i := range tokens {
			piece := t.pieces[tokens[i].ID]
			if t.added[tokens[i].ID] {
				piece = text[tokens[i].Start:tokens[i].End]
			}
			trim.token(text, &tokens[i], piece, i == 0)
		}
	}
}

// token moves the ends of a token inwards, one character of the text for each
// space of its piece. A single leading space of the first piece, or of one at the
// beginning of the text, stays where a space was put before the text.
func (t trim) token(text string, token *Token, piece string, first bool) {
	leading := utf8.RuneCountInString(piece) - utf8.RuneCountInString(strings.TrimLeftFunc(piece, isSpacePiece))
	trailing := utf8.RuneCountInString(piece) - utf8.RuneCountInString(strings.TrimRightFunc(piece, isSpacePiece))
	if leading == 1 && t.prefixSpace && (first || token.Start == 0) {
		leading = 0
	}
	for ; leading > 0 && token.Start < token.End; leading-- {
		_, size := utf8.DecodeRuneInString(text[token.Start:])
		token.Start += size
	}
	if utf8.RuneCountInString(text[:min(token.End, trailing*utf8.UTFMax)]) < trailing {
		return // the library trims no end that is nearer to the beginning
	}
	for ; trailing > 0 && token.Start < token.End; trailing-- {
		_, size := utf8.DecodeLastRuneInString(text[:token.End])
		token.End -= size
	}
}

func isSpacePiece(r rune) bool { return r == byteRunes[' '] || unicode.IsSpace(r) }
