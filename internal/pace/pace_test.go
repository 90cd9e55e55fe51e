package pace_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/colbertdb-go/colbertdb/internal/pace"
)

// Work of a millisecond a point keeps half its speed beside a busy foreground,
// all of it beside an idle one, and stops when its context ends.
func TestPoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace.Pacer
		run := func(ctx context.Context) time.Duration {
			start := time.Now()
			for range 100 {
				time.Sleep(time.Millisecond) // the work
				if err := pace.Point(ctx); err != nil {
					t.Fatal(err)
				}
			}
			return time.Since(start)
		}
		ctx := pace.With(t.Context(), &p)
		if took := run(ctx); took != 100*time.Millisecond {
			t.Errorf("idle: %v", took)
		}
		p.Enter()
		if took := run(t.Context()); took != 100*time.Millisecond {
			t.Errorf("without a pacer: %v", took)
		}
		if took := run(ctx); took < 190*time.Millisecond || took > 210*time.Millisecond {
			t.Errorf("busy: %v", took)
		}
		if p.Pauses() == 0 {
			t.Error("no pauses")
		}
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		if err := pace.Point(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
