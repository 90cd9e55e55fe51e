// Package adaptertest has what the tests of the adapters share: a database in the
// process and one of a real server, with a collection of the same documents and the
// built-in model.
package adaptertest

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
)

// Query is a question that Documents[Best] answers.
const (
	Query = "Where does the kitten rest?"
	Best  = 1
)

// Documents are texts with a year and a language.
var Documents = []struct {
	ID, Text, Lang string
	Year           int
}{
	{"tax", "Income tax returns are due at the end of May.", "en", 2019},
	{"cat", "The cat sleeps on the warm windowsill.", "en", 2020},
	{"dog", "Dogs have to be walked twice a day.", "en", 2021},
	{"harbour", "The harbour was closed because of the storm.", "en", 2022},
	{"katze", "Die Katze schläft auf der Fensterbank.", "de", 2023},
}

// Collection is the name of a collection that is there, empty.
const Collection = "notes"

// Run calls test with a database in the process, and with one of a server that it
// builds and starts (colbertdb serve).
func Run(t *testing.T, test func(t *testing.T, db remote.Database, model encoder.Encoder)) {
	ctx := context.Background()
	model, err := bundled.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	create := func(t *testing.T, db remote.Database, cfg engine.CollectionConfig) {
		t.Helper()
		if _, err := db.CreateCollection(ctx, Collection, cfg); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("store", func(t *testing.T) {
		store, err := engine.OpenMem(nil)
		if err != nil {
			t.Fatal(err)
		}
		db := remote.Embedded(store, engine.WithEncoder(model))
		defer func() {
			if r, err := store.Verify(ctx); err != nil || !r.Ok() {
				t.Errorf("verify: %v, %v", r, err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		create(t, db, engine.CollectionConfig{Encoder: model})
		test(t, db, model)
	})
	t.Run("server", func(t *testing.T) {
		db, err := remote.Open(ctx, serve(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		create(t, db, engine.CollectionConfig{})
		test(t, db, model)
	})
}

// serve starts a server that ends with the test.
func serve(t *testing.T) (url string) {
	t.Helper()
	dir := t.TempDir()
	command := os.Getenv("COLBERTDB_BIN") // built already
	if command == "" {
		command = filepath.Join(dir, "colbertdb")
		build := exec.Command("go", "build", "-o", command, "./cmd/colbertdb")
		build.Dir = "../.."
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	c := exec.Command(command, "serve", "--quiet", "--db", filepath.Join(dir, "db"), "--listen", "127.0.0.1:0")
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line[strings.Index(line, "http"):])
}

// Documented holds a section of docs/integrations.md against the example of an adapter,
// which is run: every line of the section's Go program is one of the example's, in that
// order.
func Documented(t *testing.T, heading string) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/integrations.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(doc), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/integrations.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	_, program, ok := strings.Cut(section, "```go\n")
	if !ok {
		t.Fatalf("the section %q has no program", heading)
	}
	program, _, _ = strings.Cut(program, "```")
	rest := string(example)
	lines := 0
	for line := range strings.Lines(program) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		lines++
		_, after, ok := strings.Cut(rest, line+"\n")
		if !ok {
			t.Errorf("the example does not have, at its place: %s", line)
			continue
		}
		rest = after
	}
	if lines < 5 || lines > 14 {
		t.Errorf("the program has %d lines", lines)
	}
}
