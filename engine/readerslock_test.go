package engine

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/encoder/fake"
)

// Nothing waits for the disk with the lock that every reader takes: at each sync of a
// file or folder of the store it can be had.
func TestReadersDoNotWaitForTheDisk(t *testing.T) {
	ctx := context.Background()
	var store atomic.Pointer[Engine]
	var syncs atomic.Int64
	e := openTest(t, errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		e := store.Load()
		if e == nil || op.Kind != errorfs.OpFileSync && op.Kind != errorfs.OpFileSyncData && op.Kind != errorfs.OpFileSyncTo {
			return nil
		}
		syncs.Add(1)
		for range 3000 { // others have it for a moment
			if e.mu.TryLock() {
				e.mu.Unlock()
				return nil
			}
			time.Sleep(time.Millisecond)
		}
		t.Errorf("a sync of %s holds up readers", op.Path)
		store.Store(nil)
		return nil
	})))
	col := testCollection(t, e, "one", 30)
	store.Store(e)
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"upsert", func() error { _, err := col.Upsert(ctx, testDocument(40)); return err }},
		{"key", func() error { _, err := col.Idempotent("key").Upsert(ctx, testDocument(41)); return err }},
		{"delete", func() error { _, err := col.Delete(ctx, "doc 3"); return err }},
		{"seal", func() error { return e.Flush(ctx) }},
		{"index", func() error { return col.IndexAttributes(ctx, "a") }},
		{"alias", func() error { return errors.Join(e.SetAlias(ctx, "alias", "one"), e.DropAlias(ctx, "alias")) }},
		{"merge", func() error {
			_, err := col.Upsert(ctx, testDocument(42))
			return errors.Join(err, e.Compact(ctx))
		}},
		{"load", func() error {
			b, err := col.Bulk(ctx, BulkOptions{})
			if err == nil {
				err = errors.Join(b.Add(ctx, testDocument(50)), b.Commit(ctx), b.Close())
			}
			return err
		}},
		{"checkpoint", func() error { _, err := e.Checkpoint(ctx, "copy"); return err }},
		{"reindex", func() error {
			_, err := e.Reindex(ctx, "one", fake.New(32), &ReindexOptions{BatchDocuments: 7})
			return err
		}},
		{"purge", func() error {
			col, err := e.Collection("one")
			if err == nil {
				_, err = col.Purge(ctx, "doc 5")
			}
			return err
		}},
		{"drop", func() error {
			_, err := e.CreateCollection(ctx, "two", CollectionConfig{Dim: 16})
			return errors.Join(err, e.DropCollection(ctx, "two"))
		}},
	} {
		before := syncs.Load()
		if err := step.run(); err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
		if syncs.Load() == before {
			t.Errorf("%s synced nothing: the test has no power", step.name)
		}
	}
	store.Store(nil)
	closeTest(t, e)
}
