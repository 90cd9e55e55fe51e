package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/wal"
)

// A store's folder:
//
//	LOCK     held by the process that has it open
//	pebble/  everything but the tail of the log
//	wal/     documents that are not yet in a segment
//	build/   sstables on their way into Pebble; emptied when the store opens

// recover opens or creates the store: manifest, collections, segments, then
// what the log adds. Segments that no collection names are left-overs of a
// crash and are excised before anything is written.
func (e *Engine) recover(ctx context.Context) error {
	if err := e.incomplete(); err != nil {
		return err
	}
	exists := e.exists()
	if !exists && (e.opts.MustExist || e.opts.ReadOnly) {
		return fmt.Errorf("colbertdb: no store in %q: %w", e.dir, fs.ErrNotExist)
	}
	if err := e.fs.MkdirAll(e.dir, 0o755); err != nil {
		return fmt.Errorf("colbertdb: creating %q: %w", e.dir, err)
	}
	var err error
	if e.lock, err = pebble.LockDirectory(e.dir, e.fs); err != nil {
		return fmt.Errorf("%w: %q: %w", ErrLocked, e.dir, err)
	}
	if err := e.adopt(); err != nil {
		return err
	}
	if exists {
		if err := errors.Join(e.checkPebbleManifest(), e.checkPebbleLogs()); err != nil {
			return err
		}
	}
	if e.db, err = e.openPebble(); err != nil {
		if _, why := e.readPebbleManifest(); why != nil && exists {
			err = errors.Join(why, err)
		}
		return fmt.Errorf("colbertdb: opening %q: %w", e.dir, err)
	}
	if !e.opts.ReadOnly {
		e.guard.mark = e.markPebbleLog
		e.removeAside()
		e.removeBackups()
		if err := e.fs.MkdirAll(e.asideDir(), 0o755); err != nil {
			return err
		}
	}
	if !exists {
		// The folders themselves must survive a crash before anything in them counts.
		for _, dir := range []string{e.dir, e.fs.PathDir(e.dir)} {
			if err := syncDir(e.fs, dir); err != nil {
				return err
			}
		}
	}
	if err := e.loadManifest(); err != nil {
		return err
	}
	named, err := e.loadCollections()
	if err != nil {
		return err
	}
	if err := errors.Join(e.loadAliases(), e.loadReindexes(), e.loadKeys()); err != nil {
		return err
	}
	if err := e.exciseOrphans(ctx, named); err != nil {
		return err
	}
	info, err := e.replay()
	e.logLast, e.logLastEnd, err = info.Last, info.LastEnd, corruptLog(err)
	if err != nil || e.opts.ReadOnly {
		return err
	}
	e.log, err = wal.Open(wal.Options{
		FS: e.fs, Dir: e.walDir(), Sync: e.opts.Sync, SyncInterval: e.opts.SyncInterval,
		Prev: info.Last, PrevEnd: info.LastEnd, OnSync: e.stats.logSync.observeTime,
	}, max(info.Last+1, e.walLow))
	return err
}

func (e *Engine) walDir() string    { return filepath.Join(e.dir, "wal") }
func (e *Engine) pebbleDir() string { return filepath.Join(e.dir, "pebble") }

func (e *Engine) exists() bool {
	_, err := e.fs.Stat(e.pebbleDir())
	return err == nil
}

func (e *Engine) openPebble() (*pebble.DB, error) {
	cache := pebble.NewCache(max(8<<20, min(e.opts.MemoryBudget/8, 256<<20)))
	defer cache.Unref()
	o := segment.PebbleOptions()
	o.FS = &pebbleFS{e.fs, e.guard, e.pebbleDir()}
	o.Cache = cache
	o.Logger = e.guard
	o.EventListener = &pebble.EventListener{BackgroundError: e.guard.background, DataCorruption: e.guard.damaged}
	o.ReadOnly = e.opts.ReadOnly
	return pebble.Open(e.pebbleDir(), o)
}

// loadManifest reads the manifest, or writes that of a new store.
func (e *Engine) loadManifest() error {
	val, closer, err := e.db.Get(segment.ManifestKey())
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return e.initStore()
	case err != nil:
		return err
	}
	defer closer.Close()
	s, err := decodeState(val)
	if err != nil {
		return err
	}
	if s.Format > FormatVersion {
		return fmt.Errorf("%w: %q has format %d, this program reads up to %d", ErrFormatTooNew, e.dir, s.Format, FormatVersion)
	}
	e.storeID, e.seq, e.nextSegment, e.nextColl, e.walLow = s.StoreID, s.Seq, s.NextSegment, s.NextCollection, s.WALLow
	e.sealedSeq, e.droppedIDs = s.Seq, s.Dropped
	return nil
}

func (e *Engine) initStore() error {
	// A manifest that is missing beside data is damage, not a new store.
	it, err := e.db.NewIter(nil)
	if err != nil {
		return err
	}
	empty := !it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return err
	}
	if !empty {
		return &segment.CorruptionError{Where: "manifest", Err: errors.New("missing in a store that has data")}
	}
	if e.storeID, err = newID(); err != nil {
		return err
	}
	e.nextSegment, e.nextColl, e.walLow = 1, 1, 1
	s := e.state()
	if err := e.guard.write(func() error { return e.db.Set(segment.ManifestKey(), s.encode(), pebble.Sync) }); err != nil {
		return err
	}
	// Pebble starts its first log before it knows the version of its formats, in an
	// older one that does not tell damage from a torn write: on to the second.
	return e.guard.flush(context.Background(), e.db)
}

// loadCollections reads the record of every collection and returns the segments
// they name. Nothing of them is opened yet (opening.go). Codebooks and routings that
// a record does not name are obsolete.
func (e *Engine) loadCollections() (named map[segment.ID]segmentRecord, err error) {
	named = map[segment.ID]segmentRecord{}
	var last collectionRecord
	span := segment.CollectionKeys()
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for it.First(); it.Valid(); it.Next() {
		if !segment.IsCollectionKey(it.Key()) {
			e.noteVersion(it.Key(), &last)
			continue
		}
		val, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		r, err := decodeCollection(val)
		if err != nil {
			return nil, err
		}
		if err := e.loadCollection(r); err != nil {
			return nil, fmt.Errorf("collection %q: %w", r.Name, err)
		}
		last = r
		for _, s := range r.Segments {
			s.mayIndex = r.NextIndex > 0
			named[s.ID] = s
		}
	}
	return named, it.Error()
}

func (e *Engine) loadCollection(r collectionRecord) error {
	if _, err := codec.ParseProfile(r.Profile); err != nil {
		return &segment.CorruptionError{Where: "collection record", Err: err}
	}
	e.byName[r.Name] = newCollection(e, r)
	return nil
}

// loadSpaces returns the spaces that a collection's record names, by routing;
// that of 0 is flat.
func (e *Engine) loadSpaces(r *collectionRecord, flat *space) (map[uint32]*space, error) {
	ids, routings := r.versions()
	codebooks := map[uint32]*codec.Codebook{}
	for id := range ids {
		cb, err := load(e.db, segment.CodebookKey(r.ID, id), codec.DecodeCodebook)
		if err != nil {
			return nil, fmt.Errorf("codebook %d: %w", id, err)
		}
		codebooks[id] = cb
	}
	spaces := map[uint32]*space{0: flat}
	for id, codebook := range routings {
		rt, err := load(e.db, segment.RoutingKey(r.ID, id), codec.DecodeRouting)
		if err != nil {
			return nil, fmt.Errorf("routing %d: %w", id, err)
		}
		in, ok := rt.For(codebooks[codebook])
		if !ok {
			return nil, &segment.CorruptionError{Where: fmt.Sprintf("routing %d", id), Err: fmt.Errorf("of codebook %d, the record says %d", rt.CodebookID, codebook)}
		}
		spaces[id] = flat.with(codebooks[codebook], in)
	}
	return spaces, nil
}

// getter is a store, or a moment of one.
type getter interface {
	Get(key []byte) (value []byte, closer io.Closer, err error)
}

// load reads and decodes one value that must be there.
func load[T any](db getter, key []byte, decode func([]byte) (T, error)) (out T, err error) {
	val, closer, err := db.Get(key)
	if err != nil {
		if errors.Is(err, pebble.ErrNotFound) {
			err = &segment.CorruptionError{Where: fmt.Sprintf("key %q", key), Err: errors.New("missing")}
		}
		return out, err
	}
	defer closer.Close()
	return decode(val)
}

// openSegment opens an ingested segment, which was written in the versions as and
// is read in space s, with its attribute indexes of the given ids, and pins what
// the budget allows.
func (e *Engine) openSegment(id segment.ID, as versions, s *space, indexes []uint32) (v *segView, err error) {
	r, err := segment.Open(e.db, id)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if got := r.Meta().CodebookID; got != as.codebook {
		return nil, &segment.CorruptionError{Where: fmt.Sprintf("segment %d", id), Err: fmt.Errorf("encoded with codebook %d, the collection's record says %d", got, as.codebook)}
	}
	v = &segView{segHandle: &segHandle{Reader: r, onLeave: e.leave, onLast: e.retire}, space: s}
	bytes := r.MemoryBytes()
	if s.coded() {
		if v.postings, err = r.LoadPostings(as.routing); err != nil {
			return nil, err
		}
		bytes += v.postings.MemoryBytes()
	}
	for _, id := range indexes {
		x, err := r.LoadIndex(id)
		if err != nil {
			return nil, err
		}
		v.indexes = append(v.indexes, x)
		bytes += x.MemoryBytes()
	}
	e.pins.add(e.ctx, v.segHandle, bytes)
	return v, nil
}

// disown gives up a segment that was ingested, and opened or not, and will not be
// published.
func (e *Engine) disown(m segment.Meta, open *segView) {
	switch {
	case m.Docs == 0: // there is none
	case open == nil:
		e.obsolete.put(obsolete{id: m.ID})
		e.wake()
	default:
		open.leave()
		open.onLast(open.segHandle)
	}
}

// abandon closes a segment that was opened for a write that failed. Nothing is
// published any more then: the store is read-only.
func (e *Engine) abandon(open *segView) {
	if open != nil {
		e.pins.remove(open.segHandle)
		open.Close()
	}
}

// leave runs when a collection has no use for a segment any more.
func (e *Engine) leave(id segment.ID) { e.obsolete.mark(obsolete{id: id}) }

// retire runs when no version holds a segment any more.
func (e *Engine) retire(h *segHandle) {
	e.pins.remove(h)
	id := h.Meta().ID
	h.Close()
	if h.obsolete.Load() {
		e.obsolete.put(obsolete{id: id})
	}
	e.wake() // there is room for what it had pinned
}

// exciseOrphans removes segments that no collection names, and makes sure that
// their ids are not used again; and postings of routings and attribute indexes
// that a segment's record does not name, and the codebooks and routings of
// noteVersion.
func (e *Engine) exciseOrphans(ctx context.Context, named map[segment.ID]segmentRecord) error {
	ids, err := segment.ListIDs(e.db)
	if err != nil {
		return err
	}
	orphans := e.obsolete.free()
	for _, id := range ids {
		e.nextSegment = max(e.nextSegment, id+1)
		s, ok := named[id]
		if !ok {
			orphans = append(orphans, obsolete{id: id})
			continue
		}
		var indexes []uint32
		if s.mayIndex {
			if indexes, err = segment.ListIndexes(e.db, id); err != nil {
				return err
			}
		}
		for _, x := range indexes {
			if !slices.Contains(s.Indexes, x) {
				orphans = append(orphans, obsolete{id: id, index: x})
			}
		}
		if s.Routing == 0 {
			continue
		}
		routings, err := segment.ListPostings(e.db, id)
		if err != nil {
			return err
		}
		for _, r := range routings {
			if r != s.written().routing {
				orphans = append(orphans, obsolete{id: id, routing: r})
			}
		}
	}
	if !e.opts.ReadOnly {
		if err := e.exciseScratch(ctx); err != nil {
			return err
		}
	}
	for _, o := range orphans {
		if e.opts.ReadOnly { // the next open for writing removes it
			e.obsolete.put(o)
			continue
		}
		if err := e.excise(ctx, o.span()); err != nil {
			return err
		}
		e.obsolete.forget(o)
	}
	return nil
}

// replay applies the log.
func (e *Engine) replay() (wal.ReplayInfo, error) {
	byID := map[uint32]*collection{}
	for _, c := range e.byName {
		byID[c.id] = c
		c.lastSeq = 0
	}
	info, err := wal.Replay(e.fs, e.walDir(), e.walLow, func(file wal.FileNum, r wal.Record) error {
		switch r.Type {
		case recordBatch, recordForward:
		case recordCollection, recordTime:
			return nil
		default:
			return fmt.Errorf("%w: log record of type %d", ErrFormatTooNew, r.Type)
		}
		e.stats.replayed.Add(1)
		batch, err := decodeBatch(r.Payload)
		if err != nil {
			return err
		}
		e.seq = max(e.seq, r.Seq)
		c := byID[batch.collection]
		if c == nil {
			return e.ofDropped(batch.collection)
		}
		c.logFile = file
		if r.Seq <= c.lastSeq { // a rotation has copied it forward
			return nil
		}
		return c.replay(&batch, r.Seq)
	})
	e.stats.torn.Store(info.TornBytes)
	return info, err
}

// ofDropped reports damage where a log record is of a collection that is not there,
// unless that was dropped: its record in Pebble is lost, or the log's is wrong.
func (e *Engine) ofDropped(collection uint32) error {
	if slices.Contains(e.droppedIDs, collection) {
		return nil
	}
	return &segment.CorruptionError{Where: "log", Err: fmt.Errorf("record of collection %d, which is not in the store and was not dropped", collection)}
}

func (c *collection) replay(b *loggedBatch, seq uint64) error {
	held, err := c.acquire()
	if err != nil {
		return err
	}
	defer c.release(held)
	p := &pending{col: c, ops: b.ops, key: b.key, space: held.space}
	if err := p.encode(); err != nil {
		return err
	}
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	v := c.next()
	if p.deleted, err = c.apply(v, p.ops, p.docs, seq); err != nil {
		return err
	}
	p.seq = seq
	c.engine.keys.note(p)
	c.finish(v)
	return nil
}

// removeAside empties the folder of half-built sstables, before any is built.
// What it cannot remove is in nobody's way: a builder truncates what it finds.
func (e *Engine) removeAside() {
	names, err := e.fs.List(e.asideDir())
	if err != nil {
		return
	}
	for _, n := range names {
		_ = e.fs.Remove(filepath.Join(e.asideDir(), n))
	}
}

func syncDir(fsys vfs.FS, dir string) error {
	d, err := fsys.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("colbertdb: opening %q: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("colbertdb: syncing %q: %w", dir, err)
	}
	return nil
}
