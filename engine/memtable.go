package engine

import (
	"context"
	"slices"
	"sort"
	"sync"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/query"
	"github.com/colbertdb-go/colbertdb/segment"
)

// memtable is the memory buffer of one collection: documents that are in the
// log and not yet in a segment, encoded as a segment would hold them. It only
// grows; a replaced or deleted document is marked dead in the views of later
// versions. Writers hold Engine.mu; readers work on a memView.
type memtable struct {
	space  *space // what its documents are encoded with
	docs   []*memDoc
	byID   map[string]int // live documents, id to ordinal
	dead   []int          // ordinals of the others
	bytes  int64          // as logged
	memory int64          // as it lies here
	tokens int64          // of all documents
	// indexes keep the attributes that the collection has indexes of.
	indexes []memIndex
	terms   *memTerms // nil without a text index
	// deadTokens are of the dead ones.
	deadTokens int64

	mu       sync.RWMutex // guards postings against readers
	postings map[uint32][]uint16
}

// memDoc is immutable once it is in a memtable.
type memDoc struct {
	op  *op
	seq uint64
	enc *codec.Encoded
	// terms of its text, until they are in a memTerms; nil: to be counted.
	terms *docTerms
}

func newMemtable(s *space, indexes []segment.IndexSpec) *memtable {
	return &memtable{space: s, byID: map[string]int{}, postings: map[uint32][]uint16{}, indexes: newMemIndexes(indexes), terms: newMemTerms(indexes)}
}

// add appends a document; the caller has killed its predecessor.
func (m *memtable) add(d *memDoc) {
	ord := len(m.docs)
	m.docs = append(m.docs, d)
	m.byID[d.op.id] = ord
	m.bytes += int64(d.op.bytes())
	m.memory += d.memory()
	m.tokens += int64(d.enc.Tokens)
	for i := range m.indexes {
		m.indexes[i].add(d.op.attrs)
	}
	m.terms.add(d)
	if m.space.coded() {
		m.mu.Lock()
		for _, c := range d.enc.Centroids {
			list := m.postings[c]
			if n := len(list); n == 0 || list[n-1] != uint16(ord) {
				m.postings[c] = append(list, uint16(ord))
			}
		}
		m.mu.Unlock()
	}
}

// view fixes what a version sees: the documents so far, less the dead.
func (m *memtable) view() *memView {
	return &memView{
		mt: m, docs: m.docs[:len(m.docs):len(m.docs)], live: m.liveBits(),
		liveDocs: len(m.byID), liveTokens: m.tokens - m.deadTokens, bytes: m.bytes,
		indexes: slices.Clone(m.indexes), terms: m.terms.view(),
	}
}

// liveBits returns the live bits of the documents so far, nil when all live.
func (m *memtable) liveBits() *segment.Bitset {
	if len(m.dead) == 0 {
		return nil
	}
	b := segment.NewBitset(len(m.docs), true)
	for _, ord := range m.dead {
		b.Clear(ord)
	}
	return b
}

// kill marks the live document with this id dead, if there is one.
func (m *memtable) kill(id string) bool {
	ord, ok := m.byID[id]
	if ok {
		delete(m.byID, id)
		m.dead = append(m.dead, ord)
		m.deadTokens += int64(m.docs[ord].enc.Tokens)
	}
	return ok
}

// catchUp encodes docs, the first documents of another memtable, into m, which
// is that memtable in another space. Ordinals stay; who is live is copied by
// adoptLive once m has caught up for good.
func (m *memtable) catchUp(docs []*memDoc) error {
	enc := m.space.encoder()
	for _, d := range docs[len(m.docs):] {
		e, err := enc.Encode(d.op.matrix())
		if err != nil {
			return err
		}
		m.add(&memDoc{op: d.op, seq: d.seq, enc: e})
	}
	return nil
}

func (m *memtable) adoptLive(from *memtable) {
	m.byID, m.dead, m.deadTokens = from.byID, from.dead, from.deadTokens
}

// memView is a memtable as one version sees it. It is a query.Source.
type memView struct {
	mt   *memtable
	docs []*memDoc
	live *segment.Bitset

	liveDocs   int
	liveTokens int64
	bytes      int64
	indexes    []memIndex
	terms      *termsView // nil without a text index
}

var _ query.Source = (*memView)(nil)

func (v *memView) Space() *query.Space                { return &v.mt.space.forQuery }
func (v *memView) Len() int                           { return len(v.docs) }
func (v *memView) Live() *segment.Bitset              { return v.live }
func (v *memView) ExternalID(ord int) string          { return v.docs[ord].op.id }
func (v *memView) Tokens(ord int) int                 { return v.docs[ord].enc.Tokens }
func (v *memView) Attributes(ord int) ([]byte, error) { return v.docs[ord].op.attrs, nil }

// EachAttributes calls f with the attributes of the documents in a set, nil: all.
func (v *memView) EachAttributes(ctx context.Context, which *segment.Bitset, f func(int, []byte) error) error {
	for ord, d := range v.docs {
		if which != nil && !which.Get(ord) {
			continue
		}
		if err := f(ord, d.op.attrs); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (v *memView) View(ord int, _ codec.Plane, _ *segment.Buffer) (codec.View, error) {
	return v.docs[ord].enc.View, nil
}

// Pinned is true: the buffer is in memory.
func (v *memView) Pinned(codec.Plane) bool { return true }

// Postings returns nil for a flat buffer, whose documents are all candidates.
func (v *memView) Postings() query.Lister {
	if !v.mt.space.coded() {
		return nil
	}
	return v
}

// List returns the documents of this view with a token at centroid c.
func (v *memView) List(c uint32) segment.List {
	v.mt.mu.RLock()
	list := v.mt.postings[c]
	v.mt.mu.RUnlock()
	if n := len(list); n > 0 && int(list[n-1]) >= len(v.docs) {
		list = list[:sort.Search(n, func(i int) bool { return int(list[i]) >= len(v.docs) })]
	}
	return segment.List{Array: list}
}

func (v *memView) isLive(ord int) bool { return v.live == nil || v.live.Get(ord) }

// document returns the stored fields of a document.
func (v *memView) document(ord int) (text string, attrs []byte, err error) {
	d := v.docs[ord]
	return d.op.text, d.op.attrs, nil
}
