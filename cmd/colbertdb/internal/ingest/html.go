package ingest

import (
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// readHTML makes one passage of each heading with what stands under it.
// Scripts, styles, navigation, forms and the page's header and footer are
// dropped, and where the page marks its <main> or <article>, all but that.
func readHTML(name, source string) []Passage {
	root, err := html.Parse(strings.NewReader(source))
	if err != nil { // only reading can fail
		return nil
	}
	r := htmlReader{s: sections{name: name, line: 1, title: strings.TrimSpace(collapse(elementText(find(root, atom.Title))))}}
	headings := map[*html.Node]int{}
	collectHeadings(root, headings)
	if lines := headingLines(source); len(lines) == len(headings) {
		r.lines = make(map[*html.Node]int, len(lines))
		for n, i := range headings {
			r.lines[n] = lines[i]
		}
	}
	body := root
	if main := find(root, atom.Main); main != nil {
		body = main
	} else if articles := count(root, atom.Article); articles == 1 {
		body = find(root, atom.Article)
	} else if b := find(root, atom.Body); b != nil {
		body = b
	}
	r.children(body)
	r.s.flush()
	return r.s.out
}

// fragmentText is the plain text of a piece of HTML.
func fragmentText(source string) string {
	root, err := html.Parse(strings.NewReader(source))
	if err != nil {
		return ""
	}
	var r htmlReader
	r.plain = true
	r.children(root)
	return strings.TrimSpace(r.s.body.String())
}

type htmlReader struct {
	s     sections
	lines map[*html.Node]int // of headings
	plain bool               // headings are paragraphs
	pre   int                // depth of <pre>
}

// dropped elements hold no passage text.
var dropped = map[atom.Atom]bool{
	atom.Script: true, atom.Style: true, atom.Noscript: true, atom.Template: true, atom.Head: true, atom.Nav: true,
	atom.Footer: true, atom.Form: true, atom.Button: true, atom.Select: true, atom.Iframe: true, atom.Svg: true,
	atom.Object: true, atom.Canvas: true, atom.Dialog: true, atom.Menu: true, atom.Aside: true,
}

// inline elements do not end a paragraph.
var inline = map[atom.Atom]bool{
	atom.A: true, atom.Abbr: true, atom.B: true, atom.Bdi: true, atom.Bdo: true, atom.Cite: true, atom.Code: true,
	atom.Data: true, atom.Del: true, atom.Dfn: true, atom.Em: true, atom.Font: true, atom.I: true, atom.Ins: true,
	atom.Kbd: true, atom.Label: true, atom.Mark: true, atom.Q: true, atom.S: true, atom.Samp: true, atom.Small: true,
	atom.Span: true, atom.Strong: true, atom.Sub: true, atom.Sup: true, atom.Time: true, atom.U: true, atom.Var: true, atom.Wbr: true,
}

func (r *htmlReader) children(n *html.Node) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		r.node(c)
	}
}

func (r *htmlReader) node(n *html.Node) {
	switch n.Type {
	case html.TextNode:
		r.text(n.Data)
		return
	case html.ElementNode:
	case html.DocumentNode:
		r.children(n)
		return
	default:
		return
	}
	if dropped[n.DataAtom] || hidden(n) || n.DataAtom == atom.Header && ancestor(n, atom.Article, atom.Main, atom.Section) == nil {
		return
	}
	if depth := headingDepth(n); depth > 0 && !r.plain {
		line := 0
		if r.lines != nil {
			line = r.lines[n]
		}
		r.s.heading(depth, strings.Join(strings.Fields(strings.TrimRight(elementText(n), "¶#")), " "), line)
		return
	}
	switch {
	case n.DataAtom == atom.Br:
		r.s.body.WriteByte('\n')
	case n.DataAtom == atom.Td || n.DataAtom == atom.Th:
		if !strings.HasSuffix(r.s.body.String(), "\n") && r.s.body.Len() > 0 {
			r.s.body.WriteString(" | ")
		}
		r.children(n)
	case n.DataAtom == atom.Li:
		r.newline()
		r.s.body.WriteString("- ")
		r.children(n)
		r.newline()
	case n.DataAtom == atom.Pre:
		r.newline()
		r.pre++
		r.children(n)
		r.pre--
		r.paragraph()
	case inline[n.DataAtom]:
		r.children(n)
	default:
		r.newline()
		r.children(n)
		if n.DataAtom == atom.P {
			r.paragraph()
		} else {
			r.newline()
		}
	}
}

func (r *htmlReader) text(s string) {
	b := &r.s.body
	if r.pre > 0 {
		b.WriteString(s)
		return
	}
	s = collapse(s)
	if sofar := b.String(); sofar == "" || strings.HasSuffix(sofar, " ") || strings.HasSuffix(sofar, "\n") {
		s = strings.TrimLeft(s, " ")
	}
	b.WriteString(s)
}

// newline ends the line, paragraph leaves one blank.
func (r *htmlReader) newline() {
	if s := r.s.body.String(); s != "" && !strings.HasSuffix(s, "\n") {
		r.s.body.WriteByte('\n')
	}
}

func (r *htmlReader) paragraph() {
	r.newline()
	if r.s.body.Len() > 0 {
		r.s.body.WriteByte('\n')
	}
}

// collapse turns each run of white space into one space.
func collapse(s string) string {
	var b strings.Builder
	space := false
	for _, c := range s {
		if unicode.IsSpace(c) {
			space = true
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(c)
	}
	if space {
		b.WriteByte(' ')
	}
	return b.String()
}

func headingDepth(n *html.Node) int {
	switch n.DataAtom {
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		return int(n.Data[1] - '0')
	}
	return 0
}

func hidden(n *html.Node) bool {
	for _, a := range n.Attr {
		switch a.Key {
		case "hidden":
			return true
		case "aria-hidden":
			return a.Val == "true"
		case "role":
			if a.Val == "navigation" || a.Val == "banner" || a.Val == "contentinfo" || a.Val == "search" {
				return true
			}
		}
	}
	return false
}

func ancestor(n *html.Node, of ...atom.Atom) *html.Node {
	for p := n.Parent; p != nil; p = p.Parent {
		for _, a := range of {
			if p.DataAtom == a {
				return p
			}
		}
	}
	return nil
}

func find(n *html.Node, a atom.Atom) *html.Node {
	if n == nil || n.Type == html.ElementNode && n.DataAtom == a {
		return n
	}
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && d.DataAtom == a {
			return d
		}
	}
	return nil
}

func count(n *html.Node, a atom.Atom) int {
	c := 0
	for d := range n.Descendants() {
		if d.DataAtom == a {
			c++
		}
	}
	return c
}

func elementText(n *html.Node) string {
	if n == nil {
		return ""
	}
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

// collectHeadings numbers the headings in document order.
func collectHeadings(root *html.Node, into map[*html.Node]int) {
	for d := range root.Descendants() {
		if d.Type == html.ElementNode && headingDepth(d) > 0 {
			into[d] = len(into)
		}
	}
}

// headingLines lists the lines of all heading tags. The parser keeps no
// positions, so they are matched with the tree's headings by their order, and
// left out where the parser has changed their number.
func headingLines(source string) []int {
	var out []int
	z := html.NewTokenizer(strings.NewReader(source))
	line := 1
	for {
		t := z.Next()
		if t == html.ErrorToken {
			return out
		}
		newlines := strings.Count(string(z.Raw()), "\n")
		if t == html.StartTagToken {
			if name, _ := z.TagName(); len(name) == 2 && name[0] == 'h' && name[1] >= '1' && name[1] <= '6' {
				out = append(out, line)
			}
		}
		line += newlines
	}
}
