package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
)

const runs = 5

// changes compares single upserts in two stores: their acknowledgement in runs
// that alternate between the stores, then what was written and asked of Pebble
// until they were acknowledged, and until they were sealed and merged.
func (b *bench) changes(ctx context.Context, small, large *store) (err error) {
	stores := []*store{small, large}
	if err := small.build(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, small.db.Close()) }()
	before := make([]engine.Metrics, 2)
	written := make([]int64, 2)
	for i, s := range stores {
		before[i], written[i] = s.db.Metrics(), s.fs.Written()
	}
	var all [2][]time.Duration
	var p99 [2][]float64
	for run := range runs {
		var times [2][]time.Duration
		for n := range 2 * b.upserts {
			i := (n + run) % 2
			d := stores[i].next()
			start := time.Now()
			if _, err := stores[i].col.Upsert(ctx, d); err != nil {
				return err
			}
			times[i] = append(times[i], time.Since(start))
		}
		for i := range stores {
			all[i] = append(all[i], times[i]...)
			p99[i] = append(p99[i], quantile(times[i], 0.99))
		}
	}
	n := float64(runs * b.upserts)
	acknowledged := make([]engine.Metrics, 2)
	var ackBytes, allBytes [2]float64
	for i, s := range stores {
		acknowledged[i] = s.db.Metrics()
		ackBytes[i] = float64(s.fs.Written()-written[i]) / n
	}
	after := make([]engine.Metrics, 2)
	for i, s := range stores {
		if err := s.db.Flush(ctx); err != nil {
			return err
		}
		if err := s.settle(ctx); err != nil {
			return err
		}
		after[i] = s.db.Metrics()
		allBytes[i] = float64(s.fs.Written()-written[i]) / n
	}
	bound := 1.1
	per := func(name, unit string, at []engine.Metrics, f func(*engine.Metrics) int64) {
		var x [2]float64
		for i := range stores {
			x[i] = float64(f(&at[i])-f(&before[i])) / n
		}
		if x[0] == x[1] {
			b.table.ratio(name, unit, max(x[0], 1e-9), max(x[1], 1e-9), bound)
			return
		}
		b.table.ratio(name, unit, x[0], x[1], bound)
	}
	b.table.ratio("bytes written until an upsert is acknowledged, all files", "B", ackBytes[0], ackBytes[1], 1.1)
	per("— of the log", "B", acknowledged, func(m *engine.Metrics) int64 { return int64(m.LogBytes) })
	b.table.ratio("bytes written for an upsert, seal and merges included, all files", "B", allBytes[0], allBytes[1], 1.1)
	per("— of segments", "B", after, func(m *engine.Metrics) int64 { return m.Seal.BytesOut + m.Merge.BytesOut })
	per("— of Pebble's log, flushes and compactions", "B", after, func(m *engine.Metrics) int64 { return int64(m.PebbleBytes) })
	per("keys looked up in Pebble for an upsert", "", after, func(m *engine.Metrics) int64 { return m.PebbleGets })
	per("keys set and deleted in Pebble for an upsert", "", after, func(m *engine.Metrics) int64 { return m.PebbleSets })
	// As many as Pebble's trees are deep: they grow with the logarithm of a store.
	bound = 0
	per("blocks that Pebble read for an upsert", "", after, func(m *engine.Metrics) int64 { return m.Cache.Hits + m.Cache.Misses })
	b.table.ratio("acknowledgement p50", "ms", quantile(all[0], 0.5), quantile(all[1], 0.5), 1.3)
	b.table.ratio("acknowledgement p99, median of five runs", "ms", median(p99[0]), median(p99[1]), 1.6)
	return nil
}

// sustained writes single documents for a while, seals and merges going on.
func (b *bench) sustained(ctx context.Context, s *store, writers int) error {
	const length = 10 * time.Second
	docs := make(chan engine.Document, 64) // made beside, by one goroutine
	stop := make(chan struct{})
	var made sync.WaitGroup
	made.Go(func() {
		for {
			select {
			case docs <- s.next():
			case <-stop:
				return
			}
		}
	})
	var n atomic.Int64
	errs := make([]error, writers)
	var wg sync.WaitGroup
	start := time.Now()
	for w := range writers {
		wg.Go(func() {
			for time.Since(start) < length {
				if _, errs[w] = s.col.Upsert(ctx, <-docs); errs[w] != nil {
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	close(stop)
	made.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	name := "durable upserts a second, 1 writer"
	if writers > 1 {
		name = "durable upserts a second, 16 writers"
	}
	b.table.figure(name, "", float64(n.Load())/took.Seconds())
	return s.settle(ctx)
}
