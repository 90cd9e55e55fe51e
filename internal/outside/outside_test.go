// Package outside uses colbertdb as another module does: the README's first
// program, built without cgo.
package outside

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadmeProgramBuildsOutsideWithoutCgo(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "```go\npackage main")
	if !ok {
		t.Fatal("README.md has no program")
	}
	program, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("the README's program has no end")
	}
	program = "package main" + program
	if strings.Count(program, "colbertdb-go/colbertdb/") != 1 || !strings.Contains(program, `"github.com/colbertdb-go/colbertdb/engine"`) {
		t.Error("the README's first program imports more than engine")
	}
	dir := t.TempDir()
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	// The same requirements, so that nothing is looked up that is not there yet.
	mod := strings.Replace(string(gomod), "module github.com/colbertdb-go/colbertdb", "module example.com/outside", 1) +
		"\nrequire github.com/colbertdb-go/colbertdb v0.0.0\nreplace github.com/colbertdb-go/colbertdb => " + root + "\n"
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"main.go": program, "go.mod": mod, "go.sum": string(sum)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "run", "-mod=mod", ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := strings.TrimSpace(string(out)); got != "a 2.0 first note" {
		t.Errorf("printed %q", got)
	}
}
