package engine

import (
	"context"
	"sync"
)

// ctxLock is a mutex of which a waiter can let go. Those that wait get it in the
// order in which they came. The zero value is unlocked.
type ctxLock struct {
	once sync.Once
	held chan struct{} // has an element while somebody holds it
}

func (l *ctxLock) channel() chan struct{} {
	l.once.Do(func() { l.held = make(chan struct{}, 1) })
	return l.held
}

// Lock waits until it holds the lock.
func (l *ctxLock) Lock() { l.channel() <- struct{}{} }

// LockContext waits until it holds the lock, or a context ends.
func (l *ctxLock) LockContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case l.channel() <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Unlock lets go of the lock.
func (l *ctxLock) Unlock() { <-l.channel() }
