package compaction_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/colbertdb-go/colbertdb/compaction"
)

func seg(docs int, tokens int64, deleted int) compaction.Meta {
	return compaction.Meta{Documents: docs, Tokens: tokens, Deleted: deleted, CodebookID: 1, RoutingID: 1}
}

var current = compaction.Options{CodebookID: 1, RoutingID: 1, MaxDocuments: 1000, MaxTokens: 1_000_000}

func TestPlan(t *testing.T) {
	small := seg(10, 1000, 0)
	old := small
	old.CodebookID = 0
	rerouted := small
	rerouted.RoutingID = 0
	for name, c := range map[string]struct {
		segments []compaction.Meta
		want     []compaction.Task
	}{
		"nothing":            {nil, nil},
		"three small":        {[]compaction.Meta{small, small, small}, nil},
		"four small":         {[]compaction.Meta{small, small, small, small}, []compaction.Task{{From: 0, To: 4, Reason: "tier"}}},
		"small behind large": {[]compaction.Meta{seg(400, 400_000, 0), small, small, small, small}, []compaction.Task{{From: 1, To: 5, Reason: "tier"}}},
		"deletes":            {[]compaction.Meta{small, seg(10, 1000, 3), small}, []compaction.Task{{From: 1, To: 2, Reason: "deletes"}}},
		"old codebook":       {[]compaction.Meta{small, old}, []compaction.Task{{From: 1, To: 2, Reason: "codebook"}}},
		"old routing":        {[]compaction.Meta{small, rerouted}, []compaction.Task{{From: 1, To: 2, Reason: "routing"}}},
		"old in a merge":     {[]compaction.Meta{rerouted, old, small, old}, []compaction.Task{{From: 0, To: 4, Reason: "tier"}}},
		"old and deleted":    {[]compaction.Meta{{Documents: 10, Tokens: 1000, Deleted: 3}}, []compaction.Task{{From: 0, To: 1, Reason: "deletes"}}},
		"too many documents": {[]compaction.Meta{seg(400, 1000, 0), seg(400, 1000, 0), seg(400, 1000, 0), seg(400, 1000, 0)}, nil},
	} {
		if got := compaction.Plan(c.segments, current); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestPlanAll(t *testing.T) {
	for name, c := range map[string]struct {
		segments []compaction.Meta
		want     []compaction.Task
	}{
		"one clean":    {[]compaction.Meta{seg(10, 1000, 0)}, nil},
		"old routing":  {[]compaction.Meta{{Documents: 10, Tokens: 1000, CodebookID: 1}}, []compaction.Task{{From: 0, To: 1, Reason: "routing"}}},
		"old codebook": {[]compaction.Meta{{Documents: 10, Tokens: 1000}}, []compaction.Task{{From: 0, To: 1, Reason: "compact"}}},
		"one deleted":  {[]compaction.Meta{seg(10, 1000, 1)}, []compaction.Task{{From: 0, To: 1, Reason: "compact"}}},
		"all fit":      {[]compaction.Meta{seg(10, 1000, 0), seg(300, 1000, 0), seg(10, 1000, 0)}, []compaction.Task{{From: 0, To: 3, Reason: "compact"}}},
		"two groups": {[]compaction.Meta{seg(600, 1000, 0), seg(300, 1000, 0), seg(600, 1000, 0), seg(300, 1000, 0)},
			[]compaction.Task{{From: 0, To: 2, Reason: "compact"}, {From: 2, To: 4, Reason: "compact"}}},
	} {
		if got := compaction.PlanAll(c.segments, current); !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// Whatever the segments, plans are ranges of neighbours that do not overlap and
// respect the limits, and carrying them out reaches a state without plans, with
// every document rewritten a bounded number of times.
func TestPlansTerminate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := current
		o.FanOut = rapid.IntRange(2, 8).Draw(t, "fanout")
		var segments []compaction.Meta
		var added, written int64
		for range rapid.IntRange(1, 60).Draw(t, "seals") {
			docs := rapid.IntRange(1, 300).Draw(t, "docs")
			m := seg(docs, int64(docs)*rapid.Int64Range(1, 200).Draw(t, "tokens"), rapid.IntRange(0, docs).Draw(t, "deleted")/3)
			m.CodebookID, m.RoutingID = uint32(rapid.IntRange(0, 1).Draw(t, "codebook")), uint32(rapid.IntRange(0, 1).Draw(t, "routing"))
			segments = append(segments, m)
			added += m.Tokens
			for step := 0; ; step++ {
				tasks := compaction.Plan(segments, o)
				if len(tasks) == 0 {
					break
				}
				if step > 100 {
					t.Fatalf("still planning %+v for %+v", tasks, segments)
				}
				used := make([]bool, len(segments))
				for _, task := range tasks {
					if task.From < 0 || task.From >= task.To || task.To > len(segments) {
						t.Fatalf("task %+v of %d segments", task, len(segments))
					}
					for i := task.From; i < task.To; i++ {
						if used[i] {
							t.Fatalf("segment %d is in two tasks: %+v", i, tasks)
						}
						used[i] = true
					}
				}
				task := tasks[0]
				if task.Reason == compaction.ReasonRouting {
					segments[task.From].RoutingID = o.RoutingID
					continue
				}
				var merged compaction.Meta
				for _, m := range segments[task.From:task.To] {
					live := m.Documents - m.Deleted
					merged.Documents += live
					merged.Tokens += m.Tokens * int64(live) / int64(max(1, m.Documents))
				}
				if task.To-task.From > 1 && (merged.Documents > o.MaxDocuments || merged.Tokens > o.MaxTokens) {
					t.Fatalf("%+v merges to %+v", task, merged)
				}
				if merged.Tokens >= 1<<14 { // below, in the lowest tier, merges are next to nothing
					written += merged.Tokens
				}
				merged.CodebookID, merged.RoutingID = 1, 1
				next := append([]compaction.Meta{}, segments[:task.From]...)
				if merged.Documents > 0 {
					next = append(next, merged)
				}
				segments = append(next, segments[task.To:]...)
			}
		}
		if written > 12*added {
			t.Fatalf("wrote %d tokens for %d added", written, added)
		}
	})
}
