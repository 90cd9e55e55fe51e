// Package pace lets background work give way to the foreground. The work marks
// the points at which it can be held up (Point); the foreground says when it is
// busy (Pacer.Enter). Work whose context has no Pacer is never held up.
package pace

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// Work goes on for stretch, then pauses for as long as the foreground is busy,
// but not longer than pause: so it keeps about half its speed however busy the
// foreground is, and nothing that waits for it waits for ever.
const (
	stretch = time.Millisecond
	pause   = time.Millisecond
	step    = 200 * time.Microsecond
)

// Pacer holds work up while the foreground is busy. The zero value is ready.
type Pacer struct {
	busy   atomic.Int64 // foreground operations that are running
	paused atomic.Int64 // time of the last pause's end, in nanoseconds
	pauses atomic.Int64
}

// Enter notes that a foreground operation starts, Leave that it ends.
func (p *Pacer) Enter() { p.busy.Add(1) }
func (p *Pacer) Leave() { p.busy.Add(-1) }

// Pauses is the number of times that work was held up.
func (p *Pacer) Pauses() int64 { return p.pauses.Load() }

type key struct{}

// With returns a context whose work p holds up.
func With(ctx context.Context, p *Pacer) context.Context { return context.WithValue(ctx, key{}, p) }

func of(ctx context.Context) *Pacer {
	p, _ := ctx.Value(key{}).(*Pacer)
	return p
}

// Point is where work may be held up or, when its context has ended, stops. It
// is called every few milliseconds of work at least.
func Point(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p := of(ctx)
	if p == nil || p.busy.Load() == 0 {
		return nil
	}
	start := time.Now()
	if start.UnixNano()-p.paused.Load() < int64(stretch) {
		return nil
	}
	p.pauses.Add(1)
	for p.busy.Load() > 0 && time.Since(start) < pause && ctx.Err() == nil {
		time.Sleep(step)
	}
	p.paused.Store(time.Now().UnixNano())
	return ctx.Err()
}

// Workers is the number of goroutines that parallel work uses: all cores, but
// for one where there is a Pacer.
func Workers(ctx context.Context) int {
	n := runtime.GOMAXPROCS(0)
	if of(ctx) != nil {
		n = max(1, n-1)
	}
	return n
}
