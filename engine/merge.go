package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/compaction"
	"github.com/colbertdb-go/colbertdb/internal/failpoint"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Merging replaces neighbouring segments by one:
//
//	C1  plan on metadata alone (package compaction)
//	C2  stream the live documents into new sstables
//	C3  ingest them, and the codebook and routing that a training has made
//	C4  one synced batch: the collection's record, without the inputs
//	C5  publish, with the deletes that arrived meanwhile carried over
//	C6  when the last reader of an input lets go: excise it
//
// Training is the same without inputs, or for the first codebook with every
// segment as input, and another space.

// replacement is one merge: inputs to at most one output.
type replacement struct {
	inputs []segView // neighbours, as of the start
	meta   segment.Meta
	output *segView // nil when nothing was live
}

// mergeDue runs the merges that the planner asks for. The caller holds Engine.bg.
func (e *Engine) mergeDue(ctx context.Context, c *collection) error {
	for range 64 { // a bound on the work of one wake-up
		v, err := c.acquire()
		if err != nil {
			return err
		}
		tasks := c.plan(v, compaction.Plan)
		if len(tasks) > 0 {
			err = e.perform(ctx, c, v, tasks[:1])
		}
		c.release(v)
		if err != nil || len(tasks) == 0 {
			return err
		}
	}
	e.markMergeable([]*collection{c})
	e.wake()
	return nil
}

// perform carries out tasks of one plan, its merges in one step. v is the version
// that was planned: a load may put segments between its meanwhile. The caller holds
// v and Engine.bg.
func (e *Engine) perform(ctx context.Context, c *collection, v *version, tasks []compaction.Task) error {
	var merges []compaction.Task
	for _, t := range tasks {
		if t.Reason != compaction.ReasonRouting {
			merges = append(merges, t)
		}
	}
	for _, t := range tasks {
		if t.Reason == compaction.ReasonRouting {
			if err := e.reroute(ctx, c, v, v.segs[t.From]); err != nil {
				return err
			}
		}
	}
	if len(merges) == 0 {
		return nil
	}
	if e.disk.low() { // the inputs of the last merge make room for the next
		if err := e.exciseObsolete(ctx); err != nil {
			return err
		}
	}
	return e.replace(ctx, c, v, merges, nil)
}

// compact merges the whole collection. The caller holds Engine.bg.
func (e *Engine) compact(ctx context.Context, c *collection) error {
	if err := e.train(ctx, c); err != nil {
		return err
	}
	v, err := c.acquire()
	if err != nil {
		return err
	}
	tasks := c.plan(v, compaction.PlanAll)
	var bytes int64
	for _, t := range tasks {
		for _, s := range v.segs[t.From:t.To] {
			bytes += liveBytes(s)
		}
	}
	if len(tasks) > 1 && e.disk.merge(ctx, bytes) != nil {
		c.release(v)
		return e.compactInSteps(ctx, c, len(tasks))
	}
	defer c.release(v)
	return e.perform(ctx, c, v, tasks)
}

// compactInSteps merges the whole collection where the disk has no room for all
// outputs beside all inputs: one merge at a time, those first that write least
// for what they free. The caller holds Engine.bg.
func (e *Engine) compactInSteps(ctx context.Context, c *collection, steps int) error {
	for range steps {
		v, err := c.acquire()
		if err != nil {
			return err
		}
		tasks := c.plan(v, compaction.PlanAll)
		live := func(t compaction.Task) (n int64) {
			for _, s := range v.segs[t.From:t.To] {
				n += liveBytes(s)
			}
			return n
		}
		slices.SortStableFunc(tasks, func(a, b compaction.Task) int { return cmp.Compare(live(a), live(b)) })
		if len(tasks) > 0 {
			err = e.perform(ctx, c, v, tasks[:1])
		}
		c.release(v)
		if err != nil || len(tasks) == 0 {
			return err
		}
		if err := e.exciseObsolete(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (c *collection) compactionOptions(s *space) compaction.Options {
	o := compaction.Options{MaxDocuments: c.engine.opts.MaxSegmentDocuments, MaxTokens: c.engine.opts.MaxSegmentTokens, Quiet: c.quiet()}
	o.CodebookID, o.RoutingID = s.codebookID(), s.routingID()
	return o
}

// plan asks a planner for merges. None reaches across the place where an open
// load puts its next segment.
func (c *collection) plan(v *version, planner func([]compaction.Meta, compaction.Options) []compaction.Task) []compaction.Task {
	o, metas := c.compactionOptions(v.space), v.metas()
	c.engine.mu.Lock()
	l := c.bulk
	c.engine.mu.Unlock()
	if l == nil {
		return planner(metas, o)
	}
	at := sort.Search(len(v.segs), func(i int) bool { return v.segs[i].Meta().First > l.last })
	tasks := planner(metas[:at], o)
	for _, t := range planner(metas[at:], o) {
		t.From, t.To = t.From+at, t.To+at
		tasks = append(tasks, t)
	}
	return tasks
}

// loading reports whether a load is open.
func (c *collection) loading() bool {
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	return c.bulk != nil
}

// metas is what the planner looks at.
func (v *version) metas() []compaction.Meta {
	out := make([]compaction.Meta, len(v.segs))
	for i, s := range v.segs {
		m := s.Meta()
		out[i] = compaction.Meta{
			ID: m.ID, Documents: m.Docs, Tokens: m.Tokens, Deleted: s.deleted(),
			CodebookID: s.space.codebookID(), RoutingID: s.space.routingID(),
		}
	}
	return out
}

// replace runs merges of a version's segments and publishes them together. With to
// set, which was trained on documents of that version, that becomes the
// collection's current space in the same step, and its buffers move there; with the
// first codebook, all its segments do. A training is dropped where the collection
// has moved to another space since, whose versions bear the same numbers, and where
// a load writes in the one that there is. Seals and writes go on until the last
// step. The caller holds v and Engine.bg.
func (e *Engine) replace(ctx context.Context, c *collection, v *version, tasks []compaction.Task, to *space) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.alive, cancel)()
	if err := c.alive.Err(); err != nil { // v may be the empty one of a dropped collection
		return err
	}
	w := &mergeWork{engine: e, col: c, from: v.space, to: v.space, trained: to}
	if to != nil {
		w.to, w.first = to, !v.space.coded()
	}
	defer e.merging(c, v, tasks, &w.all)(&err)
	defer func() {
		if err != nil {
			e.removeFiles(w.paths)
		}
	}()
	for _, t := range tasks {
		if err := w.merge(ctx, v.segs[t.From:t.To]); err != nil {
			return err
		}
	}
	moved := &moveBuffers{to: to, indexes: c.declared(), into: map[*memtable]*memtable{}}
	if to != nil {
		if err := w.mergeNew(ctx); err != nil {
			return err
		}
		if err := c.catchUp(ctx, moved); err != nil {
			return err
		}
	}
	return e.publishing(ctx, func(ctx context.Context) error { return w.publish(ctx, moved) })
}

// mergeWork is what replace does and has done.
type mergeWork struct {
	engine  *Engine
	col     *collection
	from    *space // the current one, as of the start
	to      *space
	trained *space // to, when the collection moves there; else nil
	first   bool   // trained is its first coded space
	all     []*replacement
	paths   []string
}

// merge is C2 of one replacement.
func (w *mergeWork) merge(ctx context.Context, inputs []segView) error {
	r := &replacement{inputs: inputs}
	paths, err := w.engine.mergeOne(ctx, w.col, r, w.to)
	if err != nil {
		return fmt.Errorf("colbertdb: merging %d segments of collection %q: %w", len(inputs), w.col.name, err)
	}
	w.all, w.paths = append(w.all, r), append(w.paths, paths...)
	return nil
}

// mergeNew moves the segments that were sealed since the start to the first
// coded space: scores change their representation, so none may stay behind.
func (w *mergeWork) mergeNew(ctx context.Context) error {
	for w.first {
		v, err := w.col.acquire()
		if err != nil {
			return err
		}
		fresh := v.segs[:0:0]
		for _, s := range v.segs {
			if !w.has(s.Meta().ID) {
				fresh = append(fresh, s)
			}
		}
		for i := range fresh {
			if err := w.merge(ctx, fresh[i:i+1]); err != nil {
				w.col.release(v)
				return err
			}
		}
		w.col.release(v)
		if len(fresh) == 0 {
			return nil
		}
	}
	return nil
}

// extends reports whether the collection moves to versions that extend those that
// it had, so that its segments come along as they are.
func (w *mergeWork) extends() bool {
	return w.trained != nil && w.trained.reading(w.from) == w.trained
}

func (w *mergeWork) has(id segment.ID) bool {
	for _, r := range w.all {
		if r.has(id) {
			return true
		}
	}
	return false
}

// publish is C3 to C5. Seals are held up, writes are not until the very end. The
// caller holds Engine.pub.
func (w *mergeWork) publish(ctx context.Context, moved *moveBuffers) error {
	e, c := w.engine, w.col
	// ctx ends some time after the collection does; a drop must not be undone.
	if err := errors.Join(ctx.Err(), c.alive.Err()); err != nil {
		return err
	}
	now := c.space()
	if w.trained != nil {
		if now != w.from || !w.first && c.loading() { // another training looks at it anew
			e.markMergeable([]*collection{c})
			return nil
		}
		now = w.trained
		if err := w.mergeNew(ctx); err != nil {
			return err
		}
		// What was written while this waited for the lock.
		if err := c.catchUp(ctx, moved); err != nil {
			return err
		}
	}
	if err := w.ingest(ctx); err != nil {
		return err
	}
	for _, r := range w.all {
		if r.meta.Docs == 0 {
			continue
		}
		var err error
		if r.output, err = e.openSegment(r.meta.ID, w.to.versions(), now.reading(w.to), r.meta.Indexes); err != nil {
			w.disown()
			return err
		}
	}
	e.mu.Lock()
	state, cur, nextNum := e.state(), c.next(), c.nextNum
	e.mu.Unlock()
	if err := e.syncApplied(); err != nil {
		w.disown()
		return err
	}
	record := c.record.clone()
	for _, r := range w.all {
		// A seal has saved deletes that arrived during the merge, and may have
		// removed their log: the output's delete set goes with the record.
		if r.output != nil {
			r.output.saved = r.lateDeletes(cur)
			r.output.savedDeletes = 0
			if r.output.saved != nil {
				r.output.savedDeletes = 1
			}
		}
		record.replace(r)
	}
	trainedNum := cur.trainedNum
	if w.trained != nil {
		if record.Codebook != w.to.codebook.ID {
			trainedNum = nextNum
		}
		record.Codebook, record.Routing = w.to.codebook.ID, w.to.routing.ID
		record.RoutingTokens, record.TrainedNum = cur.liveTokens(), trainedNum
		if w.extends() {
			record.RoutingTokens = c.record.RoutingTokens + moved.tokens()
			for i := range record.Segments {
				record.Segments[i].extend(w.from.versions(), w.to.versions())
			}
		}
	}
	if err := e.guard.write(func() error { return e.writeReplace(c, &state, &record, w.all) }); err != nil {
		for _, r := range w.all {
			e.abandon(r.output)
		}
		return err
	}
	e.dropVersions(&c.record, &record)
	c.record = record
	if w.trained != nil && moved.to != nil {
		// What was written while the batch was. An error shows in finish.
		_ = c.catchUp(context.WithoutCancel(ctx), moved)
	}
	e.commitMu.Lock() // buffers change their space between commit groups
	defer e.commitMu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := moved.finish(c); err != nil {
		// The record says that the collection has moved: only a reopen mends that.
		e.guard.poison(err)
		return e.guard.check(err)
	}
	next := c.next()
	next.space, next.trainedNum = now, trainedNum
	for _, r := range w.all {
		next.replace(r)
	}
	if w.extends() {
		next.extend(w.from, w.to)
	}
	c.finish(next)
	if failpoint.On(failpoint.ExciseWhileRead) {
		for _, r := range w.all {
			for _, in := range r.inputs {
				if err := e.excise(ctx, segment.Span(in.Meta().ID)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// disown gives up what was ingested and will not be published.
func (w *mergeWork) disown() {
	cb, rt := w.newVersions()
	for _, o := range versionsOf(w.col.id, cb, rt) {
		w.engine.obsolete.put(o)
	}
	for _, r := range w.all {
		w.engine.disown(r.meta, r.output)
	}
}

// mergeOne is C2.
func (e *Engine) mergeOne(ctx context.Context, c *collection, r *replacement, to *space) (paths []string, err error) {
	e.mu.Lock()
	id := e.allocSegment()
	e.mu.Unlock()
	b, err := segment.NewBuilder(e.fs, e.asideDir(), id, c.segmentConfig(to))
	if err != nil {
		return nil, err
	}
	inputs := make([]compaction.Input, len(r.inputs))
	live, bytes := 0, int64(0)
	for i, s := range r.inputs {
		inputs[i] = s.input()
		bytes += liveBytes(s)
		live += s.Len() - s.deleted()
	}
	if live == 0 {
		b.Abort()
		return nil, e.disk.merge(ctx, 0)
	}
	if err := e.disk.merge(ctx, bytes); err != nil {
		b.Abort()
		return nil, err
	}
	r.meta, paths, err = compaction.Merge(ctx, inputs, b, compaction.Target{Codebook: to.codebook, Routing: to.routing, Encoder: to.encoder()})
	return paths, err
}

// writeReplace is C4.
func (e *Engine) writeReplace(c *collection, state *storeState, record *collectionRecord, all []*replacement) error {
	b := e.db.NewBatch()
	defer b.Close()
	set := func(key, value []byte) error { return b.Set(key, value, nil) }
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
	for _, r := range all {
		if r.output != nil && r.output.saved != nil {
			if err := set(segment.DeletesKey(r.meta.ID, r.output.savedDeletes), segment.EncodeDeletes(r.output.saved)); err != nil {
				return err
			}
		}
	}
	if err := set(segment.CollectionKey(c.id), record.encode()); err != nil {
		return err
	}
	if err := set(segment.ManifestKey(), state.encode()); err != nil {
		return err
	}
	return e.commitPebble(b)
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
			out = append(out, newSegmentRecord(m.output))
		}
		if !m.has(s.ID) {
			out = append(out, s)
		}
	}
	r.Segments = out
}

func (m *replacement) has(id segment.ID) bool { return m.index(id) >= 0 }

// index is the place of a segment among the inputs, -1 where it is none.
func (m *replacement) index(id segment.ID) int {
	for i, in := range m.inputs {
		if in.Meta().ID == id {
			return i
		}
	}
	return -1
}

// lateDeletes returns the live bits of the output: documents that died in v
// since the inputs were read are dead there too. It is nil where none did.
func (m *replacement) lateDeletes(v *version) *segment.Bitset {
	var live *segment.Bitset
	for _, s := range v.segs {
		i := m.index(s.Meta().ID)
		if i < 0 || s.live == m.inputs[i].live || failpoint.On(failpoint.LoseLateDeletes) {
			continue
		}
		for ord := range s.Len() {
			if s.live.Get(ord) || !m.inputs[i].isLive(ord) {
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
	return live
}

// replace puts the output where the inputs were and carries over the deletes
// that arrived since the inputs were read. The caller holds Engine.mu.
func (v *version) replace(m *replacement) {
	var out []segView
	for _, s := range v.segs {
		i := m.index(s.Meta().ID)
		if i < 0 {
			out = append(out, s)
			continue
		}
		if i == 0 && m.output != nil {
			live := m.lateDeletes(v)
			if live != nil && m.output.saved != nil && live.Equal(m.output.saved) {
				live = m.output.saved
			}
			output := *m.output
			output.live = live
			out = append(out, output)
		}
		s.leave()
	}
	v.segs = out
}

// moveBuffers is a collection's memory buffers on their way to another space.
type moveBuffers struct {
	to      *space // nil: they stay where they are
	indexes []segment.IndexSpec
	into    map[*memtable]*memtable
	late    int // documents that were left to finish
}

// catchUp encodes the collection's buffers in another space while writers go
// on, until little is left; finish does the rest under the lock.
func (c *collection) catchUp(ctx context.Context, m *moveBuffers) error {
	for {
		c.engine.mu.Lock()
		bufs := c.buffers()
		docs, left := make([][]*memDoc, len(bufs)), 0
		for i, b := range bufs {
			docs[i] = b.docs[:len(b.docs):len(b.docs)]
			left += len(docs[i]) - len(m.of(b).docs)
		}
		c.engine.mu.Unlock()
		if left < 32 {
			return nil
		}
		for i, b := range bufs {
			if err := m.of(b).catchUp(docs[i]); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// buffers are those of now, the active one last. The caller holds Engine.mu.
func (c *collection) buffers() []*memtable {
	return append(c.frozen[:len(c.frozen):len(c.frozen)], c.active)
}

// of is the copy of a buffer.
func (m *moveBuffers) of(b *memtable) *memtable {
	if m.into[b] == nil {
		m.into[b] = newMemtable(m.to, m.indexes)
	}
	return m.into[b]
}

// tokens is the number of token vectors in the copies.
func (m *moveBuffers) tokens() (n int64) {
	for _, b := range m.into {
		n += b.tokens
	}
	return n
}

// finish encodes what arrived last and makes the copies the collection's
// buffers. The caller holds Engine.mu.
func (m *moveBuffers) finish(c *collection) error {
	if m.to == nil {
		return nil
	}
	bufs := c.buffers()
	for _, b := range bufs {
		m.late += len(b.docs) - len(m.of(b).docs)
		if err := m.of(b).catchUp(b.docs); err != nil {
			return err
		}
	}
	for i, b := range bufs {
		bufs[i] = m.of(b)
		bufs[i].adoptLive(b)
	}
	last := len(bufs) - 1
	c.frozen, c.active = bufs[:last:last], bufs[last]
	return nil
}

// exciseObsolete is C6 for the inputs that nobody reads any more.
func (e *Engine) exciseObsolete(ctx context.Context) error {
	if len(e.obsolete.free()) == 0 {
		return nil
	}
	return e.publishing(ctx, func(ctx context.Context) error {
		free := e.obsolete.free()
		// R0: the manifest without them is in an sstable before they go.
		if err := e.guard.flush(ctx, e.db); err != nil {
			return err
		}
		for _, o := range free {
			if err := e.excise(ctx, o.span()); err != nil {
				return err
			}
			e.obsolete.forget(o)
		}
		return nil
	})
}

func (e *Engine) excise(ctx context.Context, span segment.KeyRange) error {
	defer e.disk.freed()
	return e.guard.write(func() error {
		return e.db.Excise(ctx, pebble.KeyRange{Start: span.Start, End: span.End})
	})
}
