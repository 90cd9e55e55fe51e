package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
	"github.com/colbertdb-go/colbertdb/segment"
)

// behind is the number of documents in a collection's buffers that have yet to be
// encoded in the space that they move to.
func (c *collection) behind(m *moveBuffers) (n int) {
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	for _, b := range c.buffers() {
		n += len(b.docs)
		if to := m.into[b]; to != nil {
			n -= len(to.docs)
		}
	}
	return n
}

// When a training is published, a few documents at most are encoded under the lock
// that readers take: neither what was written while it waited for its turn is left to
// that, nor what was written while its batch was.
func TestTrainingLeavesLittleToTheLock(t *testing.T) {
	const most = 31 // moveBuffers.catchUp goes on as long as there are more
	r := &roll{t: t, r: rand.New(rand.NewPCG(8, 15)), model: map[string]Document{}}
	o := rollOptions(crashmem.New())
	o.SealDocuments, o.SealAge = 10_000, -1 // nobody seals the buffer
	r.openWith(o, CollectionConfig{Profile: Balanced})
	ctx, c := context.Background(), r.h.c
	var written atomic.Pointer[func()] // called after each write to Pebble
	mark := r.e.guard.mark
	r.e.guard.mark = func() {
		mark()
		if f := written.Load(); f != nil {
			(*f)()
		}
	}
	r.write(1, 150)
	r.train()
	r.finish()
	r.must(r.h.Flush(ctx))
	v := r.acquire()
	defer c.release(v)
	sample, _, err := v.sample(ctx, r.e.opts.TrainSample, v.liveTokens())
	r.must(err)
	cb, rt, err := codec.Train(ctx, sample, codec.TrainOptions{
		TotalTokens: v.liveTokens(), CodebookID: v.space.codebookID() + 1, RoutingID: v.space.routingID() + 1, Seed: 2,
	})
	r.must(err)
	to := v.space.with(cb, rt)
	w := &mergeWork{engine: r.e, col: c, from: v.space, to: to, trained: to}
	moved := &moveBuffers{to: to, into: map[*memtable]*memtable{}}
	r.must(c.catchUp(ctx, moved))
	r.buffer(2, 90)
	if n := c.behind(moved); n != 90 {
		t.Fatalf("%d documents are to be encoded: the test has no power", n)
	}
	waited := -1 // documents that were behind when the batch was written
	var more []Document
	for range 80 {
		more = append(more, r.document(2, fmt.Sprintf("d2-%03d", r.next)))
		r.next++
	}
	batch := func() { // after the batch, on the way to the locks
		record, err := load(r.e.db, segment.CollectionKey(c.id), decodeCollection)
		if err != nil || record.Codebook != to.codebook.ID {
			return // of another
		}
		written.Store(nil)
		waited = c.behind(moved)
		if _, err := r.h.Upsert(ctx, more...); err != nil {
			t.Error(err)
		}
	}
	written.Store(&batch)
	r.must(r.e.publishing(ctx, func(ctx context.Context) error { return w.publish(ctx, moved) }))
	if waited < 0 || waited > most || moved.late > most {
		t.Errorf("%d documents from before its turn came and %d from beside the batch are left, at most %d may be", waited, moved.late, most)
	}
	for _, d := range more {
		r.model[d.ID] = d
	}
	if now := c.space(); now != to {
		t.Errorf("the collection is in %v, trained were %v", now.versions(), to.versions())
	}
	r.check()
	r.must(r.e.Close())
}
