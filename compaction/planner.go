package compaction

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/colbertdb-go/colbertdb/segment"
)

// Meta is what the planner looks at of one segment.
type Meta struct {
	ID         segment.ID
	Documents  int
	Tokens     int64
	Deleted    int // documents
	CodebookID uint32
	RoutingID  uint32
}

// live estimates the tokens that a merge would keep.
func (m Meta) live() int64 {
	return m.Tokens * int64(m.Documents-m.Deleted) / int64(max(1, m.Documents))
}

// Options configure the planner. Zero values are defaults.
type Options struct {
	// FanOut is the number of neighbours of similar size that are merged.
	// Default: 4.
	FanOut int
	// MaxDocuments and MaxTokens bound a merged segment. Default: 65,536 and
	// 8,388,608. A segment that is larger already stays.
	MaxDocuments int
	MaxTokens    int64
	// DeadPercent is the share of deleted documents at which a segment is
	// rewritten. Default: 30.
	DeadPercent int
	// Quiet says that nobody writes to the collection: space is worth more than
	// the bytes of a rewrite then. With the deleted tokens above QuietPercent of
	// the live ones, segments are rewritten, those with the greatest share of
	// deleted ones first, until the rest is below. Default: false; 8.
	Quiet        bool
	QuietPercent int
	// CodebookID and RoutingID are the versions that segments should have.
	CodebookID, RoutingID uint32
}

func (o Options) withDefaults() Options {
	if o.FanOut == 0 {
		o.FanOut = 4
	}
	if o.MaxDocuments == 0 {
		o.MaxDocuments = segment.MaxDocuments
	}
	if o.MaxTokens == 0 {
		o.MaxTokens = 8 << 20
	}
	if o.DeadPercent == 0 {
		o.DeadPercent = 30
	}
	if o.QuietPercent == 0 {
		o.QuietPercent = 8
	}
	return o
}

// Task is a merge of the neighbours [From, To) into one segment.
type Task struct {
	From, To int
	Reason   Reason // for logs and events
}

// Reason says why a task is due.
type Reason string

// The reasons.
const (
	ReasonDeletes  Reason = "deletes"  // many deleted documents
	ReasonTier     Reason = "tier"     // many neighbours of similar size
	ReasonCodebook Reason = "codebook" // encoded with an older codebook
	ReasonCompact  Reason = "compact"  // asked for by hand
	ReasonTrain    Reason = "train"    // the collection gets its first codebook
	// ReasonRouting is no merge: one segment's postings are to be rewritten for
	// a newer routing, and nothing else of it.
	ReasonRouting Reason = "routing"
)

// Plan returns the merges that are due, most urgent first; none when the
// segments are in good shape. Tasks do not overlap.
//
// Segments are sorted into tiers by size, each tier four times the one below.
// A run of FanOut neighbours of one tier or below is merged, lowest tier first,
// so that a document is rewritten once a tier. Every merge brings its segments to
// the current versions; those that no merge takes follow one by one.
//
// To reclaim a deleted token costs (1-d)/d rewritten ones, d being its segment's
// deleted share: 2.3 at DeadPercent. To keep the whole store's below a tenth
// under steady change costs twice that, so this is left to quiet times.
func Plan(segments []Meta, o Options) []Task {
	o = o.withDefaults()
	var tasks []Task
	taken := make([]bool, len(segments))
	add := func(from, to int, reason Reason) {
		for i := from; i < to; i++ {
			if taken[i] {
				return
			}
		}
		for i := from; i < to; i++ {
			taken[i] = true
		}
		tasks = append(tasks, Task{from, to, reason})
	}
	for i, m := range segments {
		if m.Deleted*100 >= m.Documents*o.DeadPercent {
			add(i, i+1, ReasonDeletes)
		}
	}
	for t := range maxTier + 1 {
		for from := 0; from < len(segments); {
			to := from
			var docs int
			var tokens, largest int64
			for to < len(segments) && !taken[to] && tier(segments[to]) <= t {
				d, n := segments[to].Documents-segments[to].Deleted, segments[to].live()
				if docs+d > o.MaxDocuments || tokens+n > o.MaxTokens {
					break
				}
				docs, tokens, to = docs+d, tokens+n, to+1
				largest = max(largest, n)
			}
			// A large segment is not rewritten for a few small ones beside it:
			// they are merged among themselves until they weigh half of it.
			if to-from >= o.FanOut && (largest < tierBase || 2*(tokens-largest) >= largest) {
				add(from, to, ReasonTier)
			}
			from = max(to, from+1)
		}
	}
	// What no other merge brings up to date follows by itself.
	for i, m := range segments {
		if reason := o.outdated(m); reason != "" {
			add(i, i+1, reason)
		}
	}
	if o.Quiet && len(tasks) == 0 {
		for _, i := range o.reclaim(segments) {
			add(i, i+1, ReasonDeletes)
		}
	}
	return tasks
}

// reclaim chooses the segments to be rewritten while it is quiet.
func (o Options) reclaim(segments []Meta) []int {
	var live, dead int64
	order := make([]int, len(segments))
	for i, m := range segments {
		order[i] = i
		live += m.live()
		dead += m.Tokens - m.live()
	}
	slices.SortStableFunc(order, func(a, b int) int { // by deleted share, the greatest first
		x, y := segments[a], segments[b]
		return cmp.Compare(int64(y.Deleted)*int64(max(1, x.Documents)), int64(x.Deleted)*int64(max(1, y.Documents)))
	})
	n := 0
	for ; dead*100 > live*int64(o.QuietPercent); n++ {
		m := segments[order[n]]
		dead -= m.Tokens - m.live()
	}
	return order[:n]
}

// outdated says what a segment needs to be of the current versions, "" for nothing.
func (o Options) outdated(m Meta) Reason {
	switch {
	case m.CodebookID != o.CodebookID:
		return ReasonCodebook
	case m.RoutingID != o.RoutingID:
		return ReasonRouting
	}
	return ""
}

// tierBase is the number of tokens below which segments are of the lowest tier.
const (
	tierBase = 1 << 14
	maxTier  = 10
)

func tier(m Meta) int {
	return min(maxTier, (bits.Len64(uint64(m.live()/tierBase))+1)/2)
}

// PlanAll returns the merges of a compaction by hand: as few segments as the
// limits allow, no deleted documents, current versions.
func PlanAll(segments []Meta, o Options) []Task {
	o = o.withDefaults()
	var tasks []Task
	for from := 0; from < len(segments); {
		to := from
		var docs int
		var tokens int64
		for to < len(segments) {
			d, n := segments[to].Documents-segments[to].Deleted, segments[to].live()
			if to > from && (docs+d > o.MaxDocuments || tokens+n > o.MaxTokens) {
				break
			}
			docs, tokens, to = docs+d, tokens+n, to+1
		}
		m := segments[from]
		if reason := o.outdated(m); to-from > 1 || m.Deleted > 0 || reason == ReasonCodebook {
			tasks = append(tasks, Task{from, to, ReasonCompact})
		} else if reason == ReasonRouting {
			tasks = append(tasks, Task{from, to, reason})
		}
		from = to
	}
	return tasks
}
