package engine

import (
	"context"
	"sync"
)

// gate holds writes to a collection while its name is switched. Writes enter
// when they have room and leave when they are answered; pause lets those inside
// finish and keeps others out.
type gate struct {
	mu     sync.Mutex
	inside int
	paused chan struct{} // while paused; closed when writes may go on
	empty  chan struct{} // while pause waits; closed when nobody is inside
}

// enter waits until the gate is open.
func (g *gate) enter(ctx context.Context) error {
	for {
		g.mu.Lock()
		wait := g.paused
		if wait == nil {
			g.inside++
			g.mu.Unlock()
			return nil
		}
		g.mu.Unlock()
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// pause closes the gate and waits until nobody is inside. There is one at a time.
func (g *gate) pause(ctx context.Context) error {
	g.mu.Lock()
	g.paused = make(chan struct{})
	if g.inside == 0 {
		g.mu.Unlock()
		return nil
	}
	empty := make(chan struct{})
	g.empty = empty
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		g.resume()
		return ctx.Err()
	}
}

// resume opens the gate.
func (g *gate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.paused)
	g.paused, g.empty = nil, nil
}
