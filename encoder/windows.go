package encoder

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/colbertdb-go/colbertdb/encoder/tokenizer"
)

// A boundary says how well a text may be cut between two tokens.
type boundary int

const (
	insideWord   boundary = iota // the halves would have other tokens
	betweenWords                 // beside punctuation, between ideographs
	atSpace
	afterSentence
)

// Windows cuts a text into ranges that each fit the model's document length:
// the end of a window is the last of the best boundaries in its second half,
// and the next window begins about overlap tokens before it, at a word.
func (c *ColBERT) Windows(text string, overlap int) []Span {
	room := c.room(c.cfg.DocumentMarker, c.cfg.DocumentLength)
	tokens := c.tok.Encode(text)
	if len(tokens) <= room {
		return []Span{{0, len(text)}}
	}
	overlap = max(0, min(overlap, room/2))
	var out []Span
	from, done := 0, 0 // the window's first token, and the tokens that earlier ones hold
	for {
		to := min(from+room, len(tokens))
		if to < len(tokens) {
			to = cut(text, tokens, max(from, done)+1, from+room/2+1, to)
		}
		// Words at the edges may be other tokens on their own.
		for to > max(from, done)+1 && len(c.tok.Encode(between(text, tokens, from, to).of(text))) > room {
			to--
		}
		out = append(out, between(text, tokens, from, to))
		if to == len(tokens) {
			return out
		}
		done = to
		from = max(from+1, to-overlap)
		for from < to && boundaryBefore(text, tokens, from) == insideWord {
			from++
		}
	}
}

// cut returns where a window ends: the last of the best boundaries from
// preferred to last, or where all of those are inside words, from least on.
func cut(text string, tokens []tokenizer.Token, least, preferred, last int) int {
	best, at := insideWord, last
	for i := last; i >= least && (i >= preferred || best == insideWord); i-- {
		if b := boundaryBefore(text, tokens, i); b > best {
			best, at = b, i
		}
	}
	return at
}

// boundaryBefore judges the place before token i, i > 0.
func boundaryBefore(text string, tokens []tokenizer.Token, i int) boundary {
	before, after := tokens[i-1], tokens[i]
	// The pieces of one character, such as a Hangul syllable's letters, overlap.
	if after.Joined || after.Start < before.End {
		return insideWord
	}
	from, to := trimmed(text, before).End, trimmed(text, after).Start
	gap := text[from:max(from, to)]
	end, _ := utf8.DecodeLastRuneInString(text[:from])
	switch {
	case strings.ContainsRune("。！？", end):
		return afterSentence
	case !strings.ContainsFunc(gap, unicode.IsSpace):
		return betweenWords
	case strings.ContainsRune(".!?…", end) || strings.Contains(gap, "\n\n"):
		return afterSentence
	}
	return atSpace
}

// between returns the bytes of tokens [from, to) with what has no token of its
// own between and after them, but for white space at the end.
func between(text string, tokens []tokenizer.Token, from, to int) Span {
	s := Span{trimmed(text, tokens[from]).Start, len(text)}
	if from == 0 {
		s.Start = 0
	}
	if to < len(tokens) {
		s.End = trimmed(text, tokens[to-1]).End
		if next := trimmed(text, tokens[to]).Start; next > s.End {
			s.End += len(strings.TrimRightFunc(text[s.End:next], unicode.IsSpace))
		}
	}
	return s
}

func (s Span) of(text string) string { return text[s.Start:s.End] }
