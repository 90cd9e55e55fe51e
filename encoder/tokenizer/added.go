package tokenizer

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is matched as a whole before the model runs.
type addedToken struct {
	content        string
	id             int
	singleWord     bool // only where no word character is next to it
	lstrip, rstrip bool // takes the white space beside it
}

// matcher finds added tokens: leftmost first, the longest at a place, without
// overlap.
type matcher struct {
	any     bool
	byFirst [256][]addedToken // by first byte, longest first
}

func newMatcher(tokens []addedToken) matcher {
	var m matcher
	for _, t := range tokens {
		if t.content != "" {
			m.any = true
			m.byFirst[t.content[0]] = append(m.byFirst[t.content[0]], t)
		}
	}
	for _, l := range m.byFirst {
		slices.SortStableFunc(l, func(a, b addedToken) int { return len(b.content) - len(a.content) })
	}
	return m
}

// split emits the stretches of a text in order: added tokens with their id, the
// text between them with id -1.
func (m *matcher) split(text string, emit func(start, end, id int)) {
	done := 0
	for at := 0; m.any && at < len(text); {
		t, ok := m.match(text[at:])
		if !ok {
			at++
			continue
		}
		start, end := at, at+len(t.content)
		at = end
		if t.singleWord && (endsWithWord(text[:start]) || startsWithWord(text[end:])) {
			continue
		}
		if t.lstrip {
			start = max(done, len(strings.TrimRightFunc(text[:start], unicode.IsSpace)))
		}
		if t.rstrip {
			end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
		}
		if done < start {
			emit(done, start, -1)
		}
		emit(start, end, t.id)
		done = end
	}
	if done < len(text) {
		emit(done, len(text), -1)
	}
}

func (m *matcher) match(text string) (addedToken, bool) {
	for _, t := range m.byFirst[text[0]] {
		if strings.HasPrefix(text, t.content) {
			return t, true
		}
	}
	return addedToken{}, false
}

func endsWithWord(s string) bool {
	r, size := utf8.DecodeLastRuneInString(s)
	return size > 0 && isWord(r)
}

func startsWithWord(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	return size > 0 && isWord(r)
}

// isWord is \w of Unicode regular expressions.
func isWord(r rune) bool {
	return unicode.IsLetter(r) || unicode.Is(unicode.M, r) || unicode.Is(unicode.Nd, r) || unicode.Is(unicode.Nl, r) ||
		unicode.Is(unicode.Pc, r) || unicode.Is(unicode.Other_Alphabetic, r) || unicode.Is(unicode.Join_Control, r)
}
