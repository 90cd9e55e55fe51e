package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/scripts/internal/background"
)

// quietSearches are those of one stretch without work.
const quietSearches = 500

// searches measures the tail of searches, one client that asks without a break:
// in a quiet store, and beside seals, merges and the training of a codebook. Quiet
// stretches lie between and around the work that they are compared with.
func (b *bench) searches(ctx context.Context, s *store) error {
	for _, measure := range []func(context.Context, *store) error{b.seals, b.merges, b.trainings} {
		if err := measure(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// sealDocuments makes a buffer full. What its seals leave are neighbours that
// merges are due for.
const sealDocuments = 3600

// seals measures beside those that full buffers bring about.
func (b *bench) seals(ctx context.Context, s *store) error {
	err := s.open(ctx, engine.Options{DisableAutoCompaction: true, SealAge: -1, SealDocuments: sealDocuments})
	if err != nil {
		return err
	}
	if _, err := s.search(ctx, 0, nil, 2*len(s.queries)); err != nil { // warm up
		return err
	}
	var t times
	for range 8 {
		if err := s.fill(ctx, sealDocuments-1); err != nil {
			return err
		}
		if err := t.quiet(ctx, s, quietSearches/2); err != nil {
			return err
		}
		seals := s.db.Metrics().Seals
		if err := s.fill(ctx, 1); err != nil {
			return err
		}
		found, err := s.search(ctx, background.Sealing, func() bool { return s.work.Running() == 0 && s.db.Metrics().Seals > seals }, 0)
		if err != nil {
			return err
		}
		t.beside = append(t.beside, found...)
	}
	b.tail("seals", &t)
	return nil
}

func (b *bench) merges(ctx context.Context, s *store) error {
	var t times
	if err := t.quiet(ctx, s, quietSearches); err != nil {
		return err
	}
	err := s.open(ctx, engine.Options{SealAge: -1})
	if err == nil {
		t.beside, err = s.search(ctx, background.Merging, s.idle(), 0)
	}
	if err == nil {
		err = t.quiet(ctx, s, quietSearches)
	}
	b.tail("merges", &t)
	return err
}

// trainings makes drift that is always there: a training is due at once, and all
// segments follow to its codebook.
func (b *bench) trainings(ctx context.Context, s *store) error {
	var t, follow times
	if err := t.quiet(ctx, s, quietSearches); err != nil {
		return err
	}
	err := s.open(ctx, engine.Options{SealAge: -1, DriftTokens: 1, DriftOutliers: 1e-9, DriftResidual: 1e-9})
	if err != nil {
		return err
	}
	start := time.Now()
	trained := func() bool { return s.db.Metrics().Trainings > 0 || time.Since(start) > 5*time.Minute }
	if t.beside, err = s.search(ctx, background.Training, trained, 0); err != nil {
		return err
	}
	if s.db.Metrics().Trainings == 0 {
		return errors.New("no training within five minutes")
	}
	if follow.beside, err = s.search(ctx, background.Merging, s.idle(), 0); err != nil {
		return err
	}
	if err := t.quiet(ctx, s, quietSearches); err != nil {
		return err
	}
	follow.before = t.before
	b.tail("the training of a codebook", &t)
	b.tail("merges that re-encode", &follow)
	return nil
}

// times are those of searches without and with work beside them.
type times struct{ before, beside []time.Duration }

func (t *times) quiet(ctx context.Context, s *store, n int) error {
	found, err := s.search(ctx, 0, nil, n)
	t.before = append(t.before, found...)
	return err
}

func (b *bench) tail(work string, t *times) {
	name := fmt.Sprintf("search beside %s, %d of them", work, len(t.beside))
	if len(t.beside) == 0 {
		b.table.failed = true
		b.table.figure(name, "measured nothing: FAIL", 0)
		return
	}
	b.table.ratio(name+", p50", "ms", quantile(t.before, 0.5), quantile(t.beside, 0.5), 0)
	b.table.ratio(name+", p99", "ms", quantile(t.before, 0.99), quantile(t.beside, 0.99), 2)
}

// search searches until stop says so or, with a limit, that often. It returns the
// times of the searches at whose beginning or end work of a kind ran; of all for 0.
func (s *store) search(ctx context.Context, during background.Kind, stop func() bool, limit int) (times []time.Duration, err error) {
	for i := 0; (limit == 0 || i < limit) && (stop == nil || !stop()); i++ {
		q := s.queries[i%len(s.queries)]
		begin := s.work.Running()
		start := time.Now()
		if _, err := s.col.Search(ctx, engine.SearchRequest{Vectors: q.vectors, Weights: q.weights, K: 10}); err != nil {
			return nil, err
		}
		took := time.Since(start)
		if during == 0 || (begin|s.work.Running())&during != 0 {
			times = append(times, took)
		}
	}
	return times, nil
}

// fill upserts documents in batches.
func (s *store) fill(ctx context.Context, n int) error {
	for n > 0 {
		batch := make([]engine.Document, min(n, 100))
		for i := range batch {
			batch[i] = s.next()
		}
		n -= len(batch)
		if _, err := s.col.Upsert(ctx, batch...); err != nil {
			return err
		}
	}
	return nil
}

// idle returns a function that says when the background has nothing to do.
func (s *store) idle() func() bool {
	last := time.Now()
	return func() bool {
		if s.work.Running() != 0 {
			last = time.Now()
		}
		if time.Since(last) < time.Second {
			return false
		}
		last = time.Now() // a look at most every second: it takes time
		d := s.col.Info().Debt
		return d.Merges == 0 && d.StaleSegments == 0
	}
}
