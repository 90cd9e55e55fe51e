package ingest

import (
	"strconv"
	"strings"
	"unicode"
)

// readText makes one passage of a file.
func readText(name, text string) []Passage {
	body, line := trimBlank(text, 1)
	if body == "" {
		return nil
	}
	return []Passage{{ID: name, Text: body, Path: name, Line: line, BodyLine: line}}
}

// trimBlank cuts blank lines off both ends and returns the line that the rest
// starts at, given the line that text starts at.
func trimBlank(text string, line int) (string, int) {
	for {
		head, rest, ok := strings.Cut(text, "\n")
		if !ok || strings.TrimSpace(head) != "" {
			break
		}
		text = rest
		line++
	}
	return strings.TrimRightFunc(text, unicode.IsSpace), line
}

// LineAt is the line of the byte at offset of p.Text, as well as it is known.
func (p *Passage) LineAt(offset int) int {
	if p.BodyLine == 0 || offset < p.Body || offset > len(p.Text) {
		return p.Line
	}
	return p.BodyLine + strings.Count(p.Text[p.Body:offset], "\n")
}

// slugs names the fragments of one file: "#install", "#install-2".
type slugs struct{ used map[string]int }

func (s *slugs) id(file, title string) string {
	if s.used == nil {
		s.used = map[string]int{}
	}
	slug := slugOf(title)
	for {
		s.used[slug]++
		n := s.used[slug]
		if n == 1 {
			return file + "#" + slug
		}
		if next := slug + "-" + strconv.Itoa(n); s.used[next] == 0 {
			s.used[next] = 1
			return file + "#" + next
		}
	}
}

// slugOf is a heading as GitHub anchors it: lower case, words joined by "-".
func slugOf(title string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), unicode.Is(unicode.M, r), r == '_', r == '.':
			b.WriteRune(r)
		case unicode.IsSpace(r), r == '-', r == '/':
			if s := b.String(); s != "" && !strings.HasSuffix(s, "-") {
				b.WriteByte('-')
			}
		}
		if b.Len() >= 80 {
			break
		}
	}
	s := strings.Trim(b.String(), "-")
	if strings.Trim(s, "0123456789") == "" { // "a.md#2" is a window of "a.md"
		return strings.TrimSuffix("section-"+s, "-")
	}
	return s
}
