package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/compaction"
	"github.com/colbertdb-go/colbertdb/query"
)

// What the store counts and reports of its own work: each hook here counts for
// Metrics and emits the events of one kind of work.

// counters count since the store was opened.
type counters struct {
	upserts, deletes, searches, searchNanos atomic.Int64
	seals, merges, trainings, replayed      atomic.Int64
	reroutes, torn                          atomic.Int64
	pebbleGets, pebbleSets                  atomic.Int64

	userBytes                atomic.Int64 // of acknowledged changes
	seal, merge, train       workCounters
	groupBatches, groupBytes histogram
	logSync                  histogram
	searchTime               histogram
	stages                   [maxStages]histogram // by the index in query.Stages

	mu              sync.Mutex
	backgroundError error
	backgroundAt    time.Time
}

// maxStages bounds query.Stages.
const maxStages = 16

// workCounters count one kind of background work.
type workCounters struct{ nanos, documents, in, out atomic.Int64 }

func (w *workCounters) add(d time.Duration, documents, in, out int64) {
	w.nanos.Add(int64(d))
	w.documents.Add(documents)
	w.in.Add(in)
	w.out.Add(out)
}

func (w *workCounters) load() WorkMetrics {
	return WorkMetrics{
		Time: time.Duration(w.nanos.Load()), Documents: w.documents.Load(), BytesIn: w.in.Load(), BytesOut: w.out.Load(),
	}
}

// group counts one commit group that is in the log.
func (s *counters) group(group []*pending) {
	var batches, bytes int
	for _, p := range group {
		if p.err == nil && !p.repeat {
			batches, bytes = batches+1, bytes+p.bytes-opOverhead*len(p.ops)
		}
	}
	s.groupBatches.observe(uint64(batches))
	s.groupBytes.observe(uint64(bytes))
	s.userBytes.Add(int64(bytes))
}

// commitPebble commits a batch of seals, merges or loads, synced, and counts its keys.
func (e *Engine) commitPebble(b *pebble.Batch) error {
	e.stats.pebbleSets.Add(int64(b.Count()))
	return b.Commit(pebble.Sync)
}

// search counts one search.
func (s *counters) search(r *SearchResult) {
	s.searches.Add(1)
	s.searchNanos.Add(int64(r.Took))
	s.searchTime.observeTime(r.Took)
	for _, t := range r.Stages {
		if i := slices.Index(query.Stages, t.Name); i >= 0 && i < maxStages {
			s.stages[i].observeTime(t.Duration)
		}
	}
}

// recovered reports that Open has read the store.
func (e *Engine) recovered(start time.Time) {
	info := RecoveryInfo{
		Collections: len(e.byName), LogRecords: e.stats.replayed.Load(), TornBytes: e.stats.torn.Load(), Duration: time.Since(start),
	}
	e.events.emit(func(l *EventListener) { l.RecoveryEnd(info) })
}

// failed notes an error of background work. What a poisoned store cannot do is
// no news.
func (e *Engine) failed(err error) {
	if e.guard.dead.Load() {
		return
	}
	e.stats.mu.Lock()
	e.stats.backgroundError, e.stats.backgroundAt = err, time.Now()
	e.stats.mu.Unlock()
	e.events.emit(func(l *EventListener) { l.BackgroundError(err) })
}

// sealing reports that buffers are being sealed; the function that it returns
// reports the end.
func (e *Engine) sealing(jobs []*sealJob) func(*error) {
	start := time.Now()
	infos := make([]SealInfo, len(jobs))
	for i, j := range jobs {
		infos[i] = SealInfo{Collection: j.col.name, Segment: uint64(j.meta.ID), Documents: len(j.view.docs)}
		for _, d := range j.view.docs {
			infos[i].BytesIn += int64(d.op.bytes())
		}
		info := infos[i]
		e.events.emit(func(l *EventListener) { l.SealBegin(info) })
	}
	return func(err *error) {
		took := time.Since(start)
		var documents, in, out int64
		for i, j := range jobs {
			info := infos[i]
			info.Duration, info.Err = took, *err
			if *err == nil {
				info.Documents, info.BytesOut = j.meta.Docs, j.meta.Bytes
			}
			documents, in, out = documents+int64(info.Documents), in+info.BytesIn, out+info.BytesOut
			e.events.emit(func(l *EventListener) { l.SealEnd(info) })
		}
		if *err == nil && len(jobs) > 0 {
			e.stats.seals.Add(int64(len(jobs)))
			e.stats.seal.add(took, documents, in, out)
		}
	}
}

// merging reports merges of the segments of v; the function that it returns
// reports the end, when done has one replacement for each task.
func (e *Engine) merging(c *collection, v *version, tasks []compaction.Task, done *[]*replacement) func(*error) {
	start := time.Now()
	infos := make([]MergeInfo, len(tasks))
	for i, t := range tasks {
		infos[i] = MergeInfo{Collection: c.name, Reason: string(t.Reason)}
		for _, s := range v.segs[t.From:t.To] {
			m := s.Meta()
			infos[i].Inputs = append(infos[i].Inputs, uint64(m.ID))
			infos[i].DocumentsIn += m.Docs
			infos[i].BytesIn += s.bytes()
		}
		info := infos[i]
		e.events.emit(func(l *EventListener) { l.MergeBegin(info) })
	}
	return func(err *error) {
		took := time.Since(start)
		var documents, in, out int64
		for i := range infos {
			info := infos[i]
			info.Duration, info.Err = took, *err
			if *err == nil {
				m := (*done)[i].meta
				info.Output, info.DocumentsOut, info.BytesOut = uint64(m.ID), m.Docs, m.Bytes
			}
			documents, in, out = documents+int64(info.DocumentsOut), in+info.BytesIn, out+info.BytesOut
			e.events.emit(func(l *EventListener) { l.MergeEnd(info) })
		}
		if *err == nil {
			e.stats.merges.Add(int64(len(infos)))
			e.stats.merge.add(took, documents, in, out)
		}
	}
}

// training reports a training; the function that it returns reports the end.
func (e *Engine) training(c *collection, first bool, tokens int64) func(*error) {
	start := time.Now()
	info := TrainInfo{Collection: c.name, Tokens: tokens, First: first}
	begun := info
	e.events.emit(func(l *EventListener) { l.TrainBegin(begun) })
	return func(err *error) {
		info.Duration, info.Err = time.Since(start), *err
		r := c.stored()
		info.Codebook, info.Routing = r.Codebook, r.Routing
		e.events.emit(func(l *EventListener) { l.TrainEnd(info) })
		if *err == nil {
			e.stats.trainings.Add(1)
			e.stats.train.add(info.Duration, 0, 0, 0)
		}
	}
}

// stallBegan and stallEnded report the time in which writes wait for room; the
// room holds its lock.
func (e *Engine) stallBegan(first *roomWaiter, held int64) {
	info := WriteStallInfo{Collection: first.col.name, Buffered: held}
	e.events.emit(func(l *EventListener) { l.WriteStallBegin(info) })
}

func (e *Engine) stallEnded(first *roomWaiter, held int64, d time.Duration) {
	info := WriteStallInfo{Collection: first.col.name, Buffered: held, Duration: d}
	e.events.emit(func(l *EventListener) { l.WriteStallEnd(info) })
}
