package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/internal/failpoint"
	"github.com/colbertdb-go/colbertdb/internal/pace"
	"github.com/colbertdb-go/colbertdb/query"
	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/wal"
)

// Engine is an open store. Its methods may be called from many goroutines.
//
// Six locks order everything. bg serialises merges and trainings, which may
// take minutes. verifying is held by Verify, and by a purge while it waits for what
// Pebble has yet to remove. extending serialises extensions of codebooks, which seals wait
// for (extend.go). pub serialises what changes the manifest: seals, and the last
// step of a merge; so a seal that is due never waits for a merge that runs.
// commitMu is held by a commit group from its numbers to its application, over
// the fsync of the log (commit.go). mu guards sequence numbers, buffers and the
// publishing of versions. They are taken in this order, and mu is never held
// while building or while a file is synced.
type Engine struct {
	dir   string
	fs    vfs.FS
	opts  Options
	db    *pebble.DB
	lock  *pebble.Lock
	log   *wal.Log
	guard *guard
	// descriptor is that of a checkpoint opened with Options.ReadOnly, else nil.
	descriptor *Descriptor
	// logLast and logLastEnd are the newest log file that was replayed and its
	// good part.
	logLast    wal.FileNum
	logLastEnd int64

	events *eventQueue

	bg        ctxLock
	verifying ctxLock
	extending ctxLock
	pub       ctxLock
	commitMu  sync.Mutex

	mu           sync.Mutex
	cursors      map[*logCursor]struct{} // iterations of Changes
	newChange    chan struct{}           // closed by the next commit; nil: nobody waits
	lastTimeNote time.Time

	storeID     string
	seq         uint64
	hidden      uint64 // number of a change that is being published and not yet seen, 0: none
	nextSegment segment.ID
	nextColl    uint32
	walLow      wal.FileNum
	droppedIDs  []uint32 // storeState.Dropped
	byName      map[string]*collection
	aliases     map[string]*alias
	reindexes   map[uint32]*reindexRecord // unfinished ones, by the collection that they fill
	opened      map[*collection]struct{}  // those that are not at rest (opening.go)
	unsealed    map[*collection]struct{}  // those of which something is in the log alone
	mergeable   map[*collection]struct{}  // those that a merge may be due for
	restless    map[*collection]struct{}  // those that were not quiet when last looked at
	sealedSeq   uint64                    // Seq of the manifest that was loaded
	isClosed    atomic.Bool
	clock       atomic.Int64 // counts openings; orders the uses of collections

	room      writeRoom
	keys      keyWindow // guarded by mu
	obsolete  obsoleteList
	disk      diskSpace
	pins      pinBudget
	searchers sync.Pool  // *query.Searcher
	pace      pace.Pacer // holds up seals, merges and trainings in the background while searches run
	stats     counters
	reading   sync.WaitGroup
	copiesMu  sync.Mutex   // guards the file COPIES
	metricsMu sync.RWMutex // held to read Pebble's metrics, and to close it

	commits *commitQueue
	work    chan struct{} // wakes merger
	due     chan struct{} // wakes sealer
	closing chan struct{}
	ctx     context.Context // ends when the store closes
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// Open opens the store in dir, creating it unless Options.MustExist is set. At
// most one process has a store open; another gets ErrLocked.
func Open(ctx context.Context, dir string, o *Options) (*Engine, error) {
	if o == nil {
		o = &Options{}
	}
	if err := o.Validate(); err != nil {
		return nil, err
	}
	opts := o.withDefaults()
	e := &Engine{
		dir: dir, fs: opts.FS, opts: opts,
		guard:  newGuard(opts.Logger),
		byName: map[string]*collection{},
		opened: map[*collection]struct{}{}, unsealed: map[*collection]struct{}{}, mergeable: map[*collection]struct{}{}, restless: map[*collection]struct{}{},
		aliases: map[string]*alias{}, reindexes: map[uint32]*reindexRecord{},
		cursors: map[*logCursor]struct{}{},
		commits: newCommitQueue(),
		work:    make(chan struct{}, 1),
		due:     make(chan struct{}, 1),
		closing: make(chan struct{}),
		events:  newEventQueue(opts.EventListener),
	}
	e.guard.onPoison = func(err error) { e.events.emit(func(l *EventListener) { l.Poisoned(err) }) }
	e.pins.limit = opts.MemoryBudget
	e.room.limit, e.room.soft, e.room.failFast = opts.WriteMemory, opts.WriteMemory/4*3, opts.FailWhenBusy
	e.room.wake, e.room.began, e.room.ended = e.wakeSealer, e.stallBegan, e.stallEnded
	e.keys.limit, e.keys.age = opts.IdempotencyKeys, opts.IdempotencyAge
	e.disk = diskSpace{fs: e.fs, dir: dir, floor: opts.DiskFloor}
	e.searchers.New = func() any { return query.NewSearcher() }
	e.ctx, e.cancel = context.WithCancel(context.Background())
	start := time.Now()
	if err := e.guard.check(damage(e.recover(ctx))); err != nil {
		e.cancel()
		return nil, errors.Join(err, e.closeFiles())
	}
	e.recovered(start)
	e.events.start()
	if !opts.ReadOnly {
		e.wg.Add(3)
		go e.committer()
		go e.sealer()
		go e.merger()
		e.wakeSealer()
		e.wake()
	}
	return e, nil
}

// OpenMem opens an empty store in memory.
func OpenMem(o *Options) (*Engine, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	opts.FS = vfs.NewMem()
	return Open(context.Background(), "mem", &opts)
}

// Close ends background work, waits for the reads that are on their way and
// closes the store. What was acknowledged is in the log; nothing needs to be
// flushed first.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.isClosed.Load() {
		e.mu.Unlock()
		return ErrClosed
	}
	e.isClosed.Store(true)
	close(e.closing)
	e.mu.Unlock()
	e.cancel()
	e.room.close()
	e.wg.Wait()
	e.reading.Wait()
	defer e.events.close()
	e.bg.Lock() // a Flush or Compact that is still running ends first
	defer e.bg.Unlock()
	e.pub.Lock()
	defer e.pub.Unlock()
	for c := range e.opened {
		c.unref(c.current)
	}
	return e.closeFiles()
}

// closeFiles closes whatever has been opened.
func (e *Engine) closeFiles() error {
	var errs []error
	if e.log != nil {
		errs = append(errs, e.log.Close())
	}
	if e.db != nil {
		e.metricsMu.Lock()
		defer e.metricsMu.Unlock()
		errs = append(errs, e.db.Close())
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Close())
	}
	if e.guard.dead.Load() {
		return nil // every write already reported why
	}
	return errors.Join(errs...)
}

// merger trains and merges in the background.
func (e *Engine) merger() {
	defer e.wg.Done()
	for {
		select {
		case <-e.work:
		case <-e.closing:
			return
		}
		if err := e.maintain(e.ctx); err != nil && e.ctx.Err() == nil {
			e.opts.Logger.Error("colbertdb: background work failed", "error", err)
			e.failed(err)
		}
	}
}

// maintain does what is due: collections that outgrew exact search get a
// codebook, small segments are merged. A collection that it fails for is tried again
// at the next wake, and holds up no other.
func (e *Engine) maintain(ctx context.Context) error {
	e.bg.Lock()
	defer e.bg.Unlock()
	ctx = pace.With(ctx, &e.pace)
	var errs []error
	if !e.opts.DisableAutoCompaction {
		due := e.takeMergeable()
		for i, c := range due {
			if ctx.Err() != nil {
				e.markMergeable(due[i:])
				break
			}
			err := e.train(ctx, c)
			if err == nil {
				err = e.mergeDue(ctx, c)
			}
			if err == nil {
				err = e.indexDue(ctx, c)
			}
			if err == nil {
				err = e.calibrateDue(ctx, c)
			}
			if err != nil && (c.alive.Err() == nil || e.ctx.Err() != nil) { // not because it was dropped
				e.markMergeable(due[i : i+1])
				errs = append(errs, fmt.Errorf("collection %q: %w", c.name, err))
			}
		}
	}
	errs = append(errs, e.exciseObsolete(ctx))
	e.pins.refill(ctx)
	return errors.Join(errs...)
}

// wake asks the merger to look for work.
func (e *Engine) wake() {
	select {
	case e.work <- struct{}{}:
	default:
	}
}

// Flush seals every buffer: afterwards all documents are in segments.
func (e *Engine) Flush(ctx context.Context) error {
	return e.flush(ctx, func(*collection) bool { return true })
}

// Compact seals every buffer and merges every collection into as few segments
// as the limits allow, dropping what was deleted.
func (e *Engine) Compact(ctx context.Context) error {
	return e.background(ctx, func(ctx context.Context) error {
		if err := e.flush(ctx, func(*collection) bool { return true }); err != nil {
			return err
		}
		for _, c := range e.snapshot() {
			if err := e.compact(ctx, c); err != nil && (c.alive.Err() == nil || e.closed()) {
				return err
			}
		}
		return e.exciseObsolete(ctx)
	})
}

// background runs f as the one merge or training, until ctx or the store ends.
func (e *Engine) background(ctx context.Context, f func(context.Context) error) error {
	return e.holding(ctx, &e.bg, f)
}

// publishing runs f as the one change of the manifest, until ctx or the store
// ends.
func (e *Engine) publishing(ctx context.Context, f func(context.Context) error) error {
	return e.holding(ctx, &e.pub, f)
}

// publishAside publishes what was built for a collection in files aside, unless it has
// been dropped meanwhile: a drop must not be undone. Where it fails the files go.
func (e *Engine) publishAside(ctx context.Context, c *collection, paths []string, publish func(context.Context) error) error {
	err := e.publishing(ctx, func(ctx context.Context) error {
		if err := errors.Join(ctx.Err(), c.alive.Err()); err != nil {
			return err
		}
		return publish(ctx)
	})
	if err != nil {
		e.removeFiles(paths)
	}
	return err
}

func (e *Engine) holding(ctx context.Context, lock *ctxLock, f func(context.Context) error) error {
	if e.opts.ReadOnly {
		return fmt.Errorf("%w: opened with Options.ReadOnly", ErrReadOnly)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(e.ctx, cancel)
	defer stop()
	if err := lock.LockContext(ctx); err != nil {
		if e.closed() {
			return ErrClosed
		}
		return err
	}
	defer lock.Unlock()
	if e.closed() {
		return ErrClosed
	}
	return diskFull(f(ctx))
}

func (e *Engine) closed() bool { return e.isClosed.Load() }

// sorted returns the collections by id. The caller holds Engine.mu, or no
// other goroutine is left.
func (e *Engine) sorted() []*collection {
	out := make([]*collection, 0, len(e.byName))
	for _, c := range e.byName {
		out = append(out, c)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].id < out[j].id })
	return out
}

func (e *Engine) snapshot() []*collection {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sorted()
}

// allocSegment returns a segment id that was never used. The caller holds Engine.mu.
func (e *Engine) allocSegment() segment.ID {
	if failpoint.On(failpoint.ReuseSegmentID) && e.nextSegment > 1 {
		return e.nextSegment - 1
	}
	e.nextSegment++
	return e.nextSegment - 1
}

// state is the manifest as of now. The caller holds Engine.mu.
func (e *Engine) state() storeState {
	return storeState{
		Format: FormatVersion, StoreID: e.storeID, NextSegment: e.nextSegment,
		NextCollection: e.nextColl, Seq: e.seq, WALLow: e.walLow, Dropped: slices.Clone(e.droppedIDs),
	}
}
