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

// hostile is a collection whose documents change from one kind to another.
func hostile(ctx context.Context, o *options) error {
	var all []*collection
	var remaining []doc
	truths := map[string]*truth{}
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
	for _, c := range all[1:] {
		t, err := newTruth(ctx, remaining, c.Query[:min(o.queries, len(c.Query))], c.Qrels)
		if err != nil {
			return err
		}
		truths[c.Name] = t
	}
	fresh, err := o.built(ctx, remaining)
	if err != nil {
		return err
	}
	defer fresh.db.Close()
	stores := []*store{fresh}
	names := []string{"built in one go", "after the changes", "without re-training"}
	for _, disabled := range []bool{false, true} {
		s, err := o.open(ctx, disabled)
		if err != nil {
			return err
		}
		defer s.db.Close()
		for _, c := range all {
			for part := range slices.Chunk(c.Docs, 250) {
				if err := upsert(ctx, s.col, part); err != nil {
					return err
				}
			}
			if err := s.settle(ctx); err != nil {
				return err
			}
			i := s.col.Info()
			fmt.Printf("%s, after %s: codebook %d (%d cells), routing %d (%d centroids), recent residuals %.3f against %.3f in training, %.1f %% outliers, %d segments\n",
				names[len(stores)], c.Name, i.CodebookID, i.Cells, i.RoutingID, i.Centroids, i.RecentNorm, i.ResidualNorm, 100*i.RecentOutliers, i.Segments)
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
		stores = append(stores, s)
	}
	fmt.Printf("\nprofile %s, RetainRaw %t\n\n| store | collection | nDCG@10 | recall@10 | recall@10, exact search | p50, ms | bytes a token |\n|---|---|---|---|---|---|---|\n", o.profile, o.raw)
	there := set(remaining)
	mean := make([]quality, len(stores))
	for _, c := range all[1:] {
		for i, s := range stores {
			var q quality
			var times []float64
			for round := range 3 {
				got, err := truths[c.Name].measure(ctx, s.col, there, round == 0)
				if err != nil {
					return err
				}
				if round == 0 {
					q = got
				}
				times = append(times, got.p50)
			}
			slices.Sort(times)
			q.p50 = times[1]
			fmt.Printf("| %s | %s | %.4f | %.4f | %.4f | %.2f | %.1f |\n", names[i], c.Name, q.ndcg, q.recall, q.exactRecall, q.p50, s.bytesPerToken())
			n := float64(len(all) - 1)
			mean[i].ndcg += q.ndcg / n
			mean[i].recall += q.recall / n
			mean[i].exactRecall += q.exactRecall / n
			mean[i].p50 += q.p50 / n
		}
	}
	for i, q := range mean {
		fmt.Printf("| %s | mean | %.4f | %.4f | %.4f | %.2f | %.1f |\n", names[i], q.ndcg, q.recall, q.exactRecall, q.p50, stores[i].bytesPerToken())
	}
	for _, s := range stores {
		if report, err := s.db.Verify(ctx); err != nil || !report.Ok() {
			return fmt.Errorf("verify: %v %v", err, report.Problems)
		}
	}
	return nil
}
