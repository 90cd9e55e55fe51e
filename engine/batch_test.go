package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

// Mixed batches and deletes by filter do to the collection what they do to the
// model, through seals, merges and reopening.
func TestBatchesAndDeleteWhere(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 1))
	fs := vfs.NewMem()
	db := mustOpen(t, fs, small())
	col := mustCollection(t, db, engine.CollectionConfig{})
	m := model{}
	for step := range 120 {
		switch {
		case step%10 == 9:
			f, err := engine.ParseFilter(fmt.Sprintf("n >= %d and n < %d", step, step+40))
			if err != nil {
				t.Fatal(err)
			}
			want := 0
			for id, d := range m {
				if ok, err := f.Match(d.Attributes); err != nil {
					t.Fatal(err)
				} else if ok {
					delete(m, id)
					want++
				}
			}
			res, err := col.DeleteWhere(ctx, f)
			if err != nil || res.Deleted != want {
				t.Fatalf("deleted %d by filter, want %d; %v", res.Deleted, want, err)
			}
		case step%40 == 25:
			mustClose(t, db)
			db = mustOpen(t, fs, small())
			var err error
			if col, err = db.Collection("test"); err != nil {
				t.Fatal(err)
			}
		default:
			var b engine.Batch
			for range 1 + r.IntN(8) {
				d := document(r, r.IntN(200))
				if r.IntN(3) == 0 {
					b.Delete(d.ID)
					delete(m, d.ID)
				} else {
					b.Upsert(d)
					m.put(d)
				}
			}
			if _, err := col.Apply(ctx, &b); err != nil {
				t.Fatal(err)
			}
		}
		if step%15 == 0 {
			m.check(t, col)
		}
	}
	m.check(t, col)
	mustClose(t, db)
}

// A document that is replaced while DeleteWhere runs is not taken for the one
// that was found: writers replace each by one that the filter does not meet, and
// none of these is lost.
func TestDeleteWhereSparesReplacements(t *testing.T) {
	db := mustOpen(t, vfs.NewMem(), small())
	col := mustCollection(t, db, engine.CollectionConfig{})
	const n = 60
	put := func(r *rand.Rand, i int, state string) {
		d := engine.Document{ID: fmt.Sprint(i), Vectors: vectors(r, 2), Attributes: json.RawMessage(`{"state":"` + state + `"}`)}
		if _, err := col.Upsert(ctx, d); err != nil {
			t.Error(err)
		}
	}
	old, err := engine.ParseFilter(`state = "old"`)
	if err != nil {
		t.Fatal(err)
	}
	for round := range 10 {
		r := rand.New(rand.NewPCG(42, uint64(round)))
		for i := range n {
			put(r, i, "old")
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range n {
				put(r, i, "new")
			}
		})
		for range 8 {
			if _, err := col.DeleteWhere(ctx, old); err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
		if got := col.Info().Documents; got != n {
			t.Fatalf("round %d: %d documents of %d are left", round, got, n)
		}
	}
	mustClose(t, db)
}

// A search with MinSeq waits for the change, or fails by name.
func TestMinSeq(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 1))
	db := mustOpen(t, vfs.NewMem(), small())
	col := mustCollection(t, db, engine.CollectionConfig{})
	seq, err := col.Upsert(ctx, document(r, 1))
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err = col.Search(short, engine.SearchRequest{Vectors: vectors(r, 2), MinSeq: seq + 1})
	if !errors.Is(err, engine.ErrNotVisible) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("search ahead of time: %v", err)
	}
	found := make(chan *engine.SearchResult, 1)
	go func() {
		res, err := col.Search(ctx, engine.SearchRequest{Vectors: vectors(rand.New(rand.NewPCG(1, 1)), 2), MinSeq: seq + 1})
		if err != nil {
			t.Error(err)
		}
		found <- res
	}()
	if _, err := col.Upsert(ctx, document(r, 2)); err != nil {
		t.Fatal(err)
	}
	if res := <-found; res == nil || res.Seq < seq+1 || len(res.Hits) != 2 {
		t.Errorf("%+v", res)
	}
	mustClose(t, db)
}

// Under SyncNever a power loss takes what was not synced and leaves a prefix;
// after Sync nothing that was acknowledged before it is lost.
func TestSyncBoundsTheLoss(t *testing.T) {
	for _, mode := range []engine.SyncMode{engine.SyncNever, engine.SyncInterval} {
		r := rand.New(rand.NewPCG(44, uint64(mode)))
		o := small()
		o.Sync, o.SyncInterval = mode, time.Hour
		fs := crashmem.New()
		db := mustOpen(t, fs, o)
		col := mustCollection(t, db, engine.CollectionConfig{})
		for i := range 30 {
			if i == 20 {
				if err := db.Sync(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := col.Upsert(ctx, document(r, i)); err != nil {
				t.Fatal(err)
			}
		}
		for percent := 0; percent <= 100; percent += 25 {
			crashed := mustOpen(t, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: r}), o)
			c, err := crashed.Collection("test")
			if err != nil {
				t.Fatal(err)
			}
			got := int(c.Info().Documents)
			if got < 20 || percent == 0 && got != 20 {
				t.Errorf("%v, %d %% of what was not synced: %d documents", mode, percent, got)
			}
			for i := range got { // a prefix
				if _, err := c.Get(ctx, fmt.Sprintf("doc-%03d", i)); err != nil {
					t.Error(err)
				}
			}
			mustClose(t, crashed)
		}
		mustClose(t, db)
	}
}
