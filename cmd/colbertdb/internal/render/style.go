package render

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Style says what the output device can show.
type Style struct {
	// Color uses ANSI colours; without it matched words stand in «».
	Color bool
	// Width in display columns. Default: 100.
	Width int
}

// DefaultWidth is the width of what is no terminal.
const DefaultWidth = 100

func (s Style) width() int {
	if s.Width <= 0 {
		return DefaultWidth
	}
	return max(s.Width, 20)
}

func (s Style) sgr(code, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Bold, Dim, Good and Bad are the few styles that the commands use.
func (s Style) Bold(text string) string { return s.sgr("1", text) }
func (s Style) Dim(text string) string  { return s.sgr("2", text) }
func (s Style) Good(text string) string { return s.sgr("32", text) }
func (s Style) Bad(text string) string  { return s.sgr("31", text) }

// strong and weak mark a word that matched well and one that matched less.
func (s Style) strong(text string) string {
	if s.Color {
		return s.sgr("1;33", text)
	}
	return "«" + text + "»"
}

func (s Style) weak(text string) string {
	if s.Color {
		return s.sgr("33", text)
	}
	return "«" + text + "»"
}

// Clean drops control characters from a line of a document's text.
func Clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return ' '
		}
		if unicode.IsControl(r) || bidiControl(r) {
			return -1
		}
		return r
	}, text)
}

// bidiControl are the characters that reorder the text after them.
func bidiControl(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }

// Columns is the display width of a text without escape sequences.
func Columns(text string) int {
	n := 0
	for _, r := range text {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if r < 0x300 {
		return 1
	}
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Cut shortens a text to a number of columns, ending it with an ellipsis.
func Cut(text string, columns int) string {
	if Columns(text) <= columns {
		return text
	}
	n := 0
	for i, r := range text {
		if n += runeColumns(r); n > columns-1 {
			return text[:i] + "…"
		}
	}
	return text
}
