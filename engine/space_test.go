package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

// diskSize adds up the files of a folder.
func diskSize(t *testing.T, fs vfs.FS, dir string) (bytes int64) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		info, err := fs.Stat(path)
		if err != nil {
			continue // removed meanwhile
		}
		if info.IsDir() {
			bytes += diskSize(t, fs, path)
		} else {
			bytes += info.Size()
		}
	}
	return bytes
}

// When half of a collection has been deleted and the background has done what is
// due, the store's files take no more than half as much again as those of a store
// that never had the other half.
func TestSpaceIsReturned(t *testing.T) {
	_, docs := testdata.Lotte(t)
	// All but the codebook, which does not shrink with the documents.
	o := &engine.Options{TrainTokens: 1 << 30, SealDocuments: 50}
	build := func(dead func(int) bool) (vfs.FS, *engine.Engine, *engine.Collection) {
		fs := vfs.NewMem()
		db := mustOpen(t, fs, o)
		col, err := db.CreateCollection(ctx, "test", engine.CollectionConfig{Dim: 128})
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range docs {
			if dead(i) {
				continue
			}
			if _, err := col.Upsert(ctx, engine.Document{ID: fmt.Sprint(i), Vectors: d}); err != nil {
				t.Fatal(err)
			}
		}
		if err := col.Compact(ctx); err != nil {
			t.Fatal(err)
		}
		return fs, db, col
	}
	dead := func(i int) bool { return uint32(i)*2654435761>>20&1 == 0 } // about half, in no order
	fs, db, col := build(func(int) bool { return false })
	full := diskSize(t, fs, "db")
	var ids []string
	for i := range docs {
		if dead(i) {
			ids = append(ids, fmt.Sprint(i))
		}
	}
	if _, err := col.Delete(ctx, ids...); err != nil {
		t.Fatal(err)
	}
	if err := db.Flush(ctx); err != nil { // as Options.SealAge does
		t.Fatal(err)
	}
	freshFS, fresh, _ := build(dead)
	mustClose(t, fresh)
	want := diskSize(t, freshFS, "db")
	if want >= full*3/5 {
		t.Fatalf("the half takes %d of %d bytes: this measures something else", want, full)
	}
	for diskSize(t, fs, "db") > want*3/2 { // the test's own deadline ends a wait for nothing
		time.Sleep(time.Millisecond)
	}
	if n := col.Info().Documents; n != int64(len(docs)-len(ids)) {
		t.Errorf("%d documents", n)
	}
	mustClose(t, db)
}
