package ingest

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	east "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"golang.org/x/net/html"
)

// deepQuote finds quotes nested deeper than people nest them: the parser's time
// grows with the square of the depth.
var deepQuote = regexp.MustCompile(`(?m)^(?:[ \t]*>){40}`)

// markdownParser knows the extensions of GitHub's Markdown.
func markdownParser() parser.Parser {
	return goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote)).Parser()
}

// readMarkdown makes one passage of each heading with what stands under it.
// The passage's text starts with the heading path, so that "Linux" under
// "Install" is found as both; links, emphasis and other marks are dropped.
func readMarkdown(name, source string) []Passage {
	if deepQuote.MatchString(source) {
		return readText(name, source)
	}
	body, skipped, title := frontMatter(source)
	body, first := trimBlank(body, 1+skipped)
	src := []byte(body)
	root := markdownParser().Parse(text.NewReader(src))
	s := sections{name: name, title: title, line: first}
	lines := lineCounter{src: src}
	for n := root.FirstChild(); n != nil; n = n.NextSibling() {
		if h, ok := n.(*ast.Heading); ok {
			line := first
			if h.Lines().Len() > 0 {
				line += lines.before(h.Lines().At(0).Start)
			}
			s.heading(h.Level, strings.TrimSpace(inlineText(h, src)), line)
			continue
		}
		blockText(&s.body, n, src, "")
	}
	s.flush()
	return s.out
}

// frontMatter cuts a YAML or TOML header off and returns the rest, the number
// of lines cut, and the header's title.
func frontMatter(source string) (body string, lines int, title string) {
	for _, fence := range []string{"---\n", "+++\n"} {
		rest, ok := strings.CutPrefix(source, fence)
		if !ok {
			continue
		}
		header, body, ok := strings.Cut(rest, "\n"+strings.TrimSuffix(fence, "\n"))
		if !ok || body != "" && body[0] != '\n' {
			continue
		}
		for line := range strings.Lines(header) {
			if k, v, ok := strings.Cut(line, string(":="[strings.IndexByte("-+", fence[0])])); ok && strings.TrimSpace(k) == "title" {
				title = strings.Trim(strings.TrimSpace(v), `"'`)
			}
		}
		return body, strings.Count(header, "\n") + 2, title
	}
	return source, 0, ""
}

// inlineText is the text of a node's inline children.
func inlineText(n ast.Node, src []byte) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c := c.(type) {
		case *ast.Text:
			b.Write(c.Segment.Value(src))
			if c.SoftLineBreak() || c.HardLineBreak() {
				b.WriteByte('\n')
			}
		case *ast.String:
			b.Write(c.Value)
		case *ast.AutoLink:
			b.Write(c.Label(src))
		case *ast.RawHTML:
			// dropped
		default:
			b.WriteString(inlineText(c, src))
		}
	}
	return html.UnescapeString(b.String())
}

// blockText writes a block and the blocks inside it as plain paragraphs.
func blockText(b *strings.Builder, n ast.Node, src []byte, indent string) {
	switch n := n.(type) {
	case *ast.FencedCodeBlock, *ast.CodeBlock:
		for i := range n.Lines().Len() {
			seg := n.Lines().At(i)
			b.WriteString(indent)
			b.Write(seg.Value(src))
		}
		b.WriteByte('\n')
	case *ast.HTMLBlock:
		var raw bytes.Buffer
		for i := range n.Lines().Len() {
			seg := n.Lines().At(i)
			raw.Write(seg.Value(src))
		}
		if t := fragmentText(raw.String()); t != "" {
			b.WriteString(t + "\n\n")
		}
	case *ast.List:
		for item := n.FirstChild(); item != nil; item = item.NextSibling() {
			var inner strings.Builder
			for c := item.FirstChild(); c != nil; c = c.NextSibling() {
				blockText(&inner, c, src, "")
			}
			t := strings.ReplaceAll(strings.TrimSpace(inner.String()), "\n", "\n"+indent+"  ")
			b.WriteString(indent + "- " + t + "\n")
		}
		b.WriteByte('\n')
	case *ast.Paragraph, *ast.TextBlock, *ast.Heading:
		if t := strings.TrimSpace(inlineText(n, src)); t != "" {
			b.WriteString(indent + strings.ReplaceAll(t, "\n", "\n"+indent) + "\n")
		}
		if n.Kind() != ast.KindTextBlock {
			b.WriteByte('\n')
		}
	case *ast.ThematicBreak, *east.FootnoteBacklink:
	case *east.Table:
		for row := n.FirstChild(); row != nil; row = row.NextSibling() {
			var cells []string
			for c := row.FirstChild(); c != nil; c = c.NextSibling() {
				cells = append(cells, strings.TrimSpace(inlineText(c, src)))
			}
			b.WriteString(indent + strings.Join(cells, " | ") + "\n")
		}
		b.WriteByte('\n')
	default: // quotes, footnotes and the like hold blocks
		for c := n.FirstChild(); c != nil; c = c.NextSibling() {
			blockText(b, c, src, indent)
		}
	}
}

// lineCounter counts line ends up to offsets that only grow.
type lineCounter struct {
	src   []byte
	at, n int
}

// before is the number of line ends before an offset.
func (l *lineCounter) before(offset int) int {
	if offset = min(offset, len(l.src)); offset > l.at {
		l.n += bytes.Count(l.src[l.at:offset], []byte("\n"))
		l.at = offset
	}
	return l.n
}
