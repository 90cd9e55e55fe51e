package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/scripts/internal/background"
)

// stopBound is how long work in the background may take to stop, in milliseconds.
const stopBound = 1000

// stops measures how soon a store closes while it merges or trains, and a seal
// ends when its context does, each at a moment drawn at random.
func (b *bench) stops(ctx context.Context, s *store) error {
	r := rand.New(rand.NewPCG(5, 6))
	closing := func(name string, kind background.Kind, o engine.Options, longest time.Duration) error {
		var took []time.Duration
		for range 5 {
			if err := s.open(ctx, o); err != nil {
				return err
			}
			if d := s.col.Info().Debt; kind == background.Merging && d.Merges+d.StaleSegments == 0 {
				break // in a small store they end before they are stopped
			}
			if err := s.await(kind); err != nil {
				return err
			}
			time.Sleep(time.Duration(r.Int64N(int64(longest))))
			start := time.Now()
			if err := s.db.Close(); err != nil {
				return err
			}
			took = append(took, time.Since(start))
			s.db = nil
		}
		if len(took) == 0 {
			return fmt.Errorf("nothing to stop in a store that %s", name)
		}
		b.table.limit(fmt.Sprintf("closing a store that %s, slowest of %d", name, len(took)), "ms", quantile(took, 1), stopBound)
		return nil
	}
	drift := engine.Options{SealAge: -1, DriftTokens: 1, DriftOutliers: 1e-9, DriftResidual: 1e-9}
	// Documents that the codebook was not trained on.
	if err := errors.Join(s.fill(ctx, max(1000, s.documents/4)), s.db.Flush(ctx)); err != nil {
		return err
	}
	if err := closing("trains", background.Training, drift, 4*time.Second); err != nil {
		return err
	}
	if err := s.open(ctx, drift); err != nil {
		return err
	}
	for s.col.Info(); s.db.Metrics().Trainings == 0; time.Sleep(10 * time.Millisecond) {
		if err := s.db.Metrics().BackgroundError; err != nil {
			return err
		}
	}
	// Now all segments have to follow to the new codebook.
	if err := closing("merges", background.Merging, engine.Options{SealAge: -1}, 2*time.Second); err != nil {
		return err
	}
	if err := s.open(ctx, engine.Options{DisableAutoCompaction: true, SealAge: -1}); err != nil {
		return err
	}
	var took []time.Duration
	for range 5 {
		if err := s.fill(ctx, min(sealDocuments, s.documents)/4); err != nil {
			return err
		}
		sealing, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- s.db.Flush(sealing) }()
		err := s.await(background.Sealing)
		time.Sleep(time.Duration(r.Int64N(int64(100 * time.Millisecond))))
		start := time.Now()
		cancel()
		if ended := <-done; !errors.Is(ended, context.Canceled) {
			err = errors.Join(err, ended) // it had ended
		}
		if err != nil {
			return err
		}
		took = append(took, time.Since(start))
	}
	b.table.limit(fmt.Sprintf("cancelling a seal, slowest of %d", len(took)), "ms", quantile(took, 1), stopBound)
	return nil
}

// await waits until work of a kind runs.
func (s *store) await(k background.Kind) error {
	for start := time.Now(); s.work.Running()&k == 0; time.Sleep(time.Millisecond) {
		if time.Since(start) > 30*time.Second {
			return errors.New("the work that was to be stopped did not begin")
		}
	}
	return nil
}
