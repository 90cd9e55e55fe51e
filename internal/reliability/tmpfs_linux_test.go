package reliability

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
)

// R8 on a real file system of 64 MB: the store is filled up to its floor, refuses
// what grows it, frees space by deletes, by a compaction and by a drop, and takes
// writes again; then something else fills the disk to the last byte, and goes.
// The store is never reopened in between, and loses nothing.
func TestR08FullFileSystem(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("mounting a file system of 64 MB: %v (it needs root)", err)
	}
	defer func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	const floor = 12 << 20
	o := engine.Options{DiskFloor: floor, SealBytes: 1 << 20, SealDocuments: 100, MaxSegmentDocuments: 200, TrainTokens: 1000, TrainSample: 256}
	dir := filepath.Join(disk, "db")
	open := func() *engine.Engine {
		db, err := engine.Open(ctx, dir, &o)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	defer func() {
		if t.Failed() {
			_ = db.Close()
		}
	}()
	f := &filler{t: t, db: db, g: NewGenerator(rand.New(rand.NewPCG(8, 8))), state: State{}}
	f.must(Op{Kind: Create, Collection: "a", Config: engine.CollectionConfig{Dim: 8, Profile: engine.Balanced}})
	f.must(Op{Kind: Create, Collection: "b", Config: engine.CollectionConfig{Dim: 8}})

	// To the floor, and back by deletes and a compaction.
	f.fill("a")
	if free := freeBytes(t, disk); free < floor/6 || free > floor+8<<20 {
		t.Errorf("%d bytes are left, the floor is %d", free, floor)
	}
	f.check("at the floor")
	f.deleteMost("a")
	f.must(Op{Kind: Compact, Collection: "a"})
	waitFree(t, disk, floor+12<<20)
	f.upsert("a", 20)
	f.check("after deletes and a compaction")

	// To the floor again, and back by a drop.
	f.fill("b")
	f.must(Op{Kind: Drop, Collection: "b"})
	waitFree(t, disk, floor+12<<20)
	f.must(Op{Kind: Create, Collection: "c", Config: engine.CollectionConfig{Dim: 8}})
	f.upsert("c", 20)
	f.check("after a drop")

	// Somebody else takes the last byte.
	ballast := filepath.Join(disk, "ballast")
	fillFile(t, ballast)
	if err := f.run(f.batch("a", 20)); !errors.Is(err, engine.ErrDiskFull) {
		t.Errorf("an upsert on a full disk: %v", err)
	}
	refused := error(nil)
	for i := 0; refused == nil && i < 1000; i++ { // what the log has reserved is used up
		refused = f.run(Op{Kind: Delete, Collection: "a", IDs: []string{"no such document", fmt.Sprint("f", i)}})
	}
	for _, op := range []Op{{Kind: Flush, Collection: "a"}, {Kind: Flush, Collection: "c"}} {
		if err := f.run(op); err != nil && !errors.Is(err, engine.ErrDiskFull) {
			t.Errorf("%s on a full disk: %v", op, err)
		} else if err != nil {
			refused = err
		}
	}
	if !errors.Is(refused, engine.ErrDiskFull) {
		t.Errorf("nothing but upserts was refused on a full disk: %v", refused)
	}
	if m := db.Metrics(); m.Poisoned != nil {
		t.Fatalf("the store is read-only: %v", m.Poisoned)
	}
	if _, err := Match(ctx, db, f.state); err != nil {
		t.Fatalf("reads on a full disk: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	f.upsert("a", 20)
	f.must(Op{Kind: Delete, Collection: "a", IDs: f.ids("a")[:5]})
	f.must(Op{Kind: FlushAll})
	f.must(Op{Kind: CompactAll})
	f.check("after the disk was full")
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f.db = open()
	f.check("after a reopen")
	if err := f.db.Close(); err != nil {
		t.Fatal(err)
	}
}

// filler writes large documents and keeps the model.
type filler struct {
	t     *testing.T
	db    *engine.Engine
	g     *Generator
	state State
	next  int
}

// run runs an op; the model follows where it succeeds.
func (f *filler) run(op Op) error {
	_, err := op.Run(ctx, f.db)
	if err == nil {
		f.state.Apply(op)
	}
	return err
}

func (f *filler) must(op Op) {
	f.t.Helper()
	if err := f.run(op); err != nil {
		f.t.Fatalf("%s: %v", op.Kind, err)
	}
}

// batch is an upsert of n new documents with text that does not compress well.
func (f *filler) batch(collection string, n int) Op {
	op := Op{Kind: Upsert, Collection: collection}
	for range n {
		d := f.g.Document(fmt.Sprint("f", f.next))
		f.next++
		text := make([]byte, 12<<10)
		for i := range text {
			text[i] = byte(f.g.R.Uint32())
		}
		d.Text += base64.StdEncoding.EncodeToString(text)
		op.Docs = append(op.Docs, d)
	}
	return op
}

func (f *filler) upsert(collection string, n int) {
	f.t.Helper()
	f.must(f.batch(collection, n))
}

// fill writes until the store says that the disk is full.
func (f *filler) fill(collection string) {
	f.t.Helper()
	for {
		err := f.run(f.batch(collection, 20))
		if errors.Is(err, engine.ErrDiskFull) {
			return
		}
		if err != nil {
			f.t.Fatal(err)
		}
		if f.next > 20_000 {
			f.t.Fatal("the disk does not get full")
		}
	}
}

func (f *filler) ids(collection string) (out []string) {
	for i := range f.next {
		if id := fmt.Sprint("f", i); f.state[collection].Docs[id] != nil {
			out = append(out, id)
		}
	}
	return out
}

// deleteMost deletes three documents in four.
func (f *filler) deleteMost(collection string) {
	f.t.Helper()
	ids := f.ids(collection)
	for len(ids) > 0 {
		n := min(len(ids), 100)
		f.must(Op{Kind: Delete, Collection: collection, IDs: ids[:n*3/4+1]})
		ids = ids[n:]
	}
}

func (f *filler) check(when string) {
	f.t.Helper()
	if err := Check(ctx, f.db, f.state); err != nil {
		f.t.Fatalf("%s: %v", when, err)
	}
}

// fillFile writes a file until no byte is free.
func fillFile(t *testing.T, name string) {
	out, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 1<<20); len(b) > 0; {
		if _, err := out.Write(b); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			b = b[:len(b)/2]
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// waitFree waits for so many bytes to be free: Pebble removes files a little after
// the call that made them superfluous.
func waitFree(t *testing.T, dir string, want int64) {
	t.Helper()
	for start := time.Now(); freeBytes(t, dir) < want; time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > 20*time.Second {
			t.Fatalf("%d bytes are free, want %d", freeBytes(t, dir), want)
		}
	}
}

func freeBytes(t *testing.T, dir string) int64 {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * int64(s.Bsize)
}
