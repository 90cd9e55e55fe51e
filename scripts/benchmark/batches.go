package main

import (
	"context"
	"fmt"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
)

// batches prints how long a query takes by itself and in batches, on one thread.
// The two take turns, and what they find is compared.
func batches(ctx context.Context, docs, queries []item) error {
	return withStore(ctx, docs, nil, false, func(col *engine.Collection) error {
		fmt.Println("| searches | one by one, a query | in one batch, a query | times the throughput |")
		fmt.Println("|---|---|---|---|")
		for _, exact := range []bool{false, true} {
			for _, n := range []int{8, 32, 128} {
				if exact && n > 32 {
					continue
				}
				if err := batched(ctx, col, queries, n, exact); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func batched(ctx context.Context, col *engine.Collection, queries []item, n int, exact bool) error {
	reqs := make([]engine.SearchRequest, n)
	for i := range reqs {
		q := queries[i%len(queries)]
		reqs[i] = engine.SearchRequest{Vectors: q.vectors, Weights: q.weights, K: k, Exact: exact}
	}
	rounds := 7
	if exact {
		rounds = 3
	}
	var single, together []time.Duration
	for round := range rounds {
		start := time.Now()
		var want []*engine.SearchResult
		for _, req := range reqs {
			res, err := col.Search(ctx, req)
			if err != nil {
				return err
			}
			want = append(want, res)
		}
		one := time.Since(start)
		start = time.Now()
		got, err := col.SearchBatch(ctx, reqs)
		if err != nil {
			return err
		}
		if all := time.Since(start); round > 0 { // the first warms up
			single, together = append(single, one/time.Duration(n)), append(together, all/time.Duration(n))
		}
		for i := range want {
			if a, b := ids(want[i]), ids(got[i]); fmt.Sprint(a) != fmt.Sprint(b) {
				return fmt.Errorf("search %d: %v in a batch, %v by itself", i, b, a)
			}
		}
	}
	name := fmt.Sprintf("%d, default effort", n)
	if exact {
		name = fmt.Sprintf("%d, exact", n)
	}
	fmt.Printf("| %s | %.2f ms | %.2f ms | %.2f |\n", name, ms(single, 0.5), ms(together, 0.5), ms(single, 0.5)/ms(together, 0.5))
	return nil
}
