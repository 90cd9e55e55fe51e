package engine_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

// What seals, merges and loads publish in Pebble is durable at once. Where it says
// that documents are gone, the writes that replaced them are durable too, whatever
// Options.Sync is: a power loss never takes both versions.
func TestPublishedDeletesAreLogged(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(t *testing.T, db *engine.Engine, col *engine.Collection, r *rand.Rand)
		want  []string
	}{
		{"records copied forward by the seal of another collection", func(t *testing.T, db *engine.Engine, col *engine.Collection, r *rand.Rand) {
			must(t, upsert(col, document(r, 1)), db.Flush(ctx), upsert(col, document(r, 1), document(r, 2)), db.Sync(ctx))
			other, err := db.CreateCollection(ctx, "other", engine.CollectionConfig{Dim: dim})
			must(t, err, upsert(other, document(r, 3)), other.Flush(ctx))
		}, []string{"doc-001", "doc-002"}},
		{"a merge that drops what was replaced", func(t *testing.T, db *engine.Engine, col *engine.Collection, r *rand.Rand) {
			must(t, upsert(col, document(r, 1), document(r, 2), document(r, 3)), db.Flush(ctx), upsert(col, document(r, 1)))
			for start := time.Now(); col.Info().Deleted > 0; time.Sleep(time.Millisecond) {
				if time.Since(start) > time.Minute {
					t.Fatal("a third of a segment is dead, and no merge came")
				}
			}
		}, []string{"doc-001", "doc-002", "doc-003"}},
		{"a load beside which its documents were replaced", func(t *testing.T, db *engine.Engine, col *engine.Collection, r *rand.Rand) {
			must(t, upsert(col, document(r, 1)))
			l, err := col.Bulk(ctx, engine.BulkOptions{})
			must(t, err, upsert(col, document(r, 1)), l.Add(ctx, document(r, 2)), upsert(col, document(r, 2)), l.Commit(ctx), l.Close())
		}, []string{"doc-001", "doc-002"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, mode := range []engine.SyncMode{engine.SyncAlways, engine.SyncInterval, engine.SyncNever} {
				r := rand.New(rand.NewPCG(45, uint64(mode)))
				o := &engine.Options{Sync: mode, SyncInterval: time.Hour, SealAge: -1, QuietAge: time.Millisecond}
				fs := crashmem.New()
				db := mustOpen(t, fs, o)
				col := mustCollection(t, db, engine.CollectionConfig{})
				c.write(t, db, col, r)
				crashed := mustOpen(t, fs.CrashClone(vfs.CrashCloneCfg{}), o)
				after, err := crashed.Collection("test")
				must(t, err)
				for _, id := range c.want {
					if _, err := after.Get(ctx, id); err != nil {
						t.Errorf("%v: %v", mode, err)
					}
				}
				mustClose(t, crashed)
				mustClose(t, db)
			}
		})
	}
}

func upsert(col *engine.Collection, docs ...engine.Document) error {
	_, err := col.Upsert(ctx, docs...)
	return err
}

// must takes the errors of steps that have to succeed, in their order.
func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
