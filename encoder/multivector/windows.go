package multivector

import (
	"strings"
	"unicode/utf8"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// tokenBytes is how many bytes of text are taken for a token of the server's: fewer
// than most tokenizers make of most text, so that windows fit.
const tokenBytes = 3

// Windows cuts a text into ranges that are likely to fit the model's document length,
// after the last sentence, line or word in a window's second half.
func (e *Encoder) Windows(text string, overlap int) []encoder.Span {
	const around = 4 // special tokens
	room := max(64, (e.info.DocMaxLen-around)*tokenBytes)
	overlap = max(0, min(overlap*tokenBytes, room/2))
	var out []encoder.Span
	for from := 0; ; {
		if len(text)-from <= room {
			return append(out, encoder.Span{Start: from, End: len(text)})
		}
		to := cut(text, from+room/2, from+room)
		out = append(out, encoder.Span{Start: from, End: to})
		// The next begins at a word, and after this one's beginning.
		next := runeStart(text, max(from+1, to-overlap))
		if i := strings.IndexAny(text[next:to], " \n"); i >= 0 && overlap > 0 {
			next += i + 1
		} else {
			next = to
		}
		from = next
	}
}

// cut returns the best end of a window in (from, to].
func cut(text string, from, to int) int {
	part := text[from:to]
	for _, ends := range []string{"\n\n", ". ", "。", "\n", " "} {
		if i := strings.LastIndex(part, ends); i >= 0 {
			return from + i + len(ends)
		}
	}
	return runeStart(text, to)
}

// runeStart returns the beginning of the character that i is in.
func runeStart(text string, i int) int {
	for i > 0 && i < len(text) && !utf8.RuneStart(text[i]) {
		i--
	}
	return i
}
