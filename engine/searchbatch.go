package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/query"
)

// MaxBatchSearches is the number of searches in one SearchBatch.
const MaxBatchSearches = 256

// SearchBatch answers several searches over one version of the collection, each as
// Search would, in less time than one after the other: texts are encoded together,
// equal filters (the same pointer) are evaluated once, centroids and documents come
// from memory once for all. Took of every result is the whole batch's; Stages are
// nil but for encode. It fails as a whole, naming the search.
func (h *Collection) SearchBatch(ctx context.Context, reqs []SearchRequest) ([]*SearchResult, error) {
	start := time.Now()
	e := h.c.engine
	if len(reqs) == 0 || len(reqs) > MaxBatchSearches {
		return nil, fmt.Errorf("%w: %d searches in one batch, it takes 1 to %d", ErrInvalid, len(reqs), MaxBatchSearches)
	}
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.exit()
	queries, tokens, err := h.queries(ctx, reqs)
	if err != nil {
		return nil, err
	}
	encoded := StageTime{Name: "encode", Duration: time.Since(start)}
	var minSeq uint64
	for i := range reqs {
		minSeq = max(minSeq, reqs[i].MinSeq)
	}
	if minSeq > 0 {
		if err := e.WaitVisible(ctx, minSeq); err != nil {
			return nil, err
		}
	}
	e.pace.Enter()
	defer e.pace.Leave()
	v, err := h.c.acquire()
	if err != nil {
		return nil, err
	}
	defer h.c.release(v)
	srcs := v.sources()
	sources, documents := searched(srcs)
	found, err := h.searchAll(ctx, reqs, queries, srcs, sources)
	if err != nil {
		return nil, err
	}
	out := make([]*SearchResult, len(reqs))
	for i, r := range found {
		out[i] = &SearchResult{
			Documents: documents, Candidates: r.Candidates, Scored: r.Scored, Exhaustive: r.Exhaustive,
			Filter: r.Filter, Seq: v.seq, QueryTokens: tokens[i], Stages: []StageTime{encoded},
		}
		if out[i].Hits, err = fetch(srcs, r.Hits); err != nil {
			return nil, fmt.Errorf("search %d of the batch: %w", i, err)
		}
	}
	for _, r := range out {
		r.Took = time.Since(start)
		e.stats.search(r)
	}
	return out, nil
}

// searchAll makes the searches of a batch: those by MaxSim together, those by words
// one after the other.
func (h *Collection) searchAll(ctx context.Context, reqs []SearchRequest, queries []*codec.Query, srcs []source, sources []query.Source) ([]*query.Result, error) {
	e := h.c.engine
	found := make([]*query.Result, len(reqs))
	var which []int // by MaxSim
	var late []*codec.Query
	var params []query.Params
	var searchers []*query.Searcher
	defer func() {
		for _, s := range searchers {
			e.searchers.Put(s)
		}
	}()
	for i := range reqs {
		s := e.searchers.Get().(*query.Searcher)
		searchers = append(searchers, s)
		p := reqs[i].params(h.c.rung())
		terms, err := h.termQuery(ctx, &reqs[i], srcs)
		if terms != nil {
			found[i], err = s.SearchTerms(ctx, reqs[i].Mode, queries[i], terms, sources, p)
		}
		if err != nil {
			return nil, &query.BatchError{Search: i, Err: err}
		}
		if terms == nil {
			which, late, params = append(which, i), append(late, queries[i]), append(params, p)
		}
	}
	results, err := query.SearchBatch(ctx, searchers, late, sources, params)
	if one := (*query.BatchError)(nil); errors.As(err, &one) {
		one.Search = which[one.Search]
	}
	for i, r := range results {
		found[which[i]] = r
	}
	return found, err
}

// queries prepares the queries of a batch; their texts are encoded together.
func (h *Collection) queries(ctx context.Context, reqs []SearchRequest) ([]*codec.Query, [][]string, error) {
	var texts []string
	for i := range reqs {
		if err := h.checkQuery(&reqs[i]); err != nil {
			return nil, nil, fmt.Errorf("search %d of the batch: %w", i, err)
		}
		if reqs[i].encodes() {
			texts = append(texts, reqs[i].Text)
		}
	}
	var encoded []encoder.Query
	if len(texts) > 0 {
		var err error
		if encoded, err = encodeQueries(ctx, h.enc, texts); err != nil {
			return nil, nil, err
		}
	}
	out, tokens := make([]*codec.Query, len(reqs)), make([][]string, len(reqs))
	for i := range reqs {
		if reqs[i].Mode == ModeBM25 {
			continue
		}
		given := encoder.Query{Vectors: reqs[i].Vectors, Weights: reqs[i].Weights}
		if reqs[i].encodes() {
			given, encoded = encoded[0], encoded[1:]
		}
		var err error
		if out[i], err = h.newQuery(&given); err != nil {
			return nil, nil, fmt.Errorf("search %d of the batch: %w", i, err)
		}
		tokens[i] = given.Tokens
	}
	return out, tokens, nil
}
