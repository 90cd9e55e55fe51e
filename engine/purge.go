package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/compaction"
	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/wal"
)

// Purging a document erases its bytes; a delete alone leaves them where they are
// until a merge, a removal of log files and a compaction of Pebble come by.
//
//	E1  delete the documents, durably
//	E2  rotate the log, seal the collection: nothing of them is in a buffer, and
//	    no log file that counts names them
//	E3  erase their operations from log files that are kept
//	E4  rewrite each segment that holds one of them, dead
//	E5  excise the old segments, when their last reader has let go
//	E6  scrub Pebble: ids, its own log, sstables, MANIFEST (scrub.go)
//
// Every step can be made again, and does nothing where nothing is left: a purge
// that was interrupted is repeated as a whole. docs/rfcs/0003-purge.md.

// PurgeResult says what a purge did, and what is out of its reach.
type PurgeResult struct {
	Deleted  int    // documents that were there
	Seq      uint64 // sequence number of their deletion
	Segments int    // rewritten
	LogFiles int    // kept ones, from which operations were erased
	// Copies are the checkpoints and backups begun of the store before the purge
	// ended, as far as it knows: each may hold the documents. Those whose folders are
	// gone are not listed.
	Copies []Copy
	// Aside are folders in which repairs have put damaged parts of the store.
	Aside []string
	// Previous is the collection that an alias of this one led to before, as a
	// reindex leaves it; its copy of the documents is purged by its own name.
	Previous string
}

// Purge removes documents and returns once their bytes (vectors, text, attributes,
// ids) are gone from the store's files: log files, kept ones too, segments, raw
// vectors, and Pebble's own files. Where it returns an error, also because the
// context ended, the documents are deleted and some of their bytes may be left:
// call it again. Ids that are not there are purged as well, of what earlier
// versions left. It takes the time of rewriting the segments that hold the
// documents, and waits for reads that began before and for a Verify; other reads and
// writes go on.
// A document that is written under one of the ids while it runs is a new one and
// stays.
//
// Out of reach: copies (PurgeResult names those it knows), what was read out of the
// store, as by ExportSegment, what file system and
// drive keep of files that were removed, and what was computed from many documents
// at once: a codebook's cells are means of their tokens.
//
// ErrBulkOpen, ErrInUse: a load is open on the collection, or a reindex runs.
func (h *Collection) Purge(ctx context.Context, ids ...string) (*PurgeResult, error) {
	if len(ids) == 0 {
		return nil, fmt.Errorf("%w: no ids", ErrInvalid)
	}
	p := &purge{e: h.c.engine, c: h.c, ids: map[string]bool{}}
	for _, id := range ids {
		p.ids[id] = true
	}
	if err := p.allowed(); err != nil {
		return nil, err
	}
	if err := p.delete(ctx, h, ids); err != nil {
		return nil, err
	}
	if err := p.e.background(ctx, p.run); err != nil {
		return nil, fmt.Errorf("colbertdb: the documents are deleted, purging them was interrupted and has to be repeated: %w", err)
	}
	return &p.result, nil
}

// purge is one run of Purge.
type purge struct {
	e      *Engine
	c      *collection
	ids    map[string]bool
	result PurgeResult
}

// allowed reports why the collection cannot be purged now.
func (p *purge) allowed() error {
	p.e.mu.Lock()
	defer p.e.mu.Unlock()
	if p.c.bulk != nil {
		return fmt.Errorf("%w: %q; finish it before the purge", ErrBulkOpen, p.c.title())
	}
	if into, _ := p.e.unfinished(p.c); into != nil || p.c.notes != nil {
		return fmt.Errorf("%w: collection %q is being re-encoded; finish the reindex, or drop what it fills", ErrInUse, p.c.title())
	}
	return nil
}

// delete is E1.
func (p *purge) delete(ctx context.Context, h *Collection, ids []string) error {
	plain := *h
	plain.key = nil
	for part := range slices.Chunk(ids, MaxBatchDocuments) {
		r, err := plain.Delete(ctx, part...)
		if err != nil {
			return err
		}
		p.result.Deleted += r.Deleted
		p.result.Seq = r.Seq
	}
	return nil
}

// run is E2 to E6. The caller holds Engine.bg.
func (p *purge) run(ctx context.Context) error {
	if err := p.allowed(); err != nil {
		return err
	}
	e := p.e
	ours := func(c *collection) bool { return c == p.c }
	if err := e.fit(ctx, ours); err != nil {
		return err
	}
	err := e.publishing(ctx, func(ctx context.Context) error {
		if err := e.sealAndRotate(ctx, ours, true); err != nil {
			return err
		}
		return p.eraseLog(ctx)
	})
	if err != nil {
		return err
	}
	if err := p.rewrite(ctx); err != nil {
		return err
	}
	if err := e.exciseAll(ctx); err != nil {
		return err
	}
	// Verify holds sstables that scrubbing waits for; seals need not wait too.
	if err := e.verifying.LockContext(ctx); err != nil {
		return err
	}
	defer e.verifying.Unlock()
	return e.publishing(ctx, func(ctx context.Context) error {
		if err := p.scrub(ctx); err != nil {
			return err
		}
		return p.outOfReach()
	})
}

// eraseLog is E3. The caller holds Engine.pub.
func (p *purge) eraseLog(ctx context.Context) error {
	e := p.e
	e.mu.Lock()
	low := e.walLow
	e.mu.Unlock()
	nums, err := wal.List(e.fs, e.walDir())
	if err != nil {
		return err
	}
	for _, n := range nums {
		if n >= low {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		changed, err := wal.Erase(e.fs, e.walDir(), n, func(r wal.Record) ([]byte, error) {
			if r.Type != recordBatch && r.Type != recordForward {
				return nil, nil
			}
			return eraseOps(r.Payload, p.c.id, p.ids)
		})
		if err != nil {
			return corruptLog(err)
		}
		if changed {
			p.result.LogFiles++
		}
	}
	return nil
}

// rewrite is E4.
func (p *purge) rewrite(ctx context.Context) error {
	v, err := p.c.acquire()
	if err != nil {
		return err
	}
	var tasks []compaction.Task
	for i, s := range v.segs {
		if p.holds(s) {
			tasks = append(tasks, compaction.Task{From: i, To: i + 1, Reason: reasonPurge})
		}
	}
	defer p.c.release(v)
	for i := range tasks {
		if err := p.e.replace(ctx, p.c, v, tasks[i:i+1], nil); err != nil {
			return err
		}
		p.result.Segments++
	}
	return nil
}

// reasonPurge is the reason of a merge that rewrites one segment to erase what it
// holds of purged documents.
const reasonPurge compaction.Reason = "purge"

// holds reports whether a segment holds a dead document of one of the ids.
func (p *purge) holds(s segView) bool {
	if s.live == nil {
		return false
	}
	for ord := range s.Len() {
		if !s.live.Get(ord) && p.ids[s.ExternalID(ord)] {
			return true
		}
	}
	return false
}

// exciseAll is E5: it waits until everything is excised that no collection names
// now.
func (e *Engine) exciseAll(ctx context.Context) error {
	left := e.obsolete.items()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := e.exciseObsolete(ctx); err != nil {
			return err
		}
		now := e.obsolete.items()
		left = slices.DeleteFunc(left, func(o obsolete) bool { return !slices.Contains(now, o) })
		if len(left) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// outOfReach lists where the documents may still be. The caller holds Engine.pub, so
// that all copies listed were begun before the end of the purge, and any of them may
// hold the documents: those from after the deletion too, dead.
func (p *purge) outOfReach() (err error) {
	e := p.e
	if p.result.Copies, err = e.copies(); err != nil {
		return err
	}
	names, _ := e.fs.List(filepath.Join(e.dir, asideDir)) // most stores have none
	slices.Sort(names)
	for _, n := range names {
		p.result.Aside = append(p.result.Aside, filepath.Join(e.dir, asideDir, n))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.aliases {
		if a.target == p.c && a.previous != nil {
			p.result.Previous = a.previous.title()
		}
	}
	return nil
}

// scrub is E6. The caller holds Engine.pub: nobody else writes ids.
func (p *purge) scrub(ctx context.Context) error {
	keys, err := p.deadKeys()
	if err != nil {
		return err
	}
	return p.e.scrub(ctx, keys)
}

// deadKeys are the keys of the ids that lead to no live document, sorted.
func (p *purge) deadKeys() (keys [][]byte, err error) {
	if _, err := p.c.use(); err != nil {
		return nil, err
	}
	defer p.c.unuse()
	ids := make([]string, 0, len(p.ids))
	for id := range p.ids {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for part := range slices.Chunk(ids, deadBatch) {
		dead, err := p.c.dead(part)
		if err != nil {
			return nil, err
		}
		for _, id := range dead {
			keys = append(keys, segment.DocumentKey(p.c.id, id))
		}
	}
	return keys, nil
}

// deleteKeys writes marks of deletion, synced.
func (e *Engine) deleteKeys(keys [][]byte) error {
	return e.guard.write(func() error {
		b := e.db.NewBatch()
		defer b.Close()
		for _, k := range keys {
			if err := b.Delete(k, nil); err != nil {
				return err
			}
		}
		return b.Commit(pebble.Sync)
	})
}
