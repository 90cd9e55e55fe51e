package benchdoc

import (
	"fmt"
	"os"
	"strings"
)

// Section is a part of a document that commands write.
type Section struct {
	Name string
	// Commands are the first lines of the section that are indented by four spaces.
	Commands []string
	// Line is that of its first marker, from 1.
	Line int
}

const (
	beginMark = "<!-- bench "
	endMark   = "<!-- end -->"
	indent    = "    "
)

// place is where a section's text stands in a document, in bytes.
type place struct {
	Section
	from, to int
}

// places finds the sections of a document.
func places(doc string) (out []place, err error) {
	var open *place
	at, number := 0, 0
	for line := range strings.Lines(doc) {
		number++
		text := strings.TrimRight(line, "\r\n")
		name, begins := strings.CutPrefix(text, beginMark)
		name, closed := strings.CutSuffix(name, " -->")
		switch {
		case begins && closed && open != nil:
			return nil, fmt.Errorf("line %d: %q begins before %q has its %q", number, name, open.Name, endMark)
		case begins && closed:
			open = &place{Section: Section{Name: name, Line: number}, from: at + len(line)}
		case text == endMark && open != nil:
			open.to = at
			open.Commands = commands(doc[open.from:open.to])
			out = append(out, *open)
			open = nil
		}
		at += len(line)
	}
	if open != nil {
		return nil, fmt.Errorf("line %d: no line %q follows %q", open.Line, endMark, open.Name)
	}
	return out, nil
}

// commands are the first indented lines of a text, one beneath the other.
func commands(text string) (out []string) {
	for line := range strings.Lines(text) {
		switch command, ok := strings.CutPrefix(line, indent); {
		case ok:
			out = append(out, strings.TrimSpace(command))
		case len(out) > 0:
			return out
		}
	}
	return out
}

// Sections lists the sections of a Markdown file.
func Sections(path string) (out []Section, err error) {
	doc, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	found, err := places(string(doc))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, p := range found {
		out = append(out, p.Section)
	}
	return out, nil
}

// WriteSection replaces what stands in a section of a Markdown file.
func WriteSection(path, name, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	doc := string(b)
	found, err := places(doc)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, p := range found {
		if p.Name == name {
			return os.WriteFile(path, []byte(doc[:p.from]+"\n"+strings.Trim(text, "\n")+"\n\n"+doc[p.to:]), 0o644)
		}
	}
	return fmt.Errorf("%s has no lines %q and %q for the report to stand between", path, beginMark+name+" -->", endMark)
}
