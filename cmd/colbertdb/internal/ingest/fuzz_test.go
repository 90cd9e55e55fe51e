package ingest

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzWhole gives any bytes to the readers of whole files: they must not panic,
// and what they yield must be valid text under unique ids.
func FuzzWhole(f *testing.F) {
	for _, seed := range []string{
		"# a\n\nb\n## c\n- d\n  - e\n```\nf\n```\n", "---\ntitle: x\n---\n", "<h1>a<h2>b<table><td>c<pre> d", "<p><nav><script>",
		"package p\n\n// D.\nfunc (x *T[U]) M() {}\ntype (\n A int\n)\n", "class A:\n  def b(self):\n    pass\n", "| a |\n|---|\n", "[^1]\n\n[^1]: x",
	} {
		for kind := range byte(9) {
			f.Add([]byte(seed), kind)
		}
	}
	names := []string{"a.txt", "a.md", "a.html", "a.go", "a.py", "a.ts", "a.rs", "a.c", "a.java"}
	f.Fuzz(func(t *testing.T, data []byte, kind byte) {
		name := names[int(kind)%len(names)]
		seen := map[string]bool{}
		for _, p := range FormatOf(name).whole()(name, decodeText(data)) {
			if seen[p.ID] {
				t.Errorf("id %q twice", p.ID)
			}
			seen[p.ID] = true
			if p.ID == "" || strings.TrimSpace(p.Text) == "" || !utf8.ValidString(p.Text) {
				t.Errorf("passage %+v", p)
			}
			for _, at := range []int{0, len(p.Text) / 2, len(p.Text)} {
				p.LineAt(at)
			}
		}
	})
}

// FuzzLines does the same for the line-based readers: every line gives a
// passage or a problem.
func FuzzLines(f *testing.F) {
	f.Add([]byte(`{"id":"a","text":"b","vectors":[[1,2]],"metadata":{"x":1}}`+"\n{\n"), true)
	f.Add([]byte("a\tb\n\nc\n"), false)
	f.Fuzz(func(t *testing.T, data []byte, jsonl bool) {
		read := readTSV
		if jsonl {
			read = readJSONL
		}
		read(newLineReader(strings.NewReader(string(data)), "in", 1<<10), func(p Passage, err error) bool {
			if err == nil && (p.ID == "" || !utf8.ValidString(p.Text)) {
				t.Errorf("passage %+v", p)
			}
			return true
		})
	})
}

func FuzzGitignore(f *testing.F) {
	f.Add("a/**/b\n!*.md\n[a-\n", "a/x/b")
	f.Fuzz(func(t *testing.T, rules, path string) {
		var r ignoreRules
		r.add(".", rules)
		r.ignored(path, false)
	})
}
