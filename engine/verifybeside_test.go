package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// heldUp is a file system in which the next read of some sstables waits: the first of
// all, or the first after a log file was opened, as Verify does between reading
// sstables and segments.
type heldUp struct {
	armed, segments atomic.Bool
	tables          map[string]bool
	reached, goOn   chan struct{}
}

func (h *heldUp) wrap(fs vfs.FS) vfs.FS {
	return errorfs.Wrap(fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		switch {
		case op.Kind == errorfs.OpOpen && strings.HasPrefix(op.Path, "db/wal/"):
			h.segments.Store(false)
		case op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") && h.armed.Load():
			if h.tables[filepath.Base(op.Path)] && !h.segments.Load() && h.armed.CompareAndSwap(true, false) {
				close(h.reached)
				<-h.goOn
			}
		}
		return nil
	}))
}

// Seals, merges, loads, indexes and drops are published while Verify reads, which
// finds nothing wrong in what was there before, comes meanwhile, or goes.
func TestVerifyBesidePublishing(t *testing.T) {
	o := &engine.Options{DisableAutoCompaction: true, SealAge: -1, QuietAge: -1, MemoryBudget: 1, TrainTokens: 600, TrainSample: 2000}
	disk := vfs.NewMem()
	want := fillForVerify(t, disk, o)
	for _, stage := range []string{"segments", "sstables"} {
		t.Run(stage, func(t *testing.T) {
			h := &heldUp{reached: make(chan struct{}), goOn: make(chan struct{})}
			db := mustOpen(t, h.wrap(disk), o)
			cols := map[string]*engine.Collection{}
			for _, name := range []string{"test", "other", "dropped in " + stage} {
				name = strings.ReplaceAll(name, " ", "-")
				col, err := db.Collection(name)
				if err == nil {
					_, err = col.Segments() // opens it: Verify's first reads are of what it checks
				}
				if err != nil {
					t.Fatal(err)
				}
				cols[name] = col
			}
			ctx, cancel := context.WithTimeout(ctx, 10*time.Minute) // rather than for ever
			defer cancel()
			h.tables = engine.SegmentTables(t, cols["test"])
			h.segments.Store(stage == "segments")
			h.armed.Store(true)
			var wg sync.WaitGroup
			ended := make(chan struct{})
			wg.Go(func() {
				defer close(ended)
				r, err := db.Verify(ctx)
				if err != nil || r.Segments == 0 || r.Documents < 400 {
					t.Errorf("verify: %+v, %v", r, err)
					return
				}
				for _, p := range r.Problems {
					t.Error(p)
				}
			})
			select {
			case <-h.reached:
			case <-ended:
				t.Fatal("Verify has read nothing")
			}
			r := rand.New(rand.NewPCG(3, uint64(len(stage))))
			must := func(what string, err error) {
				t.Helper()
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
			for name, col := range map[string]*engine.Collection{"test": cols["test"], "other": cols["other"]} {
				var docs []engine.Document
				for i := range 60 { // some are new, others replaced
					docs = append(docs, document(r, 180+i))
				}
				_, err := col.Upsert(ctx, docs...)
				must("upsert", err)
				want[name].put(docs...)
				_, err = col.Delete(ctx, "doc-003", "doc-111")
				must("delete", err)
				delete(want[name], "doc-003")
				delete(want[name], "doc-111")
				must("flush", col.Flush(ctx))
				must("index", col.IndexAttributes(ctx, "n", stage))
				if name == "other" {
					must("no index", col.DropAttributeIndexes(ctx, "n", stage))
				}
			}
			load, err := cols["other"].Bulk(ctx, engine.BulkOptions{})
			must("load", err)
			d := document(r, 700)
			must("add", load.Add(ctx, d))
			must("commit", load.Commit(ctx))
			must("close", load.Close())
			want["other"].put(d)
			must("drop", db.DropCollection(ctx, "dropped-in-"+stage))
			must("compact", cols["other"].Compact(ctx))
			if stage == "sstables" { // else it needs what the read that is held up reads
				must("compact", cols["test"].Compact(ctx))
			}
			for _, name := range []string{"test", "other"} {
				wg.Go(func() { must("compact beside", cols[name].Compact(ctx)) })
			}
			wg.Go(func() {
				_, err := cols["other"].Purge(ctx, "doc-004")
				must("purge", err)
			})
			delete(want["other"], "doc-004")
			must("flush all", db.Flush(ctx))
			close(h.goOn)
			wg.Wait()
			for name, m := range want {
				m.check(t, cols[name])
			}
			mustClose(t, db)
		})
	}
}

// fillForVerify makes a store of four collections with two segments each.
func fillForVerify(t *testing.T, disk vfs.FS, o *engine.Options) map[string]model {
	db := mustOpen(t, disk, o)
	want := map[string]model{}
	r := rand.New(rand.NewPCG(2, 2))
	for _, name := range []string{"test", "other", "dropped-in-sstables", "dropped-in-segments"} {
		col, err := db.CreateCollection(ctx, name, engine.CollectionConfig{Dim: dim, Profile: engine.Balanced})
		if err != nil {
			t.Fatal(err)
		}
		m := model{}
		for part := range 2 {
			var docs []engine.Document
			for i := range 100 {
				d := document(r, part*100+i)
				d.Attributes = json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))
				d.Vectors = vectors(r, 40) // their planes fill more blocks than opening reads
				docs = append(docs, d)
			}
			if _, err := col.Upsert(ctx, docs...); err != nil {
				t.Fatal(err)
			}
			m.put(docs...)
			if part == 0 {
				err = col.Compact(ctx) // trains
			} else {
				err = col.Flush(ctx)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !strings.HasPrefix(name, "dropped") {
			want[name] = m
		}
	}
	mustClose(t, db)
	return want
}
