package onnx_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/onnx"
	"github.com/colbertdb-go/colbertdb/engine"
)

// dying is an encoder whose session is closed under it.
type dying struct {
	encoder.Encoder
	mu    sync.Mutex
	after int // calls
}

func (d *dying) EncodeDocuments(ctx context.Context, texts []string) ([]encoder.Document, error) {
	d.mu.Lock()
	d.after--
	last := d.after == 0
	d.mu.Unlock()
	if last {
		if err := d.Close(); err != nil {
			return nil, err
		}
	}
	return d.Encoder.EncodeDocuments(ctx, texts)
}

// A model that gives NaN, one whose tokenizer is another's, and one that dies: the write
// and the search fail with the cause, and the store stays as it was, whole. What does not
// meet the fault is stored and found.
func TestStoreSurvivesTheModel(t *testing.T) {
	needRuntime(t)
	nan := open(t, folder(t, "nan", `"uses_token_type_ids": true`, noTypes))
	// Its vocabulary has a piece more than the graph has vectors.
	var tok map[string]any
	if err := json.Unmarshal(read(t, "tokenizer.json"), &tok); err != nil {
		t.Fatal(err)
	}
	tok["model"].(map[string]any)["vocab"].(map[string]any)["poison"] = 18
	other, err := json.Marshal(tok)
	if err != nil {
		t.Fatal(err)
	}
	foreign := folder(t, "types")
	foreign["tokenizer.json"] = &fstest.MapFile{Data: other}
	dead := &dying{Encoder: open(t, folder(t, "types")), after: 3}
	for name, c := range map[string]struct {
		enc   encoder.Encoder
		bad   string
		cause func(error) bool
	}{
		"NaN": {nan, "the nan of amber", func(err error) bool {
			return errors.Is(err, engine.ErrBadVector) && strings.Contains(err.Error(), "NaN")
		}},
		"a wrong tokenizer": {open(t, foreign), "the poison of amber", func(err error) bool {
			return errors.Is(err, encoder.ErrModel) && strings.Contains(err.Error(), "model.onnx")
		}},
		"a session gone": {dead, "amber", func(err error) bool {
			return errors.Is(err, onnx.ErrRuntime) && strings.Contains(err.Error(), "is closed")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
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
			col, err := db.CreateCollection(ctx, "c", engine.CollectionConfig{Encoder: c.enc})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range []engine.Document{{ID: "a", Text: "the color of amber"}, {ID: "b", Text: "urine"}} {
				if _, err := col.Upsert(ctx, d); err != nil {
					t.Fatal(err)
				}
			}
			before := contents(t, col)
			for range 3 {
				_, err = col.Upsert(ctx, engine.Document{ID: "c", Text: "what is"}, engine.Document{ID: "a", Text: c.bad})
				if err == nil || !c.cause(err) {
					t.Errorf("a write: %v", err)
				}
				_, err = col.Search(ctx, engine.SearchRequest{Text: c.bad, K: 1})
				if err == nil || !c.cause(err) {
					t.Errorf("a search: %v", err)
				}
			}
			if diff := cmp.Diff(before, contents(t, col)); diff != "" {
				t.Errorf("the store has changed (-before +after):\n%s", diff)
			}
			if name == "a session gone" {
				return
			}
			if _, err := col.Upsert(ctx, engine.Document{ID: "c", Text: "what is"}); err != nil {
				t.Error(err)
			}
			if r, err := col.Search(ctx, engine.SearchRequest{Text: "what is", K: 1}); err != nil || len(r.Hits) != 1 || r.Hits[0].ID != "c" {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// contents are the documents of a collection with their vectors.
func contents(t *testing.T, col *engine.Collection) map[string]string {
	t.Helper()
	out := map[string]string{}
	for d, err := range col.All(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		out[d.ID] = fmt.Sprint(d.Text, d.Vectors.Data)
	}
	return out
}

// A graph that is cut off or is another file is refused
// with its name.
func TestCorruptGraph(t *testing.T) {
	needRuntime(t)
	whole := read(t, "types.onnx")
	damaged := map[string][]byte{"empty": {}, "text": []byte("<html>not found</html>"), "zeros": make([]byte, len(whole))}
	for _, share := range []int{10, 50, 90, 99} {
		damaged[fmt.Sprintf("cut at %d%%", share)] = whole[:len(whole)*share/100]
	}
	for name, b := range damaged {
		fsys := folder(t, "types")
		fsys["model.onnx"] = &fstest.MapFile{Data: b}
		if _, err := onnx.Open(fsys, "models/tiny", onnx.Options{}); !errors.Is(err, encoder.ErrModel) || !strings.Contains(err.Error(), "model.onnx") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Encoding again and again takes no more memory: of 600 calls, of 10,000 in the full
// lane. What the first calls take stays.
func TestConstantMemory(t *testing.T) {
	needRuntime(t)
	calls, full := 600, os.Getenv("COLBERTDB_RELIABILITY") == "full"
	if full {
		calls = 10_000
	}
	enc := open(t, folder(t, "types"))
	encode := func(n int) {
		for i := range n {
			texts := []string{"the color of amber", strings.Repeat("amber ", i%9)}
			if _, err := enc.EncodeDocuments(context.Background(), texts); err != nil {
				t.Fatal(err)
			}
			if _, err := enc.EncodeQueries(context.Background(), texts); err != nil {
				t.Fatal(err)
			}
			if i%50 == 0 { // and with calls that end early
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				if _, err := enc.EncodeDocuments(ctx, texts); !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
			}
		}
		runtime.GC()
	}
	encode(calls / 10)
	goroutines, before := runtime.NumGoroutine(), status(t, "VmRSS:")
	encode(calls)
	after := status(t, "VmRSS:")
	t.Logf("%d calls on either side: %d KiB resident before, %d after", calls, before>>10, after>>10)
	if full && after-before > 16<<20 { // in a short run the heap's own size would decide
		t.Errorf("%d calls took %d MiB", calls, (after-before)>>20)
	}
	if n := runtime.NumGoroutine(); n > goroutines+4 {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
}
