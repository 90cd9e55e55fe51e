package server_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// lines collects what a log writes.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// The audit log has who wrote how many documents where, and who was refused; it has no
// reads, no texts and no keys.
func TestAuditLog(t *testing.T) {
	var log lines
	path := filepath.Join(t.TempDir(), "keys")
	keys := keyFile(t, path, [3]string{"writer", "rw", ""}, [3]string{"reader", "ro", ""})
	i := start(t, server.Options{Keys: path, Audit: slog.New(slog.NewJSONHandler(&log, nil))})
	written := func(n int) { // a line is written after its request was answered
		for strings.Count(log.String(), "\n") < n {
			time.Sleep(time.Millisecond)
		}
	}
	i.key = keys["writer"]
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	written(1)
	i.do(200, "POST", "/v1/collections/notes/documents", wire.Upsert{Documents: wire.List[wire.Document]{{ID: "a", Text: "hush"}, {ID: "b", Text: "hush hush"}, {ID: "c", Text: "hush"}}}, nil)
	written(2)
	if resp, b := i.send("POST", "/v1/collections/notes/documents", "application/x-ndjson", []byte(`{"id":"d","text":"hush"}`+"\n"+`{"id":"e","text":"hush"}`)); resp.StatusCode != 200 {
		t.Fatalf("%d: %s", resp.StatusCode, b)
	}
	written(3)
	i.do(200, "POST", "/v1/collections/notes/search", wire.Search{Text: "hush"}, nil)
	i.do(200, "POST", "/v1/collections/notes/documents:delete", wire.Delete{IDs: wire.List[string]{"a", "d", "none"}}, nil)
	written(4)
	i.key = keys["reader"]
	i.do(200, "GET", "/v1/collections/notes/documents/b", nil, nil)
	i.wantError(403, "forbidden", "DELETE", "/v1/collections/notes", nil)
	written(5)
	i.key = "cdb_guessed"
	i.wantError(401, "unauthorized", "GET", "/v1/collections", nil)
	written(6)

	type line struct {
		Key, Method, Route, Collection string
		Status, Documents              int
	}
	var got []line
	for text := range strings.Lines(log.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		got = append(got, l)
	}
	want := []line{
		{"writer", "PUT", "PUT /v1/collections/{c}", "notes", 201, 0},
		{"writer", "POST", "POST /v1/collections/{c}/documents", "notes", 200, 3},
		{"writer", "POST", "POST /v1/collections/{c}/documents", "notes", 200, 2},
		{"writer", "POST", "POST /v1/collections/{c}/documents:delete", "notes", 200, 2},
		{"reader", "DELETE", "DELETE /v1/collections/{c}", "notes", 403, 0},
		{"", "GET", "GET /v1/collections", "", 401, 0},
	}
	if !slices.Equal(got, want) {
		t.Errorf("the log has\n%+v\nwant\n%+v", got, want)
	}
	for _, secret := range []string{"hush", "cdb_", keys["writer"], keys["reader"]} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}
