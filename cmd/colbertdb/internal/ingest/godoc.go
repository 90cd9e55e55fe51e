package ingest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/build"
	"go/doc"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"unicode"
)

// goTree is a tree of Go packages whose documentation is read.
type goTree struct {
	root   string
	module string // import path of the root, "" for the standard library
	dirs   []goDir
	bytes  int64
}

type goDir struct {
	disk  string
	bytes int64
}

// openGoTree lists the packages of a tree, except internal, vendored, command
// and test data folders.
func openGoTree(root string) (*goTree, error) {
	t := &goTree{root: root}
	if data, err := os.ReadFile(filepath.Join(root, "go.mod")); err == nil {
		for line := range strings.Lines(string(data)) {
			if m, ok := strings.CutPrefix(strings.TrimSpace(line), "module "); ok && strings.TrimSpace(m) != "std" {
				t.module = strings.Trim(strings.TrimSpace(m), `"`)
			}
		}
	}
	seen := map[string]int{}
	err := filepath.WalkDir(root, func(disk string, d fs.DirEntry, err error) error {
		if err != nil {
			if disk == root {
				return err
			}
			return nil
		}
		name := d.Name()
		if d.IsDir() {
			if disk != root && (skippedDirs[name] || name == "internal" || name == "cmd" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		dir := filepath.Dir(disk)
		at, ok := seen[dir]
		if !ok {
			at = len(t.dirs)
			seen[dir] = at
			t.dirs = append(t.dirs, goDir{disk: dir})
		}
		if info, err := d.Info(); err == nil {
			t.dirs[at].bytes += info.Size()
			t.bytes += info.Size()
		}
		return nil
	})
	if err == nil && len(t.dirs) == 0 {
		err = fmt.Errorf("no Go packages in %s", root)
	}
	return t, err
}

// read yields one passage a package and one an exported symbol, as godoc shows
// them on Linux, whatever system this is.
func (t *goTree) read(done *atomic.Int64, yield yieldFunc) bool {
	b := build.Default
	b.GOOS, b.GOARCH, b.CgoEnabled = "linux", "amd64", true
	for _, dir := range t.dirs {
		rel, err := filepath.Rel(t.root, dir.disk)
		if err != nil {
			rel = dir.disk
		}
		g := goPackage{dir: dir.disk, path: path.Join(t.module, filepath.ToSlash(rel)), rel: filepath.ToSlash(rel)}
		passages, err := g.read(&b)
		done.Add(dir.bytes)
		if err != nil {
			if !yield(Passage{}, &Problem{g.path, 0, err}) {
				return false
			}
			continue
		}
		for _, p := range passages {
			if !yield(p, nil) {
				return false
			}
		}
	}
	return true
}

// goPackage is one package being read.
type goPackage struct {
	dir, rel, path string
	fset           *token.FileSet
	ids            symbolIDs
	out            []Passage
}

func (g *goPackage) read(b *build.Context) ([]Passage, error) {
	found, err := b.ImportDir(g.dir, 0)
	if _, none := err.(*build.NoGoError); none {
		return nil, nil
	}
	if found == nil || len(found.GoFiles)+len(found.CgoFiles) == 0 {
		return nil, err
	}
	if found.Name == "main" {
		return nil, nil
	}
	g.fset = token.NewFileSet()
	var files []*ast.File
	var comment token.Pos // of the package; go/doc takes it off the files
	for _, name := range append(found.GoFiles[:len(found.GoFiles):len(found.GoFiles)], found.CgoFiles...) {
		disk := filepath.Join(g.dir, name)
		data, err := os.ReadFile(disk)
		if err != nil {
			return nil, plainPathError(err)
		}
		f, err := parser.ParseFile(g.fset, disk, data, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
		if f.Doc != nil && !comment.IsValid() {
			comment = f.Doc.Pos()
		}
	}
	var mode doc.Mode
	if g.path == "builtin" {
		mode = doc.AllDecls // its declarations stand for predeclared, lower-case names
	}
	d, err := doc.NewFromFiles(g.fset, files, g.path, mode)
	if err != nil {
		return nil, err
	}
	if comment.IsValid() {
		g.add(d, "", d.Doc, "package "+d.Name, comment)
	}
	g.values(d, d.Consts)
	g.values(d, d.Vars)
	g.funcs(d, "", d.Funcs)
	for _, t := range d.Types {
		g.add(d, t.Name, t.Doc, g.source(t.Decl), t.Decl.Pos())
		g.values(d, t.Consts)
		g.values(d, t.Vars)
		g.funcs(d, "", t.Funcs)
		g.funcs(d, t.Name+".", t.Methods)
	}
	return g.out, nil
}

func (g *goPackage) values(d *doc.Package, list []*doc.Value) {
	for _, v := range list {
		if len(v.Names) > 0 {
			g.add(d, v.Names[0], v.Doc, g.source(v.Decl), v.Decl.Pos())
		}
	}
}

func (g *goPackage) funcs(d *doc.Package, prefix string, list []*doc.Func) {
	for _, f := range list {
		g.add(d, prefix+f.Name, f.Doc, g.source(f.Decl), f.Decl.Pos())
	}
}

func (g *goPackage) add(d *doc.Package, symbol, comment, source string, pos token.Pos) {
	at := g.fset.PositionFor(pos, false)
	p := Passage{Path: path.Join(g.rel, filepath.Base(at.Filename)), Line: at.Line, Symbol: g.path, Record: true}
	if symbol != "" {
		p.Symbol += "." + symbol
	}
	p.ID = g.ids.id(p.Symbol, "")
	p.attribute("package", g.path)
	p.Text = g.path + ": " + source
	if symbol != "" {
		// Code names a symbol by its package's name; the path has words, such as
		// the text of text/template/parse, that say nothing of the symbol. Models
		// know words: identifiers are spelled out.
		p.Text = d.Name + " " + spelled(symbol) + ": " + source
	}
	if text := strings.TrimSpace(string(d.Text(comment))); text != "" {
		p.Text += "\n\n" + text
	}
	g.out = append(g.out, p)
}

// maxSourceLines bounds the source of one declaration: blocks of hundreds of
// constants say no more than their first.
const maxSourceLines = 60

// source prints a declaration without its doc comment and body.
func (g *goPackage) source(n ast.Decl) string {
	switch d := n.(type) {
	case *ast.FuncDecl:
		c := *d
		c.Doc, c.Body = nil, nil
		n = &c
	case *ast.GenDecl:
		c := *d
		c.Doc = nil
		n = &c
	}
	var b bytes.Buffer
	if format.Node(&b, g.fset, n) != nil {
		return ""
	}
	lines := strings.SplitAfterN(b.String(), "\n", maxSourceLines+1)
	if len(lines) > maxSourceLines {
		lines[maxSourceLines] = "\t…"
	}
	return strings.Join(lines, "")
}

// spelled is an identifier in words: "Decoder.DecodeElement" is "decoder decode
// element", and "ListenAndServeTLS" is "listen and serve tls".
func spelled(symbol string) string {
	var b strings.Builder
	runes := []rune(symbol)
	for i, r := range runes {
		if r == '.' || r == '_' {
			b.WriteByte(' ')
			continue
		}
		upper := unicode.IsUpper(r)
		if i > 0 && upper && (unicode.IsLower(runes[i-1]) || unicode.IsUpper(runes[i-1]) && i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
