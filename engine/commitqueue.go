package engine

import "sync"

// commitQueue holds the batches that wait for the committer. writeRoom bounds
// their bytes; there is no bound on their number.
type commitQueue struct {
	mu      sync.Mutex
	waiting []*pending
	closed  bool
	some    chan struct{} // has an element when something may wait
}

func newCommitQueue() *commitQueue { return &commitQueue{some: make(chan struct{}, 1)} }

// put queues a batch.
func (q *commitQueue) put(p *pending) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	q.waiting = append(q.waiting, p)
	q.signal()
	return nil
}

// take returns the next group: at least one batch where any waits, and no more
// than make up limit bytes.
func (q *commitQueue) take(limit int) (group []*pending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	size, n := 0, 0
	for n < len(q.waiting) && (n == 0 || size < limit) {
		size += q.waiting[n].bytes
		n++
	}
	group = q.waiting[:n:n]
	if q.waiting = q.waiting[n:]; len(q.waiting) > 0 {
		q.signal()
	}
	return group
}

func (q *commitQueue) signal() {
	select {
	case q.some <- struct{}{}:
	default:
	}
}

// close answers what waits with ErrClosed, and all that comes.
func (q *commitQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, p := range q.waiting {
		p.err = ErrClosed
		close(p.done)
	}
	q.waiting = nil
}
