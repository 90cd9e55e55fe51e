package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
)

// trainSample is below the default, for the time of a run: 64 points for each of
// 4,096 cells.
const trainSample = 1 << 18

// quietAge is below the default for the same reason: settle waits for it, and for
// what is due then.
const quietAge = 3 * time.Second

// store is a store in memory, and its trainings under way.
type store struct {
	name      string
	db        *engine.Engine
	col       *engine.Collection
	trainings atomic.Int64
}

func (o *options) open(ctx context.Context, name string, disableRetraining bool) (*store, error) {
	s := &store{name: name}
	var err error
	s.db, err = engine.OpenMem(&engine.Options{
		Sync: engine.SyncNever, SealBytes: 16 << 20, QuietAge: quietAge, TrainTokens: o.train, TrainSample: trainSample, DisableRetraining: disableRetraining,
		EventListener: &engine.EventListener{
			TrainBegin: func(engine.TrainInfo) { s.trainings.Add(1) },
			TrainEnd:   func(engine.TrainInfo) { s.trainings.Add(-1) },
		},
	})
	if err != nil {
		return nil, err
	}
	s.col, err = s.db.CreateCollection(ctx, "churn", engine.CollectionConfig{Dim: dim, Profile: o.profile, RetainRaw: o.raw})
	return s, err
}

// built is a store of documents that were written in one go.
func (o *options) built(ctx context.Context, docs []doc) (*store, error) {
	s := &store{name: "built in one go"}
	var err error
	// Without background work: the first training sees all documents.
	s.db, err = engine.OpenMem(&engine.Options{Sync: engine.SyncNever, DisableAutoCompaction: true, TrainTokens: o.train, TrainSample: trainSample})
	if err != nil {
		return nil, err
	}
	if s.col, err = s.db.CreateCollection(ctx, "churn", engine.CollectionConfig{Dim: dim, Profile: o.profile, RetainRaw: o.raw}); err != nil {
		return nil, err
	}
	if err := upsert(ctx, s.col, docs); err != nil {
		return nil, err
	}
	return s, s.col.Compact(ctx)
}

// settle seals the buffer and waits until background work has nothing to do.
func (s *store) settle(ctx context.Context) error {
	if err := s.col.Flush(ctx); err != nil {
		return err
	}
	time.Sleep(quietAge)
	for quiet := 0; quiet < 25; {
		time.Sleep(20 * time.Millisecond)
		if i := s.col.Info(); i.Debt.Merges == 0 && i.Debt.StaleSegments == 0 && s.trainings.Load() == 0 {
			quiet++
		} else {
			quiet = 0
		}
	}
	return nil
}

func (s *store) bytesPerToken() float64 {
	i := s.col.Info()
	return float64(i.Bytes) / float64(i.Tokens)
}
