package engine_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

// A compaction measures what searches find; the figures are those of searches, they
// outlive the store's closing, and the default effort searches as they say.
func TestCalibration(t *testing.T) {
	queries, docs := testdata.Lotte(t)
	queries = queries[:40]
	fs := vfs.NewMem()
	options := &engine.Options{TrainTokens: 10_000, TrainSample: 30_000, Sync: engine.SyncNever, DisableAutoCompaction: true}
	db := mustOpen(t, fs, options)
	col, err := db.CreateCollection(ctx, "test", engine.CollectionConfig{Dim: 128, Profile: engine.Balanced, RecallTarget: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	// Pieces of real documents: as many as searches do not scan.
	var batch []engine.Document
	for i, d := range docs {
		for piece := range slices.Chunk(d.Data, 16*d.Dim) {
			batch = append(batch, engine.Document{ID: fmt.Sprint(i, " ", len(batch)), Vectors: engine.Matrix{Dim: d.Dim, Data: piece}})
		}
	}
	if _, err := col.Upsert(ctx, batch...); err != nil {
		t.Fatal(err)
	}
	if col.Calibration() != nil {
		t.Error("a collection without a codebook has a calibration")
	}
	if err := col.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	got := col.Info().Calibration
	if got == nil || got.Target != 0.5 || got.Kind != engine.CalibrationWindows || got.Queries < 32 || int(got.Documents) != len(batch) || got.Rung != 1 || !got.Reached {
		t.Fatalf("after Compact: %+v", got)
	}

	var given []encoder.Query
	for _, q := range queries {
		given = append(given, encoder.Query{Vectors: q})
	}
	low, err := col.Calibrate(ctx, engine.CalibrateOptions{Queries: given, RecallTarget: 0.01})
	if err != nil {
		t.Fatal(err)
	}
	high, err := col.Calibrate(ctx, engine.CalibrateOptions{Queries: given, RecallTarget: 1})
	if err != nil {
		t.Fatal(err)
	}
	if low.Rung != 1 || high.Rung <= low.Rung || high.Kind != engine.CalibrationQueries {
		t.Errorf("rung %d for a low target, %d for the highest", low.Rung, high.Rung)
	}
	mustClose(t, db)
	db = mustOpen(t, fs, options)
	defer mustClose(t, db)
	if col, err = db.Collection("test"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(high, col.Info().Calibration); diff != "" {
		t.Errorf("reopened: %s", diff)
	}
	for _, e := range high.Efforts {
		effort, err := engine.ParseEffort(e.Effort)
		if err != nil {
			t.Fatal(err)
		}
		found, wanted, scored := 0, 0, 0
		for _, q := range queries {
			exact := mustFind(t, col, engine.SearchRequest{Vectors: q, Exact: true})
			r := mustFind(t, col, engine.SearchRequest{Vectors: q, Effort: effort})
			scored = max(scored, r.Scored)
			wanted += len(exact.Hits)
			for _, h := range exact.Hits {
				if slices.ContainsFunc(r.Hits, func(g engine.Hit) bool { return g.ID == h.ID }) {
					found++
				}
			}
		}
		recall := float64(found) / float64(wanted)
		t.Logf("%s: candidate recall@10 %.3f, reported %.3f; recall@10 reported %.3f", e.Effort, recall, e.CandidateRecall, e.Recall)
		if math.Abs(recall-e.CandidateRecall) > 0.01 {
			t.Errorf("%s: candidate recall@10 %.3f, reported %.3f", e.Effort, recall, e.CandidateRecall)
		}
		if effort != engine.EffortFull && scored != e.NFullScores {
			t.Errorf("%s: %d documents were scored in full, the calibration says %d", e.Effort, scored, e.NFullScores)
		}
	}
}

func mustFind(t *testing.T, col *engine.Collection, req engine.SearchRequest) *engine.SearchResult {
	t.Helper()
	r, err := col.Search(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// With an encoder and texts the queries are sentences, and a collection in which
// every search is exact has nothing to calibrate.
func TestCalibrationAsksSentences(t *testing.T) {
	o := small()
	o.DisableAutoCompaction = true
	o.TrainTokens = 4_000
	db := mustOpen(t, vfs.NewMem(), o)
	defer mustClose(t, db)
	enc := fake.Named("calibration", dim)
	col := mustCollection(t, db, engine.CollectionConfig{Encoder: enc})
	add := func(from, to int) {
		t.Helper()
		var batch []engine.Document
		for i := from; i < to; i++ {
			batch = append(batch, engine.Document{ID: fmt.Sprint(i), Text: fmt.Sprintf("The document number %d speaks of %d things. Some of them come again in %d.", i, i%7, i+1)})
		}
		if _, err := col.Upsert(ctx, batch...); err != nil {
			t.Fatal(err)
		}
	}
	add(0, 500)
	if err := col.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	if m, err := col.Calibrate(ctx, engine.CalibrateOptions{}); m != nil || err != nil {
		t.Errorf("of a small collection: %+v, %v", m, err)
	}
	add(500, 2200)
	if err := col.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	if m := col.Calibration(); m == nil || m.Kind != engine.CalibrationSentences || m.Target != engine.DefaultRecallTarget {
		t.Errorf("after Compact: %+v", m)
	}
	for _, bad := range []float64{-0.1, 1.1, math.NaN()} {
		if _, err := col.Calibrate(ctx, engine.CalibrateOptions{RecallTarget: bad}); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("target %v: %v", bad, err)
		}
	}
}
