package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

// Documents that are deleted and replaced while a merge runs, and whose log
// records a seal removes before the merge is published, are as dead after a
// power loss as before it.
func TestSealDuringMerge(t *testing.T) {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(1, 2))
	fs := crashmem.New()
	open := func() (*Engine, *Collection) {
		e, err := Open(ctx, "db", &Options{FS: fs, DisableAutoCompaction: true})
		if err != nil {
			t.Fatal(err)
		}
		h, err := e.CreateCollection(ctx, "test", CollectionConfig{Dim: 16})
		if err != nil {
			t.Fatal(err)
		}
		return e, h
	}
	e, h := open()
	doc := func(i int) Document {
		m := Matrix{Dim: 16, Data: make([]float32, 16*(1+r.IntN(4)))}
		for i := range m.Data {
			m.Data[i] = float32(r.NormFloat64())
		}
		return Document{ID: fmt.Sprintf("doc-%d", i), Vectors: m}
	}
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		must(h.Upsert(ctx, doc(i)))
		if i%10 == 9 {
			must(nil, h.Flush(ctx))
		}
	}
	e.bg.Lock()
	v, err := h.c.acquire()
	must(nil, err)
	w := &mergeWork{engine: e, col: h.c, to: v.space}
	must(nil, w.merge(ctx, v.segs))
	h.c.release(v)
	must(h.Delete(ctx, "doc-3", "doc-17"))
	must(h.Upsert(ctx, doc(25)))
	must(nil, h.Flush(ctx)) // the merge is still under way, and holds up no seal
	must(h.Delete(ctx, "doc-31"))
	must(nil, e.publishing(ctx, func(ctx context.Context) error { return w.publish(ctx, &moveBuffers{}) }))
	e.bg.Unlock()
	check := func() {
		t.Helper()
		if n := h.Info().Documents; n != 37 {
			t.Fatalf("%d documents, want 37", n)
		}
		seen := map[string]bool{}
		for d, err := range h.All(ctx) {
			must(nil, err)
			if seen[d.ID] {
				t.Fatalf("%s twice", d.ID)
			}
			seen[d.ID] = true
		}
		for _, id := range []string{"doc-3", "doc-17", "doc-31"} {
			if seen[id] {
				t.Fatalf("%s is back", id)
			}
		}
		rep, err := e.Verify(ctx)
		must(nil, err)
		for _, p := range rep.Problems {
			t.Error(p)
		}
	}
	check()
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	must(nil, e.Close())
	fs = crashmem.Wrap(crashed)
	e, h = open()
	check()
	must(nil, e.Close())
}

// A buffer of one document becomes a segment when it is old enough, by itself.
func TestSealByAge(t *testing.T) {
	ctx := context.Background()
	e, err := OpenMem(&Options{SealAge: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	h, err := e.CreateCollection(ctx, "test", CollectionConfig{Dim: 8})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if _, err := h.Upsert(ctx, Document{ID: fmt.Sprint(i), Vectors: Matrix{Dim: 8, Data: []float32{1, 2, 3, 4, 5, 6, 7, 8}}}); err != nil {
			t.Fatal(err)
		}
		for h.Info().Segments <= i || h.Info().Buffered > 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	r, err := e.Verify(ctx)
	if err != nil || !r.Ok() {
		t.Fatal(err, r.Problems)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
