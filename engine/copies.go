package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The store remembers the checkpoints and backups that were made of it, in the file
// COPIES of its folder, so that a purge can name those that may hold what it has
// erased. It is a file of its own since they can be made of a store that is open
// for reading only; no copy takes it along.
//
// A copy is noted before its first link is made, both under Engine.pub; a purge ends
// its work under it and looks at the list before it lets go. So each copy that has a
// byte of what was purged is in the list that the purge sees, and none that came later
// is.

// Copy is a checkpoint or a backup that was made of a store.
type Copy struct {
	Kind string `json:"kind"` // "checkpoint" or "backup"
	ID   string `json:"id"`   // of its Descriptor
	// Place is the folder of a checkpoint, or what BackupOptions.Name said.
	Place   string    `json:"place,omitempty"`
	Seq     uint64    `json:"seq"` // last change that it holds
	Created time.Time `json:"created"`
}

// String says it in a line.
func (c Copy) String() string {
	s := fmt.Sprintf("%s %.8s of %s, up to change %d", c.Kind, c.ID, c.Created.Format(time.RFC3339), c.Seq)
	if c.Place != "" {
		s += ", " + c.Place
	}
	return s
}

const (
	copiesName  = "COPIES"
	copiesMagic = "CDBQ"
	// maxCopies bounds the list: the oldest go. Nobody tells the store that a
	// backup is gone.
	maxCopies = 1000

	copyCheckpoint = "checkpoint"
	copyBackup     = "backup"
)

type copiesRecord struct {
	Copies []Copy `json:"copies"`
}

// copies returns what is remembered and, of checkpoints, still there.
func (e *Engine) copies() ([]Copy, error) {
	e.copiesMu.Lock()
	defer e.copiesMu.Unlock()
	all, err := e.readCopies()
	return slices.DeleteFunc(all, func(c Copy) bool {
		if c.Kind != copyCheckpoint {
			return false
		}
		return !e.there(c.Place) && !e.there(c.Place+".tmp") // that is being made
	}), err
}

// there reports whether there is a file or folder, also where nobody can tell.
func (e *Engine) there(path string) bool {
	_, err := e.fs.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func (e *Engine) readCopies() ([]Copy, error) {
	path := filepath.Join(e.dir, copiesName)
	b, err := readAll(e.fs, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("colbertdb: reading %q: %w", path, err)
	}
	var r copiesRecord
	if err := decodeJSON(copiesMagic, path, b, &r); err != nil {
		return nil, err
	}
	return r.Copies, nil
}

// newCopy describes a copy that is about to be made, and remembers it.
func (e *Engine) newCopy(kind, place string, seq uint64) (*Descriptor, error) {
	d, err := newDescriptor(e.storeID, seq)
	if err != nil {
		return nil, err
	}
	return d, e.remember(kind, place, d)
}

// remember adds a copy, before it has anything: one that is not listed would be
// worse than one that is listed and not there. The file is replaced in one step.
func (e *Engine) remember(kind, place string, d *Descriptor) error {
	if kind == copyCheckpoint && e.fs == vfs.Default {
		if abs, err := filepath.Abs(place); err == nil {
			place = abs
		}
	}
	e.copiesMu.Lock()
	defer e.copiesMu.Unlock()
	all, err := e.readCopies()
	if err != nil {
		return err
	}
	all = append(all, Copy{Kind: kind, ID: d.ID, Place: place, Seq: d.Seq, Created: d.Created})
	all = all[max(0, len(all)-maxCopies):]
	path := filepath.Join(e.dir, copiesName)
	err = writeFile(e.fs, path+".tmp", encodeJSON(copiesMagic, copiesRecord{all}))
	if err == nil {
		err = e.fs.Rename(path+".tmp", path)
	}
	if err == nil {
		err = syncDir(e.fs, e.dir)
	}
	if err != nil && e.opts.ReadOnly { // its folder may be where nobody can write
		e.opts.Logger.Warn("colbertdb: a copy of the store could not be noted, a purge will not name it", "kind", kind, "place", place, "error", err)
		return nil
	}
	return err
}
