package ingest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// readGo makes one passage of a file's package comment and one of each
// declaration: its doc comment as text, then its source. Grouped constants,
// variables and types stay together. It reports false for a file that does
// not parse, which is then read like any other language.
func readGo(name, source string) ([]Passage, bool) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, false
	}
	var out []Passage
	var ids symbolIDs
	add := func(symbol string, doc *ast.CommentGroup, from, to token.Pos) {
		p := Passage{ID: ids.id(name, symbol), Path: name, Symbol: symbol}
		text := strings.TrimSpace(doc.Text())
		start := from
		if doc != nil {
			start = doc.Pos()
		}
		p.Line = fset.PositionFor(start, false).Line
		if to > from {
			if text != "" {
				text += "\n\n"
			}
			p.Body, p.BodyLine = len(text), fset.PositionFor(from, false).Line
			text += source[fset.PositionFor(from, false).Offset:fset.PositionFor(to, false).Offset]
		}
		p.Text = text
		out = append(out, p)
	}
	if f.Doc != nil && strings.TrimSpace(f.Doc.Text()) != "" {
		add("package "+f.Name.Name, f.Doc, f.Package, f.Name.End())
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			symbol := d.Name.Name
			if d.Recv != nil && len(d.Recv.List) > 0 {
				if r := receiverName(d.Recv.List[0].Type); r != "" {
					symbol = r + "." + symbol
				}
			}
			add(f.Name.Name+"."+symbol, d.Doc, d.Pos(), d.End())
		case *ast.GenDecl:
			if d.Tok == token.IMPORT || len(d.Specs) == 0 {
				continue
			}
			doc := d.Doc
			if doc == nil && !d.Lparen.IsValid() {
				doc = specDoc(d.Specs[0])
			}
			add(f.Name.Name+"."+specName(d.Specs[0]), doc, d.Pos(), d.End())
		}
	}
	return out, true
}

// receiverName is the type's name of a method's receiver.
func receiverName(t ast.Expr) string {
	for {
		switch e := t.(type) {
		case *ast.StarExpr:
			t = e.X
		case *ast.ParenExpr:
			t = e.X
		case *ast.IndexExpr:
			t = e.X
		case *ast.IndexListExpr:
			t = e.X
		case *ast.Ident:
			return e.Name
		default:
			return ""
		}
	}
}

func specName(s ast.Spec) string {
	switch s := s.(type) {
	case *ast.TypeSpec:
		return s.Name.Name
	case *ast.ValueSpec:
		return s.Names[0].Name
	}
	return "_"
}

func specDoc(s ast.Spec) *ast.CommentGroup {
	switch s := s.(type) {
	case *ast.TypeSpec:
		return s.Doc
	case *ast.ValueSpec:
		return s.Doc
	}
	return nil
}
