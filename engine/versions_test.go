package engine

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/compaction"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
	"github.com/colbertdb-go/colbertdb/segment"
)

const rollDim = 16

// roll is a collection whose documents change, with the map that it must equal.
type roll struct {
	t     *testing.T
	e     *Engine
	h     *Collection
	r     *rand.Rand
	model map[string]Document
	next  int // number of the next new document
}

func rollOptions(fs vfs.FS) *Options {
	return &Options{
		FS: fs, DisableAutoCompaction: true, SealDocuments: 50, TrainTokens: 600, TrainSample: 20_000, DriftTokens: 200,
		MaxSegmentDocuments: 90, // so that tiers take little, and segments follow one by one
	}
}

func newRoll(t *testing.T, fs vfs.FS, cfg CollectionConfig) *roll {
	t.Helper()
	r := &roll{t: t, r: rand.New(rand.NewPCG(8, 15)), model: map[string]Document{}}
	r.open(fs, cfg)
	return r
}

func (r *roll) open(fs vfs.FS, cfg CollectionConfig) {
	r.t.Helper()
	r.openWith(rollOptions(fs), cfg)
}

func (r *roll) openWith(o *Options, cfg CollectionConfig) {
	r.t.Helper()
	var err error
	if r.e, err = Open(context.Background(), "db", o); err != nil {
		r.t.Fatal(err)
	}
	cfg.Dim = rollDim
	if r.h, err = r.e.CreateCollection(context.Background(), "test", cfg); err != nil {
		r.t.Fatal(err)
	}
}

func (r *roll) acquire() *version {
	r.t.Helper()
	v, err := r.h.c.acquire()
	r.must(err)
	return v
}

func (r *roll) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// document draws tokens around the twelve centres of a domain.
func (r *roll) document(domain uint64, id string) Document {
	c := rand.New(rand.NewPCG(domain, 99))
	centres := codec.NewMatrix(12, rollDim)
	for i := range centres.Data {
		centres.Data[i] = float32(c.NormFloat64())
	}
	m := codec.NewMatrix(4+r.r.IntN(8), rollDim)
	for t := range m.Len() {
		for d, x := range centres.Row(r.r.IntN(12)) {
			m.Row(t)[d] = x + 0.25*float32(r.r.NormFloat64())
		}
	}
	return Document{ID: id, Vectors: m.Normalized(), Text: "text of " + id}
}

// write upserts n documents of a domain, with deletes and replacements of what
// was there, and seals all but the last few.
func (r *roll) write(domain uint64, n int) {
	r.t.Helper()
	ctx := context.Background()
	for i := range n {
		id := fmt.Sprintf("d%d-%03d", domain, r.next)
		r.next++
		if i%9 == 4 && len(r.model) > 0 {
			id = slices.Sorted(maps.Keys(r.model))[r.r.IntN(len(r.model))]
		}
		d := r.document(domain, id)
		r.model[id] = d
		_, err := r.h.Upsert(ctx, d)
		r.must(err)
		if i%13 == 12 {
			id := slices.Sorted(maps.Keys(r.model))[r.r.IntN(len(r.model))]
			delete(r.model, id)
			_, err := r.h.Delete(ctx, id)
			r.must(err)
		}
		if i%40 == 39 || i == n-6 {
			r.must(r.h.Flush(ctx))
		}
	}
}

// train trains what is due.
func (r *roll) train() {
	r.t.Helper()
	r.must(r.e.background(context.Background(), func(ctx context.Context) error { return r.e.train(ctx, r.h.c) }))
}

// step carries out the next task of the planner, if there is one.
func (r *roll) step() (reason compaction.Reason, ok bool) {
	r.t.Helper()
	err := r.e.background(context.Background(), func(ctx context.Context) error {
		v := r.acquire()
		tasks := compaction.Plan(v.metas(), r.h.c.compactionOptions(v.space))
		defer r.h.c.release(v)
		if len(tasks) == 0 {
			return nil
		}
		reason, ok = tasks[0].Reason, true
		return r.e.perform(ctx, r.h.c, v, tasks[:1])
	})
	r.must(err)
	return reason, ok
}

// spaces is the number of spaces that the current version's sources are in.
func (r *roll) spaces() int {
	v := r.acquire()
	defer r.h.c.release(v)
	seen := map[[2]uint32]bool{}
	for _, s := range v.segs {
		seen[[2]uint32{s.space.codebookID(), s.space.routingID()}] = true
	}
	seen[[2]uint32{v.space.codebookID(), v.space.routingID()}] = true
	return len(seen)
}

// check compares the collection with the model, an exact search with brute
// force over what is stored, and a search by postings with the exact one; then
// verifies the store.
func (r *roll) check() {
	r.t.Helper()
	ctx := context.Background()
	got := map[string]*Document{}
	for d, err := range r.h.All(ctx) {
		r.must(err)
		if got[d.ID] != nil {
			r.t.Fatalf("%q twice", d.ID)
		}
		got[d.ID] = d
	}
	if len(got) != len(r.model) {
		r.t.Fatalf("%d documents, want %d", len(got), len(r.model))
	}
	for id, want := range r.model {
		d := got[id]
		if d == nil || d.Text != want.Text || d.Vectors.Len() != want.Vectors.Len() {
			r.t.Fatalf("%q is %+v", id, d)
		}
		var near float64
		for t := range want.Vectors.Len() {
			near += dot(d.Vectors.Row(t), want.Vectors.Row(t)) / float64(want.Vectors.Len())
		}
		if near < 0.6 {
			r.t.Fatalf("%q lies far from what was written: %v", id, near)
		}
	}
	for i := range 3 {
		q := r.document(uint64(1+i%2), "query").Vectors
		exact, err := r.h.Search(ctx, SearchRequest{Vectors: q, K: len(r.model) + 1, Exact: true})
		r.must(err)
		if len(exact.Hits) != len(r.model) {
			r.t.Fatalf("%d hits of %d documents", len(exact.Hits), len(r.model))
		}
		scores := map[string]float32{}
		for _, h := range exact.Hits {
			scores[h.ID] = h.Score
			var want float64
			for t := range q.Len() {
				best := -1.0
				for u := range got[h.ID].Vectors.Len() {
					best = max(best, dot(q.Row(t), got[h.ID].Vectors.Row(u)))
				}
				want += best
			}
			if math.Abs(want-float64(h.Score)) > 0.01*float64(q.Len()) {
				r.t.Fatalf("%q scores %v, brute force %v", h.ID, h.Score, want)
			}
		}
		found, err := r.h.Search(ctx, SearchRequest{Vectors: q, K: 10, NProbe: 64, NFullScores: 60})
		r.must(err)
		common := 0
		for _, h := range found.Hits {
			if scores[h.ID] != h.Score {
				r.t.Fatalf("%q scores %v by postings, %v in a scan", h.ID, h.Score, scores[h.ID])
			}
			if slices.ContainsFunc(exact.Hits[:10], func(x Hit) bool { return x.ID == h.ID }) {
				common++
			}
		}
		if len(found.Hits) != 10 || common < 8 {
			r.t.Fatalf("%d hits by postings, %d of them among the ten best", len(found.Hits), common)
		}
	}
	report, err := r.e.Verify(ctx)
	r.must(err)
	for _, p := range report.Problems {
		r.t.Error(p)
	}
	if r.t.Failed() {
		r.t.FailNow()
	}
}

func dot(a, b []float32) (s float64) {
	for i, x := range a {
		s += float64(x) * float64(b[i])
	}
	return s
}

// grow brings the collection to the point where it has a codebook and more than
// twice as many documents as its routing was made for.
func (r *roll) grow() {
	r.t.Helper()
	r.write(1, 130)
	r.train()
	if info := r.h.Info(); info.CodebookID != 1 || info.Debt.StaleSegments != 0 {
		r.t.Fatalf("after the first training: %+v", info)
	}
	r.write(1, 200)
}

// turn brings it to the point where its documents have changed.
func (r *roll) turn() {
	r.t.Helper()
	r.write(2, 150)
}

func rollConfigs() map[string]CollectionConfig {
	return map[string]CollectionConfig{
		"exact": {Profile: Exact}, "balanced": {Profile: Balanced}, "compact": {Profile: Compact},
		"balanced, raw": {Profile: Balanced, RetainRaw: true},
	}
}

// Documents change: a codebook is trained, segments follow one by one, and at
// every step the collection is the model's, in two spaces at once; a reader
// that began before ends on what it began with, and the old codebook goes with
// its last segment.
func TestRollToAnotherCodebook(t *testing.T) {
	for name, cfg := range rollConfigs() {
		t.Run(name, func(t *testing.T) {
			fs := crashmem.New()
			r := newRoll(t, fs, cfg)
			r.write(1, 150)
			r.train()
			r.check()
			r.turn()
			before := r.h.Info()
			if before.RecentOutliers <= 0.15 {
				t.Fatalf("no drift to see: %+v", before)
			}
			reader := r.acquire()
			r.train()
			after := r.h.Info()
			if after.CodebookID != 2 || after.Debt.StaleSegments == 0 || r.spaces() != 2 {
				t.Fatalf("%d spaces after training: %+v", r.spaces(), after)
			}
			r.check()
			steps, codebook := 0, 0
			for {
				r.train() // nothing while an older space is in use
				if got := r.h.Info().CodebookID; got != 2 && r.spaces() > 1 {
					t.Fatalf("codebook %d trained during the roll", got)
				}
				reason, ok := r.step()
				if !ok {
					break
				}
				steps++
				if reason == compaction.ReasonCodebook {
					codebook++
				}
				r.check()
				if steps == 2 { // reopened in the middle
					r.write(2, 10)
					r.h.c.release(reader)
					r.must(r.e.Close())
					r.open(fs, cfg)
					r.check()
					reader = r.acquire()
				}
			}
			if steps < 3 || codebook == 0 {
				t.Errorf("%d steps, %d for the codebook: the test has no power", steps, codebook)
			}
			info := r.h.Info()
			if info.Debt.StaleSegments != 0 || r.spaces() != 1 {
				t.Errorf("%d spaces at the end: %+v", r.spaces(), info)
			}
			// Compact has trained on 2-bit reconstructions of a kind that its cells did
			// not know, which tell little of where the vectors were.
			if cfg.Profile != Compact && info.RecentOutliers > 0.15 && info.RecentNorm > 1.1*info.ResidualNorm {
				t.Errorf("the new codebook does not fit either: %+v", info)
			}
			var buf segment.Buffer
			for _, s := range reader.segs {
				for ord := range s.Len() {
					if _, err := s.View(ord, s.space.representation(), &buf); err != nil {
						t.Fatalf("a reader from before: %v", err)
					}
				}
			}
			r.h.c.release(reader)
			r.must(r.e.exciseObsolete(context.Background()))
			r.check()
			r.must(r.e.Close())
		})
	}
}

// The collection grows: fine centroids are clustered anew, and segments follow
// by their postings alone: no token record is written again, and raw and int8
// scores stay what they were.
func TestRollToAnotherRouting(t *testing.T) {
	for name, cfg := range rollConfigs() {
		t.Run(name, func(t *testing.T) {
			fs := crashmem.New()
			r := newRoll(t, fs, cfg)
			r.grow()
			for { // merges first, so that what is left is for the routing
				if _, ok := r.step(); !ok {
					break
				}
			}
			q := r.document(1, "query").Vectors
			scores := func() map[string]float32 {
				res, err := r.h.Search(context.Background(), SearchRequest{Vectors: q, K: 1000, Exact: true})
				r.must(err)
				out := map[string]float32{}
				for _, h := range res.Hits {
					out[h.ID] = h.Score
				}
				return out
			}
			want, centroids := scores(), r.h.Info().Centroids
			r.train()
			if info := r.h.Info(); info.CodebookID != 1 || info.RoutingID != 2 || info.Centroids <= centroids || r.spaces() != 2 {
				t.Fatalf("%d spaces after growth: %+v", r.spaces(), info)
			}
			r.check()
			ids := func() (out []segment.ID) {
				v := r.acquire()
				defer r.h.c.release(v)
				for _, s := range v.segs {
					out = append(out, s.Meta().ID)
				}
				return out
			}
			segments, merges, pinned := ids(), r.e.stats.merges.Load(), r.e.Metrics().PinnedBytes
			steps := 0
			for {
				reason, ok := r.step()
				if !ok {
					break
				}
				if steps++; reason != compaction.ReasonRouting {
					t.Fatalf("step %d is for %s", steps, reason)
				}
				r.check()
				if steps == 1 {
					r.must(r.e.Close())
					r.open(fs, cfg)
					if r.spaces() != 2 {
						t.Fatal("reopened in the middle: not in two spaces")
					}
					merges = 0
					r.check()
				}
			}
			if steps < 2 || int64(steps-1) != r.e.Metrics().Reroutes {
				t.Fatalf("%d steps, %d counted since the reopen", steps, r.e.Metrics().Reroutes)
			}
			if !slices.Equal(ids(), segments) || r.e.stats.merges.Load() != merges {
				t.Errorf("segments %v became %v", segments, ids())
			}
			if got := scores(); !maps.Equal(got, want) {
				t.Error("scores changed with the routing")
			}
			if now := r.e.Metrics().PinnedBytes; now < pinned*9/10 || now > pinned*3/2 {
				t.Errorf("%d bytes pinned, %d before", now, pinned)
			}
			for _, id := range segments {
				routings, err := segment.ListPostings(r.e.db, id)
				if err != nil || !slices.Equal(routings, []uint32{2}) {
					t.Errorf("segment %d has postings of routings %v: %v", id, routings, err)
				}
			}
			r.must(r.e.Close())
		})
	}
}

// A codebook and a routing are ingested before the record that names them is
// written. Where the process dies in between, the next open removes them; where the
// write does not come about, what is ingested next under the same numbers stays.
func TestVersionsWithoutARecord(t *testing.T) {
	ctx := context.Background()
	cfg := CollectionConfig{Profile: Balanced}
	fs := crashmem.New()
	r := newRoll(t, fs, cfg)
	r.write(1, 150)
	r.train()
	stray := func() (vs []obsolete) {
		v := r.acquire()
		defer r.h.c.release(v)
		cb, rt := *v.space.codebook, *v.space.routing
		cb.ID++
		rt.ID, rt.CodebookID = rt.ID+1, cb.ID
		r.must(r.e.publishing(ctx, func(ctx context.Context) error {
			paths, err := segment.WriteVersions(r.e.fs, r.e.asideDir(), r.h.c.id, &cb, &rt)
			if err != nil {
				return err
			}
			return r.e.ingest(ctx, paths)
		}))
		return versionsOf(r.h.c.id, &cb, &rt)
	}
	count := func() (n int) {
		span := segment.CollectionKeys()
		it, err := r.e.db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
		r.must(err)
		for it.First(); it.Valid(); it.Next() {
			if _, _, _, ok := segment.ParseVersionKey(it.Key()); ok {
				n++
			}
		}
		r.must(it.Close())
		return n
	}
	if n := count(); n != 2 {
		t.Fatalf("%d versions after a training, want a codebook and a routing", n)
	}
	stray()
	if n := count(); n != 4 {
		t.Fatalf("%d versions, want the stray ones too", n)
	}
	if rep, err := r.e.Verify(ctx); err != nil || len(rep.Problems) == 0 {
		t.Errorf("Verify has nothing to say of versions without a record: %v", err)
	}
	r.must(r.e.Close())
	r.open(fs, cfg)
	if n := count(); n != 2 {
		t.Errorf("%d versions after the next open, want 2", n)
	}
	r.check()

	for _, o := range stray() {
		r.e.obsolete.put(o)
	}
	r.check() // obsolete is not damage
	r.turn()
	r.train()
	if id := r.h.Info().CodebookID; id != 2 {
		t.Fatalf("codebook %d, want 2: the same number again", id)
	}
	for ok := true; ok; {
		_, ok = r.step()
	}
	r.must(r.e.exciseObsolete(ctx))
	if n := count(); n != 2 {
		t.Errorf("%d versions after the roll, want 2", n)
	}
	r.check()
	r.must(r.e.Close())
	r.open(fs, cfg)
	r.check()
	r.must(r.e.Close())
}

// DisableRetraining keeps the first codebook and routing whatever comes.
func TestDisableRetraining(t *testing.T) {
	r := &roll{t: t, r: rand.New(rand.NewPCG(8, 15)), model: map[string]Document{}}
	o := rollOptions(vfs.NewMem())
	o.DisableRetraining = true
	r.openWith(o, CollectionConfig{Profile: Balanced})
	r.grow()
	r.turn()
	r.must(r.h.Compact(context.Background()))
	if info := r.h.Info(); info.CodebookID != 1 || info.RoutingID != 1 {
		t.Errorf("%+v", info)
	}
	r.check()
	r.must(r.e.Close())
}

// Compact by hand brings everything to the current space, whatever is due.
func TestCompactFinishesARoll(t *testing.T) {
	for name, change := range map[string]func(*roll){"growth": (*roll).grow, "drift": func(r *roll) { r.write(1, 150); r.train(); r.turn() }} {
		t.Run(name, func(t *testing.T) {
			r := newRoll(t, vfs.NewMem(), CollectionConfig{Profile: Exact})
			change(r)
			r.train()
			r.must(r.h.Compact(context.Background()))
			if info := r.h.Info(); info.RoutingID != 2 || info.Debt.StaleSegments != 0 {
				t.Errorf("%+v", info)
			}
			r.check()
			r.must(r.e.Close())
		})
	}
}

// A crash at any write of a training, of a move of postings or of a merge that
// follows leaves a store that equals the model, and that goes on from there.
func TestCrashInARoll(t *testing.T) {
	for name, change := range map[string]func(*roll){"routing": (*roll).grow, "codebook": func(r *roll) { r.write(1, 150); r.train(); r.turn() }} {
		t.Run(name, func(t *testing.T) {
			cfg := CollectionConfig{Profile: Balanced}
			mem := crashmem.New()
			rnd := rand.New(rand.NewPCG(3, 3))
			var clones []*vfs.MemFS
			var mu sync.Mutex // Pebble writes from goroutines of its own
			armed, writes := false, 0
			arm := func(on bool) { mu.Lock(); armed = on; mu.Unlock() }
			hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
				mu.Lock()
				defer mu.Unlock()
				if !armed || op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
					return nil
				}
				if writes++; writes%7 == 0 || rnd.IntN(8) == 0 {
					clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rnd.IntN(101), RNG: rnd}))
				}
				return nil
			})
			r := newRoll(t, errorfs.Wrap(mem, hook), cfg)
			change(r)
			arm(true)
			r.train()
			for {
				if _, ok := r.step(); !ok {
					break
				}
			}
			arm(false)
			r.must(r.e.Close())
			middle := 0
			for i, fs := range clones {
				if testing.Short() && i%5 != 0 {
					continue
				}
				again := &roll{t: t, r: rand.New(rand.NewPCG(uint64(i), 15)), model: maps.Clone(r.model)}
				again.open(fs, cfg)
				if again.spaces() > 1 {
					middle++
				}
				again.check()
				again.train()
				for {
					if _, ok := again.step(); !ok {
						break
					}
				}
				if again.spaces() != 1 || again.h.Info().RoutingID != 2 {
					t.Fatalf("clone %d ends in %d spaces: %+v", i, again.spaces(), again.h.Info())
				}
				again.check()
				again.must(again.e.Close())
			}
			t.Logf("%d crash points of %d writes, %d in the middle of the roll", len(clones), writes, middle)
			if middle == 0 {
				t.Error("no crash point lies in the middle: the test has no power")
			}
		})
	}
}
