package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// sealBlock is a file system in which no segment can be built while it is shut.
type sealBlock struct {
	vfs.FS
	open chan struct{}
}

func newSealBlock() *sealBlock { return &sealBlock{FS: vfs.NewMem(), open: make(chan struct{})} }

func (b *sealBlock) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if filepath.Base(filepath.Dir(name)) == "build" {
		<-b.open
	}
	return b.FS.Create(name, c)
}

// roomOptions bound the memory of writes to a megabyte.
func roomOptions() *engine.Options {
	return &engine.Options{WriteMemory: 1 << 20, SealBytes: 128 << 10, TrainTokens: 1 << 40, DisableAutoCompaction: true}
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("never: %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// While nothing can be sealed, writers wait and the memory stays under its bound,
// by the store's own count and by the heap's; when seals go on, so do they, and
// nothing is lost or made twice.
func TestWritersWaitForRoom(t *testing.T) {
	fs, o := newSealBlock(), roomOptions()
	var rec recorder
	o.EventListener = rec.listener()
	db := mustOpen(t, fs, o)
	col := mustCollection(t, db, engine.CollectionConfig{})
	const writers, each = 8, 150 // each alone would fill the room
	before := heapBytes()
	shared := vectors(rand.New(rand.NewPCG(81, 1)), 100)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := col.Upsert(ctx, engine.Document{ID: fmt.Sprintf("%d-%d", w, i), Vectors: shared}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	eventually(t, "every writer waits", func() bool { return db.Metrics().WriteMemory.Waiting == writers })
	m := db.Metrics()
	if w := m.WriteMemory; w.Limit != o.WriteMemory || w.Peak > w.Limit || w.Bytes < w.Limit*3/4 || w.WaitingBytes < writers*100*dim*2 || w.Slowed == 0 || w.SlowedTime <= 0 {
		t.Errorf("%+v", w)
	}
	if m.Stalls < writers {
		t.Errorf("%d stalls", m.Stalls)
	}
	// The log in memory is not the store's: this file system keeps it on the heap.
	// Beside what is written the store itself takes a megabyte and a half; all that the
	// writers have is 7.7 of them.
	if grown := heapBytes() - before - m.LogOnDisk; grown > 4*o.WriteMemory {
		t.Errorf("the heap grew by %d bytes, the bound of writes is %d", grown, o.WriteMemory)
	}
	// Who gives up waiting has written nothing.
	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	if _, err := col.Upsert(short, engine.Document{ID: "late", Vectors: shared}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a context that ended: %v", err)
	}
	cancel()
	if n := db.Metrics().WriteMemory.Waiting; n != writers {
		t.Errorf("%d wait after one gave up", n)
	}
	close(fs.open)
	wg.Wait()
	m = db.Metrics()
	if w := m.WriteMemory; w.Waiting != 0 || w.WaitingBytes != 0 || w.Peak > w.Limit || m.Stalled <= 0 {
		t.Errorf("after seals: %+v, stalled %v", w, m.Stalled)
	}
	if n := col.Info().Documents; n != writers*each {
		t.Errorf("%d documents, want %d", n, writers*each)
	}
	if err := db.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if w := db.Metrics().WriteMemory; w.Bytes != 0 {
		t.Errorf("%d bytes are held and nothing is buffered", w.Bytes)
	}
	mustClose(t, db)
	i := nth[engine.WriteStallInfo](t, &rec, "stall end", 0)
	if i.Collection != "test" || i.Buffered < o.WriteMemory/2 || i.Duration <= 0 {
		t.Errorf("%+v", i)
	}
}

// With FailWhenBusy nobody waits: a write that finds no room returns ErrBusy and
// has done nothing.
func TestFailWhenBusy(t *testing.T) {
	fs, o := newSealBlock(), roomOptions()
	o.FailWhenBusy = true
	db := mustOpen(t, fs, o)
	col := mustCollection(t, db, engine.CollectionConfig{})
	m, r := model{}, rand.New(rand.NewPCG(82, 1))
	var err error
	for i := 0; err == nil; i++ {
		d := engine.Document{ID: fmt.Sprintf("doc-%04d", i), Vectors: vectors(r, 100)}
		if _, err = col.Idempotent(d.ID).Upsert(ctx, d); err == nil {
			m.put(d)
		}
	}
	if !errors.Is(err, engine.ErrBusy) || !strings.Contains(err.Error(), "try again") {
		t.Fatal(err)
	}
	if w := db.Metrics().WriteMemory; w.Refused != 1 || w.Waiting != 0 || w.Slowed != 0 || w.Peak > w.Limit {
		t.Errorf("%+v", w)
	}
	m.checkSame(t, col)
	close(fs.open)
	d := engine.Document{ID: "after", Vectors: vectors(r, 100)}
	eventually(t, "room again", func() bool {
		_, err := col.Upsert(ctx, d)
		if err != nil && !errors.Is(err, engine.ErrBusy) {
			t.Fatal(err)
		}
		return err == nil
	})
	m.put(d)
	m.checkSame(t, col)
	mustClose(t, db)
}

// Room is made of many small buffers too; a batch that is larger than all the
// room goes through alone.
func TestRoomOfManyCollections(t *testing.T) {
	o := roomOptions()
	o.WriteMemory = 256 << 10
	db := mustOpen(t, vfs.NewMem(), o)
	r := rand.New(rand.NewPCG(83, 1))
	var cols []*engine.Collection
	for i := range 40 {
		col, err := db.CreateCollection(ctx, fmt.Sprintf("tenant-%d", i), engine.CollectionConfig{Dim: dim})
		if err != nil {
			t.Fatal(err)
		}
		cols = append(cols, col)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		r := rand.New(rand.NewPCG(83, uint64(w)))
		wg.Go(func() {
			for i := range 100 {
				if _, err := cols[r.IntN(len(cols))].Upsert(ctx, engine.Document{ID: fmt.Sprint(w, i), Vectors: vectors(r, 50)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if w := db.Metrics().WriteMemory; w.Peak > w.Limit {
		t.Errorf("%+v", w)
	}
	var large []engine.Document
	for i := range 60 {
		large = append(large, engine.Document{ID: fmt.Sprint("large", i), Vectors: vectors(r, 200)})
	}
	if _, err := cols[0].Upsert(ctx, large...); err != nil {
		t.Fatal(err)
	}
	if w := db.Metrics().WriteMemory; w.Peak <= w.Limit {
		t.Errorf("the batch was meant to be larger than the limit: %+v", w)
	}
	if _, err := cols[1].Upsert(ctx, large[0]); err != nil {
		t.Fatal(err)
	}
	var documents int64
	for _, col := range cols {
		documents += col.Info().Documents
	}
	if documents != 461 {
		t.Errorf("%d documents, want 461", documents)
	}
	mustClose(t, db)
}

// Where sealing fails, writers that wait are told so; once it works again, writes
// do too.
func TestRoomWhenSealsFail(t *testing.T) {
	broken := errorfs.Toggle{Injector: errorfs.ErrInjected.If(errorfs.And(errorfs.Writes, errorfs.PathMatch("db/build/*")))}
	db := mustOpen(t, errorfs.Wrap(vfs.NewMem(), &broken), roomOptions())
	col := mustCollection(t, db, engine.CollectionConfig{})
	broken.On()
	r := rand.New(rand.NewPCG(84, 1))
	var err error
	n := 0
	for ; err == nil; n++ {
		_, err = col.Upsert(ctx, engine.Document{ID: fmt.Sprint(n), Vectors: vectors(r, 100)})
	}
	if !strings.Contains(err.Error(), "sealing failed") || !strings.Contains(err.Error(), "injected") {
		t.Fatal(err)
	}
	broken.Off()
	d := engine.Document{ID: "after", Vectors: vectors(r, 100)}
	eventually(t, "room again", func() bool { // the attempt that is under way may still fail
		_, err := col.Upsert(ctx, d)
		return err == nil
	})
	if got := col.Info().Documents; got != int64(n) {
		t.Errorf("%d documents, want %d", got, n)
	}
	mustClose(t, db)
}
