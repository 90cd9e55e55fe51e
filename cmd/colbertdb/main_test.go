package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

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
			"request":     request,
			"keyfile":     keyFile,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("COLBERTDB_DB", e.WorkDir+"/db")
			e.Setenv("COLBERTDB_MODEL", "")
			e.Setenv("NO_COLOR", "1")
			goldens, err := filepath.Abs("../../segment/plaid/testdata")
			if err != nil {
				return err
			}
			e.Setenv("PLAID", goldens)
			hostile, err := filepath.Abs("../../query/eval/testdata")
			if err != nil {
				return err
			}
			e.Setenv("HOSTILE", hostile)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			e.Setenv("PORT", strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
			return l.Close()
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

// request sends a request to the server on PORT, waiting for it to come up, wants a
// status and prints the body: request METHOD PATH STATUS [BODYFILE|-] [KEYFILE].
func request(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 5 {
		ts.Fatalf("usage: request METHOD PATH STATUS [BODYFILE|-] [KEYFILE]")
	}
	body, key := "", ""
	if len(args) > 3 && args[3] != "-" {
		body = ts.ReadFile(args[3])
	}
	if len(args) > 4 {
		key, _, _ = strings.Cut(ts.ReadFile(args[4]), "\n")
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		r, err := http.NewRequest(args[0], "http://127.0.0.1:"+ts.Getenv("PORT")+args[1], strings.NewReader(body))
		ts.Check(err)
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil && time.Now().Before(deadline) {
			continue // it is not there yet
		}
		ts.Check(err)
		b, err := io.ReadAll(resp.Body)
		ts.Check(errors.Join(err, resp.Body.Close()))
		_, _ = ts.Stdout().Write(b)
		if strconv.Itoa(resp.StatusCode) != args[2] {
			ts.Fatalf("%s %s: status %d, want %s: %s", args[0], args[1], resp.StatusCode, args[2], b)
		}
		return
	}
}

// keyFile makes a key file of what colbertdb key printed: keyfile MADE FILE.
func keyFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keyfile MADE FILE")
	}
	_, line, _ := strings.Cut(ts.ReadFile(args[0]), "\n")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(line), 0o600))
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
