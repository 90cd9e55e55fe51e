package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
)

type point struct {
	round, documents  int
	compared          bool // with a store built in one go
	churned, fresh    quality
	bytes, freshBytes float64
}

// growth is the life of one collection.
func growth(ctx context.Context, o *options) error {
	c, err := load(ctx, o.data, o.cache, "scifact", "test", 0)
	if err != nil {
		return err
	}
	if o.documents > 0 {
		c.Docs = c.Docs[:min(o.documents, len(c.Docs))]
	}
	queries := c.Query[:min(o.queries, len(c.Query))]
	t, err := newTruth(ctx, c.Docs, queries, c.Qrels)
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(5, 5))
	order := slices.Clone(c.Docs)
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	n := len(order)
	s, err := o.open(ctx, false)
	if err != nil {
		return err
	}
	defer s.db.Close()
	live, absent := slices.Clone(order[:n/10]), slices.Clone(order[n/10:])
	if err := upsert(ctx, s.col, live); err != nil {
		return err
	}
	var points []point
	at := func(round int) error {
		if err := s.settle(ctx); err != nil {
			return err
		}
		there := set(live)
		i := s.col.Info()
		p := point{round: round, documents: len(live), bytes: s.bytesPerToken()}
		if p.compared = round%max(1, o.rounds/2) == 0; !p.compared {
			if p.churned, err = t.measure(ctx, s.col, there, false); err != nil {
				return err
			}
			points = append(points, p)
			fmt.Printf("| %d | %d | %d / %d | %d | %d | %.4f | %.4f | %.2f | %.1f |\n", round, p.documents, i.CodebookID, i.RoutingID, i.Segments, i.Deleted, p.churned.ndcg, p.churned.recall, p.churned.p50, p.bytes)
			return nil
		}
		fresh, err := o.built(ctx, live)
		if err != nil {
			return err
		}
		defer fresh.db.Close()
		p.freshBytes = fresh.bytesPerToken()
		var times, freshTimes []float64
		for range 3 { // interleaved, for the times
			if p.churned, err = t.measure(ctx, s.col, there, false); err != nil {
				return err
			}
			if p.fresh, err = t.measure(ctx, fresh.col, there, false); err != nil {
				return err
			}
			times, freshTimes = append(times, p.churned.p50), append(freshTimes, p.fresh.p50)
		}
		slices.Sort(times)
		slices.Sort(freshTimes)
		p.churned.p50, p.fresh.p50 = times[1], freshTimes[1]
		points = append(points, p)
		fmt.Printf("| %d | %d | %d / %d | %d | %d | %.4f / %.4f | %.4f / %.4f | %.2f / %.2f | %.1f / %.1f |\n", round, p.documents, i.CodebookID, i.RoutingID, i.Segments, i.Deleted,
			p.churned.ndcg, p.fresh.ndcg, p.churned.recall, p.fresh.recall, p.churned.p50, p.fresh.p50, p.bytes, p.freshBytes)
		return nil
	}
	fmt.Printf("growth of %s, %d documents, %s, profile %s, %d queries, %d rounds\n\n", c.Name, n, c.Model, o.profile, len(queries), o.rounds)
	fmt.Println("Each pair: after the changes / built in one go.")
	fmt.Println()
	fmt.Println("| round | documents | codebook / routing | segments | dead | nDCG@10 | recall@10 | p50, ms | bytes a token |\n|---|---|---|---|---|---|---|---|---|")
	if err := at(0); err != nil {
		return err
	}
	every := max(1, o.rounds/10)
	for round := 1; round <= o.rounds; round++ {
		for range n / 100 {
			i := r.IntN(len(live))
			if _, err := s.col.Delete(ctx, live[i].ID); err != nil {
				return err
			}
			absent = append(absent, live[i])
			live = slices.Delete(live, i, i+1)
		}
		var replaced []doc
		for range n / 100 {
			replaced = append(replaced, live[r.IntN(len(live))])
		}
		if err := upsert(ctx, s.col, replaced); err != nil {
			return err
		}
		fresh := min(n/50, len(absent))
		if round == o.rounds {
			fresh = len(absent)
		}
		if err := upsert(ctx, s.col, absent[:fresh]); err != nil {
			return err
		}
		live, absent = append(live, absent[:fresh]...), slices.Clone(absent[fresh:])
		if round%every == 0 {
			if err := at(round); err != nil {
				return err
			}
		}
	}
	last := points[len(points)-1]
	fmt.Printf("\nat the end, %d of %d documents: nDCG@10 %+.4f, recall@10 %+.4f, p50 × %.2f, bytes a token × %.3f; after Compact: ", last.documents, n,
		last.churned.ndcg-last.fresh.ndcg, last.churned.recall-last.fresh.recall, last.churned.p50/last.fresh.p50, last.bytes/last.freshBytes)
	if err := s.col.Compact(ctx); err != nil {
		return err
	}
	q, err := t.measure(ctx, s.col, set(live), false)
	if err != nil {
		return err
	}
	fmt.Printf("nDCG@10 %+.4f, recall@10 %+.4f, bytes a token × %.3f\n", q.ndcg-last.fresh.ndcg, q.recall-last.fresh.recall, s.bytesPerToken()/last.freshBytes)
	if report, err := s.db.Verify(ctx); err != nil || !report.Ok() {
		return fmt.Errorf("verify: %v %v", err, report.Problems)
	}
	if o.svg == "" {
		return nil
	}
	return plot(o.svg, points)
}

func set(docs []doc) func(string) bool {
	m := make(map[string]bool, len(docs))
	for _, d := range docs {
		m[d.ID] = true
	}
	return func(id string) bool { return m[id] }
}
