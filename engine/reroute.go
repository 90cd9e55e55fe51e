package engine

import (
	"context"
	"fmt"

	"github.com/colbertdb-go/colbertdb/compaction"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Rerouting moves a segment to a newer routing of its codebook by rewriting its
// postings, and nothing else of it:
//
//	P1  assign its documents to the new centroids; build the postings aside
//	P2  ingest them, in the segment's key range beside the old ones
//	P3  one synced batch: the collection's record names them
//	P4  publish: a view of the same open segment with other lists
//	P5  flush Pebble; excise the old ones
//
// Nobody reads postings from the store after they are loaded, so the old ones
// may go from there while searches still use them. A crash before P3 or P5
// leaves postings that the record does not name; the next open excises them.

// reroute moves a segment of a version to its space. The caller holds v and
// Engine.bg.
func (e *Engine) reroute(ctx context.Context, c *collection, v *version, s segView) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.alive, cancel)()
	id, to := s.Meta().ID, v.space
	defer func() {
		if err != nil {
			err = fmt.Errorf("colbertdb: moving segment %d of collection %q to routing %d: %w", id, c.name, to.routingID(), err)
		}
	}()
	b, err := compaction.Reroute(ctx, s.input(), to.routing, to.encoder())
	if err != nil {
		return err
	}
	paths, err := b.Finish(ctx, e.fs, e.asideDir(), id)
	if err != nil {
		return err
	}
	err = e.publishAside(ctx, c, paths, func(ctx context.Context) error {
		return e.publishRouting(ctx, c, s, to, paths)
	})
	if err != nil {
		return err
	}
	e.stats.reroutes.Add(1)
	return e.exciseObsolete(ctx)
}

// publishRouting is P2 to P4. The caller holds Engine.pub.
func (e *Engine) publishRouting(ctx context.Context, c *collection, s segView, to *space, paths []string) error {
	if err := e.ingest(ctx, paths); err != nil {
		return err
	}
	s.space = c.space().reading(to) // which may have been extended meanwhile
	stale := s.postings
	var err error
	if s.postings, err = s.LoadPostings(to.routing.ID); err != nil {
		return err
	}
	e.mu.Lock()
	state := e.state()
	e.mu.Unlock()
	record := c.record.clone()
	if r := record.segment(s.Meta().ID); r.ID == s.Meta().ID {
		as := newSegmentRecord(&s)
		r.Codebook, r.Routing, r.CodedAs, r.PostedAs = as.Codebook, as.Routing, as.CodedAs, as.PostedAs
	}
	if err := e.guard.write(func() error { return e.writeRouting(c, &state, &record) }); err != nil {
		return err
	}
	e.dropVersions(&c.record, &record)
	c.record = record
	e.mu.Lock()
	defer e.mu.Unlock()
	next := c.next()
	for i := range next.segs {
		if next.segs[i].segHandle == s.segHandle {
			next.segs[i].space, next.segs[i].postings = s.space, s.postings
		}
	}
	c.finish(next)
	e.pins.grow(s.segHandle, s.postings.MemoryBytes()-stale.MemoryBytes())
	e.obsolete.put(obsolete{id: s.Meta().ID, routing: stale.Meta().Routing})
	return nil
}

// writeRouting is P3.
func (e *Engine) writeRouting(c *collection, state *storeState, record *collectionRecord) error {
	b := e.db.NewBatch()
	defer b.Close()
	if err := b.Set(segment.CollectionKey(c.id), record.encode(), nil); err != nil {
		return err
	}
	if err := b.Set(segment.ManifestKey(), state.encode(), nil); err != nil {
		return err
	}
	return e.commitPebble(b)
}
