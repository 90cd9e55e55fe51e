package engine

import (
	"slices"
	"strings"
	"sync"

	"github.com/colbertdb-go/colbertdb/compaction"
	"github.com/colbertdb-go/colbertdb/segment"
)

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
	BufferedBytes   int64 // of them and of the dead among them
	Segments        int
	Deleted         int64 // documents that a merge will drop
	Bytes           int64 // of the segments
	Cells           int   // 0: flat, every search is an exact scan
	Centroids       int
	CodebookID      uint32
	RoutingID       uint32
	ResidualNorm    float32 // mean, of the codebook's training
	RecentNorm      float32 // mean, of what was written since
	RecentOutliers  float32 // share of its tokens that lie far from every cell; 0.05 without drift
	Representation  string  // the plane that decides scores
	LastSeq         uint64
	UnpinnedColumns int // token columns that are read from disk
	// ReindexOf is the collection that an unfinished reindex fills this one from,
	// "" for a collection that is complete.
	ReindexOf string

	// Tiers are the sizes of segments that merges distinguish, smallest first:
	// four neighbours of one tier become one of the next.
	Tiers   []TierInfo
	Columns []ColumnInfo // of token records, hottest first
	Debt    Debt

	// Calibration says what searches were measured to find; nil where they were not.
	Calibration *Calibration
}

// TierInfo is what a tier of segments holds.
type TierInfo struct {
	Tier, Segments    int
	Documents, Tokens int64 // dead ones included
	Bytes             int64
}

// ColumnInfo is one column over all segments. The last, "other", is what is no
// column of token records: text, attributes, document tables and postings.
type ColumnInfo struct {
	Name   string
	Bytes  int64
	Pinned int64 // of these, in memory
}

// Debt is work that merges have before them.
type Debt struct {
	// Merges are due by the planner's rules, and will read BytesDue.
	Merges   int
	BytesDue int64
	// DeletedBytes estimates what the deleted documents take.
	DeletedBytes int64
	// StaleSegments have an older codebook or routing than the collection.
	StaleSegments int
	StaleBytes    int64
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

// Info describes the collection. It reads metadata, never documents. Of one at
// rest it tells what the record says, which is all but columns and the merges due;
// so it does of one that cannot be opened.
func (h *Collection) Info() CollectionInfo {
	c := h.c
	if info, ok := c.restingInfo(); ok {
		return info
	}
	v, err := c.acquire()
	if err != nil {
		return c.describe(c.flatSpace())
	}
	defer c.release(v)
	s := v.space
	info := c.describe(s)
	info.Segments, info.LastSeq = len(v.segs), v.seq
	info.Documents, info.Tokens = v.counts()
	for _, m := range v.mems {
		info.Buffered += int64(m.liveDocs)
		info.BufferedBytes += m.bytes
	}
	if s.coded() {
		info.Cells, info.Centroids = s.codebook.NumCells(), s.routing.NumCentroids()
		info.CodebookID, info.RoutingID, info.ResidualNorm = s.codebook.ID, s.routing.ID, s.codebook.ResidualNorm
		recent := v.recentResiduals()
		info.RecentNorm, info.RecentOutliers = recent.Mean, recent.Outliers
	}
	info.addSegments(v)
	for _, t := range compaction.Plan(v.metas(), c.compactionOptions(s)) {
		info.Debt.Merges++
		for _, seg := range v.segs[t.From:t.To] {
			info.Debt.BytesDue += seg.bytes()
		}
	}
	return info
}

// describe fills in what follows from configuration and space.
func (c *collection) describe(s *space) CollectionInfo {
	return CollectionInfo{
		Name: c.title(), ReindexOf: c.engine.reindexOf(c), Dim: s.dim, Profile: s.profile, RetainRaw: s.retainRaw, Model: c.config.Model,
		Representation: s.representation().String(), Calibration: c.calibration.Load(),
	}
}

// restingInfo describes a flat collection at rest from its record.
func (c *collection) restingInfo() (info CollectionInfo, ok bool) {
	c.opening.Lock()
	defer c.opening.Unlock()
	if v := c.hold(); v != nil {
		c.release(v)
		return info, false
	}
	r := &c.record
	if r.Codebook != 0 || c.dropped.Load() {
		return info, false
	}
	info = c.describe(c.flatSpace())
	info.Segments = len(r.Segments)
	for _, s := range r.Segments {
		if s.Docs == 0 { // not counted: its segment has to be read
			return info, false
		}
		info.Documents += int64(s.Docs - s.Dead)
		info.Tokens += s.Tokens - s.DeadTokens
		info.Bytes += s.Bytes
		info.Deleted += int64(s.Dead)
		info.Debt.DeletedBytes += s.Bytes * int64(s.Dead) / int64(s.Docs)
		m := compaction.Meta{ID: s.ID, Documents: s.Docs, Tokens: s.Tokens, Deleted: s.Dead}
		info.addTier(compaction.Tier(m), s.Docs, s.Tokens, s.Bytes)
	}
	slices.SortFunc(info.Tiers, func(a, b TierInfo) int { return a.Tier - b.Tier })
	c.engine.mu.Lock()
	info.LastSeq = max(c.lastSeq, c.engine.sealedSeq)
	c.engine.mu.Unlock()
	return info, true
}

// addSegments adds up what the segments' metadata says.
func (info *CollectionInfo) addSegments(v *version) {
	metas := v.metas()
	var other int64
	for i, seg := range v.segs {
		m := seg.Meta()
		deleted := int64(metas[i].Deleted)
		info.Deleted += deleted
		bytes := seg.bytes()
		info.Bytes += bytes
		info.UnpinnedColumns += seg.Unpinned()
		info.Debt.DeletedBytes += bytes * deleted / int64(m.Docs)
		if metas[i].CodebookID != info.CodebookID || metas[i].RoutingID != info.RoutingID {
			info.Debt.StaleSegments++
			info.Debt.StaleBytes += bytes
		}
		for _, col := range seg.ColumnSizes() {
			info.addColumn(col)
			other -= col.Bytes
		}
		other += bytes
		info.addTier(compaction.Tier(metas[i]), m.Docs, m.Tokens, bytes)
	}
	if len(v.segs) > 0 {
		info.addColumn(segment.ColumnSize{Name: "other", Bytes: other})
	}
	slices.SortFunc(info.Tiers, func(a, b TierInfo) int { return a.Tier - b.Tier })
}

func (info *CollectionInfo) addColumn(col segment.ColumnSize) {
	at := slices.IndexFunc(info.Columns, func(c ColumnInfo) bool { return c.Name == col.Name })
	if at < 0 {
		at = len(info.Columns)
		info.Columns = append(info.Columns, ColumnInfo{Name: col.Name})
	}
	info.Columns[at].Bytes += col.Bytes
	if col.Pinned {
		info.Columns[at].Pinned += col.Bytes
	}
}

func (info *CollectionInfo) addTier(tier, docs int, tokens, bytes int64) {
	at := slices.IndexFunc(info.Tiers, func(t TierInfo) bool { return t.Tier == tier })
	if at < 0 {
		at = len(info.Tiers)
		info.Tiers = append(info.Tiers, TierInfo{Tier: tier})
	}
	t := &info.Tiers[at]
	t.Segments++
	t.Documents += int64(docs)
	t.Tokens += tokens
	t.Bytes += bytes
}

// deadCount remembers how much of a segment is dead, by which bits. Counting
// again, for other bits of the same segment, costs what changed between them.
type deadCount struct {
	mu     sync.Mutex
	live   *segment.Bitset
	docs   int64
	tokens int64
}

// liveCounts returns the live documents and their tokens.
func (s segView) liveCounts() (docs, tokens int64) {
	d := &s.dead
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.live != s.live {
		segment.EachChange(s.Len(), d.live, s.live, func(ord int, live bool) {
			n, t := int64(1), int64(s.Tokens(ord))
			if live {
				n, t = -n, -t
			}
			d.docs, d.tokens = d.docs+n, d.tokens+t
		})
		d.live = s.live
	}
	return int64(s.Len()) - d.docs, s.Meta().Tokens - d.tokens
}

// counts returns the live documents and their tokens.
func (v *version) counts() (docs, tokens int64) {
	for _, s := range v.segs {
		d, t := s.liveCounts()
		docs, tokens = docs+d, tokens+t
	}
	for _, m := range v.mems {
		docs, tokens = docs+int64(m.liveDocs), tokens+m.liveTokens
	}
	return docs, tokens
}
