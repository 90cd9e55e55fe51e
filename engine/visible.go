package engine

import (
	"context"
	"fmt"

	"github.com/colbertdb-go/colbertdb/internal/failpoint"
)

// Sync makes everything that was acknowledged before the call durable, whatever
// Options.Sync is.
func (e *Engine) Sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.opts.ReadOnly {
		return fmt.Errorf("%w: opened with Options.ReadOnly", ErrReadOnly)
	}
	if e.closed() {
		return ErrClosed
	}
	if err := e.guard.check(nil); err != nil {
		return err
	}
	if err := e.log.Sync(); err != nil {
		if e.closed() {
			return ErrClosed
		}
		e.guard.poison(err)
		return e.guard.check(err)
	}
	return nil
}

// syncApplied makes durable what is applied. Who publishes, in Pebble, that
// documents are gone needs it first: under SyncInterval and SyncNever the writes
// that replaced or deleted them may be in memory alone, and a power loss would take
// both versions.
func (e *Engine) syncApplied() error {
	if failpoint.On(failpoint.PublishUnlogged) {
		return nil
	}
	if err := e.log.Sync(); err != nil {
		return e.logFailed(err)
	}
	return nil
}

// visible is the number up to which every change is seen by searches. Those of the
// log are when they have a number in e.seq; a step of a load has one a little
// before. The caller holds Engine.mu.
func (e *Engine) visible() uint64 {
	if e.hidden > 0 {
		return e.hidden - 1
	}
	return e.seq
}

// shown notes that the change that was hidden is seen, or will never be.
func (e *Engine) shown() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hidden = 0
	e.announce()
}

// WaitVisible waits until every change up to a sequence number is visible to
// searches. Where ctx ends first, the error is ErrNotVisible. What an Upsert
// returned is visible already; this is for numbers that came another way, such
// as from a process that writes.
func (e *Engine) WaitVisible(ctx context.Context, seq uint64) error {
	for {
		e.mu.Lock()
		have := e.visible()
		if have < seq && e.newChange == nil {
			e.newChange = make(chan struct{})
		}
		wait := e.newChange
		e.mu.Unlock()
		if have >= seq {
			return nil
		}
		if e.opts.ReadOnly {
			return fmt.Errorf("%w: change %d, the last one of this read-only store is %d", ErrNotVisible, seq, have)
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return fmt.Errorf("%w: change %d, the last one is %d: %w", ErrNotVisible, seq, have, ctx.Err())
		case <-e.closing:
			return ErrClosed
		}
	}
}
