package server_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/engine"
)

var fenced = regexp.MustCompile("(?s)```(sh|json)\n(.*?)```")

// Every command of docs/api.md works on a server, with the bundled model, and answers
// what stands below it: the same fields and words, numbers but for their value.
func TestCommandsOfTheDocumentation(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "gzip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	page, err := os.ReadFile("../../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	m, err := bundled.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	db, err := engine.Open(ctx, filepath.Join(t.TempDir(), "db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	i := startOn(t, db, server.Options{Model: m})
	var answer []byte
	commands, compared := 0, 0
	for _, block := range fenced.FindAllSubmatch(page, -1) {
		text := string(block[2])
		if string(block[1]) == "sh" {
			text = strings.ReplaceAll(text, "http://127.0.0.1:8080", i.url)
			text = "curl() { command curl -sS --fail-with-body \"$@\"; }\nset -euo pipefail\n" + text
			text = strings.ReplaceAll(text, "curl --no-fail", "command curl -sS")
			c := exec.Command("bash", "-c", text)
			c.Stderr = os.Stderr
			if answer, err = c.Output(); err != nil {
				t.Fatalf("%s\n%v: %s", block[2], err, answer)
			}
			commands++
			continue
		}
		var want, got any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		first, _, _ := strings.Cut(string(answer), "\n")
		if err := json.Unmarshal([]byte(first), &got); err != nil {
			t.Fatalf("%v: %s", err, answer)
		}
		if err := like(want, got, "$"); err != nil {
			t.Errorf("the page says\n%s\nthe server\n%s\n%v", text, first, err)
		}
		compared++
	}
	if commands < 12 || compared != commands {
		t.Errorf("%d commands, %d answers", commands, compared)
	}
}

// like reports what of want is not in got: names, kinds and words. Scores and times
// may have any value; … stands for any end of a string.
func like(want, got any, at string) error {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: no object", at)
		}
		for name, value := range w {
			if _, ok := g[name]; !ok {
				return fmt.Errorf("%s: %s is missing", at, name)
			}
			if err := like(value, g[name], at+"."+name); err != nil {
				return err
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) < len(w) {
			return fmt.Errorf("%s: %v, want a list of at least %d", at, got, len(w))
		}
		for n := range w {
			if err := like(w[n], g[n], fmt.Sprintf("%s[%d]", at, n)); err != nil {
				return err
			}
		}
	case string:
		g, ok := got.(string)
		begin, _, open := strings.Cut(w, "…")
		if !ok || open && !strings.HasPrefix(g, begin) || !open && g != w {
			return fmt.Errorf("%s: %v, want %q", at, got, w)
		}
	case float64:
		g, ok := got.(float64)
		exact := w == float64(int64(w)) && !strings.HasSuffix(at, ".us") && !strings.HasSuffix(at, "score")
		if !ok || exact && g != w {
			return fmt.Errorf("%s: %v, want %v", at, got, w)
		}
	default:
		if want != got {
			return fmt.Errorf("%s: %v, want %v", at, got, want)
		}
	}
	return nil
}
