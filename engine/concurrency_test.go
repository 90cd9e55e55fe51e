package engine_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Writers replace all documents of a group in one batch, each with the batch's
// version in its attributes; readers must never see two versions of a group,
// nor miss a document, while seals, training and merges go on.
func TestSearchesSeeWholeBatches(t *testing.T) {
	const groups, perGroup = 4, 5
	o := small()
	o.SealDocuments, o.TrainTokens = 30, 40
	db := mustOpen(t, vfs.NewMem(), o)
	defer mustClose(t, db)
	col := mustCollection(t, db, engine.CollectionConfig{})
	write := func(r *rand.Rand, group, version int) {
		batch := make([]engine.Document, perGroup)
		for i := range batch {
			batch[i] = engine.Document{
				ID: fmt.Sprintf("g%d-%d", group, i), Vectors: vectors(r, 1+r.IntN(5)),
				Attributes: json.RawMessage(fmt.Sprintf(`{"group":%d,"version":%d}`, group, version)),
			}
		}
		if _, err := col.Upsert(ctx, batch...); err != nil {
			t.Error(err)
		}
	}
	for g := range groups {
		write(rand.New(rand.NewPCG(1, uint64(g))), g, 0)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for g := range groups {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(2, uint64(g)))
			for v := 1; ; v++ {
				select {
				case <-stop:
					return
				default:
					write(r, g, v)
				}
			}
		})
	}
	var searches [3]atomic.Int64
	for reader := range searches {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(3, uint64(reader)))
			for ; ; searches[reader].Add(1) {
				select {
				case <-stop:
					return
				default:
				}
				res, err := col.Search(ctx, engine.SearchRequest{Vectors: vectors(r, 3), K: 100, Exact: true})
				if err != nil {
					t.Error(err)
					return
				}
				versions := map[int]int{}
				for _, h := range res.Hits {
					var a struct{ Group, Version int }
					if err := json.Unmarshal(h.Attributes, &a); err != nil {
						t.Error(err)
						return
					}
					if v, ok := versions[a.Group]; ok && v != a.Version {
						t.Errorf("group %d: versions %d and %d in one search", a.Group, v, a.Version)
						return
					}
					versions[a.Group] = a.Version
				}
				if len(res.Hits) != groups*perGroup {
					t.Errorf("%d hits, want %d", len(res.Hits), groups*perGroup)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				if err := col.Compact(ctx); err != nil {
					t.Error(err)
				}
			}
		}
	})
	time.Sleep(4 * time.Second)
	eventually(t, "searches of every reader beside seals, merges and a training", func() bool {
		m := db.Metrics()
		return m.Seals > 0 && m.Merges > 0 && m.Trainings > 0 && fewest(&searches) >= 10
	})
	close(stop)
	wg.Wait()
}

// fewest is the least of some counters.
func fewest(counters *[3]atomic.Int64) int64 {
	least := counters[0].Load()
	for i := range counters {
		least = min(least, counters[i].Load())
	}
	return least
}
