package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bert"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/encoder/multivector"
	"github.com/colbertdb-go/colbertdb/engine"
)

// A store can have its texts encoded by another server: with the same vectors, weights
// and fingerprint as by the model itself, so that either serves the same collection.
// Where that server is gone or refuses, writes fail and the store stays as it was.
func TestEncodingServer(t *testing.T) {
	m, err := bundled.OpenGo(bert.Options{}) // whose vectors do not depend on what is encoded beside
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	secret, line, err := server.NewKey("encoder", "ro", nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	i := start(t, server.Options{Model: m, Keys: keys})
	front := httptest.NewServer(i.s.Handler())
	defer front.Close()
	o := multivector.Options{Key: secret, Texts: 5, RetryWait: time.Millisecond, Retries: 1}
	enc, err := multivector.Open(ctx, front.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	want := m.Info()
	want.Location = front.URL
	if diff := cmp.Diff(want, enc.Info()); diff != "" {
		t.Errorf("(-model +server):\n%s", diff)
	}
	texts := append([]string{"", "?", strings.Repeat("a long text ", 300)}, paragraphs[:10]...)
	documents, err := m.EncodeDocuments(ctx, texts)
	if err != nil {
		t.Fatal(err)
	}
	for i := range documents {
		documents[i].Spans = nil
	}
	got, err := enc.EncodeDocuments(ctx, texts)
	if diff := cmp.Diff(documents, got); diff != "" || err != nil {
		t.Fatalf("documents: %v (-model +server):\n%.2000s", err, diff)
	}
	queries, err := m.EncodeQueries(ctx, texts)
	if err != nil {
		t.Fatal(err)
	}
	asked, err := enc.EncodeQueries(ctx, texts)
	if diff := cmp.Diff(queries, asked); diff != "" || err != nil {
		t.Fatalf("queries: %v (-model +server):\n%.2000s", err, diff)
	}

	// A collection that was made with the model takes both.
	db, err := engine.OpenMem(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		r, err := db.Verify(ctx)
		if err != nil || len(r.Problems) > 0 {
			t.Errorf("%v: %v", err, r)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	own, err := db.CreateCollection(ctx, "texts", engine.CollectionConfig{Encoder: m})
	if err != nil {
		t.Fatal(err)
	}
	for k, text := range paragraphs[:6] {
		if _, err := own.Upsert(ctx, engine.Document{ID: string(rune('a' + k)), Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	served, err := db.Collection("texts", engine.WithEncoder(enc))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := served.Upsert(ctx, engine.Document{ID: "z", Text: paragraphs[6]}); err != nil {
		t.Fatal(err)
	}
	request := engine.SearchRequest{Text: paragraphs[6][:60], K: 5}
	a, err := own.Search(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	b, err := served.Search(ctx, request)
	if diff := cmp.Diff(a.Hits, b.Hits); diff != "" || err != nil || a.Hits[0].ID != "z" {
		t.Errorf("%v (-model +server):\n%s", err, diff)
	}

	before := served.Info()
	front.Close()
	_, err = served.Upsert(ctx, engine.Document{ID: "y", Text: paragraphs[7]})
	if !errors.Is(err, multivector.ErrServer) {
		t.Errorf("without the server: %v", err)
	}
	_, err = served.Search(ctx, request)
	if !errors.Is(err, multivector.ErrServer) {
		t.Errorf("without the server: %v", err)
	}
	if diff := cmp.Diff(before, served.Info()); diff != "" {
		t.Errorf("the store has changed (-before +after):\n%s", diff)
	}
	// Another key, and a key that is not there.
	again := httptest.NewServer(i.s.Handler())
	defer again.Close()
	for _, key := range []string{"", "nonsense"} {
		o.Key = key
		if _, err := multivector.Open(ctx, again.URL, o); !errors.Is(err, multivector.ErrServer) {
			t.Errorf("key %q: %v", key, err)
		}
	}
}

// turningAway has too much to do.
type turningAway struct{ encoder.Encoder }

func (turningAway) EncodeQueries(context.Context, []string) ([]encoder.Query, error) {
	return nil, fmt.Errorf("%w: 1024 calls wait before this one", encoder.ErrBusy)
}

// A model that has too much to do is answered with 429 and a time to wait.
func TestBusyModel(t *testing.T) {
	i := start(t, server.Options{Model: turningAway{fake.New(dim)}})
	i.do(201, "PUT", "/v1/collections/c", `{}`, nil)
	i.do(200, "POST", "/v1/collections/c/documents", `{"documents":[{"id":"a","text":"a text"}]}`, nil)
	for path, body := range map[string]string{
		"/v1/multi-vector": `{"input":"a","input_type":"query"}`, "/v1/rerank": `{"query":"a","documents":["a"]}`, "/v1/collections/c/search": `{"text":"a"}`,
	} {
		i.wantError(429, "encoder_busy", "POST", path, body)
		if resp, _ := i.send("POST", path, "application/json", []byte(body)); resp.Header.Get("Retry-After") != "1" {
			t.Errorf("%s: Retry-After %q", path, resp.Header.Get("Retry-After"))
		}
	}
}
