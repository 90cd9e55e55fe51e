package main

import (
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
)

// --model takes the address of an encoding server: what it encodes is stored and found
// again, by the address in the collection's record; the key goes to its host alone.
func TestEncodingServer(t *testing.T) {
	behind, err := engine.OpenMem(nil)
	if err != nil {
		t.Fatal(err)
	}
	secret, line, err := server.NewKey("encoder", "ro", nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys")
	writeFile(t, keys, line+"\n")
	if err := os.Chmod(keys, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := server.New(behind, server.Options{Model: fake.New(32), Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		hs.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := behind.Close(); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(hs.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(encoderKeys, "other.example=x, "+u.Host+"="+secret)
	db, notes := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "notes.jsonl")
	writeFile(t, notes, `{"_id":"a","text":"the color of amber"}`+"\n"+`{"_id":"b","text":"where the kitten rests"}`+"\n")
	if status, _, errs := colbertdb("index", "--db", db, "--model", hs.URL, notes); status != exitOK {
		t.Fatal(errs)
	}
	if status, out, errs := colbertdb("search", "--db", db, "--json", "-k", "1", "kitten"); status != exitOK || !strings.Contains(out, `"b"`) || strings.Contains(out, `"a"`) {
		t.Errorf("status %d: %s\n%s", status, out, errs)
	}
	if status, out, errs := colbertdb("stats", "--db", db, "--json"); status != exitOK || !strings.Contains(out, hs.URL) || strings.Contains(out, secret) {
		t.Errorf("status %d: %s\n%s", status, out, errs)
	}
	if status, out, errs := colbertdb("encode", "--model", hs.URL, "amber"); status != exitOK || !strings.Contains(out, `"vectors":[[`) {
		t.Errorf("status %d: %s\n%s", status, out, errs)
	}
	t.Setenv(encoderKeys, "other.example="+secret)
	if status, _, errs := colbertdb("search", "--db", db, "kitten"); status != exitError || !strings.Contains(errs, "is its key right?") {
		t.Errorf("status %d: %s", status, errs)
	}
	t.Setenv(encoderKeys, secret)
	if status, _, errs := colbertdb("search", "--db", db, "kitten"); status == exitOK || !strings.Contains(errs, "HOST=KEY") || strings.Contains(errs, secret) {
		t.Errorf("status %d: %s", status, errs)
	}
}
