package engine

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
)

// guard is Pebble's logger and the store's poison flag. Pebble reports failed
// writes of its log and manifest, and damaged data, through Fatalf, which must
// not end the process of whoever embeds us; and where Fatalf returns, Commit
// returns nil after a failed commit. So Fatalf poisons, and every write to
// Pebble asks the guard afterwards.
type guard struct {
	log *slog.Logger
	// onPoison is called once, under mu.
	onPoison func(cause error)
	// mark is called after each write to Pebble; nil: not open yet.
	mark     func()
	dead     atomic.Bool
	poisoned chan struct{} // closed when dead is set
	failed   chan error    // flushes and compactions of Pebble, which it tries again
	mu       sync.Mutex
	cause    error
}

func newGuard(log *slog.Logger) *guard {
	return &guard{log: log, poisoned: make(chan struct{}), failed: make(chan error, 1)}
}

var _ pebble.Logger = (*guard)(nil)

func (g *guard) Infof(string, ...any) {}

func (g *guard) Errorf(format string, args ...any) {
	g.log.Error(fmt.Sprintf(format, args...))
}

func (g *guard) Fatalf(format string, args ...any) {
	g.poison(fmt.Errorf(format, args...))
}

// poison makes the store read-only; the first cause stays.
func (g *guard) poison(cause error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cause == nil {
		g.cause = cause
		g.dead.Store(true)
		close(g.poisoned)
		g.log.Error("colbertdb: store is read-only until it is reopened", "cause", cause)
		if g.onPoison != nil {
			g.onPoison(cause)
		}
	}
}

// check returns err, or why the store takes no more writes.
func (g *guard) check(err error) error {
	if !g.dead.Load() {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return fmt.Errorf("%w: %w", ErrReadOnly, g.cause)
}

// write runs one write to Pebble; a failure poisons the store, because what is
// on disk is then unknown.
func (g *guard) write(f func() error) error {
	if err := g.check(nil); err != nil {
		return err
	}
	if err := f(); err != nil {
		g.poison(err)
	} else if g.mark != nil {
		g.mark()
	}
	return g.check(nil)
}

// background hears of a failed flush or compaction.
func (g *guard) background(err error) {
	if g.dead.Load() {
		return
	}
	g.log.Warn("colbertdb: background work of Pebble failed and is tried again", "error", err)
	select {
	case g.failed <- err:
	default:
	}
}

// damaged hears of damage that a read of Pebble found. Whoever read gets an error
// too; what is whole stays readable and writable.
func (g *guard) damaged(info pebble.DataCorruptionInfo) {
	g.log.Error("colbertdb: stored data is damaged", "file", info.Path, "error", info.Details.Error())
}

// flushTries is how many failures in a row a flush outlasts.
const flushTries = 20

// flush waits until everything that was committed is in sstables. It gives up
// where that cannot be written; Pebble goes on trying.
func (g *guard) flush(ctx context.Context, db *pebble.DB) error {
	if err := g.check(nil); err != nil {
		return err
	}
	select {
	case <-g.failed: // long ago
	default:
	}
	done, err := db.AsyncFlush()
	if err != nil {
		g.poison(err)
		return g.check(nil)
	}
	for tries := 1; ; tries++ {
		select {
		case <-done:
			return g.check(nil)
		case <-g.poisoned:
			return g.check(nil)
		case <-ctx.Done():
			return ctx.Err()
		case err := <-g.failed:
			if tries == flushTries {
				return fmt.Errorf("colbertdb: flushing: %w", err)
			}
		}
	}
}
