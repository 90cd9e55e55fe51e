// Package crashmem is Pebble's file system in memory that can lose power, for
// tests. It mends one thing: vfs.MemFS.Link takes a read lock twice, so that a
// CrashClone by another goroutine that comes in between waits for ever, and Link
// with it. Here the two exclude each other.
package crashmem

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS is a crashable file system in memory.
type FS struct {
	*vfs.MemFS
	mu sync.Mutex
}

// New returns an empty one.
func New() *FS { return Wrap(vfs.NewCrashableMem()) }

// Wrap wraps one that vfs made, such as an earlier clone.
func Wrap(mem *vfs.MemFS) *FS { return &FS{MemFS: mem} }

// Link makes a hard link.
func (f *FS) Link(oldname, newname string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.MemFS.Link(oldname, newname)
}

// CrashClone returns the disk as a power loss would leave it now.
func (f *FS) CrashClone(cfg vfs.CrashCloneCfg) *vfs.MemFS {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.MemFS.CrashClone(cfg)
}
