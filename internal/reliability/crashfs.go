package reliability

import (
	"math/rand/v2"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

// CrashFS is a file system in memory that loses power: at a given write
// operation it keeps a copy of itself as a disk would be found afterwards. The
// store on it goes on and is closed in order; what it writes after that moment
// is not in the copy.
type CrashFS struct {
	vfs.FS
	mem     *crashmem.FS
	writes  atomic.Int64
	at      atomic.Int64 // the write before which the power goes; 0: never
	crashed atomic.Bool  // set before the copy is made
	copied  chan *vfs.MemFS
	percent int
	r       *rand.Rand
	// OnWrite, where set, is called before each write operation with its number,
	// from 1.
	OnWrite func(n int64, op errorfs.Op) error
}

// NewCrashFS wraps a crashable file system.
func NewCrashFS(mem *vfs.MemFS) *CrashFS {
	c := &CrashFS{mem: crashmem.Wrap(mem), copied: make(chan *vfs.MemFS, 1)}
	c.FS = Intercept(c.mem, c.before)
	return c
}

func (c *CrashFS) before(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	n := c.writes.Add(1)
	if n == c.at.Load() {
		c.crash()
	}
	if c.OnWrite != nil {
		return c.OnWrite(n, op)
	}
	return nil
}

// Arm lets the power go before the n-th write operation from now on. What was
// written and not synced survives block by block with the given probability.
func (c *CrashFS) Arm(n, percent int, r *rand.Rand) {
	c.percent, c.r = percent, rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
	c.at.Store(c.writes.Load() + int64(n))
}

// Crashed reports whether the power has gone. What was acknowledged before
// Crashed says so must survive; what is acknowledged later may.
func (c *CrashFS) Crashed() bool { return c.crashed.Load() }

// Writes is the number of write operations so far.
func (c *CrashFS) Writes() int64 { return c.writes.Load() }

// Disk returns the disk as found after the crash. Where Arm's operation was
// never reached, the power goes now.
func (c *CrashFS) Disk() *vfs.MemFS {
	c.crash()
	return <-c.copied
}

func (c *CrashFS) crash() {
	if c.crashed.CompareAndSwap(false, true) {
		c.copied <- c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.percent, RNG: c.r})
	}
}

// Intercept returns a file system that calls before with every operation and
// fails those for which it returns an error.
func Intercept(fs vfs.FS, before func(errorfs.Op) error) vfs.FS {
	inject := errorfs.InjectorFunc(before)
	return &interceptFS{errorfs.Wrap(fs, inject), inject}
}

// interceptFS sees to recycled files, which package errorfs forgets.
type interceptFS struct {
	*errorfs.FS
	inject errorfs.Injector
}

// ReuseForWrite renames a file and opens it to be overwritten.
func (i *interceptFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := i.FS.ReuseForWrite(oldname, newname, category)
	if err != nil {
		return nil, err
	}
	return errorfs.WrapFile(f, errorfs.InjectorFunc(func(op errorfs.Op) error {
		op.Path = newname
		return i.inject.MaybeError(op)
	})), nil
}
