package engine_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/offheap"
)

// Pinned columns lie outside of the heap, and their memory goes back when their
// segment has been merged away, its collection dropped, or the store closed.
func TestPinnedColumnsAreGivenBack(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 48))
	about := topics(r, 20, 128)
	db := mustOpen(t, vfs.NewMem(), &engine.Options{DisableAutoCompaction: true, Sync: engine.SyncNever})
	before := offheap.InUse()
	col, err := db.CreateCollection(ctx, "test", engine.CollectionConfig{Dim: 128})
	if err != nil {
		t.Fatal(err)
	}
	write := func() {
		t.Helper()
		batch := make([]engine.Document, 700)
		for i := range batch {
			batch[i] = engine.Document{ID: fmt.Sprint(i), Vectors: near(r, about, 16)}
		}
		if _, err := col.Upsert(ctx, batch...); err != nil {
			t.Fatal(err)
		}
		if err := col.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := col.Search(ctx, engine.SearchRequest{Vectors: near(r, about, 8), K: 3}); err != nil {
			t.Fatal(err)
		}
	}
	write()
	one := offheap.InUse() - before
	if one < 700*16*128 {
		t.Skipf("%d bytes are outside of the heap: this system has no such memory", one)
	}
	write() // replaces all of them
	if err := col.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	if got := offheap.InUse() - before; got != one {
		t.Errorf("%d bytes in use after all documents were replaced, %d with one segment", got, one)
	}
	if err := db.DropCollection(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	if got := offheap.InUse() - before; got != 0 {
		t.Errorf("%d bytes in use after the collection was dropped", got)
	}
	if col, err = db.CreateCollection(ctx, "test", engine.CollectionConfig{Dim: 128}); err != nil {
		t.Fatal(err)
	}
	write()
	mustClose(t, db)
	if got := offheap.InUse() - before; got != 0 {
		t.Errorf("%d bytes in use after Close", got)
	}
}
