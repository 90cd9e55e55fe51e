package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/colbertdb-go/colbertdb/internal/attribute"
	"github.com/colbertdb-go/colbertdb/segment"
)

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
			if r.attributeIndex(p) < 0 {
				r.NextIndex++
				r.Indexes = append(r.Indexes, segment.IndexSpec{ID: r.NextIndex, Path: p})
			}
		}
		if n := r.attributeIndexes(); n > MaxAttributeIndexes {
			return fmt.Errorf("%w: %d attribute indexes, the limit is %d", ErrInvalid, n, MaxAttributeIndexes)
		}
		return nil
	})
}

// DropAttributeIndexes removes indexes. Filters on the attributes go on to work.
func (h *Collection) DropAttributeIndexes(ctx context.Context, paths ...string) error {
	return h.declare(ctx, func(r *collectionRecord) error {
		for _, p := range paths {
			i := r.attributeIndex(p)
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
		if s.Analyzer != "" {
			continue
		}
		info := AttributeIndexInfo{Path: s.Path, Segments: len(v.segs)}
		for _, seg := range v.segs {
			if i := seg.index(s.ID); i >= 0 {
				info.Indexed++
				info.Bytes += seg.indexes[i].Bytes()
				if x, ok := seg.indexes[i].(*segment.AttributeIndex); ok {
					info.Values += int64(x.Values())
				}
			}
		}
		out = append(out, info)
	}
	return out, nil
}

// attributeIndex is the place of an attribute's declaration, -1 without.
func (r *collectionRecord) attributeIndex(path string) int {
	return slices.IndexFunc(r.Indexes, func(s segment.IndexSpec) bool { return s.Analyzer == "" && s.Path == path })
}

// attributeIndexes counts the attributes' declarations.
func (r *collectionRecord) attributeIndexes() (n int) {
	for _, s := range r.Indexes {
		if s.Analyzer == "" {
			n++
		}
	}
	return n
}
