package server

import (
	"cmp"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// Recall of live searches: a share of them is made again in the background, as it was
// and exactly, over one version of the collection; the share of the exact hits that
// the search has is its candidate recall@k. Where the collection retains the raw
// vectors, these decide the exact order, and it is its recall@k as well.
//
// Users come first: the background makes one search at a time, begins it when a slot
// for searches is free, gives it up when somebody waits for one, and rests nine times
// as long as it took. A search that found no quiet moment is not counted, so what is
// seen is the recall of searches in quieter moments; budgets, which recall follows
// from, are the same at all times.
const (
	recallQueue = 64          // searches that wait to be made again; more are let go
	recallKs    = 16          // values of k that are told apart in a collection
	recallRest  = 9           // times of a search that the background rests after it
	recallWait  = time.Second // how long a quiet moment is waited for
)

// recallBounds are the buckets of the histograms of recall.
var recallBounds = []float64{0, .2, .4, .5, .6, .7, .8, .9, .95, .99, 1}

// sampled is a search that is to be made again.
type sampled struct {
	collection string
	k          int // of the client
	without    string
	req        engine.SearchRequest
}

// recallOf is what was found with a k of a collection.
type recallOf struct {
	samples int64
	sum     float64
	buckets []int64 // by recallBounds, each with those below
}

// recallSampler chooses searches and makes them again.
type recallSampler struct {
	s     *Server
	share float64
	queue chan sampled
	lost  atomic.Int64 // chosen and not counted

	mu    sync.Mutex
	found map[string]map[int]*recallOf // by collection and k
}

func newRecallSampler(s *Server, share float64) *recallSampler {
	return &recallSampler{s: s, share: share, queue: make(chan sampled, recallQueue), found: map[string]map[int]*recallOf{}}
}

// offer may choose a search by MaxSim that was answered. It costs nothing but then.
func (r *recallSampler) offer(col *engine.Collection, p *plan) {
	if r.share <= 0 || p.req.Exact || p.req.GroupBy != "" || p.req.Mode != engine.ModeLateInteraction || r.share < 1 && rand.Float64() >= r.share {
		return
	}
	x := sampled{collection: col.Info().Name, k: p.req.K, without: p.without, req: p.req}
	if x.without != "" {
		x.k--
	}
	x.req.Explain, x.req.MinSeq = false, 0
	select {
	case r.queue <- x:
	default:
		r.lost.Add(1)
	}
}

// run makes chosen searches again until ctx ends.
func (r *recallSampler) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case x := <-r.queue:
			start := time.Now()
			if !r.quiet(ctx) || r.repeatGivingWay(ctx, x) != nil {
				r.lost.Add(1)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(recallRest * time.Since(start)):
			}
		}
	}
}

// quiet waits a little for a moment in which a slot for searches is free.
func (r *recallSampler) quiet(ctx context.Context) bool {
	for end := time.Now().Add(recallWait); ; {
		if g := r.s.searches; g.running() < cap(g.slots) {
			return true
		}
		if time.Now().After(end) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// repeatGivingWay makes a search again until somebody waits for a slot.
func (r *recallSampler) repeatGivingWay(ctx context.Context, x sampled) error {
	ctx, cancel := context.WithTimeout(ctx, r.s.limits.MaxTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- guarded(func() error { return r.repeat(ctx, x) }) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			if r.s.searches.queued() > 0 {
				cancel()
			}
		}
	}
}

// repeat makes a search twice over one version of its collection, the second time
// exactly, and counts what the first has of the second.
func (r *recallSampler) repeat(ctx context.Context, x sampled) error {
	col, err := r.s.openCollection(x.collection)
	if err != nil {
		return err
	}
	if x.req.Text != "" { // is encoded once
		enc := col.Encoder()
		if enc == nil {
			return engine.ErrNoEncoder
		}
		qs, err := enc.EncodeQueries(ctx, []string{x.req.Text})
		if err != nil {
			return err
		}
		x.req.Text, x.req.Vectors, x.req.Weights = "", qs[0].Vectors, qs[0].Weights
	}
	exact := x.req
	exact.Exact, exact.Effort, exact.NProbe, exact.NCandidates, exact.NFullScores = true, engine.EffortDefault, 0, 0, 0
	results, err := col.SearchBatch(ctx, []engine.SearchRequest{x.req, exact})
	if err != nil {
		return err
	}
	var ids [2][]string
	for i, res := range results {
		for _, h := range res.Hits {
			if h.ID != x.without && len(ids[i]) < x.k {
				ids[i] = append(ids[i], h.ID)
			}
		}
	}
	if len(ids[1]) == 0 {
		return nil // there is nothing to find
	}
	found := 0
	for _, id := range ids[1] {
		if slices.Contains(ids[0], id) {
			found++
		}
	}
	r.count(x.collection, x.k, float64(found)/float64(len(ids[1])))
	return nil
}

func (r *recallSampler) count(collection string, k int, recall float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.found[collection]
	if of == nil {
		of = map[int]*recallOf{}
		r.found[collection] = of
	}
	if of[k] == nil {
		if len(of) == recallKs {
			r.lost.Add(1)
			return
		}
		of[k] = &recallOf{buckets: make([]int64, len(recallBounds))}
	}
	of[k].samples++
	of[k].sum += recall
	for i, bound := range recallBounds {
		if recall <= bound {
			of[k].buckets[i]++
		}
	}
}

// of is what was found in a collection, by k.
func (r *recallSampler) of(collection string, retainsRaw bool) []wire.LiveRecall {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []wire.LiveRecall
	for k, f := range r.found[collection] {
		x := wire.LiveRecall{K: k, Samples: f.samples, CandidateRecall: f.sum / float64(f.samples)}
		if retainsRaw {
			x.Recall = x.CandidateRecall
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b wire.LiveRecall) int { return cmp.Compare(a.K, b.K) })
	return out
}

// collect sends the histograms, and forgets collections that are gone.
func (r *recallSampler) collect(out chan<- prometheus.Metric, collections []engine.CollectionInfo) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.found, func(name string, _ map[int]*recallOf) bool {
		return !slices.ContainsFunc(collections, func(i engine.CollectionInfo) bool { return i.Name == name })
	})
	for i := range collections {
		name := collections[i].Name
		for k, f := range r.found[name] {
			buckets := map[float64]uint64{}
			for b, bound := range recallBounds {
				buckets[bound] = uint64(f.buckets[b])
			}
			send := func(metric, help string) {
				out <- prometheus.MustNewConstHistogram(prometheus.NewDesc(metric, help, []string{"collection", "k"}, nil),
					uint64(f.samples), f.sum, buckets, name, strconv.Itoa(k))
			}
			send("colbertdb_live_candidate_recall", "Candidate recall@k of live searches that were made again exactly.")
			if collections[i].RetainRaw {
				send("colbertdb_live_recall", "Recall@k of live searches, against the raw vectors that the collection retains.")
			}
		}
	}
}
