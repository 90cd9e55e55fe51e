package main

import (
	"context"
	"math"
	"slices"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/query/eval"
)

const (
	dim = 128
	k   = 10
)

// truth is the exact ranking of all documents for every query, by float32
// MaxSim; with fewer documents in a store it is the ranking less the others.
type truth struct {
	queries []queryVectors
	ranked  [][]string
	qrels   eval.Qrels
}

func newTruth(ctx context.Context, docs []doc, queries []queryVectors, qrels eval.Qrels) (*truth, error) {
	db, err := engine.OpenMem(&engine.Options{TrainTokens: math.MaxInt64})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	col, err := db.CreateCollection(ctx, "truth", engine.CollectionConfig{Dim: dim, RetainRaw: true})
	if err != nil {
		return nil, err
	}
	if err := upsert(ctx, col, docs); err != nil {
		return nil, err
	}
	t := &truth{queries: queries, qrels: qrels}
	for _, q := range queries {
		res, err := col.Search(ctx, engine.SearchRequest{Vectors: q.Vectors, Weights: q.Weights, K: min(len(docs), engine.MaxK), Exact: true})
		if err != nil {
			return nil, err
		}
		ids := make([]string, len(res.Hits))
		for i, h := range res.Hits {
			ids[i] = h.ID
		}
		t.ranked = append(t.ranked, ids)
	}
	return t, nil
}

// top is the exact ranking of a query among the documents that are there.
func (t *truth) top(query int, there func(string) bool) (out []string) {
	for _, id := range t.ranked[query] {
		if there(id) {
			if out = append(out, id); len(out) == k {
				break
			}
		}
	}
	return out
}

// quality is what a store's answers are worth.
type quality struct {
	ndcg, recall, exactRecall float64
	p50                       float64 // ms
}

// timedRounds is how often every query is asked for the times, after a first
// round that warms up and tells the quality.
const timedRounds = 4

// measure asks several stores every query of the truth, one store after the
// other for each query, so that noise of the machine falls on all alike.
func (t *truth) measure(ctx context.Context, stores []*store, there func(string) bool, exact bool) ([]quality, error) {
	out := make([]quality, len(stores))
	times := make([][]float64, len(stores))
	for s, st := range stores {
		var err error
		if out[s], err = t.answers(ctx, st.col, there, exact); err != nil {
			return nil, err
		}
	}
	rounds := timedRounds
	if len(stores) == 1 {
		rounds = 1 // nothing to compare with
	}
	for round := range rounds {
		for i, query := range t.queries {
			for s := range stores {
				s = (s + i + round) % len(stores)
				res, err := stores[s].col.Search(ctx, engine.SearchRequest{Vectors: query.Vectors, Weights: query.Weights, K: k})
				if err != nil {
					return nil, err
				}
				times[s] = append(times[s], float64(res.Took)/1e6)
			}
		}
	}
	for s := range stores {
		slices.Sort(times[s])
		out[s].p50 = times[s][len(times[s])/2]
	}
	return out, nil
}

// answers evaluates the answers to all queries, nDCG over those with a relevant
// document there.
func (t *truth) answers(ctx context.Context, col *engine.Collection, there func(string) bool, exact bool) (q quality, err error) {
	run, judged := eval.Run{}, eval.Qrels{}
	var hits, exactHits, n int
	for i, query := range t.queries {
		want := t.top(i, there)
		n += len(want)
		req := engine.SearchRequest{Vectors: query.Vectors, Weights: query.Weights, K: k}
		res, err := col.Search(ctx, req)
		if err != nil {
			return q, err
		}
		hits += overlap(res, want)
		if rel := relevant(t.qrels[query.ID], there); len(rel) > 0 {
			judged[query.ID] = rel
			for _, h := range res.Hits {
				run[query.ID] = append(run[query.ID], eval.Scored{ID: h.ID, Score: float64(h.Score)})
			}
		}
		if exact {
			req.Exact = true
			if res, err = col.Search(ctx, req); err != nil {
				return q, err
			}
			exactHits += overlap(res, want)
		}
	}
	q.recall, q.exactRecall = float64(hits)/float64(n), float64(exactHits)/float64(n)
	q.ndcg = eval.Evaluate(judged, run, k).NDCG
	return q, nil
}

func relevant(judged map[string]int, there func(string) bool) map[string]int {
	out := map[string]int{}
	for id, grade := range judged {
		if grade > 0 && there(id) {
			out[id] = grade
		}
	}
	return out
}

func overlap(res *engine.SearchResult, want []string) (n int) {
	for _, h := range res.Hits {
		if slices.Contains(want, h.ID) {
			n++
		}
	}
	return n
}

func upsert(ctx context.Context, col *engine.Collection, docs []doc) error {
	for part := range slices.Chunk(docs, 100) {
		batch := make([]engine.Document, len(part))
		for i := range part {
			batch[i] = part[i].document(dim)
		}
		if _, err := col.Upsert(ctx, batch...); err != nil {
			return err
		}
	}
	return nil
}
