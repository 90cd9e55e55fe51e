package encoder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrBusy is wrapped by the error of a call that found Tuning.Waiting others before
// it. Nothing of it was done.
var ErrBusy = errors.New("colbertdb: too much waits to be encoded")

// Tuning says how texts come to a graph. The zero value is ready to use.
type Tuning struct {
	// BatchTokens is the number of positions of a batch, padding included; a text that
	// is longer is a batch by itself. Default: 4,096.
	BatchTokens int
	// Waiting is the number of calls of EncodeQueries, and of EncodeDocuments, that
	// wait for others; more get ErrBusy. Default: 1,024.
	Waiting int
	// Join is how long queries wait at most for others to be run together with, which
	// they do only where several were a moment ago. Default: 2 ms; negative: not at all.
	Join time.Duration
}

func (t Tuning) withDefaults() Tuning {
	if t.BatchTokens <= 0 {
		t.BatchTokens = 4096
	}
	if t.Waiting <= 0 {
		t.Waiting = 1024
	}
	if t.Join == 0 {
		t.Join = 2 * time.Millisecond
	}
	return t
}

// Laned is implemented by sessions that run more than one batch of queries, or more
// than one of documents, at once to advantage.
type Laned interface {
	Lanes() (queries, documents int)
}

// queue brings the texts of many calls to a graph in batches of like length. A batch
// is begun by the longest text of the call that waits longest, and other calls join it
// with theirs:
//
//	calls    oldest  ████ ███ ███ ██          texts, longest first
//	                 ███ ██                   │ first batch: ████ ███ ███ ███
//	         newest  █                        │ second:      ██ ██, third: █
//
// Batches are run by up to lanes goroutines, which are there only while there is
// something to do.
type queue struct {
	run    func(ctx context.Context, seqs []*sequence, each func(i int, vectors []float32)) error
	lanes  int
	tuning Tuning
	// freePadding: the session does not compute padding.
	freePadding bool

	mu       sync.Mutex
	calls    []*call // with texts that are in no batch yet, oldest first
	workers  int
	running  sync.WaitGroup // of workers
	closed   bool
	together int           // calls in the last batch
	ended    time.Time     // when it did
	arrived  chan struct{} // closed at the next call; nil: nobody waits for it
}

// call is a call of EncodeQueries or EncodeDocuments. What the queue changes is
// guarded by its mutex.
type call struct {
	ctx    context.Context
	seqs   []sequence
	each   func(i int, vectors []float32) error // takes the vectors of a text
	order  []int                                // of seqs, longest first
	budget int                                  // positions of a batch that it begins
	next   int                                  // in order: the first in no batch yet
	left   int                                  // texts that are not done
	err    error                                // the first
	done   chan struct{}                        // closed when the call has ended
}

// row is a text in a batch.
type row struct {
	call *call
	i    int // of call.seqs
}

func (r row) length() int { return len(r.call.seqs[r.i].ids) }

// do encodes sequences and hands each its vectors, [len(ids)][dim]. After an error,
// calls of each may still be running.
func (q *queue) do(ctx context.Context, seqs []sequence, each func(i int, vectors []float32) error) error {
	if err := ctx.Err(); err != nil || len(seqs) == 0 {
		return err
	}
	c := &call{ctx: ctx, seqs: seqs, each: each, order: make([]int, len(seqs)), left: len(seqs), done: make(chan struct{})}
	total := 0
	for i := range seqs {
		c.order[i] = i
		total += len(seqs[i].ids)
	}
	slices.SortStableFunc(c.order, func(a, b int) int { return len(seqs[b].ids) - len(seqs[a].ids) })
	// So that every lane gets a share, unless the shares were too small to be worth it.
	const least = 512
	c.budget = min(q.tuning.BatchTokens, max(least, (total+q.lanes-1)/q.lanes))
	if err := q.submit(c); err != nil {
		return err
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		q.abandon(c)
		return ctx.Err()
	}
}

// submit lets a call wait, and sees to it that there is who works on it.
func (q *queue) submit(c *call) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.calls) >= q.tuning.Waiting {
		return fmt.Errorf("%w: %d calls wait before this one", ErrBusy, len(q.calls))
	}
	q.calls = append(q.calls, c)
	if q.arrived != nil {
		close(q.arrived)
		q.arrived = nil
	}
	if q.closed { // nobody works any more; the session says that it is closed
		for rows := q.take(); rows != nil; rows = q.take() {
			q.mu.Unlock()
			q.runBatch(rows)
			q.mu.Lock()
		}
		return nil
	}
	for n := min(q.lanes-q.workers, len(c.order)); n > 0; n-- {
		q.workers++
		q.running.Go(q.work)
	}
	return nil
}

// work runs batches until no call waits.
func (q *queue) work() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		q.await()
		rows := q.take()
		if rows == nil {
			q.workers--
			return
		}
		q.mu.Unlock()
		q.runBatch(rows)
		q.mu.Lock()
	}
}

// await waits for the calls that were together in the last batch to come again, if
// that was a moment ago: clients that ask one question after the other.
func (q *queue) await() {
	if q.tuning.Join <= 0 || len(q.calls) == 0 || len(q.calls) >= q.together || time.Since(q.ended) >= q.tuning.Join {
		return
	}
	timer := time.NewTimer(q.tuning.Join)
	defer timer.Stop()
	for len(q.calls) > 0 && len(q.calls) < q.together && !q.closed {
		if q.arrived == nil {
			q.arrived = make(chan struct{})
		}
		arrived := q.arrived
		q.mu.Unlock()
		select {
		case <-arrived:
			q.mu.Lock()
		case <-timer.C:
			q.mu.Lock()
			return
		}
	}
}

// fits reports whether texts of these lengths, so many, may be a batch: padded by a
// quarter at most, and by a sixteenth where the batch is large enough without more of
// them, an eighth of the budget, and padding costs time.
func (q *queue) fits(shortest, longest, rows int) bool {
	if rows*longest > q.tuning.BatchTokens/8 && !q.freePadding {
		return shortest*16 >= longest*15
	}
	return shortest*4 >= longest*3
}

// take makes a batch of texts that wait, nil where none do.
func (q *queue) take() (rows []row) {
	shortest, longest, budget := 0, 0, 0
	for k := 0; k < len(q.calls); {
		c := q.calls[k]
		if c.ctx.Err() != nil {
			q.calls = slices.Delete(q.calls, k, k+1)
			continue
		}
		for c.next < len(c.order) {
			r := row{c, c.order[c.next]}
			n := r.length()
			if len(rows) == 0 {
				shortest, longest, budget = n, n, c.budget
			} else if lo, hi := min(shortest, n), max(longest, n); !q.fits(lo, hi, len(rows)+1) || (len(rows)+1)*hi > budget {
				break
			} else {
				shortest, longest = lo, hi
			}
			rows = append(rows, r)
			c.next++
		}
		if c.next == len(c.order) {
			q.calls = slices.Delete(q.calls, k, k+1)
		} else {
			k++
		}
		if (len(rows)+1)*longest > budget {
			break
		}
	}
	return rows
}

// runBatch runs a batch and tells the calls whose it was.
func (q *queue) runBatch(rows []row) {
	var calls []*call
	seqs := make([]*sequence, len(rows))
	for i, r := range rows {
		seqs[i] = &r.call.seqs[r.i]
		if !slices.Contains(calls, r.call) {
			calls = append(calls, r.call)
		}
	}
	errs := make([]error, len(rows))
	ctx, stop := contextOf(calls)
	err := guarded(func() error {
		return q.run(ctx, seqs, func(i int, vectors []float32) { errs[i] = rows[i].call.each(rows[i].i, vectors) })
	})
	stop()

	q.mu.Lock()
	defer q.mu.Unlock()
	q.together, q.ended = len(calls), time.Now()
	for i, r := range rows {
		if err != nil {
			errs[i] = err
		}
		q.finish(r.call, errs[i])
	}
}

// finish counts a text of a call as done. After an error the rest of it is left.
func (q *queue) finish(c *call, err error) {
	c.left--
	switch {
	case c.err != nil: // the call has ended
	case err != nil:
		c.err = err
		q.drop(c)
		close(c.done)
	case c.left == 0:
		close(c.done)
	}
}

// drop takes a call out of those that wait.
func (q *queue) drop(c *call) {
	if k := slices.Index(q.calls, c); k >= 0 {
		q.calls = slices.Delete(q.calls, k, k+1)
	}
}

func (q *queue) abandon(c *call) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(c)
}

// close waits for the calls that were made before.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.running.Wait()
}

// contextOf returns a context that ends when those of all the calls have.
func contextOf(calls []*call) (ctx context.Context, stop func()) {
	if len(calls) == 1 {
		return calls[0].ctx, func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var left atomic.Int64
	left.Store(int64(len(calls)))
	stops := make([]func() bool, len(calls))
	for i, c := range calls {
		stops[i] = context.AfterFunc(c.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, s := range stops {
			s()
		}
		cancel()
	}
}

// guarded makes a panic of a session an error of the calls that ran it.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("colbertdb: encoder panicked: %v", p)
		}
	}()
	return f()
}
