package engine_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

// thorough says that the long form of a test is asked for.
func thorough() bool { return os.Getenv("COLBERTDB_RELIABILITY") == "full" }

// history is what writers did, in the order of sequence numbers.
type history struct {
	mu      sync.Mutex
	changes map[uint64]change
	acked   uint64 // every change up to here was acknowledged
	started uint64 // no change above here has been started
}

// at is the model after the change with a sequence number.
func (h *history) at(seq uint64) model {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := model{}
	for s := uint64(1); s <= seq; s++ {
		c, ok := h.changes[s]
		switch {
		case !ok: // not a change of a document
		case c.delete != "":
			delete(m, c.delete)
		default:
			m.put(c.doc)
		}
	}
	return m
}

// write changes the collection until stop is closed.
func (h *history) write(col *engine.Collection, r *rand.Rand, ids int, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if _, err := h.change(col, r, ids); err != nil {
			return err
		}
		time.Sleep(200 * time.Microsecond) // leaves the processor to what is tested
	}
}

func (h *history) change(col *engine.Collection, r *rand.Rand, ids int) (seq uint64, err error) {
	c := change{doc: document(r, r.IntN(ids))}
	if r.IntN(4) == 0 {
		c = change{delete: c.doc.ID}
	}
	h.mu.Lock()
	h.started++
	h.mu.Unlock()
	if c.delete != "" {
		var res engine.DeleteResult
		res, err = col.Delete(ctx, c.delete)
		seq = res.Seq
	} else {
		seq, err = col.Upsert(ctx, c.doc)
	}
	if err != nil {
		return 0, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes[seq] = c
	for h.changes[h.acked+1].doc.ID != "" || h.changes[h.acked+1].delete != "" {
		h.acked++
	}
	return seq, nil
}

// checkSame compares what a collection holds with a model, without searches.
func (m model) checkSame(t testing.TB, col *engine.Collection) {
	t.Helper()
	left := maps.Clone(m)
	for d, err := range col.All(ctx, engine.WithoutVectors()) {
		if err != nil {
			t.Fatal(err)
		}
		want, ok := left[d.ID]
		if !ok || d.Text != want.Text || string(d.Attributes) != string(want.Attributes) {
			t.Fatalf("document %q: got %+v, want %+v (%t)", d.ID, d, want, ok)
		}
		delete(left, d.ID)
	}
	if len(left) > 0 {
		t.Fatalf("%d documents are missing of %d", len(left), len(m))
	}
}

// Checkpoints during load are the model at one sequence number, which is no
// less than what was acknowledged before and no more than what was started.
func TestCheckpointsDuringLoad(t *testing.T) {
	n := 6
	if thorough() {
		n = 120
	}
	mem := vfs.NewMem()
	db := mustOpen(t, mem, small())
	col := mustCollection(t, db, engine.CollectionConfig{Profile: engine.Balanced})
	h := &history{changes: map[uint64]change{}}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			if err := h.write(col, rand.New(rand.NewPCG(5, uint64(w))), 300, stop); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range n {
		before := make(chan struct{})
		go func() { // sixty changes between checkpoints, so that they differ
			defer close(before)
			r := rand.New(rand.NewPCG(6, uint64(i)))
			for range 60 {
				if _, err := h.change(col, r, 300); err != nil {
					t.Error(err)
				}
			}
		}()
		<-before
		h.mu.Lock()
		least := h.acked
		h.mu.Unlock()
		dir := fmt.Sprintf("checkpoint-%d", i)
		d, err := db.Checkpoint(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		h.mu.Lock()
		most := h.started
		h.mu.Unlock()
		if d.Seq < least || d.Seq > most {
			t.Fatalf("checkpoint at %d, %d were acknowledged before it and %d started until it returned", d.Seq, least, most)
		}
		h.until(d.Seq)
		checkCheckpoint(t, mem, dir, h.at(d.Seq), i%2 == 0)
		if err := mem.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	h.at(h.acked).checkSame(t, col)
	mustClose(t, db)
}

// until waits until the writers have noted every change up to seq.
func (h *history) until(seq uint64) {
	for {
		h.mu.Lock()
		done := h.acked >= seq
		h.mu.Unlock()
		if done {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// checkCheckpoint opens and verifies a checkpoint and compares it with a model.
// Opened for writing it is a store like any other.
func checkCheckpoint(t testing.TB, fsys vfs.FS, dir string, want model, write bool) {
	t.Helper()
	open := func(readOnly bool) (*engine.Engine, *engine.Collection) {
		o := small()
		o.FS, o.MustExist, o.ReadOnly = fsys, true, readOnly
		ck, err := engine.Open(ctx, dir, o)
		if err != nil {
			t.Fatal(err)
		}
		col, err := ck.Collection("test")
		if err != nil {
			t.Fatal(err)
		}
		return ck, col
	}
	ck, col := open(true)
	want.checkSame(t, col)
	mustClose(t, ck)
	if !write {
		return
	}
	ck, col = open(false)
	want.check(t, col)
	extra := document(rand.New(rand.NewPCG(1, 1)), 999)
	if _, err := col.Upsert(ctx, extra); err != nil {
		t.Fatal(err)
	}
	mustClose(t, ck)
	ck, col = open(true)
	want = maps.Clone(want)
	want.put(extra)
	want.checkSame(t, col)
	mustClose(t, ck)
}

// A crash at any write of a checkpoint leaves the store whole, and a folder
// that is whole or refused; the next checkpoint of that name succeeds.
func TestCrashInCheckpoint(t *testing.T) {
	percents := []int{0, 100}
	if thorough() {
		percents = []int{0, 25, 50, 75, 100}
	}
	mem := crashmem.New()
	var mu sync.Mutex // the hook is called by Pebble's goroutines too
	var clones []*vfs.MemFS
	var armed atomic.Bool
	r := rand.New(rand.NewPCG(3, 3))
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if armed.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			for _, p := range percents {
				clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: p, RNG: r}))
			}
		}
		return nil
	})
	o := small()
	o.DisableAutoCompaction = true
	db := mustOpen(t, errorfs.Wrap(mem, hook), o)
	col := mustCollection(t, db, engine.CollectionConfig{Profile: engine.Exact})
	h := &history{changes: map[uint64]change{}}
	for range 150 {
		if _, err := h.change(col, r, 100); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := h.change(col, r, 100); err != nil {
			t.Fatal(err)
		}
	}
	want := h.at(h.acked)
	armed.Store(true)
	if _, err := db.Checkpoint(ctx, "ck"); err != nil {
		t.Fatal(err)
	}
	armed.Store(false)
	mu.Lock()
	clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{}))
	mu.Unlock()
	mustClose(t, db)
	whole, refused := 0, 0
	for i, c := range clones {
		db := mustOpen(t, c, o)
		col, err := db.Collection("test")
		if err != nil {
			t.Fatal(err)
		}
		want.checkSame(t, col)
		for _, dir := range []string{"ck", "ck.tmp"} {
			ck, err := engine.Open(ctx, dir, &engine.Options{FS: c, MustExist: true, ReadOnly: true})
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case errors.Is(err, engine.ErrIncomplete):
				refused++
			case err != nil:
				t.Fatalf("clone %d: %v", i, err)
			default:
				whole++
				mustClose(t, ck)
			}
		}
		if names, _ := c.List("ck"); len(names) == 0 || slices.Contains(names, "INCOMPLETE") {
			if _, err := db.Checkpoint(ctx, "ck"); err != nil {
				t.Fatalf("clone %d: again: %v", i, err)
			}
		}
		checkCheckpoint(t, c, "ck", want, false)
		mustClose(t, db)
	}
	t.Logf("%d crash points, %d whole checkpoints, %d refused", len(clones), whole, refused)
	if whole == 0 || refused == 0 {
		t.Errorf("of %d crash points %d left a whole checkpoint and %d one to refuse: the test has no power", len(clones), whole, refused)
	}
}

// A checkpoint that cannot be written leaves the store as it was, open to writes,
// whichever of its writes fails.
func TestFailedCheckpoint(t *testing.T) {
	mem := vfs.NewMem()
	var failAt, n atomic.Int64 // the hook is called by Pebble's goroutines too
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if failAt.Load() == 0 || op.Kind.ReadOrWrite() != errorfs.OpIsWrite || !strings.Contains(op.Path, "ck.tmp") {
			return nil
		}
		if n.Add(1) == failAt.Load() {
			return errors.New("disk full")
		}
		return nil
	})
	db := mustOpen(t, errorfs.Wrap(mem, hook), small())
	col := mustCollection(t, db, engine.CollectionConfig{})
	h := &history{changes: map[uint64]change{}}
	r := rand.New(rand.NewPCG(71, 71))
	failed := 0
	for i := int64(1); i < 200; i += 3 {
		if _, err := h.change(col, r, 50); err != nil {
			t.Fatalf("after a checkpoint that failed: %v", err)
		}
		n.Store(0)
		failAt.Store(i)
		_, err := db.Checkpoint(ctx, "ck")
		failAt.Store(0)
		if err == nil {
			break
		}
		failed++
		if errors.Is(err, engine.ErrReadOnly) {
			t.Fatalf("failing write %d of a checkpoint ended all writes: %v", i, err)
		}
	}
	if failed < 5 {
		t.Errorf("%d checkpoints failed: the test has no power", failed)
	}
	h.at(h.acked).checkSame(t, col)
	mustClose(t, db)
}
