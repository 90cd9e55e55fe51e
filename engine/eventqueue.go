package engine

import (
	"sync"
	"sync/atomic"
)

// maxEvents is how far a listener may fall behind.
const maxEvents = 4096

// eventQueue carries events from where they happen, often under a lock, to the
// listener, which must be free to call the store. A nil queue drops them.
type eventQueue struct {
	listener EventListener
	dropped  atomic.Int64

	mu      sync.Mutex
	some    sync.Cond
	waiting []func(*EventListener)
	closed  bool
	done    chan struct{} // closed when the goroutine has ended; nil before start
}

// newEventQueue returns nil for no listener. Events wait until start.
func newEventQueue(l *EventListener) *eventQueue {
	if l == nil {
		return nil
	}
	q := &eventQueue{listener: *l}
	q.listener.EnsureDefaults()
	q.some.L = &q.mu
	return q
}

// emit queues an event. It never blocks.
func (q *eventQueue) emit(event func(*EventListener)) {
	if q == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxEvents || q.closed {
		q.dropped.Add(1)
		return
	}
	q.waiting = append(q.waiting, event)
	q.some.Signal()
}

// start begins to deliver.
func (q *eventQueue) start() {
	if q == nil {
		return
	}
	q.done = make(chan struct{})
	go q.deliver()
}

func (q *eventQueue) deliver() {
	defer close(q.done)
	for {
		q.mu.Lock()
		for len(q.waiting) == 0 && !q.closed {
			q.some.Wait()
		}
		events := q.waiting
		q.waiting = nil
		q.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, event := range events {
			event(&q.listener)
		}
	}
}

// close delivers what waits and ends the goroutine.
func (q *eventQueue) close() {
	if q == nil || q.done == nil {
		return
	}
	q.mu.Lock()
	q.closed = true
	q.some.Signal()
	q.mu.Unlock()
	<-q.done
}
