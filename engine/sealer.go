package engine

import (
	"context"
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

// sealDue seals what is due, giving way to searches, and lets writers that wait for
// room look again.
func (e *Engine) sealDue(ctx context.Context) error {
	now := time.Now()
	ctx = pace.With(ctx, &e.pace)
	err := e.flush(ctx, func(c *collection) bool { return c.sealDue(now) })
	e.mu.Lock()
	e.signalRoom(err)
	e.mu.Unlock()
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
