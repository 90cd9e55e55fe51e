package ingest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// write makes a file tree of a txtar-like map and returns its root, "docs".
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "docs")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// readAll reads an input to the end, collecting its problems.
func readAll(t *testing.T, name string, o Options) (out []Passage, problems []string) {
	t.Helper()
	in, err := Open(name, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	for p, err := range in.Passages(context.Background()) {
		var problem *Problem
		switch {
		case errors.As(err, &problem):
			problems = append(problems, err.Error())
		case err != nil:
			t.Fatal(err)
		default:
			out = append(out, p)
		}
	}
	return out, problems
}

// brief is what most tests compare.
type brief struct {
	ID   string
	Line int
	Text string
}

func briefs(ps []Passage) (out []brief) {
	for _, p := range ps {
		out = append(out, brief{p.ID, p.Line, p.Text})
	}
	return out
}

func ids(ps []Passage) (out []string) {
	for _, p := range ps {
		out = append(out, p.ID)
	}
	return out
}

func diff(t *testing.T, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestMarkdown(t *testing.T) {
	const source = `---
title: "The guide"
date: 2024-01-02
---
Preface with a [link](http://example.com/x) and **bold** text.

## Install

### Linux

Run:

` + "```sh\napt install it\n```" + `

- one &amp; two
- nested
  - inner *item*

### macOS

| key | value |
|-----|-------|
| a   | ` + "`b`" + ` |

Usage
-----
> quoted
> lines

<div>raw <b>html</b></div>

## Install

Again.
`
	want := []brief{
		{"g.md", 5, "The guide\n\nPreface with a link and bold text."},
		{"g.md#linux", 9, "The guide › Install › Linux\n\nRun:\n\napt install it\n\n- one & two\n- nested\n  - inner item"},
		{"g.md#macos", 21, "The guide › Install › macOS\n\nkey | value\na | b"},
		{"g.md#usage", 27, "The guide › Usage\n\nquoted\nlines\n\nraw html"},
		{"g.md#install", 34, "The guide › Install\n\nAgain."},
	}
	got := readMarkdown("g.md", source)
	diff(t, want, briefs(got))
	diff(t, "The guide › Install › Linux", got[1].Heading)
}

func TestHTML(t *testing.T) {
	const source = `<!doctype html>
<html><head><title>Site</title><style>p{color:red}</style></head>
<body>
<nav><a href="/">Home</a><h2>Menu</h2></nav>
<header><h1>Banner</h1></header>
<main>
<h1>Pumps</h1>
<p>A pump <em>moves</em>
   fluid.<script>track()</script></p>
<h2>Centrifugal&nbsp;pumps <a class="anchor">¶</a></h2>
<ul><li>impeller</li><li>casing</li></ul>
<pre>
  keep   this
</pre>
<table><tr><td>a</td><td>b</td></tr><tr><td>c</td><td>d</td></tr></table>
</main>
<footer>© nobody</footer>
</body></html>`
	want := []brief{
		{"p.html#pumps", 7, "Pumps\n\nA pump moves fluid."},
		{"p.html#centrifugal-pumps", 10, "Pumps › Centrifugal pumps\n\n- impeller\n- casing\n  keep   this\n\na | b\nc | d"},
	}
	diff(t, want, briefs(readHTML("p.html", source)))
}

func TestHTMLWithoutStructure(t *testing.T) {
	diff(t, []brief{{"p.html", 1, "T\n\none\ntwo"}}, briefs(readHTML("p.html", "<title>T</title><div>one<div>two")))
	if got := readHTML("p.html", "<nav>only a menu</nav>"); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestGo(t *testing.T) {
	const source = `// Package p does things.
package p

import "fmt"

// Limits of it.
const (
	Low  = 1
	High = 2
)

// Grow makes room.
// It may panic.
func (b *Buf[T]) Grow(n int) { fmt.Println(n) }

type hidden struct{ a int }

func init() {}
func init() {}
`
	got := readCode("dir/p.go", source)
	want := []brief{
		{"dir/p.go#package p", 1, "Package p does things.\n\npackage p"},
		{"dir/p.go#p.Low", 6, "Limits of it.\n\nconst (\n\tLow  = 1\n\tHigh = 2\n)"},
		{"dir/p.go#p.Buf.Grow", 12, "Grow makes room.\nIt may panic.\n\nfunc (b *Buf[T]) Grow(n int) { fmt.Println(n) }"},
		{"dir/p.go#p.hidden", 16, "type hidden struct{ a int }"},
		{"dir/p.go#p.init", 18, "func init() {}"},
		{"dir/p.go#p.init~2", 19, "func init() {}"},
	}
	diff(t, want, briefs(got))
	p := got[2]
	if line := p.LineAt(strings.Index(p.Text, "fmt.Println")); line != 14 {
		t.Errorf("the body is at line %d, want 14", line)
	}
	if got := readCode("bad.go", "func broken( {\n"); len(got) != 1 || got[0].ID != "bad.go" {
		t.Errorf("a file that does not parse: %v", got)
	}
}

func TestOtherLanguages(t *testing.T) {
	for _, c := range []struct {
		name, source string
		want         []brief
	}{
		{"q.py", "import os\n\n# Helper.\n@cache\ndef load(path):\n    return 1\n\nclass Queue:\n    \"\"\"A queue.\"\"\"\n\n    # Adds.\n    def put(self, x):\n        def inner():\n            pass\n", []brief{
			{"q.py", 1, "import os"},
			{"q.py#load", 3, "# Helper.\n@cache\ndef load(path):\n    return 1"},
			{"q.py#Queue", 8, "class Queue:\n    \"\"\"A queue.\"\"\""},
			{"q.py#Queue.put", 11, "Queue.put\n    # Adds.\n    def put(self, x):\n        def inner():\n            pass"},
		}},
		{"a.ts", "export interface Opts { a: number }\n\n/** Adds. */\nexport async function add(a: number) {\n  if (a) {\n  }\n}\nclass B {\n  get(x) {\n    for (;;) {\n    }\n  }\n}\n", []brief{
			{"a.ts#Opts", 1, "export interface Opts { a: number }"},
			{"a.ts#add", 3, "/** Adds. */\nexport async function add(a: number) {\n  if (a) {\n  }\n}"},
			{"a.ts#B", 8, "class B {"},
			{"a.ts#B.get", 9, "B.get\n  get(x) {\n    for (;;) {\n    }\n  }\n}"},
		}},
		{"m.rs", "/// Doc.\n#[derive(Debug)]\npub struct P { x: u8 }\n\nimpl Display for P {\n    fn fmt(&self) {}\n}\n", []brief{
			{"m.rs#P", 1, "/// Doc.\n#[derive(Debug)]\npub struct P { x: u8 }"},
			{"m.rs#P~2", 5, "impl Display for P {"},
			{"m.rs#P.fmt", 6, "P.fmt\n    fn fmt(&self) {}\n}"},
		}},
		{"k.c", "#include <a.h>\n/* Sums. */\nstatic int sum(int a,\n               int b)\n{\n\treturn add(a, b);\n}\n", []brief{
			{"k.c", 1, "#include <a.h>"},
			{"k.c#sum", 2, "/* Sums. */\nstatic int sum(int a,\n               int b)\n{\n\treturn add(a, b);\n}"},
		}},
		{"J.java", "public class J {\n    /** Gets. */\n    public List<String> get(int i) {\n        return load(i);\n    }\n}\n", []brief{
			{"J.java#J", 1, "public class J {"},
			{"J.java#J.get", 2, "J.get\n    /** Gets. */\n    public List<String> get(int i) {\n        return load(i);\n    }\n}"},
		}},
		{"x.yaml", "a: 1\n\nb: 2\n", []brief{{"x.yaml", 1, "a: 1\n\nb: 2"}}},
	} {
		t.Run(c.name, func(t *testing.T) { diff(t, c.want, briefs(readCode(c.name, c.source))) })
	}
}

func TestBlankLineBlocks(t *testing.T) {
	source := strings.Repeat("line\n", 30) + "\n" + strings.Repeat("more\n", 30) + "\nlast\n"
	got := readCode("a.toml", source)
	if len(got) != 2 || got[1].Line != 63 || got[1].Text != "last" || got[1].ID != "a.toml~2" {
		t.Errorf("got %+v", got)
	}
}

func TestFolder(t *testing.T) {
	root := write(t, map[string]string{
		"README.md":             "# Hi\n\nthere",
		"b/plain.txt":           "\n\nsome text\n",
		".git/config.txt":       "no",
		".hidden.md":            "no",
		"node_modules/x/a.md":   "no",
		"build/out.md":          "no",
		"keep/build.md":         "# Kept\n\nyes",
		"image.md":              "PNG\x00\x01",
		"data.jsonl":            `{"id":"a","text":"no"}`,
		"picture.png":           "no",
		".gitignore":            "# comment\n/build/\n*.tmp.md\n!keep.tmp.md\nlogs/**/old.md\n",
		"a.tmp.md":              "no",
		"keep.tmp.md":           "# Kept\n\ntoo",
		"logs/2020/01/old.md":   "no",
		"logs/2020/01/new.md":   "# New\n\nlog",
		"sub/.gitignore":        "local.md\n",
		"sub/local.md":          "no",
		"sub/deep/local.md":     "no",
		"local.md":              "# Local\n\nat the root",
		"empty.md":              "",
		"cp1252-and-crlf.txt":   "caf\xe9\r\nsecond\r\n",
		"utf16.txt":             "\xff\xfeh\x00i\x00",
		"vendor/lib/readme.txt": "no",
	})
	got, problems := readAll(t, root, Options{Prefix: "x/"})
	diff(t, []string{
		"x/docs/README.md#hi", "x/docs/b/plain.txt", "x/docs/cp1252-and-crlf.txt", "x/docs/keep/build.md#kept", "x/docs/keep.tmp.md#kept",
		"x/docs/local.md#local", "x/docs/logs/2020/01/new.md#new", "x/docs/utf16.txt",
	}, ids(got))
	diff(t, []string(nil), problems)
	diff(t, "caf\uFFFD\nsecond", got[2].Text)
	diff(t, "hi", got[7].Text)
	diff(t, 3, got[1].Line)

	jsonl, _ := readAll(t, root, Options{Format: JSONL})
	diff(t, []brief{{"a", 1, "no"}}, briefs(jsonl))
}

func TestGitignorePatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		dir, want     bool
	}{
		{"a?c", "x/abc", false, true}, {"a?c", "a/c", false, false},
		{"/a", "a", false, true}, {"/a", "x/a", false, false},
		{"x/*.md", "x/y.md", false, true}, {"x/*.md", "x/z/y.md", false, false},
		{"**/foo", "a/b/foo", false, true}, {"a/**", "a/b/c", false, true}, {"a/**", "a", true, false},
		{"[a-c].md", "b.md", false, true}, {"[!a-c].md", "b.md", false, false},
		{"d/", "d", true, true}, {"d/", "d", false, false}, {`\#x`, "#x", false, true},
		{"[", "[", false, true}, {"a.b", "axb", false, false},
	} {
		var r ignoreRules
		r.add(".", c.pattern+"\n")
		if got := r.ignored(c.path, c.dir); got != c.want {
			t.Errorf("%q on %q (folder %t): %t", c.pattern, c.path, c.dir, got)
		}
	}
}

func TestJSONL(t *testing.T) {
	file := filepath.Join(write(t, map[string]string{"in.jsonl": strings.Join([]string{
		"\xef\xbb\xbf" + `{"_id": "a", "title": "Pumps", "text": "A pump.", "metadata": {"year": 2020}, "lang": "en"}`,
		``,
		`{"id": 7, "text": "number id", "attributes": {"tags": ["x"]}, "metadata": "loose"}`,
		`{"id": "v", "vectors": [[1, 0], [0.5, -2]]}`,
		`{"id": "a", "text": "again"}`,
		`{"id": "nan", "vectors": [[1, NaN]]}`,
		`{"id": "ragged", "vectors": [[1, 2], [1]]}`,
		`{"id": "big", "vectors": [[1e60]]}`,
		`{"id": "empty", "text": "  "}`,
		`{"text": "no id"}`,
		`[1]`,
		`{"id": "x", "text": 5}`,
		`{"id": "last", "text": "cut of`,
	}, "\n")}), "in.jsonl")
	got, problems := readAll(t, file, Options{})
	diff(t, []brief{{"a", 1, "Pumps\nA pump."}, {"7", 3, "number id"}, {"v", 4, ""}}, briefs(got))
	diff(t, map[string]any{"title": "Pumps", "year": 2020., "lang": "en"}, got[0].Attributes)
	diff(t, map[string]any{"tags": []any{"x"}, "metadata": "loose"}, got[1].Attributes)
	diff(t, []float32{1, 0, .5, -2}, got[2].Vectors.Data)
	diff(t, []string{
		`in.jsonl:5: id "a" occurs a second time; the first one stands`,
		`in.jsonl:6: column 31: NaN is not a number in JSON; every vector component must be finite`,
		`in.jsonl:7: "vectors": row 2 has 1 numbers, the first has 2`,
		`in.jsonl:8: "vectors" is not a list of rows of float32 numbers: json: cannot unmarshal number 1e60 into Go value of type float32`,
		`in.jsonl:9: document "empty" has neither text nor vectors`,
		`in.jsonl:10: no "id" or "_id"`,
		`in.jsonl:11: not a JSON object`,
		`in.jsonl:12: "text" is not a string`,
		`in.jsonl:13: the line ends in the middle of its JSON`,
	}, problems)
}

func TestLongLine(t *testing.T) {
	file := filepath.Join(write(t, map[string]string{"in.tsv": "a\tshort\nb\t" + strings.Repeat("long ", 200_000) + "\nc\tafter\ttitle\nnotab\n\tx\nd\t \n"}), "in.tsv")
	got, problems := readAll(t, file, Options{MaxFileBytes: 1000})
	diff(t, []brief{{"a", 1, "short"}, {"c", 3, "after\ntitle"}}, briefs(got))
	diff(t, []string{
		"in.tsv:2: line longer than 1000 bytes", "in.tsv:4: no tab: a line is id<TAB>text",
		"in.tsv:5: the id is empty", "in.tsv:6: the text is empty",
	}, problems)
}

func TestBEIR(t *testing.T) {
	root := write(t, map[string]string{
		"corpus.jsonl":  `{"_id": "1", "title": "T", "text": "x", "metadata": {}}` + "\n",
		"queries.jsonl": `{"_id": "q", "text": "?"}`, "qrels/test.tsv": "q\t1\t1",
	})
	got, _ := readAll(t, root, Options{})
	diff(t, []brief{{"1", 1, "T\nx"}}, briefs(got))
	diff(t, "docs/corpus.jsonl", got[0].Path)
}

func TestGoDoc(t *testing.T) {
	root := write(t, map[string]string{
		"go.mod": "module example.org/m\n",
		"str/str.go": `// Package str builds strings.
package str

// MaxLen bounds it.
const MaxLen = 4

// A Builder builds.
type Builder struct{ Len int; buf []byte }

// New makes one.
func New() *Builder { return &Builder{} }

// Grow grows it, see [Builder].
func (b *Builder) Grow(n int) { _ = n }

func (b *Builder) hidden() {}
`,
		"str/str_windows.go":       "package str\n\n// OnlyThere is elsewhere.\nfunc OnlyThere() {}\n",
		"str/str_test.go":          "package str\n\nfunc Helper() {}\n",
		"str/internal/x/x.go":      "package x\n\nfunc X() {}\n",
		"cmd/tool/main.go":         "package main\n\nfunc main() {}\n",
		"str/testdata/broken.go":   "package broken (",
		"broken/broken.go":         "package broken\n\nfunc (\n",
		"zz/zz.go":                 "// Package zz comes last.\npackage zz\n",
		"str/example/main/main.go": "package main\n",
	})
	got, problems := readAll(t, root, Options{Format: GoDoc})
	diff(t, []string{
		"example.org/m/str", "example.org/m/str.MaxLen", "example.org/m/str.Builder", "example.org/m/str.New",
		"example.org/m/str.Builder.Grow", "example.org/m/zz",
	}, ids(got))
	if len(problems) != 1 || !strings.HasPrefix(problems[0], "example.org/m/broken: ") {
		t.Errorf("problems: %q", problems)
	}
	grow := got[4]
	diff(t, "str builder grow: func (b *Builder) Grow(n int)\n\nGrow grows it, see Builder.", grow.Text)
	diff(t, "str/str.go", grow.Path)
	diff(t, 14, grow.Line)
	if text := got[2].Text; !strings.Contains(text, "Len int") || strings.Contains(text, "buf") {
		t.Errorf("a type's unexported fields: %s", text)
	}
}

func TestLinkToFolder(t *testing.T) {
	root := write(t, map[string]string{"a.txt": "text", "p/p.go": "// Package p is.\npackage p\n"})
	link := filepath.Join(t.TempDir(), "linked")
	if err := os.Symlink(root, link); err != nil {
		t.Skip(err)
	}
	got, _ := readAll(t, link, Options{Format: Text})
	diff(t, []string{"linked/a.txt"}, ids(got))
	got, _ = readAll(t, link, Options{Format: GoDoc})
	diff(t, []string{"p"}, ids(got))
}

func TestStdin(t *testing.T) {
	in, err := Open("-", Options{Format: TSV}, strings.NewReader("a\tx\n"))
	if err != nil {
		t.Fatal(err)
	}
	for p, err := range in.Passages(context.Background()) {
		if err != nil || p.ID != "a" || p.Path != "stdin" {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if _, err := Open("-", Options{}, strings.NewReader("")); err == nil {
		t.Error("standard input without a format was accepted")
	}
}

func TestHashSeesEveryField(t *testing.T) {
	base := Passage{ID: "a", Text: "t", Path: "p", Line: 1, Heading: "h", Symbol: "s"}
	seen := map[string]string{base.Hash(): "base"}
	for name, change := range map[string]func(*Passage){
		"id": func(p *Passage) { p.ID = "b" }, "text": func(p *Passage) { p.Text = "u" }, "path": func(p *Passage) { p.Path = "q" },
		"line": func(p *Passage) { p.Line = 2 }, "heading": func(p *Passage) { p.Heading = "i" }, "symbol": func(p *Passage) { p.Symbol = "" },
		"attribute": func(p *Passage) { p.attribute("k", 1) }, "value": func(p *Passage) { p.attribute("k", 2) },
		"vectors": func(p *Passage) { p.Vectors, _ = MatrixOf([][]float32{{1}}) },
		"moved":   func(p *Passage) { p.ID, p.Text = "at", "" },
	} {
		p := base
		change(&p)
		if other, dup := seen[p.Hash()]; dup {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[p.Hash()] = name
	}
}

func TestCancel(t *testing.T) {
	root := write(t, map[string]string{"a.txt": "a", "b.txt": "b", "c.txt": "c"})
	in, err := Open(root, Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last error
	n := 0
	for _, err := range in.Passages(ctx) {
		cancel()
		n++
		last = err
	}
	if n != 2 || !errors.Is(last, context.Canceled) {
		t.Errorf("%d steps, last error %v", n, last)
	}
}

// TestHostileNesting holds the readers to a time that grows with the input.
func TestHostileNesting(t *testing.T) {
	for _, unit := range []string{"> ", "- ", "[", "<div>", "<table>", "*a ", "# a\n", "class A\n def b(\n"} {
		for _, name := range []string{"a.md", "a.html", "a.py", "a.go"} {
			start := time.Now()
			FormatOf(name).whole()(name, strings.Repeat(unit, 100_000/len(unit)))
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("100 kB of %q as %s took %v", unit, name, d)
			}
		}
	}
}

func TestSpelled(t *testing.T) {
	for in, want := range map[string]string{
		"Decoder.DecodeElement": "decoder decode element",
		"ListenAndServeTLS":     "listen and serve tls",
		"HTTPServer":            "http server",
		"O_RDONLY":              "o rdonly",
		"TrimSpace":             "trim space",
		"Int64":                 "int64",
		"":                      "",
	} {
		if got := spelled(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// A folder that cannot be listed is a problem: what is in it may be there still.
func TestFoldersThatCannotBeListed(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("a text"), 0o644); err != nil {
		t.Fatal(err)
	}
	in, err := Open(dir, Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w := walker{in: in, root: dir, base: "base"}
	if err := w.visit(filepath.Join(dir, "gone"), nil, fs.ErrNotExist); err != nil {
		t.Fatal(err)
	}
	if err := w.visit(filepath.Join(dir, "closed", "deep"), nil, &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}); err != nil {
		t.Fatal(err)
	}
	var problems []*Problem
	passages := 0
	for _, err := range in.Passages(context.Background()) {
		var p *Problem
		switch {
		case errors.As(err, &p):
			problems = append(problems, p)
		case err != nil:
			t.Fatal(err)
		default:
			passages++
		}
	}
	if passages != 1 || len(problems) != 1 || problems[0].File != "base/closed/deep" || !errors.Is(problems[0].Err, fs.ErrPermission) {
		t.Errorf("%d passages, problems %v", passages, problems)
	}
}
