package engine_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/colbertdb-go/colbertdb/engine"
)

// BenchmarkUpsert measures sustained durable upserts (SyncAlways, on the disk
// that TMPDIR is on): documents of 120 token vectors of 128 dimensions and 600
// bytes of text, one an Upsert, seals and merges included. Run it long enough
// for these: -benchtime 20000x.
func BenchmarkUpsert(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			db, err := engine.Open(ctx, b.TempDir(), nil)
			if err != nil {
				b.Fatal(err)
			}
			col, err := db.CreateCollection(ctx, "bench", engine.CollectionConfig{Dim: 128, Profile: engine.Balanced})
			if err != nil {
				b.Fatal(err)
			}
			const tokens = 120
			r := rand.New(rand.NewPCG(91, 1))
			topics := make([]float32, 512*128)
			for i := range topics {
				topics[i] = float32(r.NormFloat64())
			}
			text := string(make([]byte, 600))
			docs := make([]engine.Document, 256)
			for i := range docs {
				m := engine.Matrix{Dim: 128, Data: make([]float32, tokens*128)}
				for t := range tokens {
					at := r.IntN(512) * 128
					for d := range 128 {
						m.Data[t*128+d] = topics[at+d] + 0.5*float32(r.NormFloat64())
					}
				}
				docs[i] = engine.Document{Vectors: m, Text: text}
			}
			b.SetBytes(tokens * 128 * 2)
			b.ResetTimer()
			var next atomic.Int64
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for {
						n := int(next.Add(1)) - 1
						if n >= b.N {
							return
						}
						d := docs[n%len(docs)]
						d.ID = fmt.Sprintf("%09d", n)
						if _, err := col.Upsert(ctx, d); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			m := db.Metrics()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "upserts/s")
			b.ReportMetric(float64(m.LogSyncs)/float64(b.N), "fsyncs/op")
			b.ReportMetric(m.WriteAmplification(), "written/given")
			b.ReportMetric(m.Stalled.Seconds(), "stalled-s")
			if err := db.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
