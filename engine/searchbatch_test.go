package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
)

// A batch of searches, by text and by vectors, finds what they find one by one.
func TestSearchBatch(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 90))
	o := small()
	o.DisableAutoCompaction = true
	db := mustOpen(t, vfs.NewMem(), o)
	enc := fake.Named("batch", dim)
	col := mustCollection(t, db, engine.CollectionConfig{Encoder: enc})
	f, err := engine.ParseFilter("n < 90")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 400 {
		d := document(r, i)
		d.Vectors, d.Text = engine.Matrix{}, passage(r)
		if _, err := col.Upsert(ctx, d); err != nil {
			t.Fatal(err)
		}
		switch i {
		case 200:
			err = col.IndexAttributes(ctx, "n")
		case 300:
			err = col.Compact(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var reqs []engine.SearchRequest
	for i := range 30 {
		req := engine.SearchRequest{K: 1 + r.IntN(8), NProbe: 2, NCandidates: 20, NFullScores: 20, Explain: i%4 == 0}
		if i%2 == 0 {
			req.Text = passage(r)
		} else {
			req.Vectors = vectors(r, 1+r.IntN(40))
		}
		if i%3 == 0 {
			req.Filter = f
		}
		if i%7 == 0 {
			req.GroupBy = "even"
		}
		reqs = append(reqs, req)
	}
	got, err := col.SearchBatch(ctx, reqs)
	if err != nil {
		t.Fatal(err)
	}
	searched := 0
	for i, req := range reqs {
		want, err := col.Search(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got[i], cmpopts.IgnoreFields(engine.SearchResult{}, "Stages", "Took")); d != "" {
			t.Errorf("search %d: %s", i, d)
		}
		if !want.Exhaustive {
			searched++
		}
	}
	if searched == 0 {
		t.Error("every search was exhaustive: the test tests little")
	}
	for want, bad := range map[error][]engine.SearchRequest{
		engine.ErrInvalid:   {{Text: "a"}, {}},
		engine.ErrDimension: {{Text: "a"}, {Vectors: engine.Matrix{Dim: 3, Data: make([]float32, 3)}}},
	} {
		if _, err := col.SearchBatch(ctx, bad); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	for _, n := range []int{0, engine.MaxBatchSearches + 1} {
		if _, err := col.SearchBatch(ctx, make([]engine.SearchRequest, n)); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%s: %v", fmt.Sprint(n), err)
		}
	}
	mustClose(t, db)
}
