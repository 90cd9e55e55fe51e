package main

import (
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
)

// counting counts the documents that a model encodes.
type counting struct {
	encoder.Encoder
	documents *atomic.Int64
}

func (c counting) EncodeDocuments(ctx context.Context, texts []string) ([]encoder.Document, error) {
	c.documents.Add(int64(len(texts)))
	return c.Encoder.EncodeDocuments(ctx, texts)
}

func (c counting) Location() string { return "fake:32" }

// watched is a folder that is kept in step with.
type watched struct {
	t       *testing.T
	dir     string
	col     func() *engine.Collection // nil: it is not there yet
	encoded atomic.Int64
}

// follows starts a watcher of a folder, on a store or on a server.
func follows(t *testing.T, dir string, byServer bool) *watched {
	t.Helper()
	db := memory(t)
	w := &watched{t: t, dir: dir, col: func() *engine.Collection {
		c, err := db.Collection("c")
		if err != nil {
			return nil
		}
		return c
	}}
	model := counting{fake.New(32), &w.encoded}
	ctx, stop := context.WithCancel(context.Background())
	a := &app{globals: globals{Collection: "c", Quiet: true}, ctx: ctx, stdout: io.Discard, stderr: testWriter{t}}
	watcher, err := (&watchCmd{Dir: dir, Settle: 5 * time.Millisecond}).watcher(a)
	if err != nil {
		t.Fatal(err)
	}
	end := func() {}
	if byServer {
		s, err := server.New(db, server.Options{Model: model})
		if err != nil {
			t.Fatal(err)
		}
		hs := httptest.NewServer(s.Handler())
		end = func() {
			hs.Close()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		err = watcher.useServer(hs.URL, "")
		if err != nil {
			t.Fatal(err)
		}
	} else {
		if err := watcher.index.collection(a, db, watcher.p); err != nil {
			t.Fatal(err)
		}
		watcher.p.load = func() (encoder.Encoder, error) { return model, nil }
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := watcher.run(); ctx.Err() == nil {
			t.Error("the watcher ended:", err)
		}
	})
	t.Cleanup(func() {
		stop()
		running.Wait()
		if err := watcher.Close(); err != nil {
			t.Error(err)
		}
		end()
	})
	return w
}

// testWriter logs what a watcher complains of.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b)
	return len(b), nil
}

// agrees waits until the collection has what the folder has, as index would read it,
// and returns how many texts were encoded since the last call.
func (w *watched) agrees() int {
	w.t.Helper()
	in, err := ingest.Open(w.dir, ingest.Options{}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	want := map[string]string{}
	for p, err := range in.Passages(context.Background()) {
		if err != nil {
			w.t.Fatal(err)
		}
		want[p.ID] = p.Text
	}
	var got map[string]string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		got = map[string]string{}
		if col := w.col(); col != nil {
			for d, err := range col.All(context.Background(), engine.WithoutVectors()) {
				if err != nil {
					w.t.Fatal(err)
				}
				got[d.ID] = d.Text
			}
		}
		if cmp.Equal(want, got) {
			return int(w.encoded.Swap(0))
		}
	}
	w.t.Fatal(cmp.Diff(want, got))
	return 0
}

func (w *watched) write(name, text string) {
	w.t.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) rename(from, to string) {
	w.t.Helper()
	if err := os.Rename(filepath.Join(w.dir, from), filepath.Join(w.dir, to)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *watched) encodes(what string, want int) {
	w.t.Helper()
	if n := w.agrees(); n != want {
		w.t.Errorf("%s: %d texts were encoded, want %d", what, n, want)
	}
}

// Whatever happens in a folder, the collection follows, and no text is encoded twice.
func TestWatch(t *testing.T) {
	t.Run("store", func(t *testing.T) { testWatch(t, false) })
	t.Run("server", func(t *testing.T) { testWatch(t, true) })
}

func testWatch(t *testing.T, byServer bool) {
	w := &watched{t: t, dir: filepath.Join(t.TempDir(), "tree")}
	w.write("a.md", "# One\n\nthe first of one\n\n# Two\n\nthe second of one\n")
	w.write("sub/b.txt", "text of b")
	w.write("sub/copy.txt", "text of b") // the same, once more
	w.write(".gitignore", "*.log\nout/\n")
	w.write("out/skipped.txt", "not this one")
	w = follows(t, w.dir, byServer)
	if byServer {
		w.encodes("the start", 4) // each text by itself
	} else {
		w.encodes("the start", 3)
	}

	w.write("sub/deep/er/c.txt", "in a folder that was not there")
	w.write("out/skipped2.txt", "nor this one")
	w.write("trace.log", "nor this")
	w.encodes("a file is created", 1)

	// Lines before a passage move it, which does not change what it says.
	w.write("a.md", "# Zero\n\nnew, in front\n\n# One\n\nthe first of one\n\n# Two\n\nthe second of one\n")
	w.encodes("a section is added", 1)

	w.rename("sub/b.txt", "sub/deep/b.txt")
	w.encodes("a file is renamed", 0)
	w.rename("sub/deep", "elsewhere")
	w.encodes("a folder is renamed", 0)
	w.write("elsewhere/er/d.txt", "written after that")
	w.encodes("a file in it is created", 1)
	if got := hits(t, w.col(), "written after that"); got != "tree/elsewhere/er/d.txt" {
		t.Errorf("found %s", got)
	}

	// What comes back has its vectors still.
	if err := os.Remove(filepath.Join(w.dir, "a.md")); err != nil {
		t.Fatal(err)
	}
	w.encodes("a file is removed", 0)
	w.write("a.md", "# One\n\nthe first of one\n")
	w.encodes("a part of it comes back", 0)

	// Rules change what is read.
	w.write(".gitignore", "elsewhere/\n")
	w.encodes("other rules", 3) // of the folder out, and the log
	w.write(".gitignore", "")
	w.encodes("no rules", 0)

	if err := os.RemoveAll(filepath.Join(w.dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	w.encodes("a folder is removed", 0)
	for n := range 40 {
		w.write(fmt.Sprintf("many/%d/file.txt", n), fmt.Sprintf("file number %d of many", n))
	}
	w.encodes("many folders at once", 40)
}

// A watcher that starts on a collection of an earlier one encodes what is new alone.
func TestWatchAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	store := filepath.Join(t.TempDir(), "db")
	w := &watched{t: t, dir: dir}
	w.write("a.txt", "one")
	w.write("b.txt", "two")
	once := func() string {
		var out strings.Builder
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		lines := stopAfterLine{&out, stop}
		if status := run(ctx, []string{"watch", dir, "--db", store, "--model", "fake:32", "--quiet"}, strings.NewReader(""), lines, testWriter{t}); status != exitOK {
			t.Fatalf("status %d", status)
		}
		return out.String()
	}
	if got := once(); got != "added 2, changed 0, removed 0; encoded 2 texts\n" {
		t.Error(got)
	}
	w.rename("b.txt", "c.txt")
	w.write("d.txt", "three")
	if got := once(); got != "added 2, changed 0, removed 1; encoded 1 texts, had 1\n" {
		t.Error(got)
	}
}

// stopAfterLine ends a watcher when it has printed a line.
type stopAfterLine struct {
	w    io.Writer
	stop func()
}

func (s stopAfterLine) Write(b []byte) (int, error) {
	s.stop()
	return s.w.Write(b)
}

func hits(t *testing.T, col *engine.Collection, text string) string {
	t.Helper()
	q, err := fake.New(32).EncodeQueries(context.Background(), []string{text})
	if err != nil {
		t.Fatal(err)
	}
	res, err := col.Search(context.Background(), engine.SearchRequest{Vectors: q[0].Vectors, K: 1})
	if err != nil || len(res.Hits) == 0 {
		t.Fatal(res, err)
	}
	return res.Hits[0].ID
}
