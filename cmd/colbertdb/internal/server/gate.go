package server

import (
	"context"
	"sync/atomic"
)

// gate lets so many through at once and so many more wait; others are turned away,
// so that what is admitted is not slowed down by what cannot be served anyway.
type gate struct {
	slots  chan struct{}
	queue  atomic.Int64
	most   int64
	denied atomic.Int64
}

func newGate(running, queued int) *gate {
	return &gate{slots: make(chan struct{}, running), most: int64(queued)}
}

// enter waits for a slot; leave must follow a nil.
func (g *gate) enter(ctx context.Context) error {
	select {
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	if g.queue.Add(1) > g.most {
		g.queue.Add(-1)
		g.denied.Add(1)
		return errOverloaded
	}
	defer g.queue.Add(-1)
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) leave() { <-g.slots }

// running is the number of those inside.
func (g *gate) running() int { return len(g.slots) }
