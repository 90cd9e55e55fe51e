package engine_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Metrics agree with what was done, counted by hand.
func TestMetrics(t *testing.T) {
	o := small()
	o.DisableAutoCompaction, o.SealDocuments, o.TrainTokens = true, 1000, 700
	db := mustOpen(t, vfs.NewMem(), o)
	defer mustClose(t, db)
	col := mustCollection(t, db, engine.CollectionConfig{Profile: engine.Balanced})
	r := rand.New(rand.NewPCG(31, 1))
	m := model{}
	var user int64
	for batch := range 10 {
		docs := make([]engine.Document, 20)
		for i := range docs {
			docs[i] = document(r, batch*15+i) // a quarter replaces
			user += int64(len(docs[i].ID) + len(docs[i].Text) + len(docs[i].Attributes) + 2*len(docs[i].Vectors.Data))
		}
		if _, err := col.Upsert(ctx, docs...); err != nil {
			t.Fatal(err)
		}
		m.put(docs...)
		if batch == 3 || batch == 6 {
			if err := col.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if batch >= 3 { // of the buffer and of segments
			for range 4 {
				id := fmt.Sprintf("doc-%03d", r.IntN(batch*15))
				res, err := col.Delete(ctx, id)
				if err != nil {
					t.Fatal(err)
				}
				user += int64(len(id))
				if _, there := m[id]; there != (res.Deleted == 1) {
					t.Fatalf("%q: deleted %d", id, res.Deleted)
				}
				delete(m, id)
			}
		}
		checkCounts(t, col, m)
	}
	info := col.Info()
	if info.Deleted == 0 || info.Debt.DeletedBytes <= 0 || info.Segments != 2 || info.Buffered == 0 || info.BufferedBytes <= 0 {
		t.Errorf("%+v", info)
	}
	for range 5 {
		if _, err := col.Search(ctx, engine.SearchRequest{Vectors: vectors(r, 4)}); err != nil {
			t.Fatal(err)
		}
	}
	before := db.Metrics()
	if before.UserBytes != user || before.Upserts != 200 || before.Searches != 5 || before.SearchLatency.Count != 5 ||
		before.GroupBatches.Count != before.GroupBatches.Sum || before.GroupBytes.Sum != uint64(user) {
		t.Errorf("user bytes %d, want %d; %+v", before.UserBytes, user, before)
	}
	if before.LogSyncTime.Count != before.LogSyncs || before.LogFiles != 1 || before.LogOnDisk <= 0 || int64(before.LogBytes) < user {
		t.Errorf("log: %d syncs timed of %d, %d files, %d bytes on disk, %d written", before.LogSyncTime.Count, before.LogSyncs, before.LogFiles, before.LogOnDisk, before.LogBytes)
	}
	if err := col.Compact(ctx); err != nil { // trains
		t.Fatal(err)
	}
	checkCounts(t, col, m)
	for range 7 {
		if _, err := col.Search(ctx, engine.SearchRequest{Vectors: vectors(r, 4), NFullScores: 5, NProbe: 1}); err != nil {
			t.Fatal(err)
		}
	}
	after := db.Metrics()
	if after.Trainings != 1 || after.Train.Time <= 0 || after.Merge.BytesIn <= 0 || after.Merge.BytesOut <= 0 || after.Seal.BytesOut <= before.Seal.BytesOut {
		t.Errorf("%+v", after)
	}
	written := int64(after.LogBytes) + after.Seal.BytesOut + after.Merge.BytesOut + int64(after.PebbleBytes)
	if w := after.WriteAmplification(); w < 1 || w != float64(written)/float64(user) {
		t.Errorf("write amplification %v", w)
	}
	stages := map[string]uint64{}
	for _, s := range after.Stages {
		stages[s.Name] = s.Time.Count
	}
	if stages["encode"] != 12 || stages["fetch"] != 12 || stages["plane_b"] == 0 {
		t.Errorf("stages %v", stages)
	}
	info = col.Info()
	if d := info.Debt; d.StaleSegments != 0 || d.DeletedBytes != 0 || d.Merges != 0 {
		t.Errorf("debts after a compaction: %+v", d)
	}
	var columns, pinned, tiers int64
	for _, c := range info.Columns {
		columns, pinned = columns+c.Bytes, pinned+c.Pinned
	}
	for _, tier := range info.Tiers {
		tiers += tier.Bytes
	}
	if columns != info.Bytes || tiers != info.Bytes || pinned <= 0 || pinned > after.PinnedBytes || info.Columns[len(info.Columns)-1].Name != "other" {
		t.Errorf("columns %+v, tiers %+v of %d bytes, %d pinned", info.Columns, info.Tiers, info.Bytes, after.PinnedBytes)
	}
	if _, err := json.Marshal(after.SearchLatency); err != nil {
		t.Error(err)
	}
}

// checkCounts compares the figures that are kept without reading documents with
// the documents.
func checkCounts(t *testing.T, col *engine.Collection, m model) {
	t.Helper()
	var tokens int64
	for _, d := range m {
		tokens += int64(d.Vectors.Len())
	}
	if info := col.Info(); info.Documents != int64(len(m)) || info.Tokens != tokens {
		t.Fatalf("info says %d documents and %d tokens, there are %d and %d", info.Documents, info.Tokens, len(m), tokens)
	}
}

// The output of a merge is pinned though there was no room for it while its inputs
// were in memory too.
func TestMergedSegmentIsPinned(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	o := &engine.Options{DisableAutoCompaction: true, SealAge: -1}
	fill := func(db *engine.Engine) *engine.Collection {
		col := mustCollection(t, db, engine.CollectionConfig{})
		for s := range 3 {
			docs := make([]engine.Document, 300)
			for i := range docs {
				docs[i] = document(r, s*1000+i)
			}
			if _, err := col.Upsert(ctx, docs...); err != nil {
				t.Fatal(err)
			}
			if err := db.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
		return col
	}
	db := mustOpen(t, vfs.NewMem(), o)
	fill(db)
	o.MemoryBudget = db.Metrics().PinnedBytes * 3 / 2
	mustClose(t, db)
	db = mustOpen(t, vfs.NewMem(), o)
	col := fill(db)
	if err := db.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); col.Info().UnpinnedColumns > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d columns are read from disk", col.Info().UnpinnedColumns)
		}
	}
	if m := db.Metrics(); m.PinnedBytes > m.PinBudget {
		t.Errorf("%d bytes are pinned, the budget is %d", m.PinnedBytes, m.PinBudget)
	}
	mustClose(t, db)
}
