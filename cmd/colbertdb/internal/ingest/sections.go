package ingest

import (
	"regexp"
	"strings"
)

// headingSeparator stands between the headings of a heading path.
const headingSeparator = " › "

// sections collects the text under each heading of one file.
type sections struct {
	name  string
	title string  // of the file, when it has no first-level heading of its own
	path  []level // open headings, outermost first
	line  int     // where the open section starts
	body  strings.Builder
	slugs slugs
	out   []Passage
}

type level struct {
	depth int
	title string
}

// heading ends the open section and starts the next one.
func (s *sections) heading(depth int, title string, line int) {
	s.flush()
	for len(s.path) > 0 && s.path[len(s.path)-1].depth >= depth {
		s.path = s.path[:len(s.path)-1]
	}
	if title != "" {
		s.path = append(s.path, level{depth, title})
	}
	s.line = line
}

var manyBlankLines = regexp.MustCompile(`\n{3,}`)

// flush makes a passage of the open section. A heading with nothing under it
// is part of its subsections' heading paths and no passage of its own.
func (s *sections) flush() {
	body := strings.TrimSpace(manyBlankLines.ReplaceAllString(s.body.String(), "\n\n"))
	s.body.Reset()
	if body == "" {
		return
	}
	titles := make([]string, 0, len(s.path)+1)
	if s.title != "" && (len(s.path) == 0 || s.path[0].depth > 1) {
		titles = append(titles, s.title)
	}
	for _, l := range s.path {
		titles = append(titles, l.title)
	}
	p := Passage{ID: s.name, Path: s.name, Line: s.line, Text: body, Heading: strings.Join(titles, headingSeparator)}
	switch {
	case len(s.path) > 0:
		p.ID = s.slugs.id(s.name, s.path[len(s.path)-1].title)
	case len(s.out) > 0: // under a heading without text
		p.ID = s.slugs.id(s.name, "")
	}
	if p.Heading != "" {
		p.Text = p.Heading + "\n\n" + body
	}
	s.out = append(s.out, p)
}
