package engine

import (
	"cmp"
	"slices"
	"sync"

	"github.com/colbertdb-go/colbertdb/segment"
)

// obsolete is data that no collection names any more: a segment, or with a
// routing its postings of that routing, or with an index that attribute index; or
// of a collection a codebook or a routing.
type obsolete struct {
	id         segment.ID
	routing    uint32
	index      uint32
	collection uint32 // ids of collections begin at 1
	codebook   uint32
}

func (o obsolete) span() segment.KeyRange {
	switch {
	case o.codebook != 0:
		return segment.KeySpan(segment.CodebookKey(o.collection, o.codebook))
	case o.collection != 0:
		return segment.KeySpan(segment.RoutingKey(o.collection, o.routing))
	case o.routing != 0:
		return segment.PostingsSpan(o.id, o.routing)
	case o.index != 0:
		return segment.IndexSpan(o.id, o.index)
	}
	return segment.Span(o.id)
}

// obsoleteList holds what is obsolete and still in the store.
type obsoleteList struct {
	mu  sync.Mutex
	all map[obsolete]bool // true: nobody reads it, so it may be excised
}

// mark notes that something has left its collection; put, that nobody reads it
// any more.
func (l *obsoleteList) mark(o obsolete) { l.set(o, false) }
func (l *obsoleteList) put(o obsolete)  { l.set(o, true) }

func (l *obsoleteList) set(o obsolete, free bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[obsolete]bool{}
	}
	l.all[o] = l.all[o] || free
}

// items returns everything, free what may be excised.
func (l *obsoleteList) items() []obsolete { return l.list(false) }
func (l *obsoleteList) free() []obsolete  { return l.list(true) }

func (l *obsoleteList) list(freeOnly bool) (out []obsolete) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for o, free := range l.all {
		if free || !freeOnly {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b obsolete) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.routing, b.routing), cmp.Compare(a.index, b.index),
			cmp.Compare(a.collection, b.collection), cmp.Compare(a.codebook, b.codebook))
	})
	return out
}

// forget notes that something has been excised.
func (l *obsoleteList) forget(o obsolete) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, o)
}
