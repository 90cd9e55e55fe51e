package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/internal/failpoint"
	"github.com/colbertdb-go/colbertdb/internal/pace"
	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/wal"
)

// Sealing turns memory buffers into segments:
//
//	S1  rotate the log; freeze the buffers; copy small ones' records forward
//	S2  build sstables aside, synced
//	S3  ingest them: in the store, referenced by nothing
//	S4  one synced batch: manifest, collection records, ids, delete sets
//	S5  publish a version with the segments in place of the buffers
//	S6  flush Pebble, so that the manifest is in an sstable; remove old log files
//
// A crash before S4 leaves an orphan that the next open excises, and the log
// still holds the documents; after S4 the log files are merely not yet removed.

// smallBuffer is the size below which a rotation copies a buffer's records to
// the new log file rather than make a tiny segment of it.
const smallBuffer = 256 << 10

// sealJob is one frozen buffer on its way to a segment.
type sealJob struct {
	col  *collection
	mt   *memtable
	view *memView // as of the rotation
	meta segment.Meta
	open *segView // nil when no document of the buffer was live
}

// deleteJob is a delete set to be saved.
type deleteJob struct {
	col     *collection
	handle  *segHandle
	live    *segment.Bitset
	version uint64
}

func (m *memtable) full(o *Options) bool {
	return m.bytes >= o.SealBytes || len(m.docs) >= o.SealDocuments
}

// seal seals what is due, and everything of the collections that force names.
// The caller holds Engine.pub.
func (e *Engine) seal(ctx context.Context, force func(*collection) bool) error {
	return e.sealAndRotate(ctx, force, false)
}

// sealAndRotate is seal; with always set, the log is rotated even where nothing is
// due.
func (e *Engine) sealAndRotate(ctx context.Context, force func(*collection) bool, always bool) (err error) {
	if err := e.guard.check(nil); err != nil {
		return err
	}
	r, err := e.rotate(force, always)
	if err != nil || r == nil {
		return err
	}
	jobs := r.jobs
	defer e.sealing(jobs)(&err)
	var paths []string
	defer func() {
		if err != nil {
			e.removeFiles(paths)
		}
	}()
	for _, j := range jobs {
		built, err := e.build(ctx, j)
		if err != nil {
			return fmt.Errorf("colbertdb: sealing collection %q: %w", j.col.name, err)
		}
		paths = append(paths, built...)
	}
	publish := func() error {
		return e.guard.write(func() error { return e.writeSeal(r) })
	}
	if failpoint.On(failpoint.PublishBeforeIngest) {
		if err := publish(); err != nil {
			return err
		}
	}
	if err := e.ingest(ctx, paths); err != nil {
		return err
	}
	for _, j := range jobs {
		if j.meta.Docs > 0 {
			if j.open, err = e.openSegment(j.meta.ID, j.mt.space.versions(), j.mt.space, j.meta.Indexes); err != nil {
				for _, j := range jobs {
					e.disown(j.meta, j.open)
				}
				return err
			}
		}
	}
	if !failpoint.On(failpoint.PublishBeforeIngest) {
		if err := publish(); err != nil {
			for _, j := range jobs {
				e.abandon(j.open)
			}
			return err
		}
	}
	e.publishSeal(r)
	e.closeIdle()
	return e.retireLog(ctx, r.low)
}

// rotation is what one seal covers: the log files before low hold nothing that is
// not in jobs, deletes, keys, or copied forward.
type rotation struct {
	low     wal.FileNum
	state   storeState
	jobs    []*sealJob
	deletes []deleteJob
	keys    keyChanges
	// forwarded are the collections with records that were copied forward.
	forwarded []*collection
}

// rotate is S1. It fixes what this seal covers: no commit group is under way, so
// that the files before low hold what the jobs and the forwarded records hold.
// Reads go on while the log is synced.
func (e *Engine) rotate(force func(*collection) bool, always bool) (*rotation, error) {
	e.commitMu.Lock()
	defer e.commitMu.Unlock()
	r, forward := e.freeze(force, always)
	if r == nil {
		return nil, nil
	}
	var err error
	if r.low, err = e.log.Rotate(); err == nil && len(forward) > 0 {
		err = e.log.Append(forward)
	}
	if err == nil && !failpoint.On(failpoint.ForwardUnsynced) {
		err = e.log.Sync() // the files that have them durably are about to go
	}
	if err != nil {
		return nil, e.logFailed(err)
	}
	low := uint64(r.low)
	e.events.emit(func(l *EventListener) { l.LogRotated(LogInfo{File: low}) })
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, j := range r.jobs {
		j.meta.ID = e.allocSegment()
	}
	for _, c := range r.forwarded {
		c.logFile = r.low
	}
	r.state = e.state()
	r.state.WALLow, r.state.Dropped = r.low, nil
	if failpoint.On(failpoint.LowWaterOffByOne) {
		r.state.WALLow++
	}
	return r, nil
}

// freeze ends the buffers that a seal takes and returns the records of those
// that it leaves; nil where nothing is due. The caller holds Engine.commitMu.
func (e *Engine) freeze(force func(*collection) bool, always bool) (r *rotation, forward []wal.Record) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := byID(e.unsealed)
	always = always || e.keys.due()
	if !always && !slices.ContainsFunc(all, force) {
		return nil, nil
	}
	r = &rotation{keys: e.keys.unsaved()}
	for _, c := range all {
		if force(c) || c.active.full(&e.opts) || (len(c.active.docs) > 0 && c.active.bytes >= smallBuffer) {
			c.freeze()
		} else {
			if records := c.active.records(c.id); len(records) > 0 {
				forward = append(forward, records...)
				r.forwarded = append(r.forwarded, c)
			}
		}
		if len(c.active.docs) == 0 {
			c.unsealedSince = time.Time{}
		}
		for _, m := range c.frozen {
			r.jobs = append(r.jobs, &sealJob{col: c, mt: m, view: m.view()})
		}
		for _, s := range c.current.segs {
			if s.live != s.saved {
				r.deletes = append(r.deletes, deleteJob{col: c, handle: s.segHandle, live: s.live, version: s.savedDeletes + 1})
			}
		}
	}
	if !always && len(r.jobs) == 0 && len(r.deletes) == 0 {
		return nil, nil
	}
	return r, forward
}

// records rebuilds the log records of the live documents of a small buffer,
// with the sequence and document numbers that they have.
func (m *memtable) records(collection uint32) []wal.Record {
	var out []wal.Record
	var ops []op
	flush := func(seq uint64) {
		if len(ops) > 0 {
			out = append(out, wal.Record{Seq: seq, Type: recordForward, Payload: (&loggedBatch{collection: collection, ops: ops}).append(nil)})
			ops = ops[:0]
		}
	}
	var seq uint64
	for ord, d := range m.docs {
		if at, ok := m.byID[d.op.id]; !ok || at != ord {
			continue
		}
		if d.seq != seq {
			flush(seq)
			seq = d.seq
		}
		ops = append(ops, *d.op)
	}
	flush(seq)
	return out
}

// build is S2 for one buffer.
func (e *Engine) build(ctx context.Context, j *sealJob) (paths []string, err error) {
	if j.view.live != nil && j.view.live.Count() == 0 {
		return nil, nil
	}
	b, err := segment.NewBuilder(e.fs, e.asideDir(), j.meta.ID, j.col.segmentConfig(j.mt.space))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.Abort()
		}
	}()
	for ord, d := range j.view.docs {
		if !j.view.isLive(ord) {
			continue
		}
		if err := pace.Point(ctx); err != nil {
			return nil, err
		}
		doc := segment.Document{
			Num: d.op.num, ID: d.op.id, Text: d.op.text, HasText: d.op.text != "",
			Attributes: d.op.attrs, Seq: d.seq, Encoded: d.enc,
		}
		if err := b.Add(doc); err != nil {
			return nil, err
		}
	}
	j.meta, paths, err = b.Finish(ctx)
	return paths, err
}

// ingest is S3 and C3.
func (e *Engine) ingest(ctx context.Context, paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	if err := e.guard.check(nil); err != nil {
		return err
	}
	// Pebble links the files and then edits its MANIFEST, which poisons if it
	// fails. A disk without room for the links has changed nothing.
	err := e.db.Ingest(ctx, paths)
	if err != nil && !vfs.IsNoSpaceError(err) {
		e.guard.poison(err)
	}
	return e.guard.check(err)
}

// writeSeal is S4.
func (e *Engine) writeSeal(rot *rotation) error {
	b := e.db.NewBatch()
	defer b.Close()
	if err := rot.keys.write(b); err != nil {
		return err
	}
	changed := map[*collection]*collectionRecord{}
	record := func(c *collection) *collectionRecord {
		if changed[c] == nil {
			r := c.record.clone()
			changed[c] = &r
		}
		return changed[c]
	}
	for _, j := range rot.jobs {
		r := record(j.col)
		r.NextNum = max(r.NextNum, j.view.docs[len(j.view.docs)-1].op.num+1)
		if j.meta.Docs == 0 {
			continue
		}
		r.Segments = append(r.Segments, newSegmentRecord(j.open))
		for ord, d := range j.view.docs {
			if j.view.isLive(ord) {
				if err := b.Set(segment.DocumentKey(j.col.id, d.op.id), segment.EncodeDocumentRef(d.op.num), nil); err != nil {
					return err
				}
			}
		}
	}
	for _, d := range rot.deletes {
		if err := b.Set(segment.DeletesKey(d.handle.Meta().ID, d.version), segment.EncodeDeletes(d.live), nil); err != nil {
			return err
		}
		if d.handle.savedDeletes > 0 {
			if err := b.Delete(segment.DeletesKey(d.handle.Meta().ID, d.handle.savedDeletes), nil); err != nil {
				return err
			}
		}
		r := record(d.col).segment(d.handle.Meta().ID)
		r.Deletes = d.version
		r.count(segView{segHandle: d.handle, live: d.live})
	}
	for c, r := range changed {
		if err := b.Set(segment.CollectionKey(c.id), r.encode(), nil); err != nil {
			return err
		}
	}
	if err := b.Set(segment.ManifestKey(), rot.state.encode(), nil); err != nil {
		return err
	}
	if err := e.commitPebble(b); err != nil {
		return err
	}
	for c, r := range changed {
		c.record = *r
	}
	return nil
}

// publishSeal is S5.
func (e *Engine) publishSeal(r *rotation) {
	e.commitMu.Lock()
	defer e.commitMu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys.saved(r.keys)
	for _, d := range r.deletes {
		d.handle.saved, d.handle.savedDeletes = d.live, d.version
	}
	next := map[*collection]*version{}
	for _, j := range r.jobs {
		v := next[j.col]
		if v == nil {
			v = j.col.next()
			next[j.col] = v
		}
		j.col.dropFrozen(j.mt)
		if j.open != nil {
			j.open.live = j.lateDeletes()
			v.segs = append(v.segs, *j.open)
		}
	}
	for c, v := range next {
		c.finish(v)
		e.mergeable[c] = struct{}{}
	}
	for _, d := range r.deletes {
		e.noteUnsealed(d.col)
		e.mergeable[d.col] = struct{}{}
	}
	e.walLow, e.droppedIDs = r.low, nil
	e.wake() // a new segment may be one too many
}

// lateDeletes returns the live bits of the new segment: its documents that
// died in the buffer since the rotation are dead there too.
func (j *sealJob) lateDeletes() *segment.Bitset {
	var live *segment.Bitset
	for _, ord := range j.mt.dead {
		if ord >= len(j.view.docs) || !j.view.isLive(ord) {
			continue
		}
		if at, ok := j.open.Find(j.mt.docs[ord].op.num); ok {
			if live == nil {
				live = segment.NewBitset(j.open.Len(), true)
			}
			live.Clear(at)
		}
	}
	return live
}

func (c *collection) dropFrozen(m *memtable) {
	for i, f := range c.frozen {
		if f == m {
			c.frozen = append(c.frozen[:i:i], c.frozen[i+1:]...)
			return
		}
	}
}

// retireLog is S6.
func (e *Engine) retireLog(ctx context.Context, low wal.FileNum) error {
	if failpoint.On(failpoint.RemoveLogBeforeFlush) {
		return e.log.Remove(low)
	}
	if err := e.guard.flush(ctx, e.db); err != nil {
		return err
	}
	low, err := e.removable(low)
	if err != nil {
		return err
	}
	if err := e.log.Remove(low); err != nil {
		return err
	}
	e.events.emit(func(l *EventListener) { l.LogRemoved(LogInfo{File: uint64(low)}) })
	return nil
}

// removeFiles removes sstables that will not be ingested. One that stays is in
// nobody's way until the store opens next and removes it.
func (e *Engine) removeFiles(paths []string) {
	for _, p := range paths {
		_ = e.fs.Remove(p)
	}
}

// asideDir is where sstables are built before they are ingested.
func (e *Engine) asideDir() string { return filepath.Join(e.dir, "build") }
