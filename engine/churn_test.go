package engine_test

import (
	"cmp"
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
	truth := exactTop10(t, queries, docs)
	recall := func(col *engine.Collection) float64 {
		return recallAt10(t, col, queries, truth, engine.SearchRequest{NProbe: 8, NFullScores: 32})
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

// exactTop10 returns the numbers of the ten documents with the greatest float32
// MaxSim to each query.
func exactTop10(t *testing.T, queries, docs []engine.Matrix) [][]string {
	t.Helper()
	scorer := codec.NewScorer()
	var out [][]string
	for _, q := range queries {
		query, err := codec.NewQuery(q, nil)
		if err != nil {
			t.Fatal(err)
		}
		scorer.Reset(query, nil)
		scores, order := make([]float32, len(docs)), make([]int, len(docs))
		for i, d := range docs {
			scores[i] = scorer.MaxSim(codec.PlaneRaw, codec.View{Tokens: d.Len(), Raw: codec.AppendF16(nil, d.Data)})
			order[i] = i
		}
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(scores[b], scores[a]) })
		var best []string
		for _, i := range order[:10] {
			best = append(best, fmt.Sprint(i))
		}
		out = append(out, best)
	}
	return out
}

// recallAt10 asks every query as req says.
func recallAt10(t *testing.T, col *engine.Collection, queries []engine.Matrix, truth [][]string, req engine.SearchRequest) float64 {
	t.Helper()
	hits := 0
	for i, q := range queries {
		req.Vectors = q
		res, err := col.Search(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range res.Hits {
			if slices.Contains(truth[i], h.ID) {
				hits++
			}
		}
	}
	return float64(hits) / float64(10*len(queries))
}

// The small form of the hostile order, in compact, which keeps no originals:
// documents of one kind, then of another that their codebook does not know (the
// dimensions of real vectors in the opposite order), then the first ones deleted.
// What is left is found as in a store built in one go, and without re-training it
// is not.
func TestHostileOrder(t *testing.T) {
	queries, docs := testdata.Lotte(t)
	queries, docs = queries[:20], docs[:300]
	if testing.Short() {
		queries = queries[:10]
	}
	turn := func(in []engine.Matrix) (out []engine.Matrix) {
		for _, m := range in {
			m.Data = slices.Clone(m.Data)
			for r := range m.Len() {
				slices.Reverse(m.Row(r))
			}
			out = append(out, m)
		}
		return out
	}
	turned, questions := turn(docs), turn(queries)
	truth := exactTop10(t, questions, turned)
	run := func(hostile, disabled bool) (recall float64, info engine.CollectionInfo) {
		trained := make(chan struct{}, 100)
		db := mustOpen(t, vfs.NewMem(), &engine.Options{
			TrainTokens: 10_000, TrainSample: 30_000, DriftTokens: 5000, Sync: engine.SyncNever, DisableRetraining: disabled,
			EventListener: &engine.EventListener{TrainEnd: func(engine.TrainInfo) { trained <- struct{}{} }},
		})
		defer mustClose(t, db)
		col, err := db.CreateCollection(ctx, "test", engine.CollectionConfig{Dim: 128, Profile: engine.Compact})
		if err != nil {
			t.Fatal(err)
		}
		write := func(prefix string, docs []engine.Matrix) (ids []string) {
			var batch []engine.Document
			for i, d := range docs {
				batch = append(batch, engine.Document{ID: prefix + fmt.Sprint(i), Vectors: d})
				ids = append(ids, batch[i].ID)
			}
			if _, err := col.Upsert(ctx, batch...); err != nil {
				t.Fatal(err)
			}
			if err := col.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			return ids
		}
		var old []string
		if hostile {
			old = write("old", docs)
			<-trained
		}
		write("", turned)
		if !hostile {
			<-trained
		}
		if hostile {
			if _, err := col.Delete(ctx, old...); err != nil {
				t.Fatal(err)
			}
		}
		if err := col.Compact(ctx); err != nil {
			t.Fatal(err)
		}
		verify(t, db)
		return recallAt10(t, col, questions, truth, engine.SearchRequest{Exact: true}), col.Info()
	}
	want, _ := run(false, false)
	got, info := run(true, false)
	without, _ := run(true, true)
	t.Logf("recall@10 of exact searches: %.3f in one go, %.3f in hostile order, %.3f without re-training", want, got, without)
	if got < want-0.04 || info.CodebookID < 2 {
		t.Errorf("recall@10 %.3f with codebook %d, in one go %.3f", got, info.CodebookID, want)
	}
	if without > want-0.05 {
		t.Errorf("recall@10 %.3f without re-training, %.3f in one go: the test has no power", without, want)
	}
}
