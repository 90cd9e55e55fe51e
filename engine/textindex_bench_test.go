package engine_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
)

// BenchmarkBM25 searches the texts of all shared collections, more than 100,000, in
// one collection by the queries of some of them: claims of ten words and questions of
// a hundred. The vectors stand for none. It reports the median and the 99th
// percentile of a search, and what the index takes.
//
//	go test ./engine -run XXX -bench BM25 -benchtime 3000x
func BenchmarkBM25(b *testing.B) {
	dir := filepath.Join("..", "..", "shared", "data")
	read := func(name string, f func(id, text string)) {
		file, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			b.Skipf("no shared data: %v", err)
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 64<<20)
		for lines.Scan() {
			var r struct {
				ID    string `json:"_id"`
				Title string `json:"title"`
				Text  string `json:"text"`
			}
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
				b.Fatal(err)
			}
			f(r.ID, r.Title+" "+r.Text)
		}
	}
	vector := engine.Matrix{Dim: 8, Data: []float32{1, 0, 0, 0, 0, 0, 0, 0}}
	load := func(analyzer engine.Analyzer) (db *engine.Engine, col *engine.Collection, docs int, took time.Duration) {
		db, err := engine.OpenMem(&engine.Options{TrainTokens: 1 << 40})
		if err != nil {
			b.Fatal(err)
		}
		if col, err = db.CreateCollection(ctx, "words", engine.CollectionConfig{Dim: 8, TextIndex: analyzer}); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		l, err := col.Bulk(ctx, engine.BulkOptions{})
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range []string{"scifact", "cranfield", "cisi", "vaswani", "msmarco-dl19-20-pool", "medquad", "miracl-yo"} {
			read(filepath.Join(c, "corpus.jsonl"), func(id, text string) {
				docs++
				if err := l.Add(ctx, engine.Document{ID: c + "/" + id, Text: text, Vectors: vector}); err != nil {
					b.Fatal(err)
				}
			})
		}
		if err := errors.Join(l.Commit(ctx), l.Close()); err != nil {
			b.Fatal(err)
		}
		return db, col, docs, time.Since(start)
	}
	plain, _, _, without := load(engine.AnalyzerNone)
	if err := plain.Close(); err != nil {
		b.Fatal(err)
	}
	db, col, docs, with := load(engine.AnalyzerEnglish)
	defer db.Close()
	info, err := col.TextIndex()
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []string{"scifact", "cisi", "msmarco-dl19-20-pool"} {
		var queries []string
		read(filepath.Join(c, "queries.jsonl"), func(_, text string) { queries = append(queries, text) })
		b.Run(c, func(b *testing.B) {
			var took []time.Duration
			for i := range b.N {
				res, err := col.Search(ctx, engine.SearchRequest{Mode: engine.ModeBM25, Text: queries[i%len(queries)]})
				if err != nil {
					b.Fatal(err)
				}
				took = append(took, res.Took)
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(docs), "documents")
			b.ReportMetric(float64(info.Bytes)/float64(docs), "bytes/doc")
			b.ReportMetric(float64((with-without).Microseconds())/float64(docs), "load-µs/doc")
		})
	}
}
