package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// Nobody is inside while the gate is paused, and who waits outside goes on after
// it, or when its context ends.
func TestGate(t *testing.T) {
	var g gate
	var inside atomic.Int64
	ctx := context.Background()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				if err := g.enter(ctx); err != nil {
					t.Error(err)
					return
				}
				inside.Add(1)
				inside.Add(-1)
				g.leave()
			}
		})
	}
	for range 200 {
		if err := g.pause(ctx); err != nil {
			t.Fatal(err)
		}
		if n := inside.Load(); n != 0 {
			t.Fatalf("%d inside a paused gate", n)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := g.enter(ended); !errors.Is(err, context.Canceled) {
			t.Fatalf("entered a paused gate: %v", err)
		}
		g.resume()
	}
	wg.Wait()
	// A pause that is given up leaves the gate open.
	if err := g.enter(ctx); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := g.pause(ended); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := g.enter(ctx); err != nil {
		t.Fatal(err)
	}
	g.leave()
	g.leave()
}
