package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/colbertdb-go/colbertdb/codec"
)

// Back-pressure. Options.WriteMemory bounds the memory of what was written and is
// not yet in a segment: batches on their way to the log and memory buffers, as
// they lie in memory (float16 vectors, planes, text, postings), over all
// collections.
//
//	    0 ─────────────────── soft (3/4) ─────────────── limit
//	      writes run freely │ each write pauses a little │ writes wait, in order
//	                        │ the sealer takes the largest buffers, whatever their size
//
// A batch is admitted before it is encoded, by an estimate that is not below what
// it comes to; a caller that waits holds nothing but what it came with. One that
// is larger than the limit is admitted when nothing else is held. Beside this, a
// commit group is copied twice on its way to the log: up to 2 × maxGroupBytes, or
// 2 × its one batch.

// writeRoom admits writes. Its lock is taken after Engine.mu.
type writeRoom struct {
	limit, soft int64
	failFast    bool
	wake        func() // the sealer
	began       func(first *roomWaiter, held int64)
	ended       func(first *roomWaiter, held int64, d time.Duration)

	mu       sync.Mutex
	admitted int64 // of batches that are not yet in a buffer
	buffered int64 // of buffers
	peak     int64 // the most that was held
	waiting  []*roomWaiter
	bytes    int64       // of waiting
	stall    *roomWaiter // the first of the stall in hand, nil: none
	since    time.Time   // of the stall
	heldThen int64
	closed   bool

	stalls, slowed, refused   atomic.Int64
	stalledNanos, slowedNanos atomic.Int64
}

// roomWaiter is a write that waits.
type roomWaiter struct {
	col   *collection
	bytes int64
	ready chan error // one answer
}

// slowest is the pause of a write when the memory is all but full.
const slowest = 10 * time.Millisecond

// enter admits a write of so many bytes, pausing or waiting as need be; leave must
// follow where it returns nil.
func (r *writeRoom) enter(ctx context.Context, c *collection, bytes int64) error {
	if err := r.slowDown(ctx, c); err != nil {
		return err
	}
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return ErrClosed
	}
	if len(r.waiting) == 0 && r.fits(bytes) {
		r.admit(bytes)
		r.mu.Unlock()
		return nil
	}
	held := r.admitted + r.buffered
	if r.failFast {
		r.mu.Unlock()
		r.refused.Add(1)
		r.wake()
		return fmt.Errorf("%w: %d bytes of %d wait to become segments, the write has %d; try again later", ErrBusy, held, r.limit, bytes)
	}
	w := &roomWaiter{col: c, bytes: bytes, ready: make(chan error, 1)}
	r.stalls.Add(1)
	r.waiting = append(r.waiting, w)
	r.bytes += bytes
	if r.stall == nil {
		r.stall, r.since, r.heldThen = w, time.Now(), held
		r.began(w, held)
	}
	r.mu.Unlock()
	r.wake()
	select {
	case err := <-w.ready:
		return err
	case <-ctx.Done():
		return r.giveUp(w, ctx.Err())
	}
}

// slowDown pauses a write in proportion to how full the upper quarter is.
func (r *writeRoom) slowDown(ctx context.Context, c *collection) error {
	r.mu.Lock()
	over := r.admitted + r.buffered - r.soft
	r.mu.Unlock()
	if over <= 0 || r.failFast {
		return nil
	}
	r.wake()
	pause := time.Duration(float64(slowest) * min(1, float64(over)/float64(max(1, r.limit-r.soft))))
	r.slowed.Add(1)
	r.slowedNanos.Add(int64(pause))
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.engine.closing:
		return ErrClosed
	}
}

func (r *writeRoom) fits(bytes int64) bool {
	held := r.admitted + r.buffered
	return held == 0 || held+bytes <= r.limit
}

// admit counts a write. The caller holds mu.
func (r *writeRoom) admit(bytes int64) {
	r.admitted += bytes
	r.peak = max(r.peak, r.admitted+r.buffered)
}

// force admits a write that must not wait.
func (r *writeRoom) force(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admit(bytes)
}

// leave ends a write; what it has put into a buffer is counted there.
func (r *writeRoom) leave(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admitted -= bytes
	r.serve()
}

// settle ends what was admitted of a write that goes into a buffer now: grow
// follows, and others are let in once the write leaves.
func (r *writeRoom) settle(p *pending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.admitted -= p.memory
	p.memory = 0
}

// grow counts a change of the buffers' size.
func (r *writeRoom) grow(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buffered += bytes
	r.peak = max(r.peak, r.admitted+r.buffered)
	if bytes < 0 {
		r.serve()
	}
}

// serve admits who waits, in order, as far as there is room. The caller holds mu.
func (r *writeRoom) serve() {
	for len(r.waiting) > 0 && r.fits(r.waiting[0].bytes) {
		w := r.waiting[0]
		r.drop(w)
		r.admit(w.bytes)
		w.ready <- nil
	}
	if len(r.waiting) > 0 && r.buffered > 0 {
		r.wake()
	}
}

// drop removes a waiter; the stall ends with the last one. The caller holds mu.
func (r *writeRoom) drop(w *roomWaiter) {
	at := slices.Index(r.waiting, w)
	r.waiting = slices.Delete(r.waiting, at, at+1)
	r.bytes -= w.bytes
	if len(r.waiting) == 0 {
		d := time.Since(r.since)
		r.stalledNanos.Add(int64(d))
		r.ended(r.stall, r.heldThen, d)
		r.stall = nil
	}
}

// giveUp ends a wait, unless it was over already.
func (r *writeRoom) giveUp(w *roomWaiter, why error) error {
	r.mu.Lock()
	select {
	case err := <-w.ready:
		r.mu.Unlock()
		if err == nil {
			r.leave(w.bytes)
		}
		return why
	default:
	}
	r.drop(w)
	r.serve() // the next may be smaller
	r.mu.Unlock()
	return why
}

// fail answers all who wait with an error.
func (r *writeRoom) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.waiting) > 0 {
		w := r.waiting[0]
		r.drop(w)
		w.ready <- err
	}
}

// close ends every wait, now and later.
func (r *writeRoom) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.fail(ErrClosed)
}

// need is how many bytes of buffers should become segments now: what is above the
// soft limit, or in the way of the first who waits.
func (r *writeRoom) need() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	held := r.admitted + r.buffered
	if len(r.waiting) > 0 {
		return max(1, held+r.waiting[0].bytes-r.limit, held-r.soft)
	}
	return held - r.soft
}

// WriteMemoryMetrics describe what was written and is not yet in a segment.
type WriteMemoryMetrics struct {
	Bytes, Limit int64 // held now, and at most
	Peak         int64 // the most since the store was opened
	Waiting      int   // writes that wait
	WaitingBytes int64 // of these
	// Slowed are the writes that paused because the memory was nearly full,
	// SlowedTime the sum of their pauses; Refused those that returned ErrBusy.
	Slowed, Refused int64
	SlowedTime      time.Duration
}

func (r *writeRoom) metrics() WriteMemoryMetrics {
	r.mu.Lock()
	defer r.mu.Unlock()
	return WriteMemoryMetrics{
		Bytes: r.admitted + r.buffered, Limit: r.limit, Peak: r.peak,
		Waiting: len(r.waiting), WaitingBytes: r.bytes,
		Slowed: r.slowed.Load(), Refused: r.refused.Load(), SlowedTime: time.Duration(r.slowedNanos.Load()),
	}
}

// pressed returns the buffers that are to be sealed for want of room, largest
// first, until they make up what is needed.
func (e *Engine) pressed() map[*collection]bool {
	need := e.room.need()
	if need <= 0 {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	all := byID(e.unsealed)
	slices.SortStableFunc(all, func(a, b *collection) int { return cmp.Compare(b.inRoom, a.inRoom) })
	out := map[*collection]bool{}
	for _, c := range all {
		if need <= 0 || c.inRoom == 0 {
			break
		}
		out[c] = true
		need -= c.inRoom
	}
	return out
}

// countBuffers keeps the room's count of a collection's buffers up to date. The
// caller holds Engine.mu.
func (c *collection) countBuffers() {
	var n int64
	for _, m := range c.frozen {
		n += m.memory
	}
	if c.active != nil {
		n += c.active.memory
	}
	if n != c.inRoom {
		c.engine.room.grow(n - c.inRoom)
		c.inRoom = n
	}
}

// docOverhead is about what a document takes in a buffer beside its bytes:
// structures, and its entry in the map of ids.
const docOverhead = 512

// memory is what an encoded document takes in a buffer. The entries of a text index
// are counted as once more the text.
func (d *memDoc) memory() int64 {
	e := d.enc
	return int64(d.op.bytes()) + docOverhead + int64(len(d.op.text)) +
		int64(len(e.Codes)+len(e.A)+len(e.B)+len(e.C)+len(e.Raw)+len(e.PLAID)+len(e.Norms)+4*len(e.Centroids)+2*len(e.Centroids))
}

// memoryOf is at least what memory comes to for a document that is not encoded
// yet, in whatever space.
func memoryOf(d *Document, dim int, retainRaw bool) int64 {
	token := 2*dim + 2 + 2*codec.PlaneBytes(dim) + dim + 1 + 6
	if retainRaw {
		token += 2 * dim
	}
	return int64(len(d.ID)+2*len(d.Text)+len(d.Attributes)) + opOverhead + docOverhead + int64(d.Vectors.Len())*int64(token)
}

// deleteMemory is what a delete takes on its way to the log.
func deleteMemory(id string) int64 { return int64(len(id)) + opOverhead }
