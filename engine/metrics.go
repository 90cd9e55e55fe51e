package engine

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/colbertdb-go/colbertdb/query"
	"github.com/colbertdb-go/colbertdb/wal"
)

// Metrics describe a store at one moment. Counts, times and bytes of work are
// since it was opened. docs/operations.md says what each means and when to worry.
type Metrics struct {
	Collections []CollectionInfo // by name
	Opened      int              // collections that are not at rest

	Upserts    int64         // documents
	Deletes    int64         // documents
	Searches   int64         // that found an answer
	SearchTime time.Duration // of all searches together
	Seals      int64         // buffers made segments
	Merges     int64
	Trainings  int64
	Reroutes   int64         // segments whose postings were rewritten for a newer routing
	Stalls     int64         // writes that waited for room in memory
	Stalled    time.Duration // time in which at least one waited

	WriteMemory WriteMemoryMetrics

	Replayed  int64 // log records read when the store was opened
	TornBytes int64 // dropped from the log's end then

	// UserBytes are of the changes acknowledged: ids, text, attributes and
	// float16 vectors. WriteAmplification compares what was written with them.
	UserBytes int64
	Seal      WorkMetrics
	Merge     WorkMetrics // the merges of trainings included
	Train     WorkMetrics // times only, merges included

	// GroupBatches and GroupBytes are the sizes of commit groups: batches that
	// shared one write to the log.
	GroupBatches, GroupBytes Histogram
	// LogSyncTime is the time that an fsync of the log took, in microseconds.
	LogSyncTime Histogram
	LogBytes    uint64 // written
	LogSyncs    uint64
	LogFiles    int   // there now
	LogOnDisk   int64 // bytes of them

	// SearchLatency is of whole searches, Stages of their stages in the order
	// in which they run; in microseconds.
	SearchLatency Histogram
	Stages        []StageMetrics

	PinnedBytes int64 // of token columns, postings and document tables in memory
	PinBudget   int64
	Cache       CacheMetrics // of Pebble's blocks: what is not pinned

	DiskBytes   uint64 // of Pebble's files
	PebbleBytes uint64 // written by Pebble itself: its log, flushes and compactions
	// DiskFree is what is free on the store's file system, DiskFloor what writes
	// leave of it (Options.DiskFloor). DiskFree is -1 where it is not known.
	DiskFree, DiskFloor int64
	PebbleGets          int64 // ids looked up
	PebbleSets          int64 // keys set and deleted by seals, merges and loads

	// Poisoned is why the store takes no more writes; nil: it takes them.
	Poisoned error
	// BackgroundError is the last failure of a seal, merge or training that
	// nobody waited for, at BackgroundErrorAt; nil: none so far.
	BackgroundError   error
	BackgroundErrorAt time.Time
	// EventsDropped were lost to a listener that lagged too far behind.
	EventsDropped int64
}

// WorkMetrics count one kind of background work.
type WorkMetrics struct {
	Time      time.Duration
	Documents int64 // written
	BytesIn   int64 // read: of buffers, or of segments
	BytesOut  int64 // written to segments
}

// StageMetrics are the times of one stage of searches, in microseconds.
type StageMetrics struct {
	Name string
	Time Histogram
}

// CacheMetrics are of a cache.
type CacheMetrics struct {
	Hits, Misses int64
	Bytes        int64 // held now
}

// HitRate is the share of reads that found their block, 0 without reads.
func (c CacheMetrics) HitRate() float64 {
	if c.Hits+c.Misses == 0 {
		return 0
	}
	return float64(c.Hits) / float64(c.Hits+c.Misses)
}

// WriteAmplification is what the store has written since it was opened (log,
// segments, Pebble's own files) over the bytes of the changes; 0 without changes.
func (m *Metrics) WriteAmplification() float64 {
	if m.UserBytes == 0 {
		return 0
	}
	return float64(int64(m.LogBytes)+m.Seal.BytesOut+m.Merge.BytesOut+int64(m.PebbleBytes)) / float64(m.UserBytes)
}

// Poisoned is why the store takes no more writes, nil while it takes them. Unlike
// Metrics it costs nothing.
func (e *Engine) Poisoned() error { return e.guard.check(nil) }

// Metrics returns the store's metrics. It reads counters and metadata, never
// documents, and holds no lock for longer than it takes to copy them.
func (e *Engine) Metrics() Metrics {
	s := &e.stats
	m := Metrics{
		Collections: e.Collections(),
		Upserts:     s.upserts.Load(), Deletes: s.deletes.Load(),
		Searches: s.searches.Load(), SearchTime: time.Duration(s.searchNanos.Load()),
		Seals: s.seals.Load(), Merges: s.merges.Load(), Trainings: s.trainings.Load(), Reroutes: s.reroutes.Load(),
		Stalls: e.room.stalls.Load(), Stalled: time.Duration(e.room.stalledNanos.Load()), WriteMemory: e.room.metrics(),
		Replayed: s.replayed.Load(), TornBytes: s.torn.Load(),
		UserBytes: s.userBytes.Load(), Seal: s.seal.load(), Merge: s.merge.load(), Train: s.train.load(),
		GroupBatches: s.groupBatches.load(), GroupBytes: s.groupBytes.load(), LogSyncTime: s.logSync.load(),
		SearchLatency: s.searchTime.load(),
		PebbleGets:    s.pebbleGets.Load(), PebbleSets: s.pebbleSets.Load(),
	}
	for i, name := range query.Stages {
		m.Stages = append(m.Stages, StageMetrics{name, s.stages[i].load()})
	}
	e.mu.Lock()
	m.Opened = len(e.opened)
	e.mu.Unlock()
	m.PinnedBytes, m.PinBudget = e.pins.usage()
	s.mu.Lock()
	m.BackgroundError, m.BackgroundErrorAt = s.backgroundError, s.backgroundAt
	s.mu.Unlock()
	m.Poisoned = e.guard.check(nil)
	m.DiskFree, m.DiskFloor = e.disk.usage()
	if e.events != nil {
		m.EventsDropped = e.events.dropped.Load()
	}
	if e.log != nil {
		l := e.log.Metrics()
		m.LogBytes, m.LogSyncs = l.Bytes, l.Syncs
	}
	m.LogFiles, m.LogOnDisk, _ = wal.Usage(e.fs, e.walDir()) // a folder that cannot be listed fails where it matters
	e.metricsMu.RLock()
	defer e.metricsMu.RUnlock()
	if !e.closed() {
		p := e.db.Metrics()
		m.DiskBytes = p.DiskSpaceUsage()
		m.Cache = CacheMetrics{Hits: p.BlockCache.Hits, Misses: p.BlockCache.Misses, Bytes: p.BlockCache.Size}
		m.PebbleBytes = p.WAL.BytesWritten
		for _, l := range p.Levels {
			m.PebbleBytes += l.TableBytesFlushed + l.TableBytesCompacted
		}
	}
	return m
}

// pinBudget decides which columns of which segments stay in memory.
type pinBudget struct {
	mu     sync.Mutex
	limit  int64
	used   int64
	charge map[*segHandle]int64
	filled bool // nothing has been freed since refill looked last
}

// add pins the columns of a segment, hottest first, while the budget lasts. A
// column that cannot be read stays unpinned: whoever needs it gets the error.
// It counts bytes beside, for what the segment has in memory anyway.
func (p *pinBudget) add(ctx context.Context, h *segHandle, bytes int64) {
	p.mu.Lock()
	if p.charge == nil {
		p.charge = map[*segHandle]int64{}
	}
	p.used += bytes
	p.charge[h] = bytes
	p.mu.Unlock()
	p.pin(ctx, h)
}

// pin pins what the budget has room for of a segment that is still there, by one
// goroutine at a time. Columns are read without the lock, which is taken where
// searches wait.
func (p *pinBudget) pin(ctx context.Context, h *segHandle) {
	for _, c := range h.ColumnSizes() {
		if !c.Pinned && p.reserve(h, c.Bytes) && h.Pin(ctx, c.Name) != nil {
			p.grow(h, -c.Bytes)
		}
	}
}

// reserve takes bytes of the budget for a segment that is still there.
func (p *pinBudget) reserve(h *segHandle, bytes int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.charge[h]; !ok || p.used+bytes > p.limit {
		return false
	}
	p.used += bytes
	p.charge[h] += bytes
	return true
}

// refill pins columns for which there was no room when their segment was opened, such
// as those of a merge's output, which comes while its inputs still count. The caller
// holds Engine.bg.
func (p *pinBudget) refill(ctx context.Context) {
	p.mu.Lock()
	var held []*segHandle
	if !p.filled {
		for h := range p.charge {
			if h.Unpinned() > 0 && h.tryRef() {
				held = append(held, h)
			}
		}
	}
	p.filled = true
	p.mu.Unlock()
	slices.SortFunc(held, func(a, b *segHandle) int { return cmp.Compare(a.Meta().ID, b.Meta().ID) })
	for _, h := range held {
		if ctx.Err() == nil {
			p.pin(ctx, h)
		}
		h.unref()
	}
}

// grow changes what a segment that is still there has in memory anyway.
func (p *pinBudget) grow(h *segHandle, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.charge[h]; ok {
		p.used += bytes
		p.charge[h] += bytes
	}
}

func (p *pinBudget) remove(h *segHandle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= p.charge[h]
	delete(p.charge, h)
	p.filled = false
}

func (p *pinBudget) usage() (used, limit int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used, p.limit
}

// defaultMemoryBudget is a quarter of the machine's memory, or of the Go memory
// limit where one is set lower; 1 GiB where neither is known.
func defaultMemoryBudget() int64 {
	total := int64(4 << 30)
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kb int64
		if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kb); err == nil {
			total = kb << 10
		}
	}
	if b, err := os.ReadFile("/sys/fs/cgroup/memory.max"); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
			total = min(total, n)
		}
	}
	if runtime.GOARCH == "386" || runtime.GOARCH == "arm" {
		total = min(total, 2<<30)
	}
	return total / 4
}
