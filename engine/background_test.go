package engine_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// A collection whose segments cannot be read fails to merge, is reported, and holds
// up no other; once it can be read again it is merged too.
func TestOneFailingMergeHoldsUpNoOther(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	mem := vfs.NewMem()
	var bad atomic.Bool
	tables := map[string]bool{} // of the first collection
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		const tokens = 100 << 10 // a table begins with so much of what merges alone read here
		if op.Kind == errorfs.OpFileReadAt && bad.Load() && tables[op.Path] && op.Offset < tokens {
			return errorfs.ErrInjected
		}
		return nil
	}))
	o := &engine.Options{DisableAutoCompaction: true, MemoryBudget: 1, TrainTokens: 1 << 40, SealAge: -1}
	db := mustOpen(t, fs, o)
	for _, name := range []string{"a", "b"} {
		col, err := db.CreateCollection(ctx, name, engine.CollectionConfig{Dim: dim})
		if err != nil {
			t.Fatal(err)
		}
		for s := range 4 {
			docs := make([]engine.Document, 200)
			for i := range docs {
				docs[i] = engine.Document{ID: fmt.Sprintf("%d-%d", s, i), Vectors: vectors(r, 40)}
			}
			if _, err := col.Upsert(ctx, docs...); err != nil {
				t.Fatal(err)
			}
			if err := col.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if name == "a" {
			names, err := mem.List("db/pebble")
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range names {
				tables["db/pebble/"+n] = strings.HasSuffix(n, ".sst")
			}
		}
	}
	mustClose(t, db)

	var failures atomic.Int64
	o.DisableAutoCompaction = false
	o.EventListener = &engine.EventListener{BackgroundError: func(error) { failures.Add(1) }}
	open := func() *engine.Engine {
		opts := *o
		opts.FS = fs
		db, err := engine.Open(ctx, "db", &opts)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db = open()
	bad.Store(true)
	a, _ := db.Collection("a")
	b, _ := db.Collection("b")
	for _, col := range []*engine.Collection{a, b} { // opening them makes merges due
		if _, err := col.Segments(); err != nil {
			t.Fatal(err)
		}
	}
	until := func(what string, f func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	until("the second collection is not merged", func() bool { return b.Info().Segments == 1 })
	until("no failure is reported", func() bool { return failures.Load() > 0 })
	if n := a.Info().Segments; n != 4 {
		t.Errorf("the first collection has %d segments", n)
	}
	bad.Store(false)
	if _, err := a.Upsert(ctx, document(r, 1)); err != nil {
		t.Fatal(err)
	}
	if err := a.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	until("the first collection is not merged", func() bool { return a.Info().Segments < 4 })
	mustClose(t, db)
}
