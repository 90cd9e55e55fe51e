package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

// beside is what a method is called with in TestCloseBesideEverything.
type beside struct {
	db       *engine.Engine
	col      *engine.Collection
	exported []byte // a segment of another collection
	dir      string // of the operating system
	n        int    // of the call
}

// plaidIndex is an index folder of another program.
const plaidIndex = "../segment/plaid/testdata/stanford-2"

// load opens a load, which the caller closes.
func (b *beside) load(f func(*engine.Bulk) error) error {
	l, err := b.col.Bulk(ctx, engine.BulkOptions{})
	if err != nil {
		return err
	}
	return errors.Join(f(l), l.Close())
}

func (b *beside) document() engine.Document {
	return engine.Document{ID: fmt.Sprint("new-", b.n), Text: "of a caller", Vectors: vectors(rand.New(rand.NewPCG(1, uint64(b.n))), 3)}
}

// besideClose has every exported method of a store, a collection and a load. Those
// in which reads is set read sstables, and the test makes sure that they are closed
// upon in the middle of that. ExportPLAID most often does, but its small collection
// may share the blocks that opening the store has read.
var besideClose = map[string]struct {
	reads bool
	call  func(b *beside) error
}{
	"Engine.Aliases": {false, func(b *beside) error { b.db.Aliases(); return nil }},
	"Engine.Backup": {false, func(b *beside) error {
		_, err := b.db.Backup(ctx, io.Discard, engine.BackupOptions{})
		return err
	}},
	"Engine.Changes": {false, func(b *beside) error {
		for _, err := range b.db.Changes(ctx, 0, engine.ChangesOptions{}) {
			if err != nil && !errors.Is(err, engine.ErrTooOld) {
				return err
			}
		}
		return nil
	}},
	"Engine.Checkpoint": {false, func(b *beside) error {
		_, err := b.db.Checkpoint(ctx, fmt.Sprint("copy-", b.n))
		return err
	}},
	"Engine.Close":       {false, nil}, // beside all others
	"Engine.Collection":  {false, func(b *beside) error { _, err := b.db.Collection("test"); return err }},
	"Engine.Collections": {false, func(b *beside) error { b.db.Collections(); return nil }},
	"Engine.Compact":     {true, func(b *beside) error { return b.db.Compact(ctx) }},
	"Engine.CreateCollection": {false, func(b *beside) error {
		_, err := b.db.CreateCollection(ctx, fmt.Sprint("another-", b.n), engine.CollectionConfig{Dim: dim})
		return err
	}},
	"Engine.DropAlias": {false, func(b *beside) error {
		return errors.Join(b.db.SetAlias(ctx, "name", "test"), b.db.DropAlias(ctx, "name"))
	}},
	"Engine.DropCollection": {false, func(b *beside) error {
		_, err := b.db.CreateCollection(ctx, "another", engine.CollectionConfig{Dim: dim})
		return errors.Join(err, b.db.DropCollection(ctx, "another"))
	}},
	"Engine.Flush": {false, func(b *beside) error {
		_, err := b.col.Upsert(ctx, b.document())
		return errors.Join(err, b.db.Flush(ctx))
	}},
	"Engine.ImportPLAID": {false, func(b *beside) error {
		_, err := b.db.ImportPLAID(ctx, fmt.Sprint("index-", b.n), plaidIndex, nil)
		return err
	}},
	"Engine.Metrics":     {false, func(b *beside) error { b.db.Metrics(); return nil }},
	"Engine.PlanReindex": {true, func(b *beside) error { _, err := b.db.PlanReindex(ctx, "test", fake.New(32)); return err }},
	"Engine.Poisoned":    {false, func(b *beside) error { return b.db.Poisoned() }},
	"Engine.Reindex": {true, func(b *beside) error {
		_, err := b.db.Reindex(ctx, "test", fake.New(32), &engine.ReindexOptions{SkipTextless: true, BatchDocuments: 8, NoSwitch: true})
		return err
	}},
	"Engine.Seq":      {false, func(b *beside) error { b.db.Seq(); return nil }},
	"Engine.SetAlias": {false, func(b *beside) error { return b.db.SetAlias(ctx, fmt.Sprint("name-", b.n), "test") }},
	"Engine.Sync":     {false, func(b *beside) error { return b.db.Sync(ctx) }},
	"Engine.Verify": {true, func(b *beside) error {
		r, err := b.db.Verify(ctx)
		if err == nil && !r.Ok() {
			err = errors.Join(r.Problems...)
		}
		return err
	}},
	"Engine.WaitVisible": {false, func(b *beside) error { return b.db.WaitVisible(ctx, 1<<40) }},

	"Collection.All": {true, func(b *beside) error {
		for _, err := range b.col.All(ctx) {
			if err != nil {
				return err
			}
		}
		return nil
	}},
	"Collection.Apply": {true, func(b *beside) error {
		var batch engine.Batch
		batch.Upsert(b.document())
		batch.Delete("doc-003")
		_, err := b.col.Apply(ctx, &batch)
		return err
	}},
	"Collection.AttachSegment": {true, func(b *beside) error {
		_, err := b.col.AttachSegment(ctx, bytes.NewReader(b.exported))
		return err
	}},
	"Collection.AttributeIndexes": {true, func(b *beside) error { _, err := b.col.AttributeIndexes(); return err }},
	"Collection.Bulk":             {true, func(b *beside) error { return b.load(func(*engine.Bulk) error { return nil }) }},
	"Collection.Calibrate": {true, func(b *beside) error {
		_, err := b.col.Calibrate(ctx, engine.CalibrateOptions{})
		return err
	}},
	"Collection.Calibration": {false, func(b *beside) error { b.col.Calibration(); return nil }},
	"Collection.Compact":     {true, func(b *beside) error { return b.col.Compact(ctx) }},
	"Collection.Delete":      {true, func(b *beside) error { _, err := b.col.Delete(ctx, "doc-004"); return err }},
	"Collection.DeleteWhere": {true, func(b *beside) error {
		f, err := engine.ParseFilter(`n = 7`)
		if err == nil {
			_, err = b.col.DeleteWhere(ctx, f)
		}
		return err
	}},
	"Collection.DropAttributeIndexes": {true, func(b *beside) error {
		return errors.Join(b.col.IndexAttributes(ctx, "n"), b.col.DropAttributeIndexes(ctx, "n"))
	}},
	"Collection.DropTextIndex": {true, func(b *beside) error {
		return errors.Join(b.col.IndexText(ctx, engine.AnalyzerPlain), b.col.DropTextIndex(ctx))
	}},
	"Collection.IndexText": {true, func(b *beside) error { return b.col.IndexText(ctx, engine.AnalyzerEnglish) }},
	"Collection.TextIndex": {true, func(b *beside) error { _, err := b.col.TextIndex(); return err }},
	"Collection.Encoder":   {false, func(b *beside) error { b.col.Encoder(); return nil }},
	"Collection.ExportSegment": {true, func(b *beside) error {
		segs, err := b.col.Segments()
		if err == nil {
			_, err = b.col.ExportSegment(ctx, segs[0].ID, io.Discard)
		}
		return err
	}},
	"Collection.ExportPLAID": {false, func(b *beside) error {
		imported, err := b.db.Collection("imported")
		if err == nil {
			_, err = imported.ExportPLAID(ctx, filepath.Join(b.dir, fmt.Sprint(b.n)), "")
		}
		return err
	}},
	"Collection.Flush": {true, func(b *beside) error {
		_, err := b.col.Upsert(ctx, b.document())
		return errors.Join(err, b.col.Flush(ctx))
	}},
	"Collection.Get":             {true, func(b *beside) error { _, err := b.col.Get(ctx, "doc-005"); return err }},
	"Collection.Idempotent":      {true, func(b *beside) error { _, err := b.col.Idempotent("key").Delete(ctx, "doc-006"); return err }},
	"Collection.IndexAttributes": {true, func(b *beside) error { return b.col.IndexAttributes(ctx, "n", "even") }},
	"Collection.Info":            {false, func(b *beside) error { b.col.Info(); return nil }},
	"Collection.Model":           {false, func(b *beside) error { b.col.Model(); return nil }},
	"Collection.Name":            {false, func(b *beside) error { b.col.Name(); return nil }},
	"Collection.Page":            {true, func(b *beside) error { _, err := b.col.Page(ctx, engine.PageOptions{Limit: 1000}); return err }},
	"Collection.Purge":           {true, func(b *beside) error { _, err := b.col.Purge(ctx, "doc-007"); return err }},
	"Collection.Search": {true, func(b *beside) error {
		_, err := b.col.Search(ctx, engine.SearchRequest{Vectors: b.document().Vectors, K: 100})
		return err
	}},
	"Collection.SearchBatch": {true, func(b *beside) error {
		_, err := b.col.SearchBatch(ctx, []engine.SearchRequest{{Vectors: b.document().Vectors}, {Vectors: b.document().Vectors}})
		return err
	}},
	"Collection.Segments": {true, func(b *beside) error { _, err := b.col.Segments(); return err }},
	"Collection.Upsert":   {true, func(b *beside) error { _, err := b.col.Upsert(ctx, b.document()); return err }},

	"Bulk.Add":       {true, func(b *beside) error { return b.load(func(l *engine.Bulk) error { return l.Add(ctx, b.document()) }) }},
	"Bulk.Close":     {true, func(b *beside) error { return b.load(func(l *engine.Bulk) error { return l.Close() }) }},
	"Bulk.Documents": {true, func(b *beside) error { return b.load(func(l *engine.Bulk) error { l.Documents(); return nil }) }},
	"Bulk.Progress":  {true, func(b *beside) error { return b.load(func(l *engine.Bulk) error { l.Progress(); return nil }) }},
	"Bulk.Commit": {true, func(b *beside) error {
		return b.load(func(l *engine.Bulk) error { return errors.Join(l.Add(ctx, b.document()), l.Commit(ctx)) })
	}},
}

// Whatever is called beside Close, also in the middle of a read of the store's
// files, either ends or gets ErrClosed; nothing panics, and the store is whole. The
// collection is at rest when the call comes, or open.
func TestCloseBesideEverything(t *testing.T) {
	for _, v := range []any{&engine.Engine{}, &engine.Collection{}, &engine.Bulk{}} {
		typ := reflect.TypeOf(v)
		for i := range typ.NumMethod() {
			if name := typ.Elem().Name() + "." + typ.Method(i).Name; besideClose[name].call == nil && name != "Engine.Close" {
				t.Errorf("%s is not called beside Close", name)
			}
		}
	}
	o := &engine.Options{DisableAutoCompaction: true, SealAge: -1, QuietAge: -1, MemoryBudget: 1, KeepLogBytes: 1 << 30}
	disk, exported := closingStore(t, o)
	for name, m := range besideClose {
		for _, resting := range []bool{true, false} {
			if m.call != nil {
				t.Run(fmt.Sprintf("%s/%t", name, resting), func(t *testing.T) {
					t.Parallel()
					closeBeside(t, disk.CrashClone(vfs.CrashCloneCfg{}), o, m.call, exported, resting, m.reads && resting)
				})
			}
		}
	}
}

// closingStore is a store with some segments, and an exported segment.
func closingStore(t *testing.T, o *engine.Options) (*crashmem.FS, []byte) {
	r := rand.New(rand.NewPCG(1, 2))
	disk := crashmem.New()
	db := mustOpen(t, disk, o)
	col, err := db.CreateCollection(ctx, "test", engine.CollectionConfig{Dim: dim})
	for s := range 3 {
		var docs []engine.Document
		for i := range 100 {
			d := document(r, s*100+i)
			d.Text, d.Attributes = strings.Repeat("some text ", 20), json.RawMessage(fmt.Sprintf(`{"n":%d,"even":%t}`, i, i%2 == 0))
			docs = append(docs, d)
		}
		if err == nil {
			_, err = col.Upsert(ctx, docs...)
		}
		err = errors.Join(err, db.Flush(ctx))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ImportPLAID(ctx, "imported", plaidIndex, nil); err != nil {
		t.Fatal(err)
	}
	segs, err := col.Segments()
	var exported bytes.Buffer
	if err == nil {
		_, err = col.ExportSegment(ctx, segs[1].ID, &exported)
	}
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, db)
	return disk, exported.Bytes()
}

// closeBeside closes a store while a call reads its first sstable, which it must do
// if reads is set, or after some calls where none does.
func closeBeside(t *testing.T, disk *vfs.MemFS, o *engine.Options, call func(*beside) error, exported []byte, resting, reads bool) {
	dir := t.TempDir()
	var armed atomic.Bool
	var db *engine.Engine
	reading, closed := make(chan struct{}), make(chan struct{})
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt && strings.HasPrefix(op.Path, "db/pebble") && strings.HasSuffix(op.Path, ".sst") && armed.CompareAndSwap(true, false) {
			close(reading)
			<-closed
		}
		return nil
	}))
	db = mustOpen(t, fs, o)
	col, err := db.Collection("test")
	if err == nil && !resting {
		_, err = col.Segments()
	}
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	guarded := func(what string, f func()) {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("%s panics: %v", what, p)
				}
			}()
			f()
		})
	}
	armed.Store(true)
	ended := make(chan struct{})
	guarded("the call", func() {
		defer close(ended)
		for n := range 20 {
			err := call(&beside{db: db, col: col, exported: exported, dir: dir, n: n})
			if err != nil && !errors.Is(err, engine.ErrClosed) && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
	var enough <-chan time.Time
	if !reads {
		enough = time.After(5 * time.Millisecond)
	}
	read := false
	select {
	case <-reading:
		read = true
	case <-ended:
		if reads {
			t.Error("read nothing")
		}
	case <-enough:
	}
	guarded("Close", func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if read { // Close has come as far as it gets
		begun := make(chan struct{})
		wg.Go(func() {
			defer close(begun)
			for !errors.Is(closedYet(db), engine.ErrClosed) {
				time.Sleep(time.Millisecond)
			}
		})
		select {
		case <-begun:
		case <-time.After(20 * time.Millisecond): // the read holds a lock that Close waits for
		}
		time.Sleep(3 * time.Millisecond)
	}
	armed.Store(false)
	close(closed)
	wg.Wait()
	again := mustOpen(t, disk, o)
	mustClose(t, again)
}

// closedYet is ErrClosed once Close has begun.
func closedYet(db *engine.Engine) error {
	_, err := db.Collection("test")
	return err
}
