package engine

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// counters count since the store was opened.
type counters struct {
	upserts, deletes, searches, searchNanos    atomic.Int64
	seals, merges, trainings, stalls, replayed atomic.Int64
	torn                                       atomic.Int64
}

// Metrics describe a store at one moment. Counts are since it was opened.
type Metrics struct {
	Collections []CollectionInfo
	Upserts     int64 // documents
	Deletes     int64 // documents
	Searches    int64
	SearchTime  time.Duration // of all searches together
	Seals       int64
	Merges      int64
	Trainings   int64
	Stalls      int64 // times that a write waited for a seal
	Replayed    int64 // log records read when the store was opened
	TornBytes   int64 // dropped from the log's end then
	LogBytes    uint64
	LogSyncs    uint64
	PinnedBytes int64
	PinBudget   int64
	DiskBytes   uint64
}

// CollectionInfo describes a collection at one moment.
type CollectionInfo struct {
	Name            string
	Dim             int
	Profile         Profile
	RetainRaw       bool
	Model           *Model // nil: vectors from the caller
	Documents       int64
	Tokens          int64
	Buffered        int64 // documents not yet in a segment
	Segments        int
	Deleted         int64 // documents that a merge will drop
	Bytes           int64 // of the segments
	Cells           int   // 0: flat, every search is an exact scan
	Centroids       int
	CodebookID      uint32
	RoutingID       uint32
	ResidualNorm    float32 // of the codebook's training
	Representation  string  // the plane that decides scores
	LastSeq         uint64
	UnpinnedColumns int // token columns that are read from disk
}

// Metrics returns the store's metrics.
func (e *Engine) Metrics() Metrics {
	m := Metrics{
		Collections: e.Collections(),
		Upserts:     e.stats.upserts.Load(), Deletes: e.stats.deletes.Load(),
		Searches: e.stats.searches.Load(), SearchTime: time.Duration(e.stats.searchNanos.Load()),
		Seals: e.stats.seals.Load(), Merges: e.stats.merges.Load(), Trainings: e.stats.trainings.Load(),
		Stalls: e.stats.stalls.Load(), Replayed: e.stats.replayed.Load(), TornBytes: e.stats.torn.Load(),
	}
	m.PinnedBytes, m.PinBudget = e.pins.usage()
	if e.log != nil {
		l := e.log.Metrics()
		m.LogBytes, m.LogSyncs = l.Bytes, l.Syncs
	}
	if !e.closed() {
		m.DiskBytes = e.db.Metrics().DiskSpaceUsage()
	}
	return m
}

// Collections describes every collection, by name.
func (e *Engine) Collections() []CollectionInfo {
	var out []CollectionInfo
	for _, c := range e.snapshot() {
		out = append(out, (&Collection{c: c}).Info())
	}
	slices.SortFunc(out, func(a, b CollectionInfo) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Info describes the collection.
func (h *Collection) Info() CollectionInfo {
	c := h.c
	v := c.acquire()
	defer c.release(v)
	s := v.space
	info := CollectionInfo{
		Name: c.name, Dim: s.dim, Profile: s.profile, RetainRaw: s.retainRaw, Model: c.config.Model,
		Segments: len(v.segs), Representation: s.representation().String(), LastSeq: v.seq,
	}
	info.Documents, info.Tokens = v.counts()
	for _, seg := range v.segs {
		info.Deleted += int64(seg.deleted())
		info.Bytes += seg.Meta().Bytes
		info.UnpinnedColumns += seg.Unpinned()
	}
	for _, m := range v.mems {
		n := m.Len()
		if m.live != nil {
			n = m.live.Count()
		}
		info.Buffered += int64(n)
	}
	if s.coded() {
		info.Cells, info.Centroids = s.codebook.NumCells(), s.routing.NumCentroids()
		info.CodebookID, info.RoutingID, info.ResidualNorm = s.codebook.ID, s.routing.ID, s.codebook.ResidualNorm
	}
	return info
}

// pinBudget decides which columns of which segments stay in memory.
type pinBudget struct {
	mu     sync.Mutex
	limit  int64
	used   int64
	charge map[*segHandle]int64
}

// add pins the columns of a segment, hottest first, while the budget lasts. A
// column that cannot be read stays unpinned: whoever needs it gets the error.
func (p *pinBudget) add(ctx context.Context, h *segHandle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.charge == nil {
		p.charge = map[*segHandle]int64{}
	}
	bytes := h.MemoryBytes()
	for _, c := range h.ColumnSizes() {
		if p.used+bytes+c.Bytes > p.limit {
			continue
		}
		if h.Pin(ctx, c.Name) == nil {
			bytes += c.Bytes
		}
	}
	p.used += bytes
	p.charge[h] = bytes
}

func (p *pinBudget) remove(h *segHandle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used -= p.charge[h]
	delete(p.charge, h)
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
