package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/wal"
)

// A checkpoint is a store of its own that shares its files with the original by
// hard links:
//
//	K1  dir.tmp with the file INCOMPLETE, durable before anything else
//	K2  no seal, merge or removal runs: rotate the log, note the copy
//	    (copies.go), checkpoint Pebble, link the log files before the new one
//	K3  read every file; write CHECKPOINT, the descriptor
//	K4  sync, rename to dir, sync, remove INCOMPLETE
//
// Open refuses a folder that holds INCOMPLETE, whatever its name, and one whose
// files have not the sizes that its descriptor says. Opened for writing, a
// checkpoint becomes a store like any other: the descriptor goes.

// ReadCheckpoint reads the descriptor of the checkpoint in a folder; fs.ErrNotExist
// where it is none.
func ReadCheckpoint(dir string) (*Descriptor, error) { return readDescriptor(vfs.Default, dir) }

// Checkpoint writes to the folder dir, which must not exist or be empty, what the
// store holds: every change that was acknowledged before the call, and none that
// starts after it returned. Files are shared by hard links where the file
// system can; reads and writes go on, seals and merges wait while the links are
// made. The folder opens as a store.
func (e *Engine) Checkpoint(ctx context.Context, dir string) (*Descriptor, error) {
	if err := mustNotExist(e.fs, dir); err != nil {
		return nil, err
	}
	tmp := dir + ".tmp"
	if err := beginFolder(e.fs, tmp, "checkpoint"); err != nil {
		return nil, err
	}
	d, err := e.fillCheckpoint(ctx, tmp, dir)
	if err == nil {
		err = describeFolder(e.fs, tmp, d)
	}
	if err == nil {
		err = errors.Join(e.fs.RemoveAll(dir), e.fs.Rename(tmp, dir))
	}
	if err != nil {
		discardFolder(e.fs, tmp)
		return nil, err
	}
	return d, finishFolder(e.fs, dir)
}

// fillCheckpoint is K2 and the first half of K3, of a checkpoint that will be dir.
func (e *Engine) fillCheckpoint(ctx context.Context, tmp, dir string) (*Descriptor, error) {
	d, err := e.linkFiles(ctx, tmp, copyCheckpoint, dir)
	if err != nil {
		return nil, fmt.Errorf("colbertdb: checkpoint %q: %w", tmp, err)
	}
	return d, d.describeFiles(ctx, e.fs, tmp, nil)
}

// linkFiles is K2, for a copy of a kind and place. It returns the copy's descriptor,
// without files, with the last sequence number that the links hold.
func (e *Engine) linkFiles(ctx context.Context, dst, kind, place string) (*Descriptor, error) {
	if err := e.pub.LockContext(ctx); err != nil {
		return nil, err
	}
	defer e.pub.Unlock()
	if e.closed() {
		return nil, ErrClosed
	}
	if err := e.fs.MkdirAll(filepath.Join(dst, "wal"), 0o755); err != nil {
		return nil, err
	}
	if e.opts.ReadOnly {
		d, err := e.newCopy(kind, place, e.seq)
		if err != nil {
			return nil, err
		}
		return d, e.linkAll(dst)
	}
	low, end, seq, err := e.rotateForCopy()
	if err != nil {
		return nil, err
	}
	d, err := e.newCopy(kind, place, seq)
	if err != nil {
		return nil, err
	}
	// All that is in Pebble was committed in synced batches: its log needs no flush.
	if err := e.checkpointPebble(filepath.Join(dst, "pebble")); err != nil {
		return nil, err
	}
	nums, err := wal.List(e.fs, e.walDir())
	if err != nil {
		return nil, err
	}
	for _, n := range nums {
		if n < low || n >= end {
			continue
		}
		name := wal.FileName(n)
		if err := vfs.LinkOrCopy(e.fs, filepath.Join(e.walDir(), name), filepath.Join(dst, "wal", name)); err != nil {
			return nil, fmt.Errorf("linking log file %d: %w", n, err)
		}
	}
	return d, e.guard.check(nil)
}

// rotateForCopy begins a new log file. The files from low to before end hold, with
// Pebble, the store up to seq. The caller holds Engine.pub.
func (e *Engine) rotateForCopy() (low, end wal.FileNum, seq uint64, err error) {
	e.commitMu.Lock() // what is in the log is applied
	defer e.commitMu.Unlock()
	e.mu.Lock()
	low, seq = e.walLow, e.seq
	e.mu.Unlock()
	if err := e.guard.check(nil); err != nil {
		return 0, 0, 0, err
	}
	if end, err = e.log.Rotate(); err != nil {
		return 0, 0, 0, e.logFailed(err)
	}
	return low, end, seq, nil
}

// checkpointPebble makes Pebble's own checkpoint. Pebble panics where it cannot
// sync the folder of a marker, having let go of all that it holds; of a folder that
// is not the store's that is an error like others.
func (e *Engine) checkpointPebble(dir string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("colbertdb: checkpoint of Pebble: %v", r)
		}
	}()
	return e.db.Checkpoint(dir)
}

// linkAll takes over a store that nobody writes to, file by file. Pebble's own
// log and manifest are copied: whoever opens the checkpoint may append to them.
func (e *Engine) linkAll(dst string) error {
	if err := e.fs.MkdirAll(filepath.Join(dst, "pebble"), 0o755); err != nil {
		return err
	}
	paths, err := storeFiles(e.fs, e.dir)
	if err != nil {
		return err
	}
	for _, p := range paths {
		take := vfs.LinkOrCopy
		if !strings.HasSuffix(p, ".sst") && !strings.HasSuffix(p, ".wal") {
			take = vfs.Copy
		}
		if err := take(e.fs, filepath.Join(e.dir, p), filepath.Join(dst, p)); err != nil {
			return fmt.Errorf("linking %s: %w", p, err)
		}
	}
	return nil
}

// beginFolder is K1: an empty folder but for the marker. What an earlier attempt
// left unfinished is replaced, anything else refused.
func beginFolder(fsys vfs.FS, dir, what string) error {
	if err := mustNotExist(fsys, dir); err != nil {
		return err
	}
	if names, _ := fsys.List(dir); len(names) > 0 {
		discardFolder(fsys, dir)
	}
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("colbertdb: creating %q: %w", dir, err)
	}
	return errors.Join(writeFile(fsys, fsys.PathJoin(dir, incompleteName), []byte(what+"\n")),
		syncDir(fsys, dir), syncDir(fsys, fsys.PathDir(dir)))
}

// describeFolder writes the descriptor of a folder and syncs what it describes.
func describeFolder(fsys vfs.FS, dir string, d *Descriptor) error {
	err := writeFile(fsys, fsys.PathJoin(dir, descriptorName), d.encode())
	for _, sub := range []string{"pebble", "wal"} {
		err = errors.Join(err, syncDir(fsys, fsys.PathJoin(dir, sub)))
	}
	return errors.Join(err, syncDir(fsys, dir))
}

// finishFolder makes a described folder one that Open accepts.
func finishFolder(fsys vfs.FS, dir string) error {
	if err := syncDir(fsys, fsys.PathDir(dir)); err != nil {
		return err
	}
	if err := fsys.Remove(fsys.PathJoin(dir, incompleteName)); err != nil {
		return fmt.Errorf("colbertdb: finishing %q: %w", dir, err)
	}
	return syncDir(fsys, dir)
}

// mustNotExist refuses a folder that holds anything but an unfinished attempt.
func mustNotExist(fsys vfs.FS, dir string) error {
	names, err := fsys.List(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("colbertdb: listing %q: %w", dir, err)
	case len(names) == 0 || slices.Contains(names, incompleteName):
		return nil
	}
	return fmt.Errorf("%w: %q is not empty; remove it or choose another name", ErrInvalid, dir)
}

// incomplete refuses a folder that a checkpoint or restore left unfinished.
func (e *Engine) incomplete() error {
	what, err := readAll(e.fs, e.fs.PathJoin(e.dir, incompleteName))
	if err != nil {
		return nil // there is none, or whatever is wrong shows soon
	}
	if _, err := e.fs.Stat(e.fs.PathJoin(e.dir, repairDir)); err == nil {
		return fmt.Errorf("%w: a repair of %q was interrupted; run it again", ErrIncomplete, e.dir)
	}
	return fmt.Errorf("%w: %q holds an unfinished %s; remove it and start again", ErrIncomplete, e.dir, strings.TrimSpace(string(what)))
}

// adopt checks the files of a checkpoint against its descriptor. Opened for
// writing, it becomes an ordinary store: the descriptor is removed first.
func (e *Engine) adopt() error {
	d, err := readDescriptor(e.fs, e.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = d.checkSizes(e.fs, e.dir)
	}
	if err != nil || e.opts.ReadOnly {
		e.descriptor = d
		return err
	}
	if err := e.fs.Remove(e.fs.PathJoin(e.dir, descriptorName)); err != nil {
		return fmt.Errorf("colbertdb: taking over checkpoint %q: %w", e.dir, err)
	}
	return syncDir(e.fs, e.dir)
}
