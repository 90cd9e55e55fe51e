package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
)

// point is the state after some rounds.
type point struct {
	round, documents  int
	compared          bool // with a store built in one go
	churned, fresh    quality
	bytes, freshBytes float64
}

// life is one collection over the rounds of growth.
type life struct {
	o            *options
	truth        *truth
	store        *store
	rnd          *rand.Rand
	all          int
	live, absent []doc
	points       []point
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
	l := &life{o: o, rnd: rand.New(rand.NewPCG(5, 5)), all: len(c.Docs)}
	queries := c.Query[:min(o.queries, len(c.Query))]
	if l.truth, err = newTruth(ctx, c.Docs, queries, c.Qrels); err != nil {
		return err
	}
	order := slices.Clone(c.Docs)
	l.rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	l.live, l.absent = slices.Clone(order[:len(order)/10]), slices.Clone(order[len(order)/10:])
	if l.store, err = o.open(ctx, "after the changes", false); err != nil {
		return err
	}
	defer l.store.db.Close()
	if err := upsert(ctx, l.store.col, l.live); err != nil {
		return err
	}
	fmt.Printf("growth of %s, %d documents, %s, profile %s, %d queries, %d rounds\n\n", c.Name, l.all, c.Model, o.profile, len(queries), o.rounds)
	fmt.Println("Each pair: after the changes / built in one go.")
	fmt.Println()
	fmt.Println("| round | documents | codebook / routing | segments | dead | nDCG@10 | recall@10 | p50, ms | bytes a token |\n|---|---|---|---|---|---|---|---|---|")
	every := max(1, o.rounds/10)
	for round := range o.rounds + 1 {
		if round > 0 {
			if err := l.change(ctx, round == o.rounds); err != nil {
				return err
			}
		}
		if round%every == 0 {
			if err := l.measure(ctx, round); err != nil {
				return err
			}
		}
	}
	last := l.points[len(l.points)-1]
	m := l.store.db.Metrics()
	fmt.Printf("\nat the end %d of %d documents; %.2f bytes were written for each byte of float16 vectors\n", last.documents, l.all, m.WriteAmplification())
	if report, err := l.store.db.Verify(ctx); err != nil || !report.Ok() {
		return fmt.Errorf("verify: %v %v", err, report.Problems)
	}
	if o.svg != "" {
		if err := plot(o.svg, l.points); err != nil {
			return err
		}
	}
	var v verdict
	v.judge(last.churned, last.fresh, last.bytes, last.freshBytes)
	v.row("documents", fmt.Sprint(last.documents), fmt.Sprint(l.all), last.documents == l.all)
	return v.err()
}

// change is a round: of all documents 1 % are deleted, 1 % replaced and 2 % new;
// in the last round all that are missing are.
func (l *life) change(ctx context.Context, last bool) error {
	for range l.all / 100 {
		i := l.rnd.IntN(len(l.live))
		if _, err := l.store.col.Delete(ctx, l.live[i].ID); err != nil {
			return err
		}
		l.absent = append(l.absent, l.live[i])
		l.live = slices.Delete(l.live, i, i+1)
	}
	var replaced []doc
	for range l.all / 100 {
		replaced = append(replaced, l.live[l.rnd.IntN(len(l.live))])
	}
	if err := upsert(ctx, l.store.col, replaced); err != nil {
		return err
	}
	fresh := min(l.all/50, len(l.absent))
	if last {
		fresh = len(l.absent)
	}
	if err := upsert(ctx, l.store.col, l.absent[:fresh]); err != nil {
		return err
	}
	l.live, l.absent = append(l.live, l.absent[:fresh]...), slices.Clone(l.absent[fresh:])
	return nil
}

// measure prints a row; at the beginning, in the middle and at the end beside a
// store built in one go.
func (l *life) measure(ctx context.Context, round int) error {
	if err := l.store.settle(ctx); err != nil {
		return err
	}
	i, there := l.store.col.Info(), set(l.live)
	p := point{round: round, documents: len(l.live), bytes: l.store.bytesPerToken()}
	stores := []*store{l.store}
	if p.compared = round%max(1, l.o.rounds/2) == 0; p.compared {
		fresh, err := l.o.built(ctx, l.live)
		if err != nil {
			return err
		}
		defer fresh.db.Close()
		p.freshBytes = fresh.bytesPerToken()
		stores = append(stores, fresh)
	}
	qs, err := l.truth.measure(ctx, stores, there, false)
	if err != nil {
		return err
	}
	p.churned = qs[0]
	of := func(format string, churned, fresh float64) string { return fmt.Sprintf(format, churned) }
	if p.compared {
		p.fresh = qs[1]
		of = func(format string, churned, fresh float64) string {
			return fmt.Sprintf(format+" / "+format, churned, fresh)
		}
	}
	l.points = append(l.points, p)
	fmt.Printf("| %d | %d | %d / %d | %d | %d | %s | %s | %s | %s |\n", round, p.documents, i.CodebookID, i.RoutingID, i.Segments, i.Deleted,
		of("%.4f", p.churned.ndcg, p.fresh.ndcg), of("%.4f", p.churned.recall, p.fresh.recall), of("%.2f", p.churned.p50, p.fresh.p50), of("%.1f", p.bytes, p.freshBytes))
	return nil
}

func set(docs []doc) func(string) bool {
	m := make(map[string]bool, len(docs))
	for _, d := range docs {
		m[d.ID] = true
	}
	return func(id string) bool { return m[id] }
}
