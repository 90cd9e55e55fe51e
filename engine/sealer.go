package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/colbertdb-go/colbertdb/internal/pace"
)

// sealer seals in the background what is due: full buffers, and those whose
// oldest change is older than Options.SealAge. It is a goroutine of its own, so
// that a seal never waits for a merge.
func (e *Engine) sealer() {
	defer e.wg.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		e.armSealer(timer)
		select {
		case <-e.due:
		case <-timer.C:
		case <-e.closing:
			return
		}
		if err := e.sealDue(e.ctx); err != nil && e.ctx.Err() == nil {
			e.opts.Logger.Error("colbertdb: sealing failed", "error", err)
			e.failed(err)
		}
	}
}

// wakeSealer asks the sealer to look for work.
func (e *Engine) wakeSealer() {
	select {
	case e.due <- struct{}{}:
	default:
	}
}

// sealDue seals what is due, by itself or for want of room, and gives way to
// searches but in the latter case. Writers that wait for room hear of a failure.
func (e *Engine) sealDue(ctx context.Context) error {
	now, pressed := time.Now(), e.pressed()
	if len(pressed) == 0 {
		ctx = pace.With(ctx, &e.pace)
	}
	err := e.flush(ctx, func(c *collection) bool { return pressed[c] || c.sealDue(now) })
	if err != nil {
		e.room.fail(fmt.Errorf("colbertdb: the memory for writes is full and sealing failed: %w", err))
	}
	return err
}

// sealDue reports whether the buffer is to be sealed now. The caller holds
// Engine.mu.
func (c *collection) sealDue(now time.Time) bool {
	o := &c.engine.opts
	return len(c.frozen) > 0 || c.active.full(o) || o.SealAge > 0 && !c.unsealedSince.IsZero() && now.Sub(c.unsealedSince) >= o.SealAge
}

// armSealer sets the timer for the next buffer that comes of age, or collection
// that becomes quiet.
func (e *Engine) armSealer(timer *time.Timer) {
	wait := time.Hour
	if e.opts.SealAge > 0 {
		now := time.Now()
		e.mu.Lock()
		for c := range e.unsealed {
			// A buffer that is overdue failed to seal: it has to wait for the
			// next write, or a full age.
			if at := c.unsealedSince; !at.IsZero() && now.Sub(at) < e.opts.SealAge {
				wait = min(wait, at.Add(e.opts.SealAge).Sub(now))
			} else if !at.IsZero() {
				wait = min(wait, e.opts.SealAge)
			}
		}
		e.mu.Unlock()
	}
	timer.Reset(e.considerQuiet(time.Now(), wait))
}

// considerSeal wakes the sealer when a buffer is full, or when it may have to
// wait for a new one to come of age. The caller holds Engine.mu.
func (e *Engine) considerSeal(c *collection) {
	first := c.unsealedSince.IsZero() && (len(c.active.docs) > 0 || len(c.cloned) > 0)
	if first {
		c.unsealedSince = time.Now()
	}
	if first && e.opts.SealAge > 0 || len(c.frozen) > 0 || c.active.full(&e.opts) {
		e.wakeSealer()
	}
}

// flush seals the collections that force names, and with them what has gathered
// more than smallBuffer; nothing where force names none.
func (e *Engine) flush(ctx context.Context, force func(*collection) bool) error {
	if err := e.fit(ctx, force); err != nil {
		return err
	}
	return e.publishing(ctx, func(ctx context.Context) error { return e.seal(ctx, force) })
}
