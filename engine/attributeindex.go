package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/colbertdb-go/colbertdb/internal/attribute"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Attribute indexes are declared for a collection and built for each of its
// segments, as part of it: a segment that is sealed, merged, loaded or repaired is
// built with the indexes that are declared at that moment, and like the rest of it
// they never change. A buffer keeps the declared attributes of its documents apart
// (memindex.go). So no write keeps an index in step: there is none to be out of it.
//
// Segments that are there before the declaration get theirs beside what they have:
//
//	X1  read the attributes; build the indexes aside
//	X2  ingest them, in the segment's key range
//	X3  one synced batch: the collection's record names them
//	X4  publish: a view of the same open segment with the indexes
//
// A search uses what a segment has and reads attributes where it has nothing, so a
// declaration that is half carried out costs time and never a wrong answer. It is
// carried out under Engine.bg, by who declares and, after a crash or where a
// segment was begun before the declaration, in the background. A dropped index
// goes the same way back. docs/rfcs/0004-filters-and-attribute-indexes.md.

// MaxAttributeIndexes is the number of indexes that a collection can have.
const MaxAttributeIndexes = 32

// AttributeIndexInfo describes an attribute index.
type AttributeIndexInfo struct {
	Path string
	// Of the collection's Segments, Indexed have it so far.
	Indexed, Segments int
	Values            int64 // different ones, summed over segments
	Bytes             int64 // stored
}

// IndexAttributes declares indexes of attributes, named as in filters, and returns
// when every segment has them. Searches and writes go on meanwhile. What is
// declared already is no error.
func (h *Collection) IndexAttributes(ctx context.Context, paths ...string) error {
	for _, p := range paths {
		if _, err := attribute.ParsePath(p); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return h.declare(ctx, func(r *collectionRecord) error {
		for _, p := range paths {
			if r.index(p) < 0 {
				r.NextIndex++
				r.Indexes = append(r.Indexes, segment.IndexSpec{ID: r.NextIndex, Path: p})
			}
		}
		if len(r.Indexes) > MaxAttributeIndexes {
			return fmt.Errorf("%w: %d attribute indexes, the limit is %d", ErrInvalid, len(r.Indexes), MaxAttributeIndexes)
		}
		return nil
	})
}

// DropAttributeIndexes removes indexes. Filters on the attributes go on to work.
func (h *Collection) DropAttributeIndexes(ctx context.Context, paths ...string) error {
	return h.declare(ctx, func(r *collectionRecord) error {
		for _, p := range paths {
			i := r.index(p)
			if i < 0 {
				return fmt.Errorf("%w: attribute %q of collection %q has no index", ErrNotFound, p, r.Name)
			}
			r.Indexes = slices.Delete(r.Indexes, i, i+1)
		}
		return nil
	})
}

// AttributeIndexes describes the collection's attribute indexes.
func (h *Collection) AttributeIndexes() ([]AttributeIndexInfo, error) {
	if err := h.c.engine.enter(); err != nil {
		return nil, err
	}
	defer h.c.engine.exit()
	v, err := h.c.acquire()
	if err != nil {
		return nil, err
	}
	defer h.c.release(v)
	out := []AttributeIndexInfo{}
	for _, s := range h.c.declared() {
		info := AttributeIndexInfo{Path: s.Path, Segments: len(v.segs)}
		for _, seg := range v.segs {
			if i := seg.index(s.ID); i >= 0 {
				x := seg.indexes[i]
				info.Indexed++
				info.Values += int64(x.Values())
				info.Bytes += x.Bytes()
			}
		}
		out = append(out, info)
	}
	return out, nil
}

// index is the place of an attribute's declaration, -1 without.
func (r *collectionRecord) index(path string) int {
	return slices.IndexFunc(r.Indexes, func(s segment.IndexSpec) bool { return s.Path == path })
}

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
	held, err := c.use()
	if err != nil {
		return err
	}
	_ = held
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
	return slices.IndexFunc(s.indexes, func(x *segment.AttributeIndex) bool { return x.ID() == id })
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
			err = fmt.Errorf("colbertdb: indexing attributes of segment %d of collection %q: %w", id, c.name, err)
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
		if paths, err = s.BuildAttributeIndexes(ctx, missing, e.fs, e.asideDir()); err != nil {
			return err
		}
	}
	err = e.publishing(ctx, func(ctx context.Context) error {
		if err := errors.Join(ctx.Err(), c.alive.Err()); err != nil { // a drop must not be undone
			return err
		}
		return e.publishIndexes(ctx, c, s, want, paths)
	})
	if err != nil {
		e.removeFiles(paths)
	}
	return err
}

// publishIndexes is X2 to X4. The caller holds Engine.pub.
func (e *Engine) publishIndexes(ctx context.Context, c *collection, s segView, want []uint32, paths []string) error {
	id := s.Meta().ID
	if err := e.ingest(ctx, paths); err != nil {
		return err
	}
	kept := make([]*segment.AttributeIndex, 0, len(want))
	var bytes int64
	for _, w := range want {
		i := s.index(w)
		if i >= 0 {
			kept = append(kept, s.indexes[i])
			continue
		}
		x, err := s.LoadAttributeIndex(w)
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
