package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/colbertdb-go/colbertdb/segment"
)

// A collection's indexes, of attributes and of terms, are declared for it and built for
// each of its segments, as part of it: a segment that is sealed, merged, loaded or
// repaired is built with the indexes that are declared at that moment, and like the
// rest of it they never change. A buffer keeps what its documents put into them apart
// (memindex.go, memterms.go). So no write keeps an index in step: there is none to be
// out of it.
//
// Segments that are there before the declaration get theirs beside what they have:
//
//	X1  read the documents; build the indexes aside
//	X2  ingest them, in the segment's key range
//	X3  one synced batch: the collection's record names them
//	X4  publish: a view of the same open segment with the indexes
//
// A search uses what a segment has and reads its documents where it has nothing, so a
// declaration that is half carried out costs time and never a wrong answer. It is
// carried out under Engine.bg, by who declares and, after a crash or where a
// segment was begun before the declaration, in the background. A dropped index
// goes the same way back. docs/rfcs/0004-filters-and-attribute-indexes.md.

// declared are the indexes that new segments are built with. The slice is not
// changed.
func (c *collection) declared() []segment.IndexSpec { return *c.indexes.Load() }

// segmentConfig is how a new segment of a space is built.
func (c *collection) segmentConfig(s *space) segment.Config {
	cfg := s.segmentConfig()
	cfg.Indexes = c.declared()
	return cfg
}

// declare changes the declarations, durably, and carries the change out.
func (h *Collection) declare(ctx context.Context, change func(*collectionRecord) error) error {
	c, e := h.c, h.c.engine
	if err := e.enter(); err != nil {
		return err
	}
	defer e.exit()
	if _, err := c.use(); err != nil {
		return err
	}
	defer c.unuse()
	return e.background(ctx, func(ctx context.Context) error {
		err := e.publishing(ctx, func(context.Context) error {
			if err := c.alive.Err(); err != nil {
				return fmt.Errorf("%w: %q", ErrCollectionNotFound, c.name)
			}
			record := c.record.clone()
			if err := change(&record); err != nil {
				return err
			}
			if err := e.guard.write(func() error { return e.writeIndexes(c, &record) }); err != nil {
				return err
			}
			c.record = record
			c.setDeclared(record.Indexes)
			e.commitMu.Lock()
			defer e.commitMu.Unlock()
			e.mu.Lock()
			defer e.mu.Unlock()
			for _, m := range c.buffers() {
				m.declare(c.declared())
			}
			c.finish(c.next())
			return nil
		})
		if err != nil {
			return err
		}
		return errors.Join(e.indexDue(ctx, c), e.exciseObsolete(ctx))
	})
}

func (c *collection) setDeclared(specs []segment.IndexSpec) {
	specs = slices.Clone(specs)
	c.indexes.Store(&specs)
}

// indexDue gives the collection's segments the indexes that are declared, and
// takes away others. The caller holds Engine.bg.
func (e *Engine) indexDue(ctx context.Context, c *collection) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.alive, cancel)()
	for {
		v, err := c.acquire()
		if err != nil {
			return err
		}
		i := slices.IndexFunc(v.segs, func(s segView) bool { return !s.indexedAs(c.declared()) })
		if i >= 0 && c.alive.Err() == nil {
			err = e.indexSegment(ctx, c, v.segs[i])
		}
		c.release(v)
		if i < 0 || err != nil || c.alive.Err() != nil {
			return err
		}
	}
}

// index is the place of an index, -1 where the segment has none of that id.
func (s segView) index(id uint32) int {
	return slices.IndexFunc(s.indexes, func(x segment.Index) bool { return x.ID() == id })
}

// indexedAs reports whether the segment has exactly the indexes declared.
func (s segView) indexedAs(declared []segment.IndexSpec) bool {
	return len(s.indexes) == len(declared) && !slices.ContainsFunc(declared, func(d segment.IndexSpec) bool { return s.index(d.ID) < 0 })
}

// indexSegment carries the declarations out for one segment.
func (e *Engine) indexSegment(ctx context.Context, c *collection, s segView) (err error) {
	id := s.Meta().ID
	defer func() {
		if err != nil {
			err = fmt.Errorf("colbertdb: making indexes of segment %d of collection %q: %w", id, c.name, err)
		}
	}()
	var missing []segment.IndexSpec
	var want []uint32
	for _, d := range c.declared() {
		want = append(want, d.ID)
		if s.index(d.ID) < 0 {
			missing = append(missing, d)
		}
	}
	var paths []string
	if len(missing) > 0 {
		if paths, err = s.BuildIndexes(ctx, missing, e.fs, e.asideDir()); err != nil {
			return err
		}
	}
	return e.publishAside(ctx, c, paths, func(ctx context.Context) error {
		return e.publishIndexes(ctx, c, s, want, paths)
	})
}

// publishIndexes is X2 to X4. The caller holds Engine.pub.
func (e *Engine) publishIndexes(ctx context.Context, c *collection, s segView, want []uint32, paths []string) error {
	id := s.Meta().ID
	if err := e.ingest(ctx, paths); err != nil {
		return err
	}
	kept := make([]segment.Index, 0, len(want))
	var bytes int64
	for _, w := range want {
		i := s.index(w)
		if i >= 0 {
			kept = append(kept, s.indexes[i])
			continue
		}
		x, err := s.LoadIndex(w)
		if err != nil {
			return err
		}
		kept, bytes = append(kept, x), bytes+x.MemoryBytes()
	}
	record := c.record.clone()
	record.segment(id).Indexes = want
	if err := e.guard.write(func() error { return e.writeIndexes(c, &record) }); err != nil {
		return err
	}
	c.record = record
	e.mu.Lock()
	defer e.mu.Unlock()
	next := c.next()
	for i := range next.segs {
		if next.segs[i].segHandle == s.segHandle {
			next.segs[i].indexes = kept
		}
	}
	c.finish(next)
	for _, x := range s.indexes {
		if !slices.Contains(want, x.ID()) {
			bytes -= x.MemoryBytes()
			e.obsolete.put(obsolete{id: id, index: x.ID()})
		}
	}
	e.pins.grow(s.segHandle, bytes)
	s.made.forget()
	return nil
}

// writeIndexes is X3.
func (e *Engine) writeIndexes(c *collection, record *collectionRecord) error {
	e.mu.Lock()
	state := e.state()
	e.mu.Unlock()
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
