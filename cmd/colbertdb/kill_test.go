//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestKill kills index without warning, again and again. Whatever --verbose had
// reported as stored must be there afterwards, the store must be sound, and the
// next run must go on from there.
func TestKill(t *testing.T) {
	const documents = 3000
	dir := t.TempDir()
	input := filepath.Join(dir, "in.jsonl")
	var lines bytes.Buffer
	for i := range documents {
		fmt.Fprintf(&lines, `{"id": "d%05d", "text": "number %d of many, with some words"}`+"\n", i, i)
	}
	if err := os.WriteFile(input, lines.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(dir, "db")
	acknowledged := 0
	for _, batches := range []int{1, 5} {
		last := killAfter(t, batches, "--db", db, "--model", "fake:32", "-v", "index", input)
		if last == "" {
			t.Fatal("index ended before it was killed")
		}
		if _, err := fmt.Sscanf(last, "d%05d", &acknowledged); err != nil {
			t.Fatal(err)
		}
		acknowledged++ // numbers start at 0
		var v verifyOutput
		runJSON(t, &v, "--db", db, "verify")
		if !v.OK || v.Documents < int64(acknowledged) {
			t.Fatalf("after a kill behind %q: %+v", last, v)
		}
		var got []documentOutput
		runJSON(t, &got, "--db", db, "get", "d00000", last)
		if len(got) != 2 {
			t.Fatalf("got %d of 2 acknowledged documents", len(got))
		}
	}
	var r report
	runJSON(t, &r, "--db", db, "index", input)
	if r.Unchanged < acknowledged || r.Added+r.Unchanged != documents || r.Changed+r.Removed+r.Failed != 0 {
		t.Errorf("the last run: added %d, unchanged %d of %d acknowledged, changed %d, removed %d, failed %d",
			r.Added, r.Unchanged, acknowledged, r.Changed, r.Removed, r.Failed)
	}
	var v verifyOutput
	runJSON(t, &v, "--db", db, "verify")
	if !v.OK || v.Documents != documents {
		t.Errorf("at the end: %+v", v)
	}
}

var storedLine = regexp.MustCompile(`msg=stored .*last=(\S+)`)

// killAfter starts the command, kills it when it has acknowledged so many
// batches, and returns the last id that it acknowledged.
func killAfter(t *testing.T, batches int, args ...string) (last string) {
	t.Helper()
	cmd := exec.Command("colbertdb", args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(stderr)
	for n := 0; s.Scan(); {
		m := storedLine.FindStringSubmatch(s.Text())
		if m == nil {
			continue
		}
		last = m[1]
		if n++; n == batches {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if cmd.Wait() == nil {
		return ""
	}
	return last
}

// runJSON runs the command with --json. A killed process may hold the store's
// lock for a moment more.
func runJSON(t *testing.T, into any, args ...string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		var stdout, stderr bytes.Buffer
		cmd := exec.Command("colbertdb", append([]string{"--json"}, args...)...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		if err != nil && strings.Contains(stderr.String(), "in use by another process") && time.Now().Before(deadline) {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatalf("colbertdb %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
		}
		if err := json.Unmarshal(stdout.Bytes(), into); err != nil {
			t.Fatalf("colbertdb %s: %v\n%s", strings.Join(args, " "), err, stdout.String())
		}
		return
	}
}
