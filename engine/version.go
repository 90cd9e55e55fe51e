package engine

import (
	"context"
	"sort"
	"sync/atomic"

	"github.com/colbertdb-go/colbertdb/compaction"
	"github.com/colbertdb-go/colbertdb/query"
	"github.com/colbertdb-go/colbertdb/segment"
)

// version is what a search sees of one collection: immutable, reference
// counted, replaced as a whole by every commit group, seal and merge.
//
//	version ──► segViews ──► segHandle (shared by versions; excised when the
//	       │                            last reference goes and it is obsolete)
//	       └──► memViews ──► memtable  (frozen ones oldest first, the active last)
type version struct {
	space *space // current: of the buffers and of what is written next
	// trainedNum is the first document number since its codebook was trained.
	trainedNum segment.DocNum
	segs       []segView // ascending document numbers
	mems       []*memView
	seq        uint64 // last commit that is visible
	refs       int    // guarded by collection.vmu
}

// segView is a segment as one version sees it.
type segView struct {
	*segHandle
	live     *segment.Bitset   // nil: all live
	space    *space            // that it is in
	postings *segment.Postings // of that space, nil while flat
	indexes  []segment.Index
}

var _ query.Source = segView{}

// Live returns the live bits of this version.
func (s segView) Live() *segment.Bitset { return s.live }

// Space returns how the segment is encoded.
func (s segView) Space() *query.Space { return &s.space.forQuery }

// Postings returns the posting lists, nil for a flat segment.
func (s segView) Postings() query.Lister {
	if s.postings == nil {
		return nil
	}
	return s.postings
}

// input is the segment as a merge reads it.
func (s segView) input() compaction.Input {
	return compaction.Input{
		Reader: s.Reader, Live: s.live, Codebook: s.space.codebook, Routing: s.space.routingID(),
		Postings: s.postings, Representation: s.space.representation(), Indexes: s.indexes,
	}
}

func (s segView) isLive(ord int) bool { return s.live == nil || s.live.Get(ord) }

// document returns the stored fields of a document.
func (s segView) document(ord int) (text string, attrs []byte, err error) {
	if text, _, err = s.Text(ord); err != nil {
		return "", nil, err
	}
	attrs, err = s.Attributes(ord)
	return text, attrs, err
}

// bytes is the size of what the segment stores.
func (s segView) bytes() int64 {
	n := s.Meta().Bytes
	if s.postings != nil {
		n += s.postings.Meta().Bytes
	}
	for _, x := range s.indexes {
		n += x.Bytes()
	}
	return n
}

// deleted is the number of dead documents in this view.
func (s segView) deleted() int {
	if s.live == nil {
		return 0
	}
	return s.Len() - s.live.Count()
}

// segHandle is an open segment with the number of versions that hold it.
type segHandle struct {
	*segment.Reader
	refs     atomic.Int32
	obsolete atomic.Bool
	onLeave  func(segment.ID) // called when the segment leaves its collection
	onLast   func(*segHandle) // called once, when the last reference goes
	// savedDeletes is the version of the delete set in the store, and saved
	// the bits it holds; guarded by Engine.mu.
	savedDeletes uint64
	saved        *segment.Bitset
	dead         deadCount
	made         madeTerms
}

// leave notes that the collection has no use for the segment any more: it goes
// when its last reader does.
func (h *segHandle) leave() {
	h.obsolete.Store(true)
	h.onLeave(h.Meta().ID)
}

// tryRef takes a reference where a version holds the segment; unref must follow.
func (h *segHandle) tryRef() bool {
	for {
		n := h.refs.Load()
		if n == 0 {
			return false
		}
		if h.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (h *segHandle) unref() {
	if h.refs.Add(-1) == 0 {
		h.onLast(h)
	}
}

// source is what both kinds of view offer.
type source interface {
	query.Source
	document(ord int) (text string, attrs []byte, err error)
	isLive(ord int) bool
	Num(ord int) segment.DocNum
	textBytes(ord int) int
	termIndex(ctx context.Context, spec segment.IndexSpec) (query.TermIndex, error)
}

// sources lists the segments, then the buffers: ascending document numbers.
func (v *version) sources() []source {
	out := make([]source, 0, len(v.segs)+len(v.mems))
	for _, s := range v.segs {
		out = append(out, s)
	}
	for _, m := range v.mems {
		if m.Len() > 0 {
			out = append(out, m)
		}
	}
	return out
}

// find returns the segment that holds a document number, and the ordinal there.
func (v *version) find(num segment.DocNum) (seg, ord int, ok bool) {
	seg = sort.Search(len(v.segs), func(i int) bool { return v.segs[i].Meta().Last >= num })
	if seg == len(v.segs) {
		return 0, 0, false
	}
	ord, ok = v.segs[seg].Find(num)
	return seg, ord, ok
}

// unref gives up one reference to a version.
func (c *collection) unref(v *version) {
	c.vmu.Lock()
	v.refs--
	last := v.refs == 0
	c.vmu.Unlock()
	if last {
		for _, s := range v.segs {
			s.unref()
		}
	}
}

// publish makes v the version that new searches see. The caller holds Engine.mu.
func (c *collection) publish(v *version) {
	for _, s := range v.segs {
		s.refs.Add(1)
	}
	v.refs = 1
	c.vmu.Lock()
	old := c.current
	c.current = v
	c.vmu.Unlock()
	if old != nil {
		c.unref(old)
	}
}

// next returns a copy of the current version to be changed and published. The
// caller holds Engine.mu.
func (c *collection) next() *version {
	cur := c.current
	return &version{space: cur.space, trainedNum: cur.trainedNum, segs: append([]segView(nil), cur.segs...), mems: append([]*memView(nil), cur.mems...), seq: cur.seq}
}
