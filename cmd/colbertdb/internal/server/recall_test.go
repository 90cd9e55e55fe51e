package server_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// share is the part of want that is in have.
func share(have []wire.Hit, want []string) float64 {
	n := 0
	for _, id := range want {
		if slices.ContainsFunc(have, func(h wire.Hit) bool { return h.ID == id }) {
			n++
		}
	}
	return float64(n) / float64(len(want))
}

func idsOf(hits []wire.Hit) (out []string) {
	for _, h := range hits {
		out = append(out, h.ID)
	}
	return out
}

// What the server says of the recall of live searches is what a client counts that
// makes each of them again exactly; of a collection with raw vectors, what one counts
// that compares with MaxSim of the vectors that it sent.
func TestLiveRecall(t *testing.T) {
	i := start(t, server.Options{RecallSample: 1})
	r := rand.New(rand.NewPCG(5, 8))
	i.do(201, "PUT", "/v1/collections/raw", wire.CollectionConfig{Dim: 16, RetainRaw: true}, nil)
	sent := map[string]engine.Matrix{}
	for from := 0; from < 2400; from += 800 { // below 2,048 documents every search is exact
		var up wire.Upsert
		for n := from; n < from+800; n++ {
			m := randomMatrix(r, 1+n%4)
			sent[fmt.Sprint(n)] = m
			up.Documents = append(up.Documents, wire.Document{ID: fmt.Sprint(n), Vectors: wire.Vectors{F32: wire.F32Bytes(m), Shape: []int{m.Len(), 16}}})
		}
		i.do(200, "POST", "/v1/collections/raw/documents", up, nil)
	}
	i.do(200, "POST", "/v1/collections/raw/compact", nil, nil)
	i.do(201, "PUT", "/v1/collections/small", nil, nil)
	i.fill("small", 20)

	const searches, k = 25, 8
	var candidate, raw float64
	for n := range searches {
		query := randomMatrix(r, 4)
		s := wire.Search{Vectors: wire.Vectors{Rows: wire.Rows{Matrix: query}}, K: k, NProbe: 3, NCandidates: 300, NFullScores: 60}
		if n%5 == 4 { // without the document that is the query
			id := fmt.Sprint(n)
			s, query = wire.Search{DocumentID: id, K: k, NProbe: 3, NCandidates: 300, NFullScores: 60}, sent[id]
		}
		var live, exact wire.SearchResult
		i.do(200, "POST", "/v1/collections/raw/search", s, &live)
		s.NProbe, s.NCandidates, s.NFullScores, s.Exact = 0, 0, 0, true
		i.do(200, "POST", "/v1/collections/raw/search", s, &exact) // is no sample itself
		candidate += share(live.Hits, idsOf(exact.Hits))
		best := make([]string, 0, len(sent))
		score := map[string]float64{}
		for id, m := range sent {
			if id != s.DocumentID {
				best = append(best, id)
				score[id] = maxSim(query, m)
			}
		}
		slices.SortFunc(best, func(a, b string) int { return cmp.Compare(score[b], score[a]) })
		raw += share(live.Hits, best[:k])
	}
	i.do(200, "POST", "/v1/collections/small/search", wire.Search{Text: "a store of vectors", K: 3}, nil)
	i.do(200, "POST", "/v1/collections/small/search:batch", wire.SearchBatch{Searches: wire.List[wire.Search]{{Text: "log", K: 2}, {Text: "files", K: 3}}}, nil)
	i.do(200, "POST", "/v1/collections/small/search", wire.Search{Text: "grouped", GroupBy: "n"}, nil) // has no k of documents
	if err := i.s.RepeatSearches(ctx); err != nil {
		t.Fatal(err)
	}

	var stats wire.CollectionStats
	i.do(200, "GET", "/v1/collections/raw/stats", nil, &stats)
	if len(stats.Live) != 1 {
		t.Fatalf("stats tell %+v", stats.Live)
	}
	got := stats.Live[0]
	candidate, raw = candidate/searches, raw/searches
	t.Logf("candidate recall@%d %.4f, recall@%d %.4f, told %+v", k, candidate, k, raw, got)
	if got.K != k || got.Samples != searches || math.Abs(got.CandidateRecall-candidate) > 1e-6 || math.Abs(got.Recall-raw) > 0.01 {
		t.Errorf("told %+v, counted %v and %v", got, candidate, raw)
	}
	if candidate > 0.99 || candidate < 0.1 {
		t.Errorf("candidate recall is %v: the test has no power", candidate)
	}
	var small wire.CollectionStats
	i.do(200, "GET", "/v1/collections/small/stats", nil, &small)
	if want := []wire.LiveRecall{{K: 2, Samples: 1, CandidateRecall: 1}, {K: 3, Samples: 2, CandidateRecall: 1}}; !slices.Equal(small.Live, want) {
		t.Errorf("told %+v, want %+v", small.Live, want)
	}
	_, b := i.send("GET", "/metrics", "", nil)
	for _, line := range []string{
		fmt.Sprintf(`colbertdb_live_candidate_recall_count{collection="raw",k="%d"} %d`, k, searches),
		fmt.Sprintf(`colbertdb_live_recall_count{collection="raw",k="%d"} %d`, k, searches),
		`colbertdb_live_candidate_recall_bucket{collection="small",k="3",le="1"} 2`,
		`colbertdb_live_candidate_recall_bucket{collection="small",k="3",le="0.99"} 0`,
		`colbertdb_live_recall_lost_total 0`,
	} {
		if !strings.Contains(string(b), line+"\n") {
			t.Errorf("the metrics have no %s", line)
		}
	}
	if strings.Contains(string(b), `colbertdb_live_recall_count{collection="small"`) {
		t.Error("recall is told of a collection without raw vectors")
	}
	i.do(204, "DELETE", "/v1/collections/small", nil, nil)
	if _, b := i.send("GET", "/metrics", "", nil); strings.Contains(string(b), `collection="small"`) {
		t.Error("a collection that is gone is told of")
	}
}

// A search that is made again is given up when somebody waits for a slot.
func TestLiveRecallGivesWay(t *testing.T) {
	m := newSlow()
	i := start(t, server.Options{Model: m, RecallSample: 1, Limits: server.Limits{Running: 1, Queued: 2}})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	i.fill("notes", 10)
	var users sync.WaitGroup
	search := func() {
		users.Go(func() { i.do(200, "POST", "/v1/collections/notes/search", `{"text": "a"}`, nil) })
	}
	search()
	<-m.waiting
	m.wait <- struct{}{}
	users.Wait()

	gave := make(chan error, 1)
	go func() { gave <- i.s.RepeatGivingWay(ctx) }()
	<-m.waiting
	search() // has the slot
	<-m.waiting
	search() // waits for it
	if err := <-gave; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	m.wait <- struct{}{}
	<-m.waiting
	m.wait <- struct{}{}
	users.Wait()
}

// Serve makes chosen searches again by itself.
func TestServeMeasuresRecall(t *testing.T) {
	i := start(t, server.Options{RecallSample: 1})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	i.fill("notes", 10)
	i.do(200, "POST", "/v1/collections/notes/search", wire.Search{Text: "log", K: 2}, nil)
	c, cancel := context.WithCancel(ctx)
	l, err := i.s.Listen(c, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- i.s.Serve(c, l) }()
	for stats := (wire.CollectionStats{}); len(stats.Live) == 0; time.Sleep(time.Millisecond) {
		i.do(200, "GET", "/v1/collections/notes/stats", nil, &stats)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
