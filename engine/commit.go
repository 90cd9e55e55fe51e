package engine

import (
	"cmp"
	"context"
	"fmt"

	"github.com/colbertdb-go/colbertdb/internal/failpoint"
	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/wal"
)

// The write path. Callers encode their documents, hand a pending batch to the
// committer and wait. The committer takes all that wait, gives them sequence
// and document numbers, appends them to the log in one group (one write, one
// fsync), applies them to the buffers and publishes one version a collection.
// Nothing is visible before it is in the log, and log order is apply order.

// Limits of one batch and one commit group.
const (
	MaxBatchDocuments = 16384
	maxGroupBytes     = 16 << 20
)

// pending is one batch on its way to the log.
type pending struct {
	col     *collection
	from    *Collection // the handle of the write
	ops     []op
	docs    []*memDoc // for each upsert among ops, in order, encoded in space
	space   *space
	bytes   int
	memory  int64 // admitted by writeRoom
	seq     uint64
	deleted int                       // live documents that its deletes removed
	key     *writeKey                 // its idempotency key; nil: none
	repeat  bool                      // of a write that was made before: nothing is logged or applied
	of      *pending                  // that write, where it is in the same group
	onlyIf  map[string]segment.DocNum // documents to delete, if they are still these; nil: any
	err     error
	done    chan struct{}
}

// begin starts a batch of n operations that will take so many bytes of memory,
// with a key or without; it waits for room. end must follow. The collection stays
// open until then.
func (h *Collection) begin(ctx context.Context, n int, memory int64, key *writeKey) (*pending, error) {
	e := h.c.engine
	if h.reindex { // its last documents come while seals are kept off
		e.room.force(memory)
	} else if err := e.room.enter(ctx, h.c, memory); err != nil {
		return nil, err
	}
	v, err := h.c.use()
	if err != nil {
		e.room.leave(memory)
		return nil, err
	}
	return &pending{col: h.c, from: h, ops: make([]op, n), memory: memory, space: v.space, key: key}, nil
}

func (p *pending) end() {
	p.col.unuse()
	p.col.engine.room.leave(p.memory)
}

// commit hands a batch to the committer and waits for it. A context that ends
// while the batch waits in the queue does not take it back: the call still
// waits, so that its answer is true.
func (e *Engine) commit(ctx context.Context, p *pending) error {
	if e.opts.ReadOnly {
		return fmt.Errorf("%w: opened with Options.ReadOnly", ErrReadOnly)
	}
	if err := e.admit(p); err != nil {
		return err
	}
	if err := p.col.gate.enter(ctx); err != nil {
		return err
	}
	defer p.col.gate.leave()
	p.done = make(chan struct{})
	for i := range p.ops {
		p.bytes += p.ops[i].bytes()
	}
	if err := e.commits.put(p); err != nil {
		return err
	}
	<-p.done
	return p.err
}

// committer is the goroutine that owns the log's tail.
func (e *Engine) committer() {
	defer e.wg.Done()
	defer e.commits.close()
	for {
		select {
		case <-e.commits.some:
			if group := e.commits.take(maxGroupBytes); len(group) > 0 {
				e.commitGroup(group)
			}
		case <-e.closing:
			return
		}
	}
}

// acknowledge lets commit return.
func (p *pending) acknowledge() {
	if failpoint.On(failpoint.AckBeforeAppend) {
		select {
		case <-p.done:
			return
		default:
		}
	}
	close(p.done)
}

// commitGroup is the pipeline, in the committer alone:
//
//	G1  under mu: check each batch, give it sequence and document numbers
//	G2  append to the log and sync, without mu: reads and searches go on
//	G3  under mu: apply to the buffers, publish, make the numbers the store's
//
// From G1 to G3 the group holds commitMu. Who rotates the log, moves documents
// from buffers to segments, changes the space of buffers or drops a collection
// takes commitMu before mu. Hence
//
//   - log order is apply order, and a rotation finds every record of the old
//     files in the buffers: none is logged and not yet applied;
//   - what G1 has found out (where documents are, how they are encoded) still
//     holds at G3, so that applying cannot fail.
func (e *Engine) commitGroup(group []*pending) {
	e.commitMu.Lock()
	defer e.commitMu.Unlock()
	defer func() {
		for _, p := range group {
			p.col.refs = nil
			p.acknowledge()
		}
	}()
	seq := e.number(group)
	var records []wal.Record
	for _, p := range group {
		if p.logged() {
			records = append(records, p.record())
		}
	}
	if len(records) == 0 {
		return
	}
	if failpoint.On(failpoint.AckBeforeAppend) {
		for _, p := range group {
			p.acknowledge()
		}
	}
	if err := e.log.Append(e.withTime(records)); err != nil {
		err = e.logFailed(err)
		for _, p := range group {
			if !p.repeat || p.of != nil {
				p.err = cmp.Or(p.err, err)
			}
		}
		return
	}
	file, _ := e.log.End()
	for _, p := range group {
		if p.logged() {
			p.col.logFile = file
		}
	}
	e.applyGroup(group, seq)
}

// number is G1. It returns the last sequence number given.
func (e *Engine) number(group []*pending) (seq uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	seq = e.seq
	nextNum := map[*collection]segment.DocNum{}
	for i, p := range group {
		if p.err = e.guard.check(nil); p.err == nil {
			p.err = p.findRepeat(group[:i])
		}
		if p.err == nil && !p.repeat {
			p.err = p.prepare()
		}
		if p.err != nil || p.repeat {
			continue
		}
		if p.keepUnchanged(group[:i]); !p.logged() {
			p.seq = seq
			continue
		}
		next, ok := nextNum[p.col]
		if !ok {
			next = p.col.nextNum
		}
		for i := range p.ops {
			if p.ops[i].kind == opUpsert {
				p.ops[i].num = next
				next++
			}
		}
		nextNum[p.col] = next
		seq++
		p.seq = seq
	}
	return seq
}

// logged reports whether the batch goes to the log: it changes something, or has
// a key to be remembered.
func (p *pending) logged() bool {
	return p.err == nil && !p.repeat && (len(p.ops) > 0 || p.key != nil)
}

// record is the batch as logged.
func (p *pending) record() wal.Record {
	b := loggedBatch{collection: p.col.id, key: p.key, ops: p.ops}
	return wal.Record{Seq: p.seq, Type: recordBatch, Payload: b.append(nil)}
}

// applyGroup is G3.
func (e *Engine) applyGroup(group []*pending, seq uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seq = seq
	e.announce()
	e.stats.group(group)
	touched := map[*collection]*version{}
	for _, p := range group {
		if p.of != nil {
			p.seq, p.deleted, p.err = p.of.seq, p.of.total(), p.of.err
		}
		if !p.logged() {
			continue
		}
		v := touched[p.col]
		if v == nil {
			v = p.col.next()
			touched[p.col] = v
		}
		e.room.settle(p)
		if p.deleted, p.err = p.col.apply(v, p.ops, p.docs, p.seq); p.err != nil {
			// The batch is in the log and half applied: only a reopen mends that.
			e.guard.poison(p.err)
		}
		e.keys.note(p)
	}
	if e.keys.due() {
		e.wakeSealer()
	}
	for c, v := range touched {
		c.finish(v)
		c.noteChange()
	}
}

// prepare makes a batch ready for the log under Engine.mu: its collection still
// exists, and its documents are encoded in the space that the buffer has now.
func (p *pending) prepare() error {
	if p.col.dropped.Load() {
		return fmt.Errorf("%w: %q was dropped", ErrCollectionNotFound, p.col.name)
	}
	for i := range p.ops {
		if err := p.col.resolve(p.ops[i].id); err != nil {
			return err
		}
	}
	if err := p.from.mayWrite(); err != nil {
		return err
	}
	if p.space == p.col.active.space {
		return nil
	}
	p.space = p.col.active.space
	return p.encode()
}

// resolve finds out where the store has a document before its change is logged,
// so that applying a logged batch cannot fail half-way.
func (c *collection) resolve(id string) error {
	if c.refs == nil {
		c.refs = map[string]storedRef{}
	}
	if _, done := c.refs[id]; done {
		return nil
	}
	if c.buffered(id) { // its copies in segments are dead
		c.refs[id] = storedRef{}
		return nil
	}
	num, ok, err := c.lookup(id)
	if err != nil {
		return fmt.Errorf("document %q: %w", id, err)
	}
	c.refs[id] = storedRef{num, ok}
	return nil
}

func (c *collection) buffered(id string) bool {
	if _, ok := c.active.byID[id]; ok {
		return true
	}
	for _, m := range c.frozen {
		if _, ok := m.byID[id]; ok {
			return true
		}
	}
	return false
}

// storedRef is the document number that the store has for an id, if any.
type storedRef struct {
	num segment.DocNum
	ok  bool
}

// encode fills docs from ops.
func (p *pending) encode() error {
	enc := p.space.encoder()
	p.docs = p.docs[:0]
	for i := range p.ops {
		o := &p.ops[i]
		if o.kind != opUpsert {
			continue
		}
		encoded, err := enc.Encode(o.matrix())
		if err != nil {
			return fmt.Errorf("document %q: %w", o.id, err)
		}
		d := &memDoc{op: o, enc: encoded}
		if spec, ok := textSpec(p.col.declared()); ok {
			d.terms = countTerms(spec.Analyzer, o.text)
		}
		p.docs = append(p.docs, d)
	}
	return nil
}

// apply puts one logged batch into the buffer and into v, the version to be
// published. It is the same for a commit and for a replay. The caller holds
// Engine.mu.
func (c *collection) apply(v *version, ops []op, docs []*memDoc, seq uint64) (deleted int, err error) {
	if len(c.active.docs)+len(docs) > segment.MaxDocuments {
		c.freeze()
	}
	for i := range ops {
		o := &ops[i]
		if c.bulk != nil {
			c.bulk.touched[o.id] = struct{}{}
		}
		found, err := c.kill(v, o.id)
		if err != nil {
			return deleted, err
		}
		if o.kind == opDelete {
			c.notes.add(o.id)
			if found {
				deleted++
			}
			continue
		}
		d := docs[0]
		docs = docs[1:]
		d.seq = seq
		c.active.add(d)
		c.nextNum = max(c.nextNum, o.num+1)
	}
	v.seq, c.lastSeq = seq, seq
	return deleted, nil
}

// kill marks the live document with this id dead, wherever it is.
func (c *collection) kill(v *version, id string) (found bool, err error) {
	if c.active.kill(id) {
		return true, nil
	}
	for _, m := range c.frozen {
		if m.kill(id) {
			return true, nil
		}
	}
	ref, resolved := c.refs[id]
	if !resolved { // a replay
		if ref.num, ref.ok, err = c.lookup(id); err != nil {
			return false, err
		}
	}
	if !ref.ok {
		return false, nil
	}
	i, ord, ok := v.find(ref.num)
	if !ok || !v.segs[i].isLive(ord) {
		return false, nil
	}
	s := &v.segs[i]
	if !c.cloned[s.segHandle] {
		if s.live == nil {
			s.live = segment.NewBitset(s.Len(), true)
		} else {
			s.live = s.live.Clone()
		}
		if c.cloned == nil {
			c.cloned = map[*segHandle]bool{}
		}
		c.cloned[s.segHandle] = true
	}
	s.live.Clear(ord)
	return true, nil
}

// finish publishes a version that apply has changed.
func (c *collection) finish(v *version) {
	v.mems = v.mems[:0]
	for _, m := range c.frozen {
		v.mems = append(v.mems, m.view())
	}
	v.mems = append(v.mems, c.active.view())
	c.publish(v)
	e := c.engine
	e.noteUnsealed(c)
	e.considerSeal(c)
	if len(c.cloned) > 0 {
		e.mergeable[c] = struct{}{}
	}
	c.cloned = nil
}

// freeze ends the active buffer; the next seal takes it. The caller holds
// Engine.mu and publishes afterwards.
func (c *collection) freeze() {
	if len(c.active.docs) == 0 {
		return
	}
	c.frozen = append(c.frozen, c.active)
	c.active = newMemtable(c.active.space, c.declared())
}
