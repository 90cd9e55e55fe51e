package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/wal"
)

// RestoreToOptions say up to where RestoreTo goes. Default: all of the log.
type RestoreToOptions struct {
	// Seq is the last change that the restored store has. Default: no limit.
	Seq uint64
	// Time ends it with the changes committed before it, to the second. Default:
	// no limit.
	Time time.Time
	// Logs is the folder of log files: that of the store, with the files that
	// Options.KeepLogBytes or KeepLogAge have kept, or a copy of it.
	Logs string
	// FS is the file system. Default: the operating system's.
	FS vfs.FS
}

// RestoreTo makes, in the folder dir, which must not exist or be empty, the store
// as it was after a change: a checkpoint, or a restored backup, in the folder
// base, and the log from there on. It returns the last sequence number that the
// store has. ErrTooOld: the log does not have every change after the
// checkpoint. Files of the checkpoint are shared by hard links. After an error
// or a crash Open refuses what there is of dir.
//
// Collections that were created or dropped since the checkpoint are so again;
// codebooks, segments and aliases are those of the checkpoint.
func RestoreTo(ctx context.Context, dir, base string, o RestoreToOptions) (seq uint64, err error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	d, err := readDescriptor(o.FS, base)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%w: %q is no checkpoint, or was opened for writing since: %w", ErrInvalid, base, err)
	}
	if err == nil {
		err = d.checkSizes(o.FS, base)
	}
	if err != nil {
		return 0, err
	}
	if o.Seq != 0 && o.Seq < d.Seq {
		return 0, fmt.Errorf("%w: change %d is before the checkpoint, which has all up to %d; use an earlier one", ErrInvalid, o.Seq, d.Seq)
	}
	if o.Seq == 0 {
		o.Seq = math.MaxUint64
	}
	if err := beginFolder(o.FS, dir, "restore"); err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			discardFolder(o.FS, dir)
		}
	}()
	source := &Engine{fs: o.FS, dir: base}
	if err := errors.Join(o.FS.MkdirAll(filepath.Join(dir, "wal"), 0o755), source.linkAll(dir)); err != nil {
		return 0, err
	}
	r := &replayTo{ctx: ctx, o: o, dir: dir, seq: d.Seq, base: d.Seq}
	if err := r.run(); err != nil {
		return 0, err
	}
	for _, sub := range []string{"pebble", "wal", "."} {
		if err := syncDir(o.FS, filepath.Join(dir, sub)); err != nil {
			return 0, err
		}
	}
	return r.seq, finishFolder(o.FS, dir)
}

// replayTo appends a part of one log to a store.
type replayTo struct {
	ctx       context.Context
	o         RestoreToOptions
	dir       string
	base, seq uint64 // last change of the checkpoint, and of the store so far
	log       *wal.Log
	notes     []collectionNote
}

var errReached = errors.New("colbertdb: as far as was asked for")

func (r *replayTo) run() (err error) {
	nums, err := wal.List(r.o.FS, filepath.Join(r.dir, "wal"))
	if err != nil {
		return err
	}
	e := &Engine{fs: r.o.FS, dir: r.dir, guard: newGuard((&Options{}).withDefaults().Logger), opts: (&Options{FS: r.o.FS}).withDefaults()}
	if e.db, err = e.openPebble(); err != nil {
		return damage(err)
	}
	defer func() { err = errors.Join(err, e.db.Close()) }()
	state, err := load(e.db, segment.ManifestKey(), decodeState)
	if err != nil {
		return err
	}
	next := state.WALLow
	if len(nums) > 0 {
		next = max(next, nums[len(nums)-1]+1)
	}
	r.log, err = wal.Open(wal.Options{FS: r.o.FS, Dir: filepath.Join(r.dir, "wal"), Sync: SyncNever, IdleMark: -1}, next)
	if err != nil {
		return err
	}
	err = r.read()
	if cerr := r.log.Close(); err == nil || errors.Is(err, errReached) {
		err = cerr
	}
	if err != nil {
		return err
	}
	if r.o.Seq != math.MaxUint64 && r.seq < r.o.Seq {
		return fmt.Errorf("%w: change %d was asked for, the log in %q ends with %d", ErrInvalid, r.o.Seq, r.o.Logs, r.seq)
	}
	return e.guard.write(func() error { return r.applyNotes(e.db, &state) })
}

// read copies what the store lacks, up to the limit.
func (r *replayTo) read() error {
	nums, err := wal.List(r.o.FS, r.o.Logs)
	if err != nil {
		return err
	}
	for _, num := range nums {
		if _, err := wal.Scan(r.o.FS, r.o.Logs, num, 0, -1, r.record); err != nil {
			return corruptLog(err)
		}
	}
	return nil
}

func (r *replayTo) record(rec wal.Record) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	switch rec.Type {
	case recordTime:
		if !r.o.Time.IsZero() && decodeTimeNote(rec.Payload).After(r.o.Time) {
			return errReached
		}
	case recordCollection:
		if r.seq == r.o.Seq {
			return errReached
		}
		n, err := decodeCollectionNote(rec.Payload)
		r.notes = append(r.notes, n)
		return err
	case recordBatch:
		switch {
		case rec.Seq <= r.seq:
		case rec.Seq > r.o.Seq:
			return errReached
		case rec.Seq != r.seq+1:
			return &TooOldError{After: r.seq, First: rec.Seq}
		default:
			r.seq = rec.Seq
			return r.log.Append([]wal.Record{rec})
		}
	}
	return nil
}

// applyNotes creates and drops collections as they were since the checkpoint.
func (r *replayTo) applyNotes(db *pebble.DB, state *storeState) error {
	b := db.NewBatch()
	defer b.Close()
	first := state.NextCollection // those below are in the checkpoint, if they live
	for _, n := range r.notes {
		if n.Created != nil && n.Created.ID >= first && n.Created.Codebook != 0 {
			return fmt.Errorf("%w: collection %q was imported after the checkpoint, and what an import brings is not in the log", ErrInvalid, n.Created.Name)
		}
		if n.Created != nil && n.Created.ID >= first {
			if err := b.Set(segment.CollectionKey(n.Created.ID), n.Created.encode(), nil); err != nil {
				return err
			}
			state.NextCollection = max(state.NextCollection, n.Created.ID+1)
		}
		if n.Dropped != 0 {
			state.Dropped = append(state.Dropped, n.Dropped)
			for _, span := range segment.CollectionSpans(n.Dropped) {
				if err := b.DeleteRange(span.Start, span.End, nil); err != nil {
					return err
				}
			}
		}
	}
	if err := b.Set(segment.ManifestKey(), state.encode(), nil); err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}
