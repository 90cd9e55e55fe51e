package server

import (
	"context"
	"sync/atomic"
)

// gate lets so many through at once and so many more wait; others are turned away,
// so that what is admitted is not slowed down by what cannot be served anyway.
type gate struct {
	slots  chan struct{}
	inside atomic.Int64 // running and waiting
	most   int64        // of them
	denied atomic.Int64
}

func newGate(running, queued int) *gate {
	return &gate{slots: make(chan struct{}, running), most: int64(running + queued)}
}

// room turns away at once whom enter would, before a body is read for it: what those
// who cannot be served cost is taken from those who are.
func (g *gate) room() error {
	if g.inside.Load() < g.most {
		return nil
	}
	g.denied.Add(1)
	return errOverloaded
}

// enter waits for a slot; leave must follow a nil.
func (g *gate) enter(ctx context.Context) error {
	if g.inside.Add(1) > g.most {
		g.inside.Add(-1)
		g.denied.Add(1)
		return errOverloaded
	}
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		g.inside.Add(-1)
		return ctx.Err()
	}
}

func (g *gate) leave() {
	g.inside.Add(-1) // before the slot is free: who takes it is not turned away
	<-g.slots
}

// running is the number of those with a slot, queued of those without.
func (g *gate) running() int { return len(g.slots) }
func (g *gate) queued() int  { return max(0, int(g.inside.Load())-len(g.slots)) }
