// Package bytecount counts the bytes that are written through a file system, for
// measuring write amplification in tests and benchmarks.
package bytecount

import (
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS counts. Links and renames cost nothing.
type FS struct {
	vfs.FS
	written, syncs atomic.Int64
}

// New counts what is written through fs.
func New(fs vfs.FS) *FS { return &FS{FS: fs} }

// OS counts what is written through the operating system's.
func OS() *FS { return New(vfs.Default) }

// Written is the number of bytes, Syncs the number of syncs of files since New.
func (f *FS) Written() int64 { return f.written.Load() }
func (f *FS) Syncs() int64   { return f.syncs.Load() }

// Create makes a file that counts.
func (f *FS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.wrap(f.FS.Create(name, c))
}

// OpenReadWrite opens a file that counts.
func (f *FS) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.wrap(f.FS.OpenReadWrite(name, c, opts...))
}

// ReuseForWrite reuses a file that counts.
func (f *FS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.wrap(f.FS.ReuseForWrite(old, name, c))
}

func (f *FS) wrap(file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &counted{file, f}, nil
}

// Unwrap returns the file system beneath.
func (f *FS) Unwrap() vfs.FS { return f.FS }

type counted struct {
	vfs.File
	fs *FS
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.File.Write(p)
	c.fs.written.Add(int64(n))
	return n, err
}

func (c *counted) WriteAt(p []byte, off int64) (int, error) {
	n, err := c.File.WriteAt(p, off)
	c.fs.written.Add(int64(n))
	return n, err
}

func (c *counted) Sync() error {
	c.fs.syncs.Add(1)
	return c.File.Sync()
}

func (c *counted) SyncData() error {
	c.fs.syncs.Add(1)
	return c.File.SyncData()
}
