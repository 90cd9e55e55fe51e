package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/bench"
	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"colbertdb": main})
}

// TestScripts drives the real command with the fake model: hashed words, so
// that a passage is found by words it shares with the query.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"corrupt":     corrupt,
			"makevectors": makeVectors,
			"infiles":     inFiles,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("COLBERTDB_DB", e.WorkDir+"/db")
			e.Setenv("COLBERTDB_MODEL", "")
			e.Setenv("NO_COLOR", "1")
			return nil
		},
	})
}

// makeVectors writes a folder of vectors for bench: two documents of three tokens
// and a query.
func makeVectors(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: makevectors DIR")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	v, err := bench.CreateVectors(dir, 8)
	ts.Check(err)
	ts.Check(v.AddDocument("a", codec.Matrix{Dim: 8, Data: []float32{1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}}))
	ts.Check(v.AddDocument("b", codec.Matrix{Dim: 8, Data: []float32{0, 0, 1, 0, 0, 0, 0, 0}}))
	ts.Check(v.AddQuery(bench.Query{ID: "q", Vectors: codec.Matrix{Dim: 8, Data: []float32{0, 0, 1, 1, 0, 0, 0, 0}}}))
	ts.Check(v.Close())
}

// inFiles looks for a string in the bytes of every file of a folder: infiles DIR
// TEXT.
func inFiles(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] infiles DIR TEXT")
	}
	found := ""
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if bytes.Contains(b, []byte(args[1])) {
			found = path
		}
		return err
	}))
	if neg && found != "" {
		ts.Fatalf("%q is in %s", args[1], found)
	}
	if !neg && found == "" {
		ts.Fatalf("%q is in no file of %s", args[1], args[0])
	}
}

// corrupt flips a bit of the largest of some files: corrupt PATTERN OFFSET.
func corrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: corrupt PATTERN OFFSET")
	}
	paths, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	var path string
	var b []byte
	for _, p := range paths {
		content, err := os.ReadFile(p)
		ts.Check(err)
		if len(content) > len(b) {
			path, b = p, content
		}
	}
	b[at] ^= 1
	ts.Check(os.WriteFile(path, b, 0o644))
}
