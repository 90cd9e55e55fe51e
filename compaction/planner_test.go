package compaction_test

import (
	"math/rand/v2"
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
				next := carryOut(segments, task)
				if len(next) > len(segments)-(task.To-task.From) { // something is live
					merged := next[task.From]
					if task.To-task.From > 1 && (merged.Documents > o.MaxDocuments || merged.Tokens > o.MaxTokens) {
						t.Fatalf("%+v merges to %+v", task, merged)
					}
					if merged.Tokens >= 1<<14 { // below, in the lowest tier, merges are next to nothing
						written += merged.Tokens
					}
				}
				segments = next
			}
		}
		if written > 12*added {
			t.Fatalf("wrote %d tokens for %d added", written, added)
		}
	})
}

// While nobody writes the segments with the greatest share of deleted documents are
// rewritten until the store's is small, the others stay, and nothing is due then.
func TestPlanWhileQuiet(t *testing.T) {
	o := current
	o.Quiet = true
	segments := []compaction.Meta{seg(400, 400_000, 20), seg(300, 300_000, 80), seg(100, 100_000, 20)}
	if got := compaction.Plan(segments, current); len(got) > 0 {
		t.Errorf("while it is written to: %+v", got)
	}
	want := []compaction.Task{{From: 1, To: 2, Reason: "deletes"}}
	if got := compaction.Plan(segments, o); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		var segments []compaction.Meta
		var live, dead int64
		for range rapid.IntRange(0, 12).Draw(t, "segments") {
			docs := rapid.IntRange(1, 400).Draw(t, "docs")
			m := seg(docs, int64(docs)*rapid.Int64Range(1, 200).Draw(t, "tokens"), rapid.IntRange(0, docs).Draw(t, "deleted"))
			segments = append(segments, m)
		}
		for step := 0; ; step++ {
			tasks := compaction.Plan(segments, o)
			if len(tasks) == 0 {
				break
			}
			if step > 50 {
				t.Fatalf("still planning %+v for %+v", tasks, segments)
			}
			segments = carryOut(segments, tasks[0])
		}
		for _, m := range segments {
			n := m.Tokens * int64(m.Documents-m.Deleted) / int64(max(1, m.Documents))
			live, dead = live+n, dead+m.Tokens-n
		}
		if dead*100 > live*8 {
			t.Fatalf("%d dead tokens beside %d live ones", dead, live)
		}
	})
}

// carryOut merges what a task names.
func carryOut(segments []compaction.Meta, task compaction.Task) []compaction.Meta {
	merged := compaction.Meta{CodebookID: 1, RoutingID: 1}
	for _, m := range segments[task.From:task.To] {
		live := m.Documents - m.Deleted
		merged.Documents += live
		merged.Tokens += m.Tokens * int64(live) / int64(max(1, m.Documents))
	}
	next := slices.Clone(segments[:task.From])
	if merged.Documents > 0 {
		next = append(next, merged)
	}
	return append(next, segments[task.To:]...)
}

// A long life under steady change, at several sizes: how often a token is
// written to segments, the seal included, and how much of the store is deleted
// documents. With a pause after every fifth of the store it is written more often.
func TestRewritesOfALife(t *testing.T) {
	for _, c := range []struct {
		name              string
		documents, sealed int
		pause             int // rounds between quiet times; 0: none
		rewrites, dead    float64
	}{
		{"5,000 documents", 5000, 260, 0, 5.5, 0.35},
		{"5,000 documents, pauses", 5000, 260, 10, 6.5, 0.30},
		{"100,000 documents", 100_000, 1000, 0, 6.5, 0.35},
		{"100,000 documents, pauses", 100_000, 1000, 10, 7.5, 0.30},
	} {
		const tokens = 240
		o := compaction.Options{CodebookID: 1, RoutingID: 1}
		r := rand.New(rand.NewPCG(3, 1))
		var segments []compaction.Meta
		var added, written int
		settle := func() {
			for {
				tasks := compaction.Plan(segments, o)
				if len(tasks) == 0 {
					return
				}
				for _, m := range segments[tasks[0].From:tasks[0].To] {
					written += m.Documents - m.Deleted
				}
				segments = carryOut(segments, tasks[0])
			}
		}
		live := func() (n, dead int) {
			for _, m := range segments {
				n, dead = n+m.Documents-m.Deleted, dead+m.Deleted
			}
			return n, dead
		}
		worst, quiet := 0.0, 0.0
		for round := range 100 {
			n, _ := live()
			for range min(n, c.documents/50) { // deleted or replaced
				at := r.IntN(n)
				n--
				for i := range segments {
					if at -= segments[i].Documents - segments[i].Deleted; at < 0 {
						segments[i].Deleted++
						break
					}
				}
			}
			settle()
			for n < c.documents {
				segments = append(segments, seg(c.sealed, int64(c.sealed)*tokens, 0))
				n, added, written = n+c.sealed, added+c.sealed, written+c.sealed
				settle()
			}
			n, dead := live()
			worst = max(worst, float64(dead)/float64(n))
			if c.pause > 0 && round%c.pause == c.pause-1 {
				o.Quiet = true
				settle()
				o.Quiet = false
				n, dead := live()
				quiet = max(quiet, float64(dead)/float64(n))
			}
		}
		rewrites := float64(written) / float64(added)
		t.Logf("%s: a token is written %.2f times, deleted ones are at most %.3f of the live ones, %.3f after pauses", c.name, rewrites, worst, quiet)
		if rewrites > c.rewrites || worst > c.dead || quiet > 0.08 {
			t.Errorf("%s: %.2f writes, at most %.1f wanted; deleted %.3f, at most %.2f", c.name, rewrites, c.rewrites, worst, c.dead)
		}
	}
}
