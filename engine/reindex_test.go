package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

var oldModel, newModel = fake.Named("old", dim), fake.Named("new", 24)

// counted counts the documents that an encoder is given.
type counted struct {
	encoder.Encoder
	documents atomic.Int64
	each      func() // before each batch
}

func (c *counted) EncodeDocuments(ctx context.Context, texts []string) ([]encoder.Document, error) {
	if c.each != nil {
		c.each()
	}
	c.documents.Add(int64(len(texts)))
	return c.Encoder.EncodeDocuments(ctx, texts)
}

var nouns = strings.Fields("pump valve river amber token query segment merge codebook score lantern orchard granite harbour velvet cinder")

// passage is a text of a few words.
func passage(r *rand.Rand) string {
	words := make([]string, 2+r.IntN(12))
	for i := range words {
		words[i] = nouns[r.IntN(len(nouns))]
	}
	return strings.Join(words, " ")
}

// texts is the oracle of a collection of texts: id to text.
type texts map[string]string

// checkTexts compares a collection with the texts, and its vectors with those
// of a model.
func (m texts) check(t *testing.T, col *engine.Collection, enc encoder.Encoder) {
	t.Helper()
	got := map[string]bool{}
	for d, err := range col.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		want, ok := m[d.ID]
		if !ok || d.Text != want || got[d.ID] {
			t.Fatalf("document %q has text %q, want %q (there: %t, twice: %t)", d.ID, d.Text, want, ok, got[d.ID])
		}
		got[d.ID] = true
		e, err := enc.EncodeDocuments(ctx, []string{d.Text})
		if err != nil {
			t.Fatal(err)
		}
		if e[0].Vectors.Len() != d.Vectors.Len() {
			t.Fatalf("document %q: %d vectors, want %d", d.ID, d.Vectors.Len(), e[0].Vectors.Len())
		}
		for i := range d.Vectors.Len() {
			if cos := dot(d.Vectors.Row(i), e[0].Vectors.Row(i)); cos < 0.95 {
				t.Fatalf("document %q, vector %d: cosine %v with the model's", d.ID, i, cos)
			}
		}
	}
	if len(got) != len(m) {
		for id := range m {
			if !got[id] {
				t.Errorf("document %q is missing", id)
			}
		}
		t.Fatalf("%d documents, want %d", len(got), len(m))
	}
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func textCollection(t *testing.T, db *engine.Engine, name string) *engine.Collection {
	t.Helper()
	col, err := db.CreateCollection(ctx, name, engine.CollectionConfig{Encoder: oldModel})
	if err != nil {
		t.Fatal(err)
	}
	return col
}

// change makes random changes to a collection of texts and to its oracle.
func (m texts) change(t *testing.T, r *rand.Rand, col *engine.Collection, n int) {
	t.Helper()
	for range n {
		id := fmt.Sprintf("doc-%03d", r.IntN(120))
		if r.IntN(3) == 0 {
			if _, err := col.Delete(ctx, id); err != nil {
				t.Fatal(err)
			}
			delete(m, id)
			continue
		}
		text := passage(r)
		if _, err := col.Upsert(ctx, engine.Document{ID: id, Text: text}); err != nil {
			t.Fatal(err)
		}
		m[id] = text
	}
}

// A change of model, switching back, and a second change.
func TestReindex(t *testing.T) {
	r := rand.New(rand.NewPCG(61, 1))
	fs := vfs.NewMem()
	db := mustOpen(t, fs, small())
	col := textCollection(t, db, "docs")
	m := texts{}
	m.change(t, r, col, 200)
	if err := col.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	m.change(t, r, col, 60)

	plan, err := db.PlanReindex(ctx, "docs", newModel)
	if err != nil || plan.Documents != int64(len(m)) || plan.Textless != 0 || plan.Source != "docs" || plan.Into != "" {
		t.Fatalf("%+v, %v", plan, err)
	}
	batches := 0
	res, err := db.Reindex(ctx, "docs", newModel, &engine.ReindexOptions{BatchDocuments: 10, Progress: func(p engine.ReindexProgress) {
		batches++
		if p.Left != int64(len(m))-p.Documents {
			t.Errorf("%+v of %d", p, len(m))
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if res.Collection != "docs-2" || res.Old != "docs-1" || res.Alias != "docs" || res.Resumed || res.Documents != int64(len(m)) || batches < len(m)/10 {
		t.Errorf("%+v after %d batches", res, batches)
	}
	if _, err := db.Collection("docs", engine.WithEncoder(oldModel)); !errors.Is(err, engine.ErrModelMismatch) {
		t.Errorf("the name leads to the old model: %v", err)
	}
	if _, err := col.Upsert(ctx, engine.Document{ID: "late", Text: "too late"}); !errors.Is(err, engine.ErrMoved) {
		t.Errorf("write through the old handle: %v", err)
	}
	now, err := db.Collection("docs", engine.WithEncoder(newModel))
	if err != nil {
		t.Fatal(err)
	}
	m.check(t, now, newModel)
	m.check(t, col, oldModel)
	for id, text := range m {
		found, err := now.Search(ctx, engine.SearchRequest{Text: text, K: 1, Exact: true})
		if err != nil || len(found.Hits) != 1 || len(found.Hits[0].Text) < len(text) && found.Hits[0].ID != id {
			t.Fatalf("%q: %+v, %v", text, found, err)
		}
		break
	}
	mustClose(t, db)

	db = mustOpen(t, fs, small())
	if a := db.Aliases(); len(a) != 1 || a[0] != (engine.Alias{Name: "docs", Collection: "docs-2", Previous: "docs-1"}) {
		t.Errorf("%+v", a)
	}
	if err := db.SetAlias(ctx, "docs", "docs-1"); err != nil { // and back
		t.Fatal(err)
	}
	if col, err = db.Collection("docs", engine.WithEncoder(oldModel)); err != nil {
		t.Fatal(err)
	}
	m.change(t, r, col, 10)
	if _, err := db.Reindex(ctx, "docs-1", newModel, nil); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("by the collection's own name, though an alias leads to it: %v", err)
	}
	third := fake.Named("third", 32)
	profile := engine.Balanced
	res, err = db.Reindex(ctx, "docs", third, &engine.ReindexOptions{Profile: &profile})
	if err != nil || res.Collection != "docs-3" || res.Old != "docs-1" {
		t.Fatalf("%+v, %v", res, err)
	}
	if now, err = db.Collection("docs", engine.WithEncoder(third)); err != nil || now.Info().Profile != profile {
		t.Fatal(err)
	}
	m.check(t, now, third)
	if _, err := db.Reindex(ctx, "docs", third, nil); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("with the model that it has: %v", err)
	}
	for _, name := range []string{"docs-1", "docs-2"} {
		if err := db.DropCollection(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	m.check(t, now, third)
	mustClose(t, db)
}

// Writers change documents all the while, reopening the collection when its name
// moves. Nothing that they were told is stored may be missing afterwards, and
// nothing deleted be there; searches by the name always find an answer.
func TestReindexWhileWritten(t *testing.T) {
	const writers = 4
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	col := textCollection(t, db, "docs")
	r := rand.New(rand.NewPCG(62, 1))
	m := texts{}
	m.change(t, r, col, 300)
	open := func(enc encoder.Encoder) (*engine.Collection, error) {
		return db.Collection("docs", engine.WithEncoder(enc))
	}
	var stop atomic.Bool
	var moved atomic.Int64
	var wg sync.WaitGroup
	written := make([]texts, writers)
	for w := range writers {
		written[w] = texts{}
		wg.Go(func() {
			r := rand.New(rand.NewPCG(63, uint64(w)))
			h, err := open(oldModel)
			for i := 0; !stop.Load() && err == nil; i++ {
				id, text := fmt.Sprintf("w%d-%d", w, r.IntN(40)), passage(r)
				del := r.IntN(3) == 0
				for {
					if del {
						_, err = h.Delete(ctx, id)
					} else {
						_, err = h.Upsert(ctx, engine.Document{ID: id, Text: text})
					}
					if !errors.Is(err, engine.ErrMoved) {
						break
					}
					moved.Add(1)
					if h, err = open(newModel); err != nil {
						break
					}
				}
				if del {
					delete(written[w], id)
				} else {
					written[w][id] = text
				}
				if i%8 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Go(func() {
		for !stop.Load() {
			h, err := db.Collection("docs")
			if err == nil {
				_, err = h.Search(ctx, engine.SearchRequest{Vectors: vectorsOf(h.Info().Dim), K: 3})
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	res, err := db.Reindex(ctx, "docs", &counted{Encoder: newModel, each: func() { time.Sleep(3 * time.Millisecond) }}, &engine.ReindexOptions{BatchDocuments: 8})
	time.Sleep(20 * time.Millisecond) // writes through the new name
	stop.Store(true)
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if moved.Load() != writers {
		t.Errorf("%d writers saw the name move", moved.Load())
	}
	if res.Documents < int64(len(m))+20 || res.Deleted == 0 {
		t.Errorf("%+v: the test has no power", res)
	}
	for _, w := range written {
		maps.Copy(m, w)
	}
	now, err := open(newModel)
	if err != nil {
		t.Fatal(err)
	}
	m.check(t, now, newModel)
}

func vectorsOf(dim int) engine.Matrix {
	m := engine.Matrix{Dim: dim, Data: make([]float32, dim)}
	m.Data[0] = 1
	return m
}

// Power is lost after every batch in turn, and documents are replaced, added and
// deleted before the reindex is resumed. It repeats at most a batch, and the
// result is what a single run gives.
func TestReindexResumes(t *testing.T) {
	const batch = 16
	for _, mode := range []engine.SyncMode{engine.SyncAlways, engine.SyncNever} {
		for at := 1; ; at++ {
			r := rand.New(rand.NewPCG(64, uint64(at)))
			o := small()
			fs := crashmem.New()
			db := mustOpen(t, fs, o)
			col := textCollection(t, db, "docs")
			m := texts{}
			m.change(t, r, col, 150)
			if at%2 == 0 {
				if err := col.Flush(ctx); err != nil {
					t.Fatal(err)
				}
			}
			mustClose(t, db)
			o.Sync = mode
			db = mustOpen(t, fs, o)
			first := &counted{Encoder: newModel}
			var crashed *vfs.MemFS
			n := 0
			_, err := db.Reindex(ctx, "docs", first, &engine.ReindexOptions{BatchDocuments: batch, Progress: func(engine.ReindexProgress) {
				if n++; n == at {
					crashed = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
					first.documents.Store(int64(n * batch)) // what the crash saw
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			encoded := int64(at * batch)
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			if crashed == nil {
				if at < 5 {
					t.Fatalf("only %d batches", n)
				}
				break
			}
			db = mustOpen(t, crashed, small())
			if col, err = db.Collection("docs", engine.WithEncoder(oldModel)); err != nil {
				t.Fatal(err)
			}
			m.check(t, col, oldModel)
			half, err := db.Collection("docs-2")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := half.Upsert(ctx, engine.Document{ID: "x", Vectors: vectorsOf(24)}); !errors.Is(err, engine.ErrInvalid) {
				t.Errorf("write to a collection that is not complete: %v", err)
			}
			if _, err := db.Reindex(ctx, "docs", fake.Named("third", 24), nil); !errors.Is(err, engine.ErrModelMismatch) {
				t.Errorf("resuming with another model: %v", err)
			}
			m.change(t, r, col, 30)
			plan, err := db.PlanReindex(ctx, "docs", newModel)
			if err != nil || plan.Into != "docs-2" || plan.Done < encoded-batch || plan.Done > encoded {
				t.Fatalf("at %d: plan %+v, %v", at, plan, err)
			}
			second := &counted{Encoder: newModel}
			res, err := db.Reindex(ctx, "docs", second, &engine.ReindexOptions{BatchDocuments: batch})
			if err != nil || !res.Resumed || res.Collection != "docs-2" {
				t.Fatalf("%+v, %v", res, err)
			}
			if second.documents.Load() != plan.Documents {
				t.Errorf("encoded %d documents again, %d were left", second.documents.Load(), plan.Documents)
			}
			now, err := db.Collection("docs", engine.WithEncoder(newModel))
			if err != nil {
				t.Fatal(err)
			}
			m.check(t, now, newModel)
			mustClose(t, db)
		}
	}
}

// Documents without text are counted first and refused, or left out; one that
// replaces a document with text takes that one away.
func TestReindexTextless(t *testing.T) {
	r := rand.New(rand.NewPCG(65, 1))
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	col := textCollection(t, db, "docs")
	m := texts{}
	m.change(t, r, col, 100)
	for i := range 5 {
		if _, err := col.Upsert(ctx, engine.Document{ID: fmt.Sprintf("bare-%d", i), Vectors: vectors(r, 3)}); err != nil {
			t.Fatal(err)
		}
	}
	enc := &counted{Encoder: newModel}
	_, err := db.Reindex(ctx, "docs", enc, nil)
	if !errors.Is(err, engine.ErrNoText) || !strings.Contains(err.Error(), `5 of `) || !strings.Contains(err.Error(), `"bare-0", "bare-1", "bare-2"`) {
		t.Errorf("%v", err)
	}
	if enc.documents.Load() != 0 || len(db.Collections()) != 1 {
		t.Errorf("%d documents encoded before the refusal, %d collections", enc.documents.Load(), len(db.Collections()))
	}
	// One that arrives when its text has been copied already.
	replaced := false
	var gone string
	enc.each = func() {
		if enc.documents.Load() < 20 || replaced {
			return
		}
		replaced = true
		for d, err := range col.All(ctx) { // the first, long copied
			if err != nil {
				t.Error(err)
			}
			gone = d.ID
			break
		}
		if _, err := col.Upsert(ctx, engine.Document{ID: gone, Vectors: vectors(r, 2)}); err != nil {
			t.Error(err)
		}
		delete(m, gone)
	}
	res, err := db.Reindex(ctx, "docs", enc, &engine.ReindexOptions{SkipTextless: true, BatchDocuments: 10})
	if err != nil || res.Skipped != 6 || !replaced {
		t.Fatalf("%+v, %v, replaced %q", res, err, gone)
	}
	now, err := db.Collection("docs")
	if err != nil {
		t.Fatal(err)
	}
	m.check(t, now, newModel)
}

// With NoSwitch the new collection catches up and the name stays; a later call
// goes on and switches.
func TestReindexNoSwitch(t *testing.T) {
	r := rand.New(rand.NewPCG(66, 1))
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	col := textCollection(t, db, "docs")
	m := texts{}
	m.change(t, r, col, 80)
	res, err := db.Reindex(ctx, "docs", newModel, &engine.ReindexOptions{NoSwitch: true, Into: "trial"})
	if err != nil || res.Alias != "" || res.Collection != "trial" || res.Old != "docs" {
		t.Fatalf("%+v, %v", res, err)
	}
	trial, err := db.Collection("trial")
	if err != nil {
		t.Fatal(err)
	}
	m.check(t, trial, newModel)
	if err := db.SetAlias(ctx, "other", "trial"); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("alias to a collection that will be added to: %v", err)
	}
	m.change(t, r, col, 20)
	if res, err = db.Reindex(ctx, "docs", newModel, nil); err != nil || !res.Resumed || res.Collection != "trial" || res.Old != "docs-1" {
		t.Fatalf("%+v, %v", res, err)
	}
	m.check(t, trial, newModel)
	if _, err := trial.Delete(ctx, "doc-001"); err != nil {
		t.Errorf("write to a finished collection by its own name: %v", err)
	}
}

// An encoder that fails leaves a store that goes on, and a reindex that can be
// resumed or dropped.
func TestReindexFails(t *testing.T) {
	r := rand.New(rand.NewPCG(67, 1))
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	col := textCollection(t, db, "docs")
	m := texts{}
	m.change(t, r, col, 100)
	cancelled, cancel := context.WithCancel(ctx)
	if _, err := db.Reindex(cancelled, "docs", newModel, &engine.ReindexOptions{BatchDocuments: 8, Progress: func(p engine.ReindexProgress) {
		if p.Documents >= 24 {
			cancel()
		}
	}}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	m.change(t, r, col, 10)
	m.check(t, col, oldModel)
	if info := infoOf(t, db, "docs-2"); info.ReindexOf != "docs" || info.Documents < 24 {
		t.Errorf("%+v", info)
	}
	if err := db.DropCollection(ctx, "docs-2"); err != nil {
		t.Fatal(err)
	}
	if plan, err := db.PlanReindex(ctx, "docs", newModel); err != nil || plan.Into != "" || plan.Done != 0 {
		t.Errorf("%+v, %v", plan, err)
	}
	if _, err := db.Reindex(ctx, "docs", newModel, nil); err != nil {
		t.Fatal(err)
	}
	now, err := db.Collection("docs")
	if err != nil {
		t.Fatal(err)
	}
	m.check(t, now, newModel)
}

// A bulk load and a reindex of one collection exclude each other.
func TestReindexAndBulk(t *testing.T) {
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	col := textCollection(t, db, "docs")
	m := texts{}
	m.change(t, rand.New(rand.NewPCG(68, 1)), col, 40)
	load, err := col.Bulk(ctx, engine.BulkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Reindex(ctx, "docs", newModel, nil); !errors.Is(err, engine.ErrBulkOpen) {
		t.Errorf("reindex during a load: %v", err)
	}
	if err := load.Close(); err != nil {
		t.Fatal(err)
	}
	tried := false
	_, err = db.Reindex(ctx, "docs", newModel, &engine.ReindexOptions{Progress: func(engine.ReindexProgress) {
		tried = true
		if _, err := col.Bulk(ctx, engine.BulkOptions{}); !errors.Is(err, engine.ErrInUse) {
			t.Errorf("load during a reindex: %v", err)
		}
	}})
	if err != nil || !tried {
		t.Fatal(err)
	}
	if _, err := col.Bulk(ctx, engine.BulkOptions{}); !errors.Is(err, engine.ErrMoved) {
		t.Errorf("load through a handle whose name was switched: %v", err)
	}
	now, err := db.Collection("docs")
	if err != nil {
		t.Fatal(err)
	}
	m.check(t, now, newModel)
}

func infoOf(t *testing.T, db *engine.Engine, name string) engine.CollectionInfo {
	t.Helper()
	col, err := db.Collection(name)
	if err != nil {
		t.Fatal(err)
	}
	return col.Info()
}

// A model that panics ends the reindex with an error and harms nothing else: the
// collection answers and takes writes, and the next call goes on.
func TestReindexWithAPanickingModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	db := mustOpen(t, vfs.NewMem(), &engine.Options{})
	col, err := db.CreateCollection(ctx, "docs", engine.CollectionConfig{Encoder: oldModel})
	if err != nil {
		t.Fatal(err)
	}
	want := texts{}
	write := func(n int) {
		for range n {
			id := fmt.Sprint(len(want))
			want[id] = passage(r)
			if _, err := col.Upsert(ctx, engine.Document{ID: id, Text: want[id]}); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(30)
	batches := 0
	broken := &counted{Encoder: newModel, each: func() {
		if batches++; batches == 2 {
			panic("out of memory")
		}
	}}
	o := &engine.ReindexOptions{BatchDocuments: 8}
	if _, err := db.Reindex(ctx, "docs", broken, o); err == nil || !strings.Contains(err.Error(), "panicked: out of memory") {
		t.Fatalf("the reindex ends with %v", err)
	}
	write(5)
	want.check(t, col, oldModel)
	res, err := db.Reindex(ctx, "docs", newModel, o)
	if err != nil || !res.Resumed {
		t.Fatalf("%+v, %v", res, err)
	}
	now, err := db.Collection("docs", engine.WithEncoder(newModel))
	if err != nil {
		t.Fatal(err)
	}
	want.check(t, now, newModel)
	mustClose(t, db)
}
