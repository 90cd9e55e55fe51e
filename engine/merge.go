package engine

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/compaction"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Merging replaces neighbouring segments by one:
//
//	C1  plan on metadata alone (package compaction)
//	C2  stream the live documents into new sstables
//	C3  ingest them
//	C4  one synced batch: the collection's record, without the inputs
//	C5  publish, with the deletes that arrived meanwhile carried over
//	C6  when the last reader of an input lets go: excise it
//
// Training is the same with every segment as input and another codebook.

// replacement is one merge: inputs to at most one output.
type replacement struct {
	inputs []segView // neighbours, as of the start
	meta   segment.Meta
	output *segHandle // nil when nothing was live
}

// mergeDue runs the merges that the planner asks for. The caller holds Engine.bg.
func (e *Engine) mergeDue(ctx context.Context, c *collection) error {
	for range 64 { // a bound on the work of one wake-up
		v := c.acquire()
		tasks := compaction.Plan(v.metas(), e.compactionOptions(v.space))
		c.release(v)
		if len(tasks) == 0 {
			return nil
		}
		if err := e.replace(ctx, c, tasks[:1], nil); err != nil {
			return err
		}
		// A seal that became due goes first.
		if err := e.seal(ctx, func(c *collection) bool { return len(c.frozen) > 0 }); err != nil {
			return err
		}
	}
	return nil
}

// compact merges the whole collection. The caller holds Engine.bg.
func (e *Engine) compact(ctx context.Context, c *collection) error {
	if err := e.train(ctx, c); err != nil {
		return err
	}
	v := c.acquire()
	tasks := compaction.PlanAll(v.metas(), e.compactionOptions(v.space))
	c.release(v)
	if len(tasks) == 0 {
		return nil
	}
	return e.replace(ctx, c, tasks, nil)
}

func (e *Engine) compactionOptions(s *space) compaction.Options {
	o := compaction.Options{MaxDocuments: e.opts.MaxSegmentDocuments, MaxTokens: e.opts.MaxSegmentTokens}
	if s.coded() {
		o.CodebookID, o.RoutingID = s.codebook.ID, s.routing.ID
	}
	return o
}

// metas is what the planner looks at.
func (v *version) metas() []compaction.Meta {
	out := make([]compaction.Meta, len(v.segs))
	for i, s := range v.segs {
		m := s.Meta()
		out[i] = compaction.Meta{
			ID: m.ID, Documents: m.Docs, Tokens: m.Tokens, Deleted: s.deleted(),
			CodebookID: m.CodebookID, RoutingID: m.RoutingID,
		}
	}
	return out
}

// replace runs merges and publishes them together. With to set, the collection
// moves to that space in the same step. The caller holds Engine.bg.
func (e *Engine) replace(ctx context.Context, c *collection, tasks []compaction.Task, to *space) (err error) {
	v := c.acquire()
	defer c.release(v)
	var all []*replacement
	defer e.merging(c, v, tasks, &all)(&err)
	target := to
	if target == nil {
		target = v.space
	}
	defer e.removeAside()
	var paths []string
	for _, t := range tasks {
		r := &replacement{inputs: v.segs[t.From:t.To]}
		built, err := e.mergeOne(ctx, r, v.space, target)
		if err != nil {
			return fmt.Errorf("colbertdb: merging %d segments of collection %q: %w", len(r.inputs), c.name, err)
		}
		all, paths = append(all, r), append(paths, built...)
	}
	if err := e.ingest(ctx, paths); err != nil {
		return err
	}
	for _, r := range all {
		if r.meta.Docs > 0 {
			if r.output, err = e.openSegment(r.meta.ID); err != nil {
				return err
			}
		}
	}
	moved, err := c.catchUp(ctx, to)
	if err != nil {
		return err
	}
	// From here to the end nothing may commit in between: the record on disk,
	// the version in memory and the buffers change as one.
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := moved.finish(c); err != nil {
		return err
	}
	state := e.state()
	next := c.next()
	next.space = target
	record := c.record.clone()
	for _, r := range all {
		record.replace(r)
	}
	if to != nil {
		record.Codebook, record.Routing, record.RoutingTokens = to.codebook.ID, to.routing.ID, next.liveTokens()
	}
	if err := e.guard.write(func() error { return e.writeReplace(c, &state, &record, all, to) }); err != nil {
		return err
	}
	c.record = record
	moved.install(c)
	for _, r := range all {
		next.replace(r)
	}
	c.finish(next)
	return nil
}

// mergeOne is C2.
func (e *Engine) mergeOne(ctx context.Context, r *replacement, from, to *space) (paths []string, err error) {
	e.mu.Lock()
	id := e.allocSegment()
	e.mu.Unlock()
	b, err := segment.NewBuilder(e.fs, e.asideDir(), id, to.segmentConfig())
	if err != nil {
		return nil, err
	}
	inputs := make([]compaction.Input, len(r.inputs))
	live := 0
	for i, s := range r.inputs {
		inputs[i] = compaction.Input{Reader: s.Reader, Live: s.live, Codebook: from.codebook, Representation: from.representation()}
		live += s.Len() - s.deleted()
	}
	if live == 0 {
		b.Abort()
		return nil, nil
	}
	r.meta, paths, err = compaction.Merge(ctx, inputs, b, compaction.Target{Codebook: to.codebook, Routing: to.routing, Encoder: to.encoder()})
	return paths, err
}

// writeReplace is C4.
func (e *Engine) writeReplace(c *collection, state *storeState, record *collectionRecord, all []*replacement, to *space) error {
	b := e.db.NewBatch()
	defer b.Close()
	set := func(key, value []byte) error { return b.Set(key, value, nil) }
	if to != nil {
		if err := set(segment.CodebookKey(c.id, to.codebook.ID), to.codebook.AppendBinary(nil)); err != nil {
			return err
		}
		if err := set(segment.RoutingKey(c.id, to.routing.ID), to.routing.AppendBinary(nil)); err != nil {
			return err
		}
		if old := c.record; old.Routing != 0 && old.Routing != to.routing.ID {
			if err := b.Delete(segment.RoutingKey(c.id, old.Routing), nil); err != nil {
				return err
			}
			if old.Codebook != to.codebook.ID {
				if err := b.Delete(segment.CodebookKey(c.id, old.Codebook), nil); err != nil {
					return err
				}
			}
		}
	}
	for _, r := range all {
		for _, in := range r.inputs {
			if err := e.dropRefs(b, c, in); err != nil {
				return err
			}
			if in.savedDeletes > 0 {
				if err := b.Delete(segment.DeletesKey(in.Meta().ID, in.savedDeletes), nil); err != nil {
					return err
				}
			}
		}
	}
	if err := set(segment.CollectionKey(c.id), record.encode()); err != nil {
		return err
	}
	if err := set(segment.ManifestKey(), state.encode()); err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}

// dropRefs removes the ids of dropped documents that no newer document has taken.
func (e *Engine) dropRefs(b *pebble.Batch, c *collection, in segView) error {
	if in.live == nil {
		return nil
	}
	for ord := range in.Len() {
		if in.live.Get(ord) {
			continue
		}
		id := in.ExternalID(ord)
		num, ok, err := c.lookup(id)
		if err != nil {
			return err
		}
		if ok && num == in.Num(ord) {
			if err := b.Delete(segment.DocumentKey(c.id, id), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// replace puts the output's record where the inputs' were.
func (r *collectionRecord) replace(m *replacement) {
	out := r.Segments[:0:0]
	for _, s := range r.Segments {
		if s.ID == m.inputs[0].Meta().ID && m.output != nil {
			out = append(out, segmentRecord{ID: m.meta.ID})
		}
		if !m.has(s.ID) {
			out = append(out, s)
		}
	}
	r.Segments = out
}

func (m *replacement) has(id segment.ID) bool {
	for _, in := range m.inputs {
		if in.Meta().ID == id {
			return true
		}
	}
	return false
}

// replace puts the output where the inputs were and carries over the deletes
// that arrived since the inputs were read. The caller holds Engine.mu.
func (v *version) replace(m *replacement) {
	var live *segment.Bitset
	out := v.segs[:0:0]
	for _, s := range v.segs {
		if !m.has(s.Meta().ID) {
			out = append(out, s)
			continue
		}
		if s.Meta().ID == m.inputs[0].Meta().ID && m.output != nil {
			out = append(out, segView{segHandle: m.output})
		}
		s.obsolete.Store(true)
		if m.output == nil || s.live == nil {
			continue
		}
		for ord := range s.Len() {
			if s.live.Get(ord) {
				continue
			}
			if at, ok := m.output.Find(s.Num(ord)); ok {
				if live == nil {
					live = segment.NewBitset(m.output.Len(), true)
				}
				live.Clear(at)
			}
		}
	}
	for i := range out {
		if out[i].segHandle == m.output {
			out[i].live = live
		}
	}
	v.segs = out
}

// moveBuffers is a collection's memory buffers on their way to another space.
type moveBuffers struct {
	to   *space
	from []*memtable
	into []*memtable
}

// catchUp encodes the collection's buffers in another space while writers go
// on, until little is left; finish does the rest under the lock. A nil space
// leaves the buffers alone.
func (c *collection) catchUp(ctx context.Context, to *space) (*moveBuffers, error) {
	m := &moveBuffers{to: to}
	if to == nil {
		return m, nil
	}
	for {
		c.engine.mu.Lock()
		docs, left := m.pairs(c), 0
		for i := range docs {
			left += len(docs[i]) - len(m.into[i].docs)
		}
		c.engine.mu.Unlock()
		if left < 32 {
			return m, nil
		}
		for i := range docs {
			if err := m.into[i].catchUp(docs[i]); err != nil {
				return nil, err
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}

// pairs matches the buffers of now with their copies, and returns the
// documents that each has. The caller holds Engine.mu.
func (m *moveBuffers) pairs(c *collection) [][]*memDoc {
	m.from = append(append(m.from[:0], c.frozen...), c.active)
	docs := make([][]*memDoc, len(m.from))
	for i, f := range m.from {
		if i == len(m.into) {
			m.into = append(m.into, newMemtable(m.to))
		}
		docs[i] = f.docs[:len(f.docs):len(f.docs)]
	}
	return docs
}

// finish encodes what arrived last. The caller holds Engine.mu.
func (m *moveBuffers) finish(c *collection) error {
	if m.to == nil {
		return nil
	}
	for i, docs := range m.pairs(c) {
		if err := m.into[i].catchUp(docs); err != nil {
			return err
		}
	}
	return nil
}

// install makes the copies the collection's buffers. The caller holds Engine.mu.
func (m *moveBuffers) install(c *collection) {
	if m.to == nil {
		return
	}
	for i, f := range m.from {
		m.into[i].adoptLive(f)
	}
	last := len(m.into) - 1
	c.frozen, c.active = m.into[:last:last], m.into[last]
}

// exciseObsolete is C6 for the inputs that nobody reads any more.
func (e *Engine) exciseObsolete(ctx context.Context) error {
	ids := e.obsolete.take()
	if len(ids) == 0 {
		return nil
	}
	// R0: the manifest without them is in an sstable before they go.
	err := e.guard.flush(ctx, e.db)
	for ; err == nil && len(ids) > 0; ids = ids[1:] {
		if err = e.excise(ctx, ids[0]); err != nil {
			break
		}
	}
	for _, id := range ids { // those still there
		e.obsolete.put(id)
	}
	return err
}

func (e *Engine) excise(ctx context.Context, id segment.ID) error {
	span := segment.Span(id)
	return e.guard.write(func() error {
		return e.db.Excise(ctx, pebble.KeyRange{Start: span.Start, End: span.End})
	})
}

// train gives the collection its first codebook when it has outgrown exact
// search, and finer routing when it has outgrown the one it has. The caller
// holds Engine.bg.
func (e *Engine) train(ctx context.Context, c *collection) (err error) {
	v := c.acquire()
	defer c.release(v)
	tokens := v.liveTokens()
	if tokens < e.opts.TrainTokens {
		return nil
	}
	first := !v.space.coded()
	// Posting lists of four times their design length call for new routing.
	if grown := tokens >= 4*c.record.RoutingTokens; !first && !grown {
		return nil
	}
	defer e.training(c, first, tokens)(&err)
	sample, err := v.sample(ctx, e.opts.TrainSample, tokens)
	if err != nil {
		return err
	}
	to := *v.space
	o := codec.TrainOptions{TotalTokens: tokens, CodebookID: c.record.Codebook, RoutingID: c.record.Routing + 1, Seed: 1}
	if first {
		o.CodebookID++
		to.codebook, to.routing, err = codec.Train(ctx, sample, o)
	} else {
		to.routing, err = codec.TrainRouting(ctx, v.space.codebook, sample, o)
	}
	if err != nil {
		return fmt.Errorf("colbertdb: training: %w", err)
	}
	tasks := make([]compaction.Task, len(v.segs))
	for i := range tasks {
		tasks[i] = compaction.Task{From: i, To: i + 1, Reason: "train"}
	}
	return e.replace(ctx, c, tasks, &to)
}

// sample draws whole live documents evenly over the segments, about limit of
// their tokens. There are some: training starts above Options.TrainTokens.
func (v *version) sample(ctx context.Context, limit int, tokens int64) (codec.Matrix, error) {
	out := codec.Matrix{Dim: v.space.dim}
	stride := int(tokens/int64(limit)) + 1
	rep := v.space.representation()
	var buf segment.Buffer
	var m codec.Matrix
	n := 0
	for _, s := range v.segs {
		for ord := range s.Len() {
			if !s.isLive(ord) {
				continue
			}
			if n++; n%stride != 0 {
				continue
			}
			if err := ctx.Err(); err != nil {
				return out, err
			}
			view, err := s.View(ord, rep, &buf)
			if err != nil {
				return out, err
			}
			codec.Reconstruct(v.space.codebook, v.space.dim, view, rep, &m)
			out.Data = append(out.Data, m.Data...)
		}
	}
	return out, nil
}

// liveTokens is the number of token vectors of the live documents in segments.
func (v *version) liveTokens() (n int64) {
	for _, s := range v.segs {
		for ord := range s.Len() {
			if s.isLive(ord) {
				n += int64(s.Tokens(ord))
			}
		}
	}
	return n
}
