package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

// A segment of a load is built aside, ingested, and named by one synced batch,
// as a sealed one is (S2 to S5), without a log. The batch also holds the ids,
// the delete sets of the segments whose documents it replaces, and how far the
// load has come: so after a crash the load's documents up to there are in, once,
// and the rest is not.
//
// Order. A load has document numbers of its own, reserved when it was opened.
// Everything older was sealed then, with smaller numbers; everything that comes
// beside it has larger ones. So the load's segments lie between the two, in the
// order of their numbers, however late they are published, and merges never
// reach across the place where the next one goes (collection.plan). An id that
// was changed beside the load is newer than the load's document: that one is
// published dead. A replay of the log comes to the same: what it holds of such
// an id is newer than the load.

// loadRecord is how far a load has come.
type loadRecord struct {
	Token     string `json:"token"`
	Documents int64  `json:"documents"`
}

// maxLoads is the number of loads that a collection keeps on record.
const maxLoads = 16

// load returns the record of a load, nil where there is none.
func (r *collectionRecord) load(token string) *loadRecord {
	if token == "" {
		return nil
	}
	for i := range r.Loads {
		if r.Loads[i].Token == token {
			return &r.Loads[i]
		}
	}
	return nil
}

// setLoad notes how far a load has come.
func (r *collectionRecord) setLoad(token string, documents int64) {
	if token == "" {
		return
	}
	r.Loads = slices.DeleteFunc(slices.Clone(r.Loads), func(l loadRecord) bool { return l.Token == token })
	r.Loads = append(r.Loads, loadRecord{token, documents})
	r.Loads = r.Loads[max(0, len(r.Loads)-maxLoads):]
}

// bulkSegment is a segment that is being built.
type bulkSegment struct {
	builder *segment.Builder
	seq     uint64
	ids     map[string]int // to the last ordinal of the id
	nums    []segment.DocNum
	dead    []int // ordinals that a later document of the segment replaced
}

func (b *Bulk) newSegment() (*bulkSegment, error) {
	e := b.h.c.engine
	e.commitMu.Lock() // sequence numbers of a group in flight are its own
	e.mu.Lock()
	id := e.allocSegment()
	seq := e.seq // of what it is newer than; its own is given when it is published
	e.mu.Unlock()
	e.commitMu.Unlock()
	builder, err := segment.NewBuilder(e.fs, e.asideDir(), id, b.h.c.segmentConfig(b.space))
	if err != nil {
		return nil, err
	}
	return &bulkSegment{builder: builder, seq: seq, ids: map[string]int{}}, nil
}

// takes reports whether there is room for a group.
func (s *bulkSegment) takes(g bulkGroup, o *Options) bool {
	return s.builder.Len()+g.documents <= o.MaxSegmentDocuments && s.builder.Tokens()+g.tokens <= o.MaxSegmentTokens
}

func (s *bulkSegment) add(st *bulkState, o *op, enc *codec.Encoded) error {
	if st.next > st.last {
		return fmt.Errorf("%w: more than %d documents in one load", ErrInvalid, uint64(bulkNumbers))
	}
	ord := s.builder.Len()
	err := s.builder.Add(segment.Document{
		Num: st.next, ID: o.id, Text: o.text, HasText: o.text != "", Attributes: o.attrs, Seq: s.seq, Encoded: enc,
	})
	if err != nil {
		return err
	}
	if before, ok := s.ids[o.id]; ok {
		s.dead = append(s.dead, before)
	}
	s.ids[o.id] = ord
	s.nums = append(s.nums, st.next)
	st.next++
	return nil
}

// replacedDocs are documents in a segment that a load replaces.
type replacedDocs struct {
	view segView // as of the decision
	ords []int
	live *segment.Bitset
}

// publish makes a segment durable and visible.
func (b *Bulk) publish(s *bulkSegment) error {
	e, c := b.h.c.engine, b.h.c
	meta, paths, err := s.builder.Finish(b.ctx)
	if err != nil {
		return err
	}
	var progress BulkProgress
	err = e.publishing(b.ctx, func(ctx context.Context) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		ctx = context.WithoutCancel(ctx) // what is ingested is published
		if err := e.ingest(ctx, paths); err != nil {
			return err
		}
		out, err := e.openSegment(meta.ID, b.space.versions(), b.space, meta.Indexes)
		if err != nil {
			e.disown(meta, nil)
			return err
		}
		shown := false
		defer func() {
			if !shown {
				e.shown()
				e.disown(meta, out)
			}
		}()
		p := &bulkPublication{b: b, s: s, out: out, replaced: map[segment.ID]*replacedDocs{}}
		e.commitMu.Lock()
		e.mu.Lock()
		e.seq++
		p.seq, e.hidden = e.seq, e.seq
		cur, state := c.next(), e.state()
		p.touched()
		e.mu.Unlock()
		e.commitMu.Unlock()
		if err := p.resolve(cur); err != nil {
			return err
		}
		if err := e.syncApplied(); err != nil {
			return err
		}
		if err := e.guard.write(func() error { return p.write(&state, cur) }); err != nil {
			return err
		}
		p.show()
		shown = true
		progress = p.progress
		return e.guard.flush(ctx, e.db)
	})
	if err != nil {
		e.removeFiles(paths)
		return err
	}
	if b.o.OnPublish != nil {
		b.o.OnPublish(progress)
	}
	return nil
}

// bulkPublication is the last step of one segment.
type bulkPublication struct {
	b        *Bulk
	s        *bulkSegment
	out      *segView
	seq      uint64
	live     *segment.Bitset // of out, nil: all
	replaced map[segment.ID]*replacedDocs
	progress BulkProgress
}

func (p *bulkPublication) kill(ord int) {
	if p.live == nil {
		p.live = segment.NewBitset(p.out.Len(), true)
	}
	p.live.Clear(ord)
}

// touched kills the documents whose ids were changed beside the load. The caller
// holds Engine.mu.
func (p *bulkPublication) touched() {
	touched := p.b.state.touched
	if len(touched) < len(p.s.ids) {
		for id := range touched {
			if ord, ok := p.s.ids[id]; ok {
				p.kill(ord)
			}
		}
		return
	}
	for id, ord := range p.s.ids {
		if _, ok := touched[id]; ok {
			p.kill(ord)
		}
	}
}

// resolve finds the stored documents that the segment replaces.
func (p *bulkPublication) resolve(cur *version) error {
	c := p.b.h.c
	for _, ord := range p.s.dead {
		p.kill(ord)
	}
	olds := map[string]segment.DocNum{}
	for id, ord := range p.s.ids {
		if p.live != nil && !p.live.Get(ord) {
			continue
		}
		num, ok, err := c.lookup(id)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		if num > p.b.state.last { // changed beside the load
			p.kill(ord)
			continue
		}
		at, old, ok := cur.find(num)
		if !ok || !cur.segs[at].isLive(old) {
			continue
		}
		view := cur.segs[at]
		r := p.replaced[view.Meta().ID]
		if r == nil {
			r = &replacedDocs{view: view, live: segment.NewBitset(view.Len(), true)}
			if view.live != nil {
				r.live = view.live.Clone()
			}
			p.replaced[view.Meta().ID] = r
		}
		r.ords = append(r.ords, old)
		r.live.Clear(old)
		olds[id] = num
	}
	// Until the segment is visible, its ids lead to what they led to.
	if len(olds) > 0 {
		c.replaced.Store(&olds)
	}
	return nil
}

// write is the synced batch.
func (p *bulkPublication) write(state *storeState, cur *version) error {
	b, e, c := p.b, p.b.h.c.engine, p.b.h.c
	batch := e.db.NewBatch()
	defer batch.Close()
	var errs []error
	set := func(key, value []byte) { errs = append(errs, batch.Set(key, value, nil)) }
	for id, ord := range p.s.ids {
		if p.live == nil || p.live.Get(ord) {
			set(segment.DocumentKey(c.id, id), segment.EncodeDocumentRef(p.s.nums[ord]))
		}
	}
	r := c.record.clone()
	for id, old := range p.replaced {
		set(segment.DeletesKey(id, old.view.savedDeletes+1), segment.EncodeDeletes(old.live))
		if old.view.savedDeletes > 0 {
			errs = append(errs, batch.Delete(segment.DeletesKey(id, old.view.savedDeletes), nil))
		}
		sr := r.segment(id)
		sr.Deletes = old.view.savedDeletes + 1
		sr.count(segView{segHandle: old.view.segHandle, live: old.live})
	}
	if p.live != nil {
		p.out.saved, p.out.savedDeletes = p.live, 1
		p.live = p.live.Clone()
		set(segment.DeletesKey(p.out.Meta().ID, 1), segment.EncodeDeletes(p.out.saved))
	}
	rec := newSegmentRecord(p.out)
	at := len(r.Segments)
	if i := cur.place(p.out); i < len(cur.segs) {
		at = slices.IndexFunc(r.Segments, func(s segmentRecord) bool { return s.ID == cur.segs[i].Meta().ID })
	}
	r.Segments = slices.Insert(r.Segments, at, rec)
	r.NextNum = max(r.NextNum, b.state.last+1)
	if b.designed > 0 {
		r.RoutingTokens, r.TrainedNum = max(r.RoutingTokens, b.designed), min(r.TrainedNum, b.trainedNum)
	}
	p.progress = b.Progress()
	p.progress.Documents += int64(p.out.Len())
	p.progress.Tokens += p.out.Meta().Tokens
	p.progress.Segments++
	p.progress.Seq = p.seq
	r.setLoad(b.o.Token, p.progress.Documents)
	set(segment.CollectionKey(c.id), r.encode())
	set(segment.ManifestKey(), state.encode())
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := e.commitPebble(batch); err != nil {
		return err
	}
	c.record = r
	return nil
}

// show makes the segment visible.
func (p *bulkPublication) show() {
	b, e, c := p.b, p.b.h.c.engine, p.b.h.c
	e.commitMu.Lock() // a group in flight is touched, or finds the new segment
	defer e.commitMu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	p.touched() // since the batch was made: the log has it
	if p.live != nil && p.out.saved != nil && p.live.Equal(p.out.saved) {
		p.live = p.out.saved
	}
	next := c.next()
	for i := range next.segs {
		s := &next.segs[i]
		r := p.replaced[s.Meta().ID]
		if r == nil {
			continue
		}
		s.saved, s.savedDeletes = r.live, s.savedDeletes+1
		if s.live == r.view.live {
			s.live = r.live
			continue
		}
		s.live = s.live.Clone() // more died meanwhile
		for _, ord := range r.ords {
			s.live.Clear(ord)
		}
	}
	p.out.live = p.live
	next.segs = slices.Insert(next.segs, next.place(p.out), *p.out)
	next.seq, next.trainedNum = max(next.seq, p.seq), c.record.TrainedNum
	c.finish(next)
	c.noteChange()
	e.mergeable[c] = struct{}{}
	c.replaced.Store(nil)
	e.hidden = 0
	e.announce()
	e.stats.upserts.Add(int64(p.out.Len()))
	b.mu.Lock()
	b.progress = p.progress
	b.mu.Unlock()
	e.wake()
}

// place is where a segment goes among those of a version, by its numbers.
func (v *version) place(s *segView) int {
	return sort.Search(len(v.segs), func(i int) bool { return v.segs[i].Meta().First > s.Meta().First })
}
