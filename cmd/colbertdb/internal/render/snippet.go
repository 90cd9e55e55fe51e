package render

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Snippet lays out the part of a passage that holds the most marks, wrapped to
// the style's width less indent, in at most maxLines lines. Line ends inside
// paragraphs are spaces, except before list items; with asCode lines and their indentation are kept.
func Snippet(s Style, text string, marks []Mark, indent, maxLines int, asCode bool) []string {
	words := split(s, text, marks, asCode)
	if len(words) == 0 {
		return nil
	}
	columns := s.width() - indent
	from := bestStart(words, marks, columns*maxLines)
	return layout(words, from, columns, maxLines)
}

// word is a run of text that is not broken over lines.
type word struct {
	shown    string // with marks and colours
	columns  int
	space    int  // blanks before it on the same line
	newline  bool // starts a line
	sentence bool // a snippet may start here
	marks    []int
}

// longSentence is the number of words after which a snippet may start inside a
// sentence.
const longSentence = 20

// split cuts a text into words and applies the marks.
func split(s Style, text string, marks []Mark, asCode bool) []word {
	var out []word
	strongest := float32(0)
	for _, m := range marks {
		strongest = max(strongest, m.Weight)
	}
	next, newlines, blanks := 0, 1, 0
	sentenceEnd, run := true, 0
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '\n':
			newlines++
			blanks = 0
		case r == '\t':
			blanks += 4
		case unicode.IsSpace(r):
			blanks++
		default:
			end := i
			for end < len(text) {
				r, n := utf8.DecodeRuneInString(text[end:])
				if unicode.IsSpace(r) || unspaced(r) && end > i {
					break
				}
				end += n
				if unspaced(r) {
					break
				}
			}
			for next < len(marks) && marks[next].End <= i {
				next++
			}
			item := newlines > 0 && (text[i:end] == "-" || text[i:end] == "•")
			w := word{newline: newlines > 1 || asCode && newlines > 0 || item, sentence: sentenceEnd || newlines > 0 && asCode || newlines > 1}
			if asCode && w.newline {
				w.space = blanks
			} else if blanks+newlines > 0 && len(out) > 0 && !w.newline {
				w.space = 1
			}
			if w.sentence || run >= longSentence {
				w.sentence, run = true, 0
			}
			run++
			w.shown, w.columns, w.marks = mark(s, text, i, end, marks, next, strongest)
			if w.columns > 0 {
				out = append(out, w)
				newlines, blanks = 0, 0
				sentenceEnd = strings.ContainsRune(".!?。！？", lastRune(text[i:end]))
			}
			i = end
			continue
		}
		i += n
	}
	return out
}

func lastRune(s string) rune {
	r, _ := utf8.DecodeLastRuneInString(s)
	return r
}

// mark renders text[start:end] with the marks from next on that touch it.
func mark(s Style, text string, start, end int, marks []Mark, next int, strongest float32) (shown string, columns int, touched []int) {
	var b strings.Builder
	add := func(from, to int, style func(string) string) {
		t := Clean(text[from:to])
		columns += Columns(t)
		if style != nil && t != "" {
			if !s.Color {
				columns += 2 // « and »
			}
			t = style(t)
		}
		b.WriteString(t)
	}
	at := start
	for i := next; i < len(marks) && marks[i].Start < end; i++ {
		from, to := max(marks[i].Start, start), min(marks[i].End, end)
		if from < at || from >= to {
			continue
		}
		add(at, from, nil)
		style := s.weak
		if marks[i].Weight >= 0.8*strongest {
			style = s.strong
		}
		add(from, to, style)
		at = to
		touched = append(touched, i)
	}
	add(at, end, nil)
	return b.String(), columns, touched
}

// bestStart is the word to start at so that budget columns hold the most
// matched query tokens, each counted by its best word: the first word where that
// is as good as any, else the last such word.
func bestStart(words []word, marks []Mark, budget int) int {
	best, at := float32(-1), 0
	for from := range words {
		if from > 0 && !words[from].sentence {
			continue
		}
		score := float32(0)
		counted := map[int]float32{}
		used := 0
		for _, w := range words[from:] {
			if used += w.space + w.columns; used > budget {
				break
			}
			for _, m := range w.marks {
				for _, q := range marks[m].Queries {
					if weight := marks[m].Weight; weight > counted[q] {
						score += weight - counted[q]
						counted[q] = weight
					}
				}
			}
		}
		if score > best+1e-4 || score > best-1e-4 && at > 0 {
			best, at = score, from
		}
	}
	return at
}

// layout fills lines greedily. A word wider than a line is cut.
func layout(words []word, from, columns, maxLines int) []string {
	var lines []string
	var line strings.Builder
	used := 0
	if from > 0 {
		line.WriteString("… ")
		used = 2
	}
	for i := from; i < len(words); i++ {
		w := words[i]
		space := w.space
		first := used == 0 || i == from
		if i == from {
			space = 0
		}
		if w.newline && i > from || used+space+w.columns > columns && !first {
			lines = append(lines, line.String())
			line.Reset()
			used = 0
			if !w.newline {
				space = 0
			}
			if len(lines) == maxLines {
				lines[maxLines-1] = ellipsis(lines[maxLines-1], columns)
				return lines
			}
		}
		shown, width := w.shown, w.columns
		if space = min(space, columns/2); used+space+width > columns {
			shown = Cut(stripMarks(shown), columns-used-space)
			width = Columns(shown)
		}
		line.WriteString(strings.Repeat(" ", space))
		line.WriteString(shown)
		used += space + width
	}
	return append(lines, line.String())
}

// ellipsis says that the text goes on.
func ellipsis(line string, columns int) string {
	if Columns(stripMarks(line))+2 <= columns {
		return line + " …"
	}
	if at := strings.LastIndexByte(line, ' '); at > 0 {
		return line[:at] + " …"
	}
	return line
}

// stripMarks removes the escape sequences that Style has put in; Clean has
// removed any others.
func stripMarks(s string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, "\x1b[")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		_, s, _ = strings.Cut(rest, "m")
	}
}
