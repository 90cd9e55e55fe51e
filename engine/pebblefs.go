package engine

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// pebbleFS is the file system as Pebble gets it. It mends two things of the
// step by which Pebble makes a new MANIFEST the current one (a marker file
// whose name says which it is):
//
//   - The MANIFEST's own directory entry is synced before the marker is made.
//     Pebble syncs both at once afterwards, so that a power loss in between may
//     keep the marker alone on a file system that does not order its entries.
//   - Where syncing a directory fails Pebble panics, in a goroutine of its own.
//     The guard is poisoned instead, and everything that writes asks the guard.
type pebbleFS struct {
	vfs.FS
	guard *guard
}

// Create creates a file; before a marker, what it may point to is made durable.
func (p pebbleFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(p.PathBase(name), "marker.") {
		if err := syncDir(p.FS, p.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return p.FS.Create(name, category)
}

// OpenDir opens a directory whose Sync poisons the guard rather than fail.
func (p pebbleFS) OpenDir(name string) (vfs.File, error) {
	d, err := p.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return guardedDir{d, name, p.guard}, nil
}

// Unwrap returns the file system underneath.
func (p pebbleFS) Unwrap() vfs.FS { return p.FS }

type guardedDir struct {
	vfs.File
	name  string
	guard *guard
}

// Sync syncs the directory. After a failure nothing may be acknowledged any
// more; that is the guard's to say.
func (d guardedDir) Sync() error {
	if err := d.File.Sync(); err != nil {
		d.guard.poison(fmt.Errorf("syncing %q: %w", d.name, err))
	}
	return nil
}
