package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

// Deleted documents that a busy collection keeps are dropped when it is quiet;
// and never where that is not wanted.
func TestSpaceComesBackWhenQuiet(t *testing.T) {
	_, docs := testdata.Lotte(t)
	docs = docs[:100]
	run := func(age time.Duration) (*engine.Engine, *engine.Collection) {
		db := mustOpen(t, vfs.NewMem(), &engine.Options{QuietAge: age, Sync: engine.SyncNever})
		col, err := db.CreateCollection(ctx, "test", engine.CollectionConfig{Dim: 128})
		if err != nil {
			t.Fatal(err)
		}
		var all []engine.Document
		var ids []string
		for i, d := range docs {
			all = append(all, engine.Document{ID: fmt.Sprint(i), Vectors: d})
			if i%5 == 0 { // 20 %: below what a busy collection is merged for
				ids = append(ids, fmt.Sprint(i))
			}
		}
		if _, err := col.Upsert(ctx, all...); err != nil {
			t.Fatal(err)
		}
		if err := col.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := col.Delete(ctx, ids...); err != nil {
			t.Fatal(err)
		}
		return db, col
	}
	busy, kept := run(-1)
	db, col := run(time.Millisecond)
	for col.Info().Deleted > 0 { // the test's own deadline ends a wait for nothing
		time.Sleep(time.Millisecond)
	}
	if i := col.Info(); i.Documents != 80 || i.Segments != 1 {
		t.Errorf("%+v", i)
	}
	if i := kept.Info(); i.Deleted != 20 || i.Debt.Merges != 0 {
		t.Errorf("without quiet times: %+v", i)
	}
	for _, db := range []*engine.Engine{busy, db} {
		verify(t, db)
		mustClose(t, db)
	}
}
