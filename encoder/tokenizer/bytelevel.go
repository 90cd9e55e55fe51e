package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// byteLevel is the ByteLevel pre-tokeniser: it cuts text as GPT-2 does and writes
// every byte as a character of its own.
type byteLevel struct{ prefixSpace, cut bool }

func (b byteLevel) split(p *pieces) {
	if b.prefixSpace {
		p.rewrite(func(into *stretch, word string, origins []span) {
			if word[0] != ' ' {
				into.add(' ', origins[0])
			}
			into.addString(word, origins)
		})
	}
	if b.cut {
		p.recut(gpt2.cut)
	}
	p.rewrite(func(into *stretch, word string, origins []span) {
		for i := range len(word) {
			into.add(byteRunes[word[i]], origins[i])
		}
	})
}

// byteRunes are the characters that bytes are written as: Latin-1's printable
// ones are themselves, the others follow from U+0100 on.
var byteRunes = func() (out [256]rune) {
	next := rune(0x100)
	for b := range out {
		if '!' <= b && b <= '~' || 0xa1 <= b && b <= 0xac || 0xae <= b {
			out[b] = rune(b)
			continue
		}
		out[b] = next
		next++
	}
	return out
}()

// expression is one of the regular expressions that byte-level models cut text
// with. They differ in little and would need a backtracking engine; this takes
// one pass.
type expression struct {
	// anyCase takes 'S like 's.
	anyCase bool
	// prefixed lets any one character that is no letter, number or line break
	// begin a run of letters, and numbers have no space before them; else a space
	// may begin either.
	prefixed bool
	// digits is how many numbers are a word; 0: all in a row.
	digits int
	// lines joins line breaks to what they follow: signs, and white space.
	lines bool
}

// expressions are those known, as files write them.
var expressions = map[string]expression{
	`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`:                                                                       gpt2,
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:                              {anyCase: true, prefixed: true, digits: 3, lines: true},
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:                                   {anyCase: true, prefixed: true, digits: 1, lines: true},
	`(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: {anyCase: true, prefixed: true, digits: 3, lines: true},
}

var gpt2 = expression{}

func (e expression) split(p *pieces) { p.recut(e.cut) }

// kind is what the expressions tell apart.
type kind uint8

const (
	letter kind = iota
	number
	white
	sign // anything else
)

func kindOf(r rune) kind {
	if r < utf8.RuneSelf {
		switch {
		case 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z':
			return letter
		case '0' <= r && r <= '9':
			return number
		case r == ' ' || '\t' <= r && r <= '\r':
			return white
		}
		return sign
	}
	switch {
	case unicode.Is(letters, r):
		return letter
	case unicode.Is(numbers, r):
		return number
	case unicode.Is(spaces, r):
		return white
	}
	return sign
}

// cut emits the matches of the expression, which cover the text.
func (e expression) cut(text string, emit func(start, end int)) {
	for at := 0; at < len(text); {
		end := e.match(text, at)
		emit(at, end)
		at = end
	}
}

// match returns the end of the match that begins at a place.
func (e expression) match(text string, at int) int {
	r, size := utf8.DecodeRuneInString(text[at:])
	if r == '\'' {
		if n := contraction(text[at+1:], e.anyCase); n > 0 {
			return at + 1 + n
		}
	}
	k, next := kindOf(r), at+size
	following := white
	if next < len(text) {
		f, _ := utf8.DecodeRuneInString(text[next:])
		following = kindOf(f)
	}
	switch {
	case k == letter:
		return run(text, next, letter, -1)
	case e.prefixed && k != number && r != '\r' && r != '\n' && following == letter:
		return run(text, next, letter, -1)
	case k == number:
		return run(text, next, number, e.digits-1)
	case k == sign:
		return e.signs(text, next)
	case r == ' ' && following == sign:
		return e.signs(text, next)
	case r == ' ' && following != white && !e.prefixed:
		return run(text, next, following, -1)
	}
	return e.whites(text, at)
}

// run returns the end of characters of a kind, or of the first so many of them;
// -1: all.
func run(text string, at int, k kind, most int) int {
	for n := 0; at < len(text) && n != most; n++ {
		r, size := utf8.DecodeRuneInString(text[at:])
		if kindOf(r) != k {
			break
		}
		at += size
	}
	return at
}

func (e expression) signs(text string, at int) int {
	at = run(text, at, sign, -1)
	for e.lines && at < len(text) && (text[at] == '\r' || text[at] == '\n') {
		at++
	}
	return at
}

// whites returns the end of white space that begins at a place: all of it before
// the end of the text, else all but its last character, which may belong to what
// follows.
func (e expression) whites(text string, at int) int {
	end, last, line := at, at, -1
	for end < len(text) {
		r, size := utf8.DecodeRuneInString(text[end:])
		if kindOf(r) != white {
			break
		}
		last = end
		end += size
		if r == '\r' || r == '\n' {
			line = end
		}
	}
	switch {
	case e.lines && line >= 0:
		return line
	case end < len(text) && last > at:
		return last
	}
	return end
}

// contraction returns the length of what follows the apostrophe of 's, 't, 're,
// 've, 'm, 'll or 'd; 0: none does.
func contraction(s string, anyCase bool) int {
	lower := func(i int) byte {
		if i >= len(s) {
			return 0
		}
		c := s[i]
		if anyCase && 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}
	switch a, b := lower(0), lower(1); {
	case a == 's' || a == 't' || a == 'm' || a == 'd':
		return 1
	case a == 'r' && b == 'e' || a == 'v' && b == 'e' || a == 'l' && b == 'l':
		return 2
	}
	return 0
}
