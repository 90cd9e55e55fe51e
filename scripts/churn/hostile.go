package main

import (
	"context"
	"fmt"
	"slices"
)

// parts are the collections of the hostile order: so many documents of each,
// with all judged ones of the queries that are taken.
var parts = []struct {
	name, split string
	documents   int
}{{"medquad", "test", 2500}, {"cosqa", "test", 2000}, {"miracl-yo", "dev", 2500}, {"msmarco-dl19-20-pool", "test", 4000}}

// hostile is a collection whose documents change from one kind to another: the
// parts one after the other, and in the end the first deleted.
func hostile(ctx context.Context, o *options) error {
	var all []*collection
	var remaining []doc
	for _, p := range parts {
		c, err := load(ctx, o.data, o.cache, p.name, p.split, p.documents)
		if err != nil {
			return err
		}
		if o.documents > 0 {
			c.Docs = c.Docs[:min(o.documents, len(c.Docs))]
		}
		all = append(all, c)
		if p.name != parts[0].name {
			remaining = append(remaining, c.Docs...)
		}
		fmt.Printf("%s: %d documents, %d queries; %s\n", c.Name, len(c.Docs), min(o.queries, len(c.Query)), c.Model)
	}
	fresh, err := o.built(ctx, remaining)
	if err != nil {
		return err
	}
	defer fresh.db.Close()
	fresh.describe("at the end")
	stores := []*store{fresh}
	for _, name := range []string{"after the changes", "without re-training"} {
		s, err := o.open(ctx, name, len(stores) == 2)
		if err != nil {
			return err
		}
		defer s.db.Close()
		if err := s.live(ctx, all); err != nil {
			return err
		}
		stores = append(stores, s)
	}
	mean, err := o.compare(ctx, stores, all[1:], remaining)
	if err != nil {
		return err
	}
	for _, s := range stores {
		if report, err := s.db.Verify(ctx); err != nil || !report.Ok() {
			return fmt.Errorf("verify: %v %v", err, report.Problems)
		}
	}
	var v verdict
	v.judge(mean[1], mean[0], stores[1].bytesPerToken(), fresh.bytesPerToken())
	id := stores[1].col.Info().CodebookID
	v.row("codec versions", fmt.Sprint(id), "> 1", id > 1)
	// Searches aim at a target of recall: what a bad codebook costs is recall or time.
	lost, slower := mean[0].recall-mean[2].recall, mean[2].p50/mean[0].p50
	v.row("without re-training: recall@10 lost, p50", fmt.Sprintf("%.4f, × %.2f", lost, slower),
		fmt.Sprintf("≥ %.2f, or ≥ %.2f and × %.1f", minShortfall, minShortfall/2, minSlower), lost >= minShortfall || lost >= minShortfall/2 && slower >= minSlower)
	return v.err()
}

// live writes the parts and deletes the first.
func (s *store) live(ctx context.Context, all []*collection) error {
	for _, c := range all {
		for part := range slices.Chunk(c.Docs, 250) {
			if err := upsert(ctx, s.col, part); err != nil {
				return err
			}
		}
		if err := s.settle(ctx); err != nil {
			return err
		}
		s.describe("after " + c.Name)
	}
	for part := range slices.Chunk(all[0].Docs, 250) {
		ids := make([]string, len(part))
		for i, d := range part {
			ids[i] = d.ID
		}
		if _, err := s.col.Delete(ctx, ids...); err != nil {
			return err
		}
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	s.describe("at the end")
	return nil
}

func (s *store) describe(when string) {
	i, m := s.col.Info(), s.db.Metrics()
	fmt.Printf("%s, %s: codebook %d (%d cells), routing %d (%d centroids), recent residuals %.3f against %.3f in training, %.1f %% outliers, %d segments, %d deleted documents; %.2f bytes written a byte\n",
		s.name, when, i.CodebookID, i.Cells, i.RoutingID, i.Centroids, i.RecentNorm, i.ResidualNorm, 100*i.RecentOutliers, i.Segments, i.Deleted, m.WriteAmplification())
	if c := i.Calibration; c != nil {
		fmt.Printf("%s, %s: rung %d, calibrated with %d %s on %d documents: candidate recall@10 %.3f\n",
			s.name, when, c.Rung, c.Queries, c.Kind, c.Documents, c.Efforts[1].CandidateRecall)
	}
}

// compare prints what the stores' answers to the queries of every collection are
// worth, and returns the means over the collections.
func (o *options) compare(ctx context.Context, stores []*store, all []*collection, docs []doc) ([]quality, error) {
	there := set(docs)
	mean := make([]quality, len(stores))
	row := func(s *store, name string, q quality) {
		fmt.Printf("| %s | %s | %.4f | %.4f | %.4f | %.2f | %.1f |\n", s.name, name, q.ndcg, q.recall, q.exactRecall, q.p50, s.bytesPerToken())
	}
	fmt.Printf("\nprofile %s, RetainRaw %t\n\n| store | collection | nDCG@10 | recall@10 | recall@10, exact search | p50, ms | bytes a token |\n|---|---|---|---|---|---|---|\n", o.profile, o.raw)
	for _, c := range all {
		t, err := newTruth(ctx, docs, c.Query[:min(o.queries, len(c.Query))], c.Qrels)
		if err != nil {
			return nil, err
		}
		qs, err := t.measure(ctx, stores, there, true)
		if err != nil {
			return nil, err
		}
		for i, q := range qs {
			row(stores[i], c.Name, q)
			n := float64(len(all))
			mean[i].ndcg += q.ndcg / n
			mean[i].recall += q.recall / n
			mean[i].exactRecall += q.exactRecall / n
			mean[i].p50 += q.p50 / n
		}
	}
	for i, q := range mean {
		row(stores[i], "mean", q)
	}
	return mean, nil
}
