package engine_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

// The small form of scripts/churn: real vectors, from a tenth of the documents
// over rounds of new, replaced and deleted ones to exactly all of them, with the
// codebook of the first tenth. In the end recall against float32 MaxSim and size
// are those of a store built in one go.
func TestChurnQuality(t *testing.T) {
	all, docs := testdata.Lotte(t)
	queries, rounds := all[:20], 20
	if testing.Short() {
		queries, docs, rounds = queries[:10], docs[:250], 10
	}
	open := func(train int64) (*engine.Engine, *engine.Collection) {
		db := mustOpen(t, vfs.NewMem(), &engine.Options{
			TrainTokens: train, TrainSample: 30_000, SealDocuments: 40, Sync: engine.SyncNever, DisableAutoCompaction: true,
		})
		col, err := db.CreateCollection(ctx, "test", engine.CollectionConfig{Dim: 128})
		if err != nil {
			t.Fatal(err)
		}
		return db, col
	}
	upsert := func(col *engine.Collection, ids ...int) {
		var batch []engine.Document
		for _, i := range ids {
			batch = append(batch, engine.Document{ID: fmt.Sprint(i), Vectors: docs[i]})
		}
		if _, err := col.Upsert(ctx, batch...); err != nil {
			t.Fatal(err)
		}
	}
	compact := func(col *engine.Collection) {
		if err := col.Compact(ctx); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(6, 28))
	order := r.Perm(len(docs))
	live, absent := slices.Clone(order[:len(docs)/10]), slices.Clone(order[len(docs)/10:])
	db, col := open(5_000)
	defer mustClose(t, db)
	upsert(col, live...)
	for round := range rounds {
		for range 3 {
			i := r.IntN(len(live))
			if _, err := col.Delete(ctx, fmt.Sprint(live[i])); err != nil {
				t.Fatal(err)
			}
			absent = append(absent, live[i])
			live = slices.Delete(live, i, i+1)
			upsert(col, live[r.IntN(len(live))])
		}
		n := min(len(absent), len(docs)/rounds+3)
		if round == rounds-1 {
			n = len(absent)
		}
		upsert(col, absent[:n]...)
		live, absent = append(live, absent[:n]...), slices.Clone(absent[n:])
		if round%5 == 4 {
			compact(col)
		}
	}
	compact(col)
	fresh, built := open(5_000)
	defer mustClose(t, fresh)
	upsert(built, order...)
	compact(built)
	recall := func(col *engine.Collection) float64 {
		hits := 0
		for _, q := range queries {
			truth := make([]float64, len(docs))
			scorer := codec.NewScorer()
			query, err := codec.NewQuery(q, nil)
			if err != nil {
				t.Fatal(err)
			}
			scorer.Reset(query, nil)
			for i, d := range docs {
				v := codec.View{Tokens: d.Len(), Raw: codec.AppendF16(nil, d.Data)}
				truth[i] = float64(scorer.MaxSim(codec.PlaneRaw, v))
			}
			best := slices.Clone(order)
			slices.SortFunc(best, func(a, b int) int {
				if truth[a] > truth[b] {
					return -1
				}
				return 1
			})
			res, err := col.Search(ctx, engine.SearchRequest{Vectors: q, NProbe: 8, NFullScores: 32})
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range res.Hits {
				if slices.ContainsFunc(best[:10], func(i int) bool { return fmt.Sprint(i) == h.ID }) {
					hits++
				}
			}
		}
		return float64(hits) / float64(10*len(queries))
	}
	got, want := recall(col), recall(built)
	a, b := col.Info(), built.Info()
	size := float64(a.Bytes) / float64(b.Bytes)
	t.Logf("recall@10 %.3f after %d rounds, %.3f in one go; size × %.3f; codebook %d, routing %d", got, rounds, want, size, a.CodebookID, a.RoutingID)
	if got < want-0.02 {
		t.Errorf("recall@10 %.3f, in one go %.3f", got, want)
	}
	if a.Documents != b.Documents || a.Tokens != b.Tokens || size > 1.1 {
		t.Errorf("%d documents, %d tokens, size × %.3f; in one go %d and %d", a.Documents, a.Tokens, size, b.Documents, b.Tokens)
	}
	if a.Cells >= b.Cells {
		t.Errorf("%d cells from the first tenth, %d from all: the test has no power", a.Cells, b.Cells)
	}
	verify(t, db)
}
