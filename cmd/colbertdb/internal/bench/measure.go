package bench

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/query/eval"
)

// Point is a setting of a search: an effort, or budgets.
type Point struct {
	Name                             string
	Effort                           engine.Effort
	NProbe, NCandidates, NFullScores int
}

// ParsePoint reads an effort's name, or probes/candidates/full scores, such as
// 16/2048/128.
func ParsePoint(s string) (Point, error) {
	f := strings.Split(s, "/")
	if len(f) == 1 {
		e, err := engine.ParseEffort(s)
		return Point{Name: s, Effort: e}, err
	}
	var n [3]int
	for i := range n {
		if len(f) != len(n) {
			return Point{}, fmt.Errorf("%q: want an effort, or probes/candidates/full scores", s)
		}
		var err error
		if n[i], err = strconv.Atoi(f[i]); err != nil || n[i] < 1 {
			return Point{}, fmt.Errorf("%q: want three numbers from 1 on: probes/candidates/full scores", s)
		}
	}
	return Point{Name: s, NProbe: n[0], NCandidates: n[1], NFullScores: n[2]}, nil
}

// Store is a set in a collection.
type Store struct {
	set   *Set
	col   *engine.Collection
	Info  engine.CollectionInfo
	Built time.Duration
}

// Build loads a set into a collection of db, unless it is there already. The
// collection is calibrated: with sentences, where the configuration has an encoder
// and the set has texts.
func Build(ctx context.Context, db *engine.Engine, s *Set, cfg engine.CollectionConfig, progress func(done int)) (*Store, error) {
	name := "bench-" + cfg.Profile.String()
	if cfg.Encoder != nil {
		name += "-text"
	}
	col, err := db.Collection(name)
	if err == nil {
		if n := col.Info().Documents; n != int64(s.Documents) {
			return nil, fmt.Errorf("the store has a collection %s of %d documents, not these %d: name another folder", name, n, s.Documents)
		}
		return (&Store{set: s, col: col}).calibrated(ctx)
	}
	if !errors.Is(err, engine.ErrCollectionNotFound) {
		return nil, err
	}
	start := time.Now()
	if col, err = db.CreateCollection(ctx, name, cfg); err != nil {
		return nil, err
	}
	load, err := col.Bulk(ctx, engine.BulkOptions{ExpectedTokens: s.Tokens})
	if err != nil {
		return nil, err
	}
	done := 0
	for d, err := range s.Docs() {
		if err == nil {
			err = load.Add(ctx, engine.Document{ID: d.ID, Text: d.Text, Vectors: d.Vectors})
		}
		if err != nil {
			return nil, errors.Join(err, load.Close())
		}
		if done++; done%256 == 0 {
			progress(done)
		}
	}
	if err := errors.Join(load.Commit(ctx), load.Close()); err != nil {
		return nil, err
	}
	if err := col.Compact(ctx); err != nil {
		return nil, err
	}
	return (&Store{set: s, col: col, Built: time.Since(start)}).calibrated(ctx)
}

// calibrated returns the store when its collection has a calibration, which Compact
// made.
func (st *Store) calibrated(ctx context.Context) (*Store, error) {
	if st.col.Calibration() == nil {
		if _, err := st.col.Calibrate(ctx, engine.CalibrateOptions{}); err != nil {
			return nil, err
		}
	}
	st.Info = st.col.Info()
	return st, nil
}

// Exact searches exactly over the stored planes, at most limit queries.
func (st *Store) Exact(ctx context.Context, k, limit int) ([][]eval.Scored, Times, error) {
	var out [][]eval.Scored
	var times Times
	for _, q := range spread(st.set.Queries, limit) {
		r, err := st.col.Search(ctx, engine.SearchRequest{Vectors: q.Vectors, Weights: q.Weights, K: k, Exact: true})
		if err != nil {
			return nil, nil, err
		}
		times = append(times, r.Took)
		out = append(out, ranking(r))
	}
	return out, times, nil
}

// Times of searches.
type Times []time.Duration

// Quantile returns the time that a share of the searches did not exceed.
func (t Times) Quantile(q float64) time.Duration {
	if len(t) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(t))[int(q*float64(len(t)-1))]
}

// Measured is one point's figures.
type Measured struct {
	Point           string           `json:"point"`
	K               int              `json:"k"`
	Recall          float64          `json:"recall"`           // against float MaxSim
	Below80         float64          `json:"below_080"`        // share of queries with less recall than 0.8
	CandidateRecall float64          `json:"candidate_recall"` // against an exact search of the planes
	NDCG            float64          `json:"ndcg_at_10,omitempty"`
	P50             time.Duration    `json:"p50_ns"`
	P95             time.Duration    `json:"p95_ns"`
	P99             time.Duration    `json:"p99_ns"`
	PerSecond       float64          `json:"queries_a_second"` // with Threads
	Threads         int              `json:"threads"`
	Candidates      int              `json:"candidates"` // the mean
	Stages          map[string]int64 `json:"stages_ns"`  // the mean
}

// Measure runs every query twice, one at a time, the first time to warm up, and
// then by threads at once. exact are the answers over the planes to the queries
// that spread chooses.
func (st *Store) Measure(ctx context.Context, p Point, k int, truth, exact [][]eval.Scored, threads int) (Measured, error) {
	m := Measured{Point: p.Name, K: k, Threads: threads, Stages: map[string]int64{}}
	ask := func(q Query) (*engine.SearchResult, error) {
		return st.col.Search(ctx, engine.SearchRequest{
			Vectors: q.Vectors, Weights: q.Weights, K: k, Effort: p.Effort,
			NProbe: p.NProbe, NCandidates: p.NCandidates, NFullScores: p.NFullScores,
		})
	}
	for _, q := range st.set.Queries {
		if _, err := ask(q); err != nil {
			return m, err
		}
	}
	var times Times
	answers := make([][]eval.Scored, len(st.set.Queries))
	run := eval.Run{}
	for i, q := range st.set.Queries {
		r, err := ask(q)
		if err != nil {
			return m, err
		}
		times = append(times, r.Took)
		answers[i] = ranking(r)
		run[q.ID] = answers[i]
		m.Candidates += r.Candidates
		for _, s := range r.Stages {
			m.Stages[s.Name] += s.Duration.Nanoseconds()
		}
	}
	n := len(st.set.Queries)
	m.Candidates /= n
	for s := range maps.Keys(m.Stages) {
		m.Stages[s] /= int64(n)
	}
	m.P50, m.P95, m.P99 = times.Quantile(0.5), times.Quantile(0.95), times.Quantile(0.99)
	for i, a := range answers {
		r := recall(a, truth[i], k)
		m.Recall += r / float64(n)
		if r < 0.8 {
			m.Below80 += 1 / float64(n)
		}
	}
	chosen := spread(answers, len(exact))
	for i, a := range chosen {
		m.CandidateRecall += recall(a, exact[i], k) / float64(len(chosen))
	}
	if st.set.Qrels != nil {
		m.NDCG = eval.Evaluate(st.set.Qrels, run, 10).NDCG
	}
	start := time.Now()
	errs := make([]error, threads)
	var wg sync.WaitGroup
	for t := range threads {
		wg.Go(func() {
			for i := range st.set.Queries { // each thread asks all, in another order
				if _, err := ask(st.set.Queries[(i+t*n/threads)%n]); err != nil {
					errs[t] = err
					return
				}
			}
		})
	}
	wg.Wait()
	m.PerSecond = float64(threads*n) / time.Since(start).Seconds()
	return m, errors.Join(errs...)
}

// recall is the share of the k best that an answer has.
func recall(answer, truth []eval.Scored, k int) float64 {
	truth = truth[:min(k, len(truth))]
	if len(truth) == 0 {
		return 1
	}
	found := map[string]bool{}
	for _, a := range answer {
		found[a.ID] = true
	}
	n := 0
	for _, t := range truth {
		if found[t.ID] {
			n++
		}
	}
	return float64(n) / float64(len(truth))
}

func ranking(r *engine.SearchResult) (out []eval.Scored) {
	for _, h := range r.Hits {
		out = append(out, eval.Scored{ID: h.ID, Score: float64(h.Score)})
	}
	return out
}

// ScoreExact is what exact searches of the planes found.
func (st *Store) ScoreExact(exact, truth [][]eval.Scored, k int, times Times) Exact {
	x := Exact{K: k, P50: times.Quantile(0.5)}
	run := eval.Run{}
	asked := spread(st.set.Queries, len(exact))
	for i, t := range spread(truth, len(exact)) {
		x.Recall += recall(exact[i], t, k) / float64(len(exact))
		run[asked[i].ID] = exact[i]
	}
	if st.set.Qrels != nil && len(exact) == len(st.set.Queries) {
		x.NDCG = eval.Evaluate(st.set.Qrels, run, 10).NDCG
	}
	return x
}

// PinnedPerToken is the bytes of token columns in memory, a token.
func (st *Store) PinnedPerToken() float64 {
	info := st.col.Info()
	var n int64
	for _, c := range info.Columns {
		n += c.Pinned
	}
	return float64(n) / float64(max(1, info.Tokens))
}
