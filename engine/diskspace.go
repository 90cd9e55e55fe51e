package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/wal"
)

// A store stops growing before its disk is full: writes that add documents return
// ErrDiskFull where less than Options.DiskFloor would stay free. What is below the
// floor is for what frees space: deletes, seals (after which log files go), merges
// that fit, drops. A disk that is full all the same loses nothing: the log reserves
// room before it writes (wal.ErrNoSpace), segments are built aside, and only a
// failed write of Pebble's log or MANIFEST makes the store read-only.

// lookEvery is how long a look at the free space counts, less what was written
// since. Nothing is refused without a fresh look.
const lookEvery = time.Second

// freeWithin is the time within which Pebble removes the files of what was excised.
const freeWithin = time.Second

// diskSpace knows how much of the store's file system is free.
type diskSpace struct {
	fs    vfs.FS
	dir   string
	floor int64 // as configured: 0 for the default, negative for none

	mu      sync.Mutex
	looked  time.Time
	excised time.Time // when something last was
	free    int64
	least   int64 // the floor on this file system
	unknown bool  // the file system does not say
}

// defaultFloor is that of Options.DiskFloor on a file system of so many bytes.
func defaultFloor(total int64) int64 { return min(256<<20, total/20) }

// look asks the file system. The caller holds mu.
func (d *diskSpace) look() {
	usage, err := d.fs.GetDiskUsage(d.dir)
	d.looked = time.Now()
	if d.unknown = err != nil; d.unknown {
		return
	}
	const most = 1 << 62
	d.free = int64(min(usage.AvailBytes, most))
	if d.least = d.floor; d.floor == 0 {
		d.least = defaultFloor(int64(min(usage.TotalBytes, most)))
	}
}

// take returns ErrDiskFull where fewer than keep bytes would stay free after n more.
func (d *diskSpace) take(n int64, what string, keep func(floor int64) int64) error {
	if d.floor < 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	fresh := false
	if time.Since(d.looked) >= lookEvery {
		d.look()
		fresh = true
	}
	if !fresh && !d.unknown && d.free-n < keep(d.least) {
		d.look()
	}
	if d.unknown {
		return nil
	}
	if d.free-n < keep(d.least) {
		return fmt.Errorf("%w: %d bytes are free in %q, %s needs %d and %d are kept (Options.DiskFloor is %d)", ErrDiskFull, d.free, d.dir, what, n, keep(d.least), d.least)
	}
	d.free -= n
	return nil
}

// grow is asked before n bytes of documents are written.
func (d *diskSpace) grow(n int64) error {
	return d.take(n, "the write", func(floor int64) int64 { return floor })
}

// merge is asked before segments of n live bytes are written anew. It may use
// space below the floor, as it frees some, but not all of it; where nothing lives
// it writes next to nothing.
func (d *diskSpace) merge(ctx context.Context, n int64) error {
	keep := func(floor int64) int64 {
		if n == 0 {
			return min(floor/4, 1<<20)
		}
		return floor / 4
	}
	for {
		err := d.take(n, "the merge", keep)
		d.mu.Lock()
		wait := time.Since(d.excised) < freeWithin
		d.mu.Unlock()
		if err == nil || !wait {
			return err
		}
		select { // what was excised is about to go
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// freed notes that segments were excised.
func (d *diskSpace) freed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.excised = time.Now()
}

// usage returns what is free, -1 where that is not known, and the floor, 0 without.
func (d *diskSpace) usage() (free, floor int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.looked) >= lookEvery {
		d.look()
	}
	if d.unknown {
		return -1, max(d.floor, 0)
	}
	return d.free, max(d.least, 0)
}

// low reports whether less is free than the floor.
func (d *diskSpace) low() bool { return d.grow(0) != nil }

// admit refuses a batch that adds documents to a disk below its floor.
func (e *Engine) admit(p *pending) error {
	n := 0
	for i := range p.ops {
		if p.ops[i].kind == opUpsert {
			n += p.ops[i].bytes()
		}
	}
	if n == 0 {
		return nil
	}
	return e.disk.grow(int64(n))
}

// logFailed makes the store read-only after a failed write of the log, but not
// where the log had no room and has written nothing.
func (e *Engine) logFailed(err error) error {
	if errors.Is(err, wal.ErrNoSpace) {
		return diskFull(err)
	}
	e.guard.poison(err)
	return e.guard.check(err)
}

// diskFull makes an error of a file system without space an ErrDiskFull.
func diskFull(err error) error {
	if err == nil || errors.Is(err, ErrDiskFull) || !vfs.IsNoSpaceError(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDiskFull, err)
}

// liveBytes estimates what a segment's live documents take in another one.
func liveBytes(s segView) int64 {
	m := s.Meta()
	if m.Docs == 0 {
		return 0
	}
	return int64(float64(m.Bytes) * float64(m.Docs-s.deleted()) / float64(m.Docs))
}
