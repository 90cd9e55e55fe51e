package engine_test

import (
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// meteredFS says how much of it is free, and counts who asks.
type meteredFS struct {
	vfs.FS
	free  atomic.Int64
	looks atomic.Int64
}

func (m *meteredFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	m.looks.Add(1)
	return vfs.DiskUsage{AvailBytes: uint64(m.free.Load()), TotalBytes: 10 << 30}, nil
}

// Below the floor writes of documents are refused, deletes and reads go on; once
// there is space again writes go on, too, without a reopen. The file system is
// asked now and then, not with every write.
func TestDiskFloor(t *testing.T) {
	for name, floor := range map[string]int64{"default": 0, "own": 1 << 20, "none": -1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fs := &meteredFS{FS: vfs.NewMem()}
			fs.free.Store(1 << 40)
			db, err := engine.Open(ctx, "db", &engine.Options{FS: fs, DiskFloor: floor})
			if err != nil {
				t.Fatal(err)
			}
			defer mustClose(t, db)
			col, err := db.CreateCollection(ctx, "test", engine.CollectionConfig{Dim: dim})
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 1))
			m := model{}
			put := func(i int) error {
				d := document(r, i)
				_, err := col.Upsert(ctx, d)
				if err == nil {
					m.put(d)
				}
				return err
			}
			for i := range 300 {
				if err := put(i); err != nil {
					t.Fatal(err)
				}
			}
			if n := fs.looks.Load(); n > 100 {
				t.Errorf("300 writes looked at the disk %d times", n)
			}
			for _, free := range []int64{0, 1<<20 + 1<<18, 257 << 20} {
				fs.free.Store(free)
				least := map[string]int64{"default": 256 << 20, "own": 1 << 20}[name]
				for put(1000) == nil && free < least { // what the last look allows
				}
				err := put(1001)
				if full := free < least; full != errors.Is(err, engine.ErrDiskFull) || !full && err != nil {
					t.Fatalf("%d bytes free: %v", free, err)
				}
				if _, err := db.CreateCollection(ctx, "other", engine.CollectionConfig{Dim: dim}); free < least != errors.Is(err, engine.ErrDiskFull) {
					t.Errorf("%d bytes free: creating a collection: %v", free, err)
				} else if err == nil {
					if err := db.DropCollection(ctx, "other"); err != nil {
						t.Fatal(err)
					}
				}
				if free < least {
					b := mustBulk(t, col, engine.BulkOptions{})
					if err := b.Add(ctx, document(r, 2000)); !errors.Is(err, engine.ErrDiskFull) {
						t.Errorf("%d bytes free: a load: %v", free, err)
					}
					if err := b.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := col.Delete(ctx, "doc-001"); err != nil {
					t.Fatal(err)
				}
				delete(m, "doc-001")
				fs.free.Store(1 << 40) // check compacts
				m.check(t, col)
				if metrics := db.Metrics(); metrics.DiskFree < 0 || metrics.DiskFloor != least {
					t.Errorf("metrics say %d free, floor %d, want %d", metrics.DiskFree, metrics.DiskFloor, least)
				}
			}
		})
	}
}
