package tokenizer

import "unicode/utf8"

// wordPiece is the WordPiece model: a word is cut into the longest piece of the
// vocabulary that begins it, and so on with the rest.
type wordPiece struct {
	initial    map[string]int // pieces that begin a word
	continuing map[string]int // pieces that continue one, without their prefix
	longest    int            // bytes of the longest piece of either
	unknown    int
	maxRunes   int // longer words are unknown
}

// appendPieces appends the pieces of a word, with offsets in the word. A word
// with a stretch that no piece covers is one unknown token.
func (w *wordPiece) appendPieces(out []Token, word string, _ *scratch) []Token {
	first := len(out)
	if utf8.RuneCountInString(word) > w.maxRunes {
		return append(out, Token{ID: w.unknown, End: len(word)})
	}
	vocabulary := w.initial
	for start := 0; start < len(word); vocabulary = w.continuing {
		id, end := longestPiece(vocabulary, word[start:min(len(word), start+w.longest)])
		if end == 0 {
			return append(out[:first], Token{ID: w.unknown, End: len(word)})
		}
		out = append(out, Token{ID: id, Start: start, End: start + end})
		start += end
	}
	return out
}

// longestPiece returns the longest piece that begins s and its length in bytes,
// 0 where there is none.
func longestPiece(vocabulary map[string]int, s string) (id, end int) {
	for end := len(s); end > 0; end-- {
		if id, ok := vocabulary[s[:end]]; ok {
			return id, end
		}
	}
	return 0, 0
}
