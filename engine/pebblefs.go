package engine

import (
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// pebbleFS is the file system as Pebble gets it. Pebble ends the process where
// its log, its MANIFEST or a directory cannot be written, in places with a panic
// that nobody can recover from. Ours goes on, for reads, so the guard decides
// what reaches the disk:
//
//   - A failed change of one of these vital files poisons the guard there and
//     then, and Pebble hears of no failure. Whoever writes asks the guard.
//   - Once the guard is poisoned nothing changes on disk any more: Pebble would
//     go on to write edits after one that failed, and to remove files that the
//     MANIFEST on disk still needs.
//   - A MANIFEST's directory entry is synced before the marker that names it is
//     made. Pebble syncs both at once afterwards, so that a power loss in between
//     may leave the marker alone where the file system does not order entries.
type pebbleFS struct {
	vfs.FS
	guard *guard
	dir   string // of the database: a checkpoint elsewhere may fail
}

// pause is what a failed or refused write takes: Pebble tries a failed flush
// again at once, without end.
const pause = 5 * time.Millisecond

// vital reports whether Pebble cannot go on without a file. All others are
// written anew after a failure.
func (p *pebbleFS) vital(name string) bool {
	base := p.PathBase(name)
	if p.PathDir(name) != p.dir {
		return false
	}
	return strings.HasPrefix(base, "MANIFEST-") || strings.HasPrefix(base, "marker.") || strings.HasSuffix(base, ".log")
}

// change runs a change of what is on disk, unless the guard is poisoned.
func (p *pebbleFS) change(name string, f func() error) error {
	vital := p.vital(name)
	err := p.guard.check(nil)
	if err == nil {
		if err = f(); err == nil {
			return nil
		}
		if vital {
			p.guard.poison(fmt.Errorf("writing %q: %w", name, err))
		}
	}
	if vital {
		return nil
	}
	time.Sleep(pause)
	return err
}

// open runs one way of getting a file to write.
func (p *pebbleFS) open(name string, f func() (vfs.File, error)) (vfs.File, error) {
	file := vfs.File(vfs.NewMemFile(nil)) // where nothing is written any more
	err := p.change(name, func() error {
		opened, err := f()
		if err == nil {
			file = opened
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return guardedFile{file, name, p}, nil
}

// Create creates a file.
func (p *pebbleFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return p.open(name, func() (vfs.File, error) {
		if strings.HasPrefix(p.PathBase(name), "marker.") {
			if err := syncDir(p.FS, p.PathDir(name)); err != nil {
				return nil, err
			}
		}
		return p.FS.Create(name, category)
	})
}

// OpenReadWrite opens a file that exists.
func (p *pebbleFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return p.open(name, func() (vfs.File, error) { return p.FS.OpenReadWrite(name, category, opts...) })
}

// ReuseForWrite renames a file and opens it to be overwritten.
func (p *pebbleFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return p.open(newname, func() (vfs.File, error) { return p.FS.ReuseForWrite(oldname, newname, category) })
}

// OpenDir opens a directory.
func (p *pebbleFS) OpenDir(name string) (vfs.File, error) {
	d, err := p.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	if name != p.dir {
		return d, nil
	}
	return guardedDir{d, name, p.guard}, nil
}

// Link makes a hard link.
func (p *pebbleFS) Link(oldname, newname string) error {
	return p.change(newname, func() error { return p.FS.Link(oldname, newname) })
}

// Rename renames a file.
func (p *pebbleFS) Rename(oldname, newname string) error {
	return p.change(newname, func() error { return p.FS.Rename(oldname, newname) })
}

// Remove removes a file. That it is still there does no harm.
func (p *pebbleFS) Remove(name string) error {
	if err := p.guard.check(nil); err != nil {
		return err
	}
	return p.FS.Remove(name)
}

// RemoveAll removes a folder.
func (p *pebbleFS) RemoveAll(name string) error {
	if err := p.guard.check(nil); err != nil {
		return err
	}
	return p.FS.RemoveAll(name)
}

// Unwrap returns the file system underneath.
func (p *pebbleFS) Unwrap() vfs.FS { return p.FS }

// guardedFile is a file that Pebble writes.
type guardedFile struct {
	vfs.File
	name string
	fs   *pebbleFS
}

// Write appends to the file.
func (f guardedFile) Write(b []byte) (n int, err error) {
	n = len(b)
	err = f.fs.change(f.name, func() (err error) { _, err = f.File.Write(b); return err })
	return n, err
}

// WriteAt overwrites a part of the file.
func (f guardedFile) WriteAt(b []byte, at int64) (n int, err error) {
	n = len(b)
	err = f.fs.change(f.name, func() (err error) { _, err = f.File.WriteAt(b, at); return err })
	return n, err
}

// Sync makes the file durable.
func (f guardedFile) Sync() error { return f.fs.change(f.name, f.File.Sync) }

// SyncData makes the file's data durable.
func (f guardedFile) SyncData() error { return f.fs.change(f.name, f.File.SyncData) }

// SyncTo starts to make the file's first bytes durable.
func (f guardedFile) SyncTo(length int64) (full bool, err error) {
	err = f.fs.change(f.name, func() (err error) { full, err = f.File.SyncTo(length); return err })
	return full, err
}

// Preallocate reserves space, which a vital file can do without.
func (f guardedFile) Preallocate(offset, length int64) error {
	if err := f.File.Preallocate(offset, length); err != nil && !f.fs.vital(f.name) {
		return err
	}
	return nil
}

// Stat describes the file. That of a vital one must not fail either.
func (f guardedFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	if err != nil && f.fs.vital(f.name) {
		f.fs.guard.poison(fmt.Errorf("describing %q: %w", f.name, err))
		return vfs.NewMemFile(nil).Stat()
	}
	return info, err
}

// Close closes the file. A vital one may have lost what it said was written.
func (f guardedFile) Close() error {
	err := f.File.Close()
	if err != nil && f.fs.vital(f.name) {
		f.fs.guard.poison(fmt.Errorf("closing %q: %w", f.name, err))
		return nil
	}
	return err
}

// guardedDir is a directory whose Sync poisons the guard rather than fail.
type guardedDir struct {
	vfs.File
	name  string
	guard *guard
}

// Sync makes the directory durable.
func (d guardedDir) Sync() error {
	if d.guard.dead.Load() {
		return nil
	}
	if err := d.File.Sync(); err != nil {
		d.guard.poison(fmt.Errorf("syncing %q: %w", d.name, err))
	}
	return nil
}
