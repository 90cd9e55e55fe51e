package engine

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/compaction"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
	"github.com/colbertdb-go/colbertdb/segment"
)

// buffer upserts n documents of a domain and leaves them in the buffer.
func (r *roll) buffer(domain uint64, n int) {
	r.t.Helper()
	for range n {
		d := r.document(domain, fmt.Sprintf("d%d-%03d", domain, r.next))
		r.next++
		r.model[d.ID] = d
		_, err := r.h.Upsert(context.Background(), d)
		r.must(err)
	}
}

func (r *roll) ids() (out []segment.ID) {
	v := r.acquire()
	defer r.h.c.release(v)
	for _, s := range v.segs {
		out = append(out, s.Meta().ID)
	}
	return out
}

// extend extends the codebook for what is in the buffer; it must be due.
func (r *roll) extend() {
	r.t.Helper()
	before := r.h.Info()
	r.must(r.e.extend(context.Background(), r.h.c))
	if after := r.h.Info(); after.CodebookID != before.CodebookID+1 || after.RoutingID != before.RoutingID+1 || after.Cells <= before.Cells {
		r.t.Fatalf("not extended: %+v, before %+v", after, before)
	}
}

func (r *roll) reopen(fs vfs.FS, cfg CollectionConfig) {
	r.t.Helper()
	r.must(r.e.Close())
	r.open(fs, cfg)
}

func (r *roll) finish() {
	r.t.Helper()
	for {
		if _, ok := r.step(); !ok {
			return
		}
	}
}

// A buffer of documents that the codebook does not know extends it: the segments
// stay what they are, in one space with the new ones; and from there on everything
// goes as before: merges, another routing, another codebook, reopening at any time.
func TestExtendCodebook(t *testing.T) {
	for name, cfg := range map[string]CollectionConfig{"balanced": {Profile: Balanced}, "compact": {Profile: Compact}} {
		t.Run(name, func(t *testing.T) {
			fs := crashmem.New()
			r := newRoll(t, fs, cfg)
			r.write(1, 150)
			r.train()
			r.finish()
			r.must(r.h.Flush(context.Background()))
			segments, written := r.ids(), r.e.stats.merges.Load()
			r.buffer(2, 40)
			r.extend()
			r.check()
			if got := r.ids(); !slices.Equal(got, segments) || r.spaces() != 1 || r.e.stats.merges.Load() != written {
				t.Errorf("segments %v became %v in %d spaces", segments, got, r.spaces())
			}
			r.must(r.e.extend(context.Background(), r.h.c)) // the kind is known now
			if id := r.h.Info().CodebookID; id != 2 {
				t.Errorf("extended again, to codebook %d", id)
			}
			r.must(r.h.Flush(context.Background()))
			r.check()
			r.must(r.e.Close())
			if report, err := Repair(context.Background(), "db", RepairOptions{FS: fs}); err != nil || len(report.Losses) > 0 {
				t.Errorf("repair: %+v, %v", report, err)
			}
			r.open(fs, cfg)
			if info := r.h.Info(); info.CodebookID != 2 || r.spaces() != 1 || info.Debt.StaleSegments != 0 {
				t.Errorf("reopened in %d spaces: %+v", r.spaces(), info)
			}
			r.check()
			r.buffer(3, 40)
			r.extend() // once more, over segments of two versions
			r.must(r.h.Flush(context.Background()))
			r.train()
			if info := r.h.Info(); info.CodebookID != 3 {
				t.Errorf("trained after the codebook was extended: %+v", info)
			}
			r.finish()
			r.check()
			// The collection grows: its segments move to another routing, and while
			// they do the codebook is extended once more.
			for i := uint64(1); r.h.Info().RoutingID < 4; i = i%3 + 1 {
				r.write(i, 60)
				r.train()
			}
			if r.spaces() != 2 {
				t.Fatalf("%d spaces after growth", r.spaces())
			}
			r.buffer(4, 40)
			r.e.opts.DriftTokens = 4
			r.extend()
			r.check()
			r.reopen(fs, cfg)
			r.check()
			for {
				reason, ok := r.step()
				if !ok {
					break
				}
				if reason == compaction.ReasonCodebook {
					t.Error("a segment is encoded anew for a codebook that extends its own")
				}
			}
			if r.spaces() != 1 {
				t.Errorf("%d spaces at the end", r.spaces())
			}
			r.check()
			r.must(r.e.Close())
			r.open(fs, cfg)
			r.check()
			r.must(r.e.Close())
		})
	}
}

// A training takes minutes. One that was begun before the codebook was extended
// makes versions of the same numbers: it is dropped.
func TestTrainingOvertakenByAnExtension(t *testing.T) {
	for _, due := range []training{trainRouting, trainCodec} {
		fs, cfg := crashmem.New(), CollectionConfig{Profile: Balanced}
		r := newRoll(t, fs, cfg)
		r.write(1, 150)
		r.train()
		r.finish()
		r.must(r.h.Flush(context.Background())) // a buffer of 50 would be sealed at any time
		r.buffer(2, 48)
		v := r.acquire()
		tokens := v.liveTokens()
		sample, _, err := v.sample(context.Background(), r.e.opts.TrainSample, tokens)
		r.must(err)
		o := codec.TrainOptions{TotalTokens: tokens}
		r.extend()
		r.must(r.h.Flush(context.Background()))
		extended := r.h.c.space()
		r.must(r.e.background(context.Background(), func(ctx context.Context) error {
			return r.e.trainOn(ctx, r.h.c, v, due, sample, o)
		}))
		r.h.c.release(v)
		if now := r.h.c.space(); now != extended {
			t.Errorf("training %d replaced versions %v by %v", due, extended.versions(), now.versions())
		}
		r.check()
		r.must(r.h.Compact(context.Background()))
		r.reopen(fs, cfg)
		r.check()
		r.finish()
		r.check()
		r.must(r.e.Close())
	}
}

// load opens a load and returns what adds documents to it.
func (r *roll) load() (*Bulk, func(domain uint64, n int)) {
	r.t.Helper()
	l, err := r.h.Bulk(context.Background(), BulkOptions{})
	r.must(err)
	return l, func(domain uint64, n int) {
		r.t.Helper()
		for range n {
			d := r.document(domain, fmt.Sprintf("l%d-%03d", domain, r.next))
			r.next++
			r.model[d.ID] = d
			r.must(l.Add(context.Background(), d))
		}
	}
}

// A load writes in the space that it found. A training that was begun before the
// load was opened must not take that space away: it is dropped.
func TestTrainingOvertakenByALoad(t *testing.T) {
	for _, due := range []training{trainRouting, trainCodec} {
		fs, cfg := crashmem.New(), CollectionConfig{Profile: Exact}
		r := newRoll(t, fs, cfg)
		r.write(1, 150)
		r.train()
		r.finish()
		v := r.acquire()
		tokens := v.liveTokens()
		sample, _, err := v.sample(context.Background(), r.e.opts.TrainSample, tokens)
		r.must(err)
		load, add := r.load()
		before := r.h.c.space()
		r.must(r.e.background(context.Background(), func(ctx context.Context) error {
			return r.e.trainOn(ctx, r.h.c, v, due, sample, codec.TrainOptions{TotalTokens: tokens})
		}))
		r.h.c.release(v)
		if now := r.h.c.space(); now != before {
			t.Errorf("training %d replaced versions %v by %v under a load", due, before.versions(), now.versions())
		}
		r.finish()
		add(2, 60)
		r.must(load.Commit(context.Background()))
		r.must(load.Close())
		r.check()
		r.reopen(fs, cfg)
		r.check()
		r.must(r.e.Close())
	}
}

// A load publishes a segment in the midst of those that a merge was planned for.
func TestLoadBetweenPlanAndMerge(t *testing.T) {
	fs, cfg := crashmem.New(), CollectionConfig{Profile: Exact}
	r := newRoll(t, fs, cfg)
	r.write(1, 150)
	r.train()
	r.finish()
	load, add := r.load()
	add(2, 30)
	for domain := uint64(3); domain <= 4; domain++ {
		r.buffer(domain, 20)
		r.must(r.h.Flush(context.Background()))
	}
	v := r.acquire()
	planned := len(v.segs)
	r.must(load.Commit(context.Background()))
	r.must(load.Close())
	loaded := slices.DeleteFunc(r.ids(), func(id segment.ID) bool {
		return slices.ContainsFunc(v.segs, func(s segView) bool { return s.Meta().ID == id })
	})
	r.must(r.e.background(context.Background(), func(ctx context.Context) error {
		return r.e.perform(ctx, r.h.c, v, []compaction.Task{{From: planned - 2, To: planned, Reason: compaction.ReasonCompact}})
	}))
	r.h.c.release(v)
	ids := r.ids()
	if len(loaded) != 1 || !slices.Contains(ids, loaded[0]) || len(ids) != planned {
		t.Errorf("segments %v, loaded was %v: it was merged in place of another", ids, loaded)
	}
	r.check()
	r.must(r.h.Compact(context.Background()))
	r.check()
	r.reopen(fs, cfg)
	r.check()
	r.must(r.e.Close())
}

// Where originals are kept nothing is lost, and codebooks are not extended.
func TestExtendOnlyWithoutOriginals(t *testing.T) {
	for _, cfg := range []CollectionConfig{{Profile: Exact}, {Profile: Balanced, RetainRaw: true}} {
		r := newRoll(t, vfs.NewMem(), cfg)
		r.write(1, 150)
		r.train()
		r.buffer(2, 40)
		r.must(r.e.extend(context.Background(), r.h.c))
		if id := r.h.Info().CodebookID; id != 1 {
			t.Errorf("%+v: extended to codebook %d", cfg, id)
		}
		r.must(r.e.Close())
	}
}

// A merge, a move of postings and a training that began before an extension end
// after it: the first two come in in the extended versions, the third is dropped.
func TestExtendOvertakes(t *testing.T) {
	ctx := context.Background()
	fs := crashmem.New()
	cfg := CollectionConfig{Profile: Balanced}
	r := newRoll(t, fs, cfg)
	r.write(1, 150)
	r.train()
	r.must(r.h.Flush(ctx))
	v := r.acquire()
	w := &mergeWork{engine: r.e, col: r.h.c, from: v.space, to: v.space}
	r.must(w.merge(ctx, v.segs[:2]))
	training := &mergeWork{engine: r.e, col: r.h.c, from: v.space, to: v.space.with(v.space.codebook, v.space.routing)}
	training.trained = training.to
	before := len(v.segs)
	r.h.c.release(v)
	r.buffer(2, 40)
	r.extend()
	r.must(r.e.publishing(ctx, func(ctx context.Context) error { return w.publish(ctx, &moveBuffers{}) }))
	r.must(r.e.publishing(ctx, func(ctx context.Context) error { return training.publish(ctx, &moveBuffers{to: training.to}) }))
	if info := r.h.Info(); info.Segments != before-1 || info.CodebookID != 2 || r.spaces() != 1 {
		t.Errorf("%d segments before, in %d spaces: %+v", before, r.spaces(), info)
	}
	r.check()
	r.reopen(fs, cfg)
	r.check()

	// The same for a move of postings.
	for i := uint64(1); r.h.Info().RoutingID < 3; i = i%2 + 1 {
		r.write(i, 60)
		r.train()
	}
	v = r.acquire()
	at := slices.IndexFunc(v.segs, func(s segView) bool { return s.space.routingID() == 2 })
	s := v.segs[at]
	b, err := compaction.Reroute(ctx, s.input(), v.space.routing, v.space.encoder())
	r.must(err)
	paths, err := b.Finish(ctx, r.e.fs, r.e.asideDir(), s.Meta().ID)
	r.must(err)
	r.must(r.h.Flush(ctx))
	r.e.opts.DriftTokens = 4
	r.buffer(3, 40)
	r.extend()
	r.must(r.e.publishing(ctx, func(ctx context.Context) error { return r.e.publishRouting(ctx, r.h.c, s, v.space, paths) }))
	r.h.c.release(v)
	v = r.acquire()
	if got := v.segs[at].space; got != v.space || v.segs[at].postings.Meta().Routing != 3 {
		t.Errorf("in versions %v, now are %v", got.versions(), v.space.versions())
	}
	r.h.c.release(v)
	r.must(r.e.exciseObsolete(ctx))
	r.check()
	r.reopen(fs, cfg)
	r.check()
	r.finish()
	r.check()
	r.must(r.e.Close())
}

// A crash at any write of an extension leaves a store that equals the model, in
// the versions of before or of after, and that goes on from there.
func TestCrashInAnExtension(t *testing.T) {
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
		if writes++; writes < 30 || writes%5 == 0 {
			clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rnd.IntN(101), RNG: rnd}))
		}
		return nil
	})
	r := newRoll(t, errorfs.Wrap(mem, hook), cfg)
	r.write(1, 150)
	r.train()
	r.finish()
	r.buffer(2, 40)
	clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{}))
	arm(true)
	r.extend()
	r.must(r.h.Flush(context.Background()))
	r.must(r.h.Compact(context.Background()))
	arm(false)
	r.must(r.e.Close())
	seen := map[uint32]int{}
	for i, fs := range clones {
		if testing.Short() && i%3 != 0 {
			continue
		}
		again := &roll{t: t, r: rand.New(rand.NewPCG(uint64(i), 15)), model: maps.Clone(r.model)}
		again.open(fs, cfg)
		seen[again.h.Info().CodebookID]++
		again.check()
		again.must(again.e.extend(context.Background(), again.h.c))
		again.must(again.h.Flush(context.Background()))
		again.finish()
		if again.spaces() != 1 {
			t.Fatalf("clone %d ends in %d spaces: %+v", i, again.spaces(), again.h.Info())
		}
		again.check()
		again.must(again.e.Close())
	}
	t.Logf("crash points by codebook: %v", seen)
	if seen[1] == 0 || seen[2] == 0 {
		t.Error("no crash point before it, or none after: the test has no power")
	}
}
