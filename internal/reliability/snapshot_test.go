package reliability

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// R9: eight readers and two writers beside a loop of seals, merges and
// trainings. Each search equals the model at the version whose sequence number
// it reports, and that lies between what was acknowledged when it started and
// what was started when it ended.
func TestR09SearchesSeeOneVersion(t *testing.T) {
	for seed, cfg := range []engine.CollectionConfig{{Dim: 8}, {Dim: 8, Profile: engine.Compact, RetainRaw: true}} {
		d := time.Duration(Count(2500, 90_000)) * time.Millisecond
		searches, versions := 0, 0
		for end := d * 16; d < end && (searches < 50 || versions < 20); d *= 2 { // longer on a busy machine
			var err error
			searches, versions, err = snapshots(uint64(seed), cfg, d)
			if err != nil {
				t.Fatalf("run 1, seed %d: %v", seed, err)
			}
		}
		t.Logf("%s, raw %t: %d searches over %d versions", cfg.Profile, cfg.RetainRaw, searches, versions)
		if searches < 50 || versions < 20 {
			t.Errorf("%d searches, %d versions: the test has no power", searches, versions)
		}
	}
}

// seen is what one search found.
type seen struct {
	q     engine.Matrix
	res   *engine.SearchResult
	least uint64 // acknowledged before it
}

type history struct {
	mu   sync.Mutex
	ops  map[uint64]Op // by sequence number
	last uint64        // all up to it were acknowledged
	max  uint64
}

func (h *history) add(seq uint64, op Op) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops[seq] = op
	for h.ops[h.last+1].Docs != nil || h.ops[h.last+1].IDs != nil {
		h.last++
	}
	h.max = max(h.max, seq)
}

func newHistory() *history { return &history{ops: map[uint64]Op{}} }

// write upserts and deletes until stop is closed.
func (h *history) write(db *engine.Engine, g *Generator, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		op := Op{Kind: Upsert, Collection: "a", Docs: g.Batch(1 + g.R.IntN(4))}
		if g.R.IntN(3) == 0 {
			op = Op{Kind: Delete, Collection: "a", IDs: []string{g.ID(), g.ID()}}
		}
		seq, err := op.Run(ctx, db)
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		h.add(seq, op)
		time.Sleep(time.Duration(g.R.IntN(2000)) * time.Microsecond)
	}
}

// at is the model after a change.
func (h *history) at(seq uint64, cfg engine.CollectionConfig) (State, error) {
	s := State{"a": {Config: cfg, Docs: map[string]*engine.Document{}}}
	for i := uint64(1); i <= seq; i++ {
		op, ok := h.ops[i]
		if !ok {
			return nil, fmt.Errorf("nobody wrote change %d", i)
		}
		s.Apply(op)
	}
	return s, nil
}

func (h *history) acked() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

func snapshots(seed uint64, cfg engine.CollectionConfig, d time.Duration) (searches, versions int, err error) {
	o := &engine.Options{SealDocuments: 12, TrainTokens: 60, TrainSample: 512, MaxSegmentDocuments: 64, MemoryBudget: 1 << 12}
	db, closed, err := openTracked(vfs.NewMem(), o)
	if err != nil {
		return 0, 0, err
	}
	col, err := db.CreateCollection(ctx, "a", cfg)
	if err != nil {
		return 0, 0, errors.Join(err, closed())
	}
	h := newHistory()
	stop := make(chan struct{})
	var stopOnce sync.Once
	var mu sync.Mutex
	var all []seen
	var errs []error
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		errs = append(errs, err)
		stopOnce.Do(func() { close(stop) })
	}
	running := func() bool {
		select {
		case <-stop:
			return false
		default:
			return true
		}
	}
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			g := NewGenerator(rand.New(rand.NewPCG(seed, uint64(w))))
			g.version = w * 1_000_000_000 // texts stay unique between the writers
			if err := h.write(db, g, stop); err != nil {
				fail(err)
			}
		})
	}
	for reader := range 8 {
		wg.Go(func() {
			g := NewGenerator(rand.New(rand.NewPCG(seed, 100+uint64(reader))))
			for running() {
				q := g.Vectors(2)
				s := seen{q: q, least: h.acked()}
				res, err := col.Search(ctx, engine.SearchRequest{Vectors: q, K: 100, Exact: true})
				if err != nil {
					fail(fmt.Errorf("search: %w", err))
					return
				}
				s.res = res
				mu.Lock()
				all = append(all, s)
				mu.Unlock()
				time.Sleep(time.Duration(g.R.IntN(4000)) * time.Microsecond)
			}
		})
	}
	wg.Go(func() {
		r := rand.New(rand.NewPCG(seed, 200))
		for running() {
			f := col.Flush
			if r.IntN(2) == 0 {
				f = col.Compact
			}
			if err := f(ctx); err != nil {
				fail(fmt.Errorf("background work: %w", err))
				return
			}
			time.Sleep(time.Duration(r.IntN(10)) * time.Millisecond)
		}
	})
	select {
	case <-time.After(d):
		stopOnce.Do(func() { close(stop) })
	case <-stop:
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return 0, 0, errors.Join(err, closed())
	}
	versions, err = h.check(all, cfg)
	if err == nil {
		err = Verify(ctx, db)
	}
	return len(all), versions, errors.Join(err, closed())
}

// check replays the history and compares every search with its version.
func (h *history) check(all []seen, cfg engine.CollectionConfig) (versions int, err error) {
	slices.SortFunc(all, func(a, b seen) int { return int(a.res.Seq) - int(b.res.Seq) })
	s := State{"a": {Config: cfg, Docs: map[string]*engine.Document{}}}
	at := uint64(0)
	for i, one := range all {
		if one.res.Seq < one.least || one.res.Seq > h.max {
			return 0, fmt.Errorf("a search saw version %d, though %d was acknowledged before it", one.res.Seq, one.least)
		}
		if i == 0 || all[i-1].res.Seq != one.res.Seq {
			versions++
		}
		for ; at < one.res.Seq; at++ {
			op, ok := h.ops[at+1]
			if !ok {
				return 0, fmt.Errorf("nobody wrote change %d", at+1)
			}
			s.Apply(op)
		}
		if err := s["a"].CheckHits(one.q, one.res); err != nil {
			return 0, fmt.Errorf("a search at version %d (%d of %d): %w", one.res.Seq, i+1, len(all), err)
		}
	}
	return versions, nil
}

// Searches that run while their collection is dropped, or while the store
// closes, see all of one version, an empty one, or say that it is gone.
func TestR09DropAndCloseUnderSearches(t *testing.T) {
	Seeds(t, 1, Count(25, 300), func(seed uint64) error {
		r := rand.New(rand.NewPCG(seed, 9))
		o := RandomOptions(r)
		o.MemoryBudget = 1 // everything is read from Pebble
		db, closed, err := openTracked(vfs.NewMem(), o)
		if err != nil {
			return err
		}
		g := NewGenerator(r)
		state := State{}
		ops := []Op{{Kind: Create, Collection: "a", Config: engine.CollectionConfig{Dim: g.Dim}}}
		for range 6 {
			ops = append(ops, Op{Kind: Upsert, Collection: "a", Docs: g.Batch(10)}, Op{Kind: Flush, Collection: "a"})
		}
		for _, op := range ops {
			if _, err := op.Run(ctx, db); err != nil {
				return errors.Join(err, closed())
			}
			state.Apply(op)
		}
		col, err := db.Collection("a")
		if err != nil {
			return errors.Join(err, closed())
		}
		q := g.Vectors(3)
		results := make(chan error, 4)
		for range 4 {
			go func() {
				for range 30 {
					res, err := col.Search(ctx, engine.SearchRequest{Vectors: q, K: 100, Exact: true})
					if errors.Is(err, engine.ErrClosed) || errors.Is(err, engine.ErrCollectionNotFound) {
						results <- nil
						return
					}
					if err == nil && len(res.Hits) > 0 {
						err = state["a"].CheckHits(q, res)
					}
					if err != nil {
						results <- err
						return
					}
				}
				results <- nil
			}()
		}
		time.Sleep(time.Duration(r.IntN(2000)) * time.Microsecond)
		if seed%2 == 0 {
			err = db.DropCollection(ctx, "a")
		}
		time.Sleep(time.Duration(r.IntN(500)) * time.Microsecond)
		err = errors.Join(err, closed())
		for range 4 {
			err = errors.Join(err, <-results)
		}
		return err
	})
}
