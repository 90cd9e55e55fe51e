package engine

import (
	"github.com/colbertdb-go/colbertdb/internal/attribute"
	"github.com/colbertdb-go/colbertdb/query/filter"
	"github.com/colbertdb-go/colbertdb/segment"
)

// memIndex keeps one attribute of a buffer's documents, read once, so that a
// search compares values and parses nothing. It only grows: what a view has taken
// hold of does not change.
type memIndex struct {
	path   attribute.Path
	ends   []uint32          // of each document's values
	values []attribute.Value // of all documents, one after the other
	states []memState
}

// memState says what is known of a document besides its values.
type memState uint8

const (
	memAbsent memState = iota
	memThere           // the attribute exists
	memOdd             // the attributes cannot be read: whoever reads them finds out
)

func newMemIndexes(specs []segment.IndexSpec) []memIndex {
	out := make([]memIndex, 0, len(specs))
	for _, s := range specs {
		if p, err := attribute.ParsePath(s.Path); s.Analyzer == "" && err == nil { // it was parsed when it was declared
			out = append(out, memIndex{path: p})
		}
	}
	return out
}

// add reads the next document.
func (x *memIndex) add(attrs []byte) {
	exists, err := x.path.Each(attrs, func(v attribute.Value) bool {
		if v.Kind != attribute.Object {
			x.values = append(x.values, v)
		}
		return true
	})
	state := memAbsent
	switch {
	case err != nil:
		state = memOdd
	case exists:
		state = memThere
	}
	x.states, x.ends = append(x.states, state), append(x.ends, uint32(len(x.values)))
}

// Select adds the documents that meet a test.
func (x *memIndex) Select(t *attribute.Test, must, may *segment.Bitset) {
	from := uint32(0)
	for ord, end := range x.ends {
		switch state := x.states[ord]; {
		case state == memOdd:
			may.Set(ord)
		case t.Op == attribute.Exists:
			if state == memThere {
				must.Set(ord)
			}
		default:
			for i := from; i < end; i++ {
				if t.Holds(x.values[i]) {
					must.Set(ord)
					break
				}
			}
		}
		from = end
	}
}

// declare makes the buffer keep what indexes are of, that of the documents that it
// has included. The caller holds Engine.mu and publishes afterwards.
func (m *memtable) declare(specs []segment.IndexSpec) {
	m.indexes = newMemIndexes(specs)
	for i := range m.indexes {
		for _, d := range m.docs {
			m.indexes[i].add(d.op.attrs)
		}
	}
	terms := newMemTerms(specs)
	if terms != nil && m.terms != nil && terms.spec == m.terms.spec {
		return
	}
	m.terms = terms
	for _, d := range m.docs {
		m.terms.add(d)
	}
}

// AttributeIndex returns what the buffer keeps of an attribute.
func (v *memView) AttributeIndex(path string) filter.Index {
	for i := range v.indexes {
		if v.indexes[i].path.String() == path {
			return &v.indexes[i]
		}
	}
	return nil
}

// AttributeIndex returns the segment's index of an attribute.
func (s segView) AttributeIndex(path string) filter.Index {
	for _, x := range s.indexes {
		if x, ok := x.(*segment.AttributeIndex); ok && x.Path() == path {
			return x
		}
	}
	return nil
}
