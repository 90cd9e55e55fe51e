package engine_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

// Many collections, few of which may be open: writers, readers and reopenings
// of the store see what the models say, and idle ones are closed.
func TestCollectionsAtRest(t *testing.T) {
	const n, limit = 10, 3
	o := small()
	o.MaxOpenCollections = limit
	fs := crashmem.New()
	db := mustOpen(t, fs, o)
	models := make([]model, n)
	for i := range models {
		models[i] = model{}
		if _, err := db.CreateCollection(ctx, fmt.Sprintf("c%d", i), engine.CollectionConfig{Dim: dim}); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 2 {
		var wg sync.WaitGroup
		for i, m := range models {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(round), uint64(i)))
				col, err := db.Collection(fmt.Sprintf("c%d", i))
				if err != nil {
					t.Error(err)
					return
				}
				for range 15 {
					d := document(r, r.IntN(100))
					if r.IntN(4) == 0 {
						delete(m, d.ID)
						_, err = col.Delete(ctx, d.ID)
					} else {
						m.put(d)
						_, err = col.Upsert(ctx, d)
					}
					if err != nil {
						t.Error(err)
					}
					if r.IntN(12) == 0 {
						if err := col.Flush(ctx); err != nil {
							t.Error(err)
						}
					}
					if info := col.Info(); info.Documents != int64(len(m)) {
						t.Errorf("info says %d documents, want %d", info.Documents, len(m))
					}
				}
			})
		}
		wg.Wait()
		if err := db.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		for i, m := range models {
			col, err := db.Collection(fmt.Sprintf("c%d", i))
			if err != nil {
				t.Fatal(err)
			}
			before := col.Info()
			m.check(t, col)
			if after := col.Info(); before.Documents != after.Documents || before.Tokens != after.Tokens {
				t.Errorf("before it was opened %+v, now %+v", before, after)
			}
		}
		if got := db.Metrics().Opened; got > limit {
			t.Errorf("%d collections are open, the limit is %d", got, limit)
		}
		// One is dropped and made anew, at rest or open.
		name := fmt.Sprintf("c%d", round*5)
		if err := db.DropCollection(ctx, name); err != nil {
			t.Fatal(err)
		}
		if _, err := db.CreateCollection(ctx, name, engine.CollectionConfig{Dim: dim}); err != nil {
			t.Fatal(err)
		}
		models[round*5] = model{}
		mustClose(t, db)
		db = mustOpen(t, fs, o)
		if got := db.Metrics().Opened; got != 0 {
			t.Errorf("%d collections are open in a store that was just opened", got)
		}
	}
	mustClose(t, db)
}

// A store of many small collections opens fast and costs little at rest. With
// COLBERTDB_MANY=10000 it is the measurement of docs/benchmarks.md.
func TestManyCollections(t *testing.T) {
	n := 100
	if s := os.Getenv("COLBERTDB_MANY"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	db, err := engine.Open(ctx, dir, &engine.Options{Sync: engine.SyncNever})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r := rand.New(rand.NewPCG(21, 1))
	docs := make([]engine.Document, 50)
	for i := range n {
		col, err := db.CreateCollection(ctx, fmt.Sprintf("tenant-%05d", i), engine.CollectionConfig{Dim: dim})
		if err != nil {
			t.Fatal(err)
		}
		for j := range docs {
			docs[j] = document(r, j)
		}
		if _, err := col.Upsert(ctx, docs...); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 999 {
			if err := db.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := db.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d collections of %d documents made in %v", n, len(docs), time.Since(start).Round(time.Millisecond))
	if n <= 1000 {
		verify(t, db)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before := heap()
	start = time.Now()
	if db, err = engine.Open(ctx, dir, nil); err != nil {
		t.Fatal(err)
	}
	t.Logf("opened in %v", time.Since(start).Round(time.Millisecond))
	const each, store = 8 << 10, 4 << 20 // at most, of a collection and of the store
	grown := heap() - before
	if t.Logf("%d bytes of heap a collection at rest", grown/int64(n)); grown > store+each*int64(n) {
		t.Errorf("%d collections at rest take %d bytes of heap", n, grown)
	}
	start = time.Now()
	m := db.Metrics()
	t.Logf("described in %v; %d collections are open", time.Since(start).Round(time.Millisecond), m.Opened)
	start = time.Now()
	for range 100 {
		col, err := db.Collection(fmt.Sprintf("tenant-%05d", r.IntN(n)))
		if err != nil {
			t.Fatal(err)
		}
		res, err := col.Search(ctx, engine.SearchRequest{Vectors: vectors(r, 4), K: 100})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Hits) != len(docs) {
			t.Fatalf("%d hits", len(res.Hits))
		}
	}
	t.Logf("100 searches in random collections took %v", time.Since(start).Round(time.Millisecond))
	if len(m.Collections) != n || m.Opened != 0 {
		t.Errorf("%d collections, %d of them open", len(m.Collections), m.Opened)
	}
	for _, c := range m.Collections {
		if c.Documents != int64(len(docs)) {
			t.Errorf("collection %s has %d documents", c.Name, c.Documents)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// heap is the number of bytes in use after a collection of garbage.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
