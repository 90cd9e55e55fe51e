package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

// SearchBatch runs several searches over the same sources, each by its own
// searcher, with passes that they share: over filters that are the same, over
// cells and centroids, and on the deciding plane over the documents, each of which
// comes from memory once for all the queries that score it. Every result is what
// Searcher.Search returns, but for Stages, which are nil.
func SearchBatch(ctx context.Context, searchers []*Searcher, queries []*codec.Query, sources []Source, params []Params) ([]*Result, error) {
	b := &batch{runs: make([]batchRun, len(queries))}
	defer func() {
		for i := range b.runs {
			b.runs[i].s.forget()
		}
	}()
	for i, s := range searchers[:len(queries)] {
		b.runs[i] = batchRun{s: s, q: queries[i], alone: params[i].GroupBy != ""}
	}
	for i, r := range b.runs {
		if err := r.s.begin(sources, r.q, params[i]); err != nil {
			return nil, batchError(i, err)
		}
	}
	if err := errors.Join(ctx.Err(), b.allow(ctx)); err != nil {
		return nil, err
	}
	if err := b.candidates(ctx); err != nil {
		return nil, err
	}
	if err := b.score(ctx); err != nil {
		return nil, err
	}
	out := make([]*Result, len(b.runs))
	for i := range b.runs {
		var err error
		if out[i], err = b.runs[i].result(ctx, sources, params[i]); err != nil {
			return nil, batchError(i, err)
		}
	}
	return out, nil
}

// BatchError is the error of one search of a batch.
type BatchError struct {
	Search int
	Err    error
}

func (e *BatchError) Error() string {
	return fmt.Sprintf("search %d of the batch: %v", e.Search, e.Err)
}
func (e *BatchError) Unwrap() error { return e.Err }

func batchError(i int, err error) error { return &BatchError{i, err} }

// batch is several searches on their way.
type batch struct {
	runs []batchRun
	jobs []batchJob
	buf  segment.Buffer
}

// batchRun is one of them.
type batchRun struct {
	s     *Searcher
	q     *codec.Query
	tiers []tier
	found []candidate
	// alone: it is searched by itself after the others. Grouped searches look
	// deeper after they have seen attributes; others are beyond scannedTogether.
	alone bool
}

// scannedTogether bounds the documents that exhaustive searches of a batch score in
// one pass, all counted: each takes about 50 bytes.
var scannedTogether = 1 << 20

// tablesAtOnce is the number of searches that probe together. Each fills in a table
// of cells, 128 KB at 4,096 of them: as many as the second cache holds.
const tablesAtOnce = 8

// batchJob is a document that a query scores.
type batchJob struct {
	source, ord int
	run, at     int // candidate of a run
}

// allow evaluates each filter once.
func (b *batch) allow(ctx context.Context) error {
	for i := range b.runs {
		s := b.runs[i].s
		s.scorer.Reset(b.runs[i].q, nil)
		if b.runs[i].alone {
			continue
		}
		same := slices.IndexFunc(b.runs[:i], func(o batchRun) bool {
			return !o.alone && o.s.p.Filter == s.p.Filter && o.s.p.Explain == s.p.Explain
		})
		if same < 0 {
			if err := s.allow(ctx); err != nil {
				return batchError(i, err)
			}
			continue
		}
		o := b.runs[same].s // its sets stay until its next search
		s.allowed, s.matches, s.res.Filter = append(s.allowed[:0], o.allowed...), o.matches, o.res.Filter
	}
	return nil
}

// candidates finds those of every search.
func (b *batch) candidates(ctx context.Context) error {
	var probing []int
	room := scannedTogether
	for i := range b.runs {
		r := &b.runs[i]
		switch {
		case r.alone:
		case r.s.exhaustive(r.s.p.K):
			if room -= r.s.matches; room < 0 {
				r.alone = true
				continue
			}
			r.scan()
		default:
			probing = append(probing, i)
			r.tiers = r.s.tiers(r.s.p.K)
			r.s.gen.found, r.s.res.Postings = r.s.gen.found[:0], 0
		}
	}
	if len(probing) == 0 {
		return nil
	}
	jobs := make([]codec.ProbeJob, len(probing))
	for g := range b.runs[probing[0]].s.groups { // the sources' groups: the same for all
		for j, i := range probing {
			s := b.runs[i].s
			jobs[j] = codec.ProbeJob{Prober: s.gen.prober, Query: b.runs[i].q, Cells: s.p.Cells, N: s.p.NProbe, Table: &s.groups[g].cells}
			if s.takesAllowed() {
				jobs[j].Cells, jobs[j].N = 1, 1
			}
		}
		if sp := b.runs[probing[0]].s.groups[g].space; sp.Routing != nil {
			for some := range slices.Chunk(jobs, tablesAtOnce) {
				codec.ProbeTogether(some, sp.Codebook, sp.Routing)
			}
		}
		for _, i := range probing {
			s := b.runs[i].s
			if s.takesAllowed() {
				continue
			}
			if s.groups[g].space.Routing != nil {
				s.gen.take(b.runs[i].q)
			}
			if err := s.accumulateGroup(ctx, &s.groups[g], postingBudget); err != nil {
				return batchError(i, err)
			}
		}
	}
	for _, i := range probing {
		r := &b.runs[i]
		if r.s.takesAllowed() {
			r.s.everyAllowed()
		} else if enough, err := r.s.widen(ctx, r.q, r.s.p.K); err != nil {
			return batchError(i, err)
		} else if !enough {
			r.scan()
			continue
		}
		r.found = r.s.gen.found
		r.s.res.Candidates = len(r.found)
	}
	return nil
}

// scan makes every allowed document one that the deciding plane scores.
func (r *batchRun) scan() {
	r.found = r.s.everyAllowed()
	r.tiers = []tier{{plane: r.s.plane, keep: len(r.found)}}
	r.s.res.Exhaustive, r.s.res.Candidates = true, len(r.found)
}

// score runs the tiers of all searches, the documents of each in their order.
func (b *batch) score(ctx context.Context) error {
	for t := range 2 { // the number of tiers
		if err := b.scoreTier(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

// scoreTier runs tier t of the searches. The tokens that plane A scores are others
// for every query, and chosen by its own table of cells: each search does that by
// itself.
func (b *batch) scoreTier(ctx context.Context, t int) error {
	b.jobs = b.jobs[:0]
	for i := range b.runs {
		r := &b.runs[i]
		if t >= len(r.tiers) {
			continue
		}
		var err error
		if r.found, err = r.s.keep(ctx, r.found, t, r.tiers[t]); err != nil {
			return batchError(i, err)
		}
		if r.tiers[t].pruned {
			if err := r.s.score(ctx, r.tiers[t], r.found); err != nil {
				return batchError(i, err)
			}
			continue
		}
		for at, c := range r.found {
			b.jobs = append(b.jobs, batchJob{c.source, c.ord, i, at})
		}
	}
	slices.SortFunc(b.jobs, func(x, y batchJob) int {
		return cmp.Or(cmp.Compare(x.source, y.source), cmp.Compare(x.ord, y.ord), cmp.Compare(x.run, y.run))
	})
	return b.pass(ctx, t)
}

// pass scores the jobs in hand, document by document, views taken a few of them
// ahead.
func (b *batch) pass(ctx context.Context, t int) error {
	const ahead = segment.BufferedViews - 1
	var views [segment.BufferedViews]codec.View
	var ends [segment.BufferedViews]int // of the documents' jobs
	next, first, tokens := 0, 0, 0
	for i := 0; first < len(b.jobs); i++ {
		if next < len(b.jobs) {
			j := b.jobs[next]
			s := b.runs[j.run].s
			plane := s.planeOf(candidate{source: j.source}, b.runs[j.run].tiers[t].plane)
			v, err := s.sources[j.source].View(j.ord, plane, &b.buf)
			if err != nil {
				return fmt.Errorf("document %q: %w", s.sources[j.source].ExternalID(j.ord), err)
			}
			v.Prefetch()
			for next < len(b.jobs) && b.jobs[next].ord == j.ord && b.jobs[next].source == j.source {
				next++
			}
			views[i%len(views)], ends[i%len(views)] = v, next
		}
		if i < ahead {
			continue
		}
		if tokens > 4096 {
			if err := ctx.Err(); err != nil {
				return err
			}
			tokens = 0
		}
		slot := (i - ahead) % len(views)
		v := views[slot]
		for ; first < ends[slot]; first++ {
			b.scoreOne(&b.jobs[first], t, v)
			tokens += v.Tokens
		}
	}
	return nil
}

func (b *batch) scoreOne(j *batchJob, t int, v codec.View) {
	r := &b.runs[j.run]
	s, c := r.s, &r.found[j.at]
	s.scorer.SetCodebook(s.spaces[j.source].Codebook)
	c.score = s.scorer.MaxSim(s.planeOf(*c, r.tiers[t].plane), v)
}

// result is what one search found.
func (r *batchRun) result(ctx context.Context, sources []Source, p Params) (*Result, error) {
	s := r.s
	if r.alone {
		res, err := s.Search(ctx, r.q, sources, p)
		if err == nil {
			res.Stages = nil
		}
		return res, err
	}
	s.res.Scored, s.res.Stages = len(r.found), nil
	found := s.rank.top(r.found, min(len(r.found), s.p.K))
	s.hits(found[:min(s.p.K, len(found))])
	if s.p.Explain {
		if err := s.explain(r.q, s.res.Hits); err != nil {
			return nil, err
		}
	}
	return s.res, nil
}
