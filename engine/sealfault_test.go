package engine_test

import (
	"math/rand/v2"
	"path"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// A segment that was ingested and could not be opened is removed; the seal is made
// again, and the store is sound.
func TestSealThatCannotOpenItsSegment(t *testing.T) {
	var bad atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		read := op.Kind == errorfs.OpFileReadAt || op.Kind == errorfs.OpOpen
		if bad.Load() && read && strings.Contains(op.Path, "pebble/") && path.Ext(op.Path) == ".sst" {
			return errorfs.ErrInjected
		}
		return nil
	}))
	db := mustOpen(t, fs, &engine.Options{DisableAutoCompaction: true, SealAge: -1, QuietAge: -1})
	col := mustCollection(t, db, engine.CollectionConfig{})
	r := rand.New(rand.NewPCG(46, 1))
	must(t, upsert(col, document(r, 1), document(r, 2)))
	bad.Store(true)
	if err := db.Flush(ctx); err == nil {
		t.Fatal("a seal could open a segment that cannot be read")
	}
	bad.Store(false)
	must(t, db.Flush(ctx))
	if n := col.Info().Segments; n != 1 {
		t.Errorf("%d segments", n)
	}
	report, err := db.Verify(ctx)
	must(t, err)
	for _, p := range report.Problems {
		t.Error(p)
	}
	mustClose(t, db)
}
