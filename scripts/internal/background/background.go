// Package background watches what a store does in the background, for measuring
// beside it or after it.
package background

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Kind is a set of kinds of background work.
type Kind uint32

// The kinds.
const (
	Sealing Kind = 1 << iota
	Merging
	Training
	kinds = iota
)

// Watch knows what a store does at the moment. The zero value is ready; a store
// that is opened with Listener tells it.
type Watch struct {
	now [kinds]atomic.Int32
}

// Running returns the kinds of work that are under way.
func (w *Watch) Running() (k Kind) {
	for i := range w.now {
		if w.now[i].Load() > 0 {
			k |= 1 << i
		}
	}
	return k
}

// Listener is for engine.Options.
func (w *Watch) Listener() *engine.EventListener {
	return &engine.EventListener{
		SealBegin:  func(engine.SealInfo) { w.now[0].Add(1) },
		SealEnd:    func(engine.SealInfo) { w.now[0].Add(-1) },
		MergeBegin: func(engine.MergeInfo) { w.now[1].Add(1) },
		MergeEnd:   func(engine.MergeInfo) { w.now[1].Add(-1) },
		TrainBegin: func(engine.TrainInfo) { w.now[2].Add(1) },
		TrainEnd:   func(engine.TrainInfo) { w.now[2].Add(-1) },
	}
}

// Settle waits until the background of a store has for a fifth of a second had
// nothing to do.
func (w *Watch) Settle(ctx context.Context, db *engine.Engine) error {
	var last engine.Metrics
	for quiet := 0; quiet < 5; quiet++ {
		m := db.Metrics()
		if m.BackgroundError != nil {
			return m.BackgroundError
		}
		if w.Running() != 0 || due(&m) || m.Seals != last.Seals || m.Merges != last.Merges || m.Trainings != last.Trainings {
			quiet = 0
		}
		last = m
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// due says whether merges are.
func due(m *engine.Metrics) bool {
	for i := range m.Collections {
		if d := &m.Collections[i].Debt; d.Merges > 0 || d.StaleSegments > 0 {
			return true
		}
	}
	return false
}
