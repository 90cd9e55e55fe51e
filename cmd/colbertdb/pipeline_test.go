package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
)

// bulkFrom is pipeline.bulkAfter in these tests.
var bulkFrom int64 = bulkAfter

// TestThroughLoad repeats the tests of storing with a load from the first document on.
func TestThroughLoad(t *testing.T) {
	bulkFrom = 0
	defer func() { bulkFrom = bulkAfter }()
	t.Run("refused document", TestRefusedDocument)
	t.Run("leftover windows", TestLeftoverWindows)
	t.Run("batches", TestBatches)
}

// index runs the pipeline over one JSONL file in a store in memory.
func index(t *testing.T, db *engine.Engine, lines ...string) (*report, *engine.Collection, known) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	in, err := ingest.Open(file, ingest.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	enc := fake.New(32)
	col, err := db.CreateCollection(ctx, "c", engine.CollectionConfig{Encoder: enc})
	if err != nil {
		t.Fatal(err)
	}
	k, _, err := loadKnown(ctx, col)
	if err != nil {
		t.Fatal(err)
	}
	r := &report{onProblem: func(*ingest.Problem) {}}
	p := &pipeline{
		col: col, dim: 32, known: k, windows: true, bulkAfter: bulkFrom, report: r, progress: func() {}, log: slog.New(slog.DiscardHandler),
		load: func() (encoder.Encoder, error) { return enc, nil },
	}
	if _, err := p.run(ctx, []source{{"test", in}}); err != nil {
		t.Fatal(err)
	}
	return r, col, k
}

func memory(t *testing.T) *engine.Engine {
	t.Helper()
	db, err := engine.OpenMem(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if r, err := db.Verify(context.Background()); err != nil || !r.Ok() {
			t.Errorf("verify: %v, %v", r, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func storedIDs(t *testing.T, col *engine.Collection) (ids []string) {
	t.Helper()
	for d, err := range col.All(context.Background(), engine.WithoutVectors()) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, d.ID)
	}
	return ids
}

// TestRefusedDocument has one document in a batch that the store will not take.
func TestRefusedDocument(t *testing.T) {
	r, col, _ := index(t, memory(t),
		`{"id": "a", "text": "first"}`, fmt.Sprintf(`{"id": "%s", "text": "long id"}`, strings.Repeat("x", 2000)), `{"id": "b", "text": "last"}`)
	if r.Added != 2 || r.Failed != 1 || r.Problems[0].Line != 2 {
		t.Errorf("report %+v", r)
	}
	if d := cmp.Diff([]string{"a", "b"}, storedIDs(t, col)); d != "" {
		t.Error(d)
	}
}

// TestLeftoverWindows puts the collection in the state of a run that was killed
// between storing a shorter passage and deleting its old windows.
func TestLeftoverWindows(t *testing.T) {
	db := memory(t)
	long := `{"id": "p", "text": "` + strings.Repeat("many words here ", 300) + `"}`
	_, col, _ := index(t, db, long)
	old, err := col.Get(context.Background(), "p#3")
	if err != nil {
		t.Fatal(err)
	}
	index(t, db, `{"id": "p", "text": "short"}`)
	if d := cmp.Diff([]string{"p"}, storedIDs(t, col)); d != "" {
		t.Fatalf("a shorter passage: %s", d)
	}
	if _, err := col.Upsert(context.Background(), *old); err != nil {
		t.Fatal(err)
	}
	r, _, _ := index(t, db, `{"id": "p", "text": "short"}`)
	if d := cmp.Diff([]string{"p"}, storedIDs(t, col)); d != "" || r.Unchanged != 1 || r.Documents != 0 {
		t.Errorf("unchanged %d, stored %d, %s", r.Unchanged, r.Documents, d)
	}
}

// TestBatches crosses several batches, with vectors and texts mixed.
func TestBatches(t *testing.T) {
	db := memory(t)
	var lines []string
	vector := "[[" + strings.Repeat("1,", 31) + "1]]"
	for i := range 1000 {
		if i%3 == 0 {
			lines = append(lines, fmt.Sprintf(`{"id": "d%d", "vectors": %s}`, i, vector))
		} else {
			lines = append(lines, fmt.Sprintf(`{"id": "d%d", "text": "number n%d"}`, i, i))
		}
	}
	r, col, _ := index(t, db, lines...)
	if r.Added != 1000 || r.Failed != 0 {
		t.Errorf("report %+v", r)
	}
	handle, err := db.Collection("c", engine.WithEncoder(fake.New(32)))
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{1, 500, 998} {
		res, err := handle.Search(context.Background(), engine.SearchRequest{Text: fmt.Sprintf("n%d", i), K: 1})
		if err != nil || res.Hits[0].ID != fmt.Sprintf("d%d", i) {
			t.Errorf("n%d: %+v, %v", i, res, err)
		}
	}
	d, err := col.Get(context.Background(), "d999")
	if err != nil || d.Vectors.Len() != 1 || d.Text != "" {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestAttributes(t *testing.T) {
	p := ingest.Passage{
		ID: "x", Path: "a/b.md", Heading: "H", Line: 3,
		Attributes: map[string]any{"source": "mine", "hash": 5, "heading": "own", "lang": "en"},
	}
	raw, err := attributesOf(&p, "/src", "h1", 2, 3, 9, false)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"source": "/src", "source_": "mine", "hash": "h1", "hash_": 5., "heading": "own", "lang": "en",
		"path": "a/b.md", "line": 9., "passage": "x", "window": 2., "windows": 3.,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(place{Source: "/src", Hash: "h1", Passage: "x", Path: "a/b.md", Heading: "own", Line: 9, Windows: 3}, placeOf(raw)); d != "" {
		t.Error(d)
	}
	if at := placeOf(json.RawMessage(`{"source": 5, "line": "x"}`)); at != (place{}) {
		t.Errorf("attributes of other types: %+v", at)
	}
}
