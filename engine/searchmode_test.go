package engine_test

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
)

// modesFixture is a collection of text in segments and a buffer, with deletes.
func modesFixture(t *testing.T, seed uint64) (*engine.Engine, *engine.Collection, *textModel) {
	r := rand.New(rand.NewPCG(seed, 70))
	o := small()
	o.DisableAutoCompaction = true
	db := mustOpen(t, vfs.NewMem(), o)
	col := mustCollection(t, db, engine.CollectionConfig{Encoder: fake.New(dim)})
	m := newTextModel()
	for i := range 400 {
		d := engine.Document{ID: fmt.Sprintf("doc-%03d", r.IntN(300)), Text: randomText(r, 1+r.IntN(25)), Attributes: fmt.Appendf(nil, `{"n":%d,"third":%d}`, i, i%3)}
		if _, err := col.Upsert(ctx, d); err != nil {
			t.Fatal(err)
		}
		m.put(d.ID, d.Text)
		if i%120 == 50 {
			if err := col.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	return db, col, m
}

// maxSims are the MaxSim scores of all documents, by the search that scores each, and
// the number of the query's tokens.
func maxSims(t *testing.T, col *engine.Collection, query string) (map[string]float32, float64) {
	res, err := col.Search(ctx, engine.SearchRequest{Text: query, K: engine.MaxK, Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float32{}
	for _, h := range res.Hits {
		out[h.ID] = h.Score
	}
	return out, float64(len(res.QueryTokens))
}

// length is the Euclidean length of the weights of a query's terms.
func (x *textModel) length(query string) float64 {
	sum := 0.
	for _, term := range engine.AnalyzerEnglish.Query(query) {
		df := 0
		for _, text := range x.live {
			if slices.Contains(slices.Collect(engine.AnalyzerEnglish.Terms(text)), term.Text) {
				df++
			}
		}
		w := float64(term.Count) * math.Log1p((float64(len(x.live)-df)+.5)/(float64(df)+.5))
		sum += w * w
	}
	return math.Sqrt(sum)
}

func hitScores(hits []engine.Hit) (out []scoredID) {
	for _, h := range hits {
		out = append(out, scoredID{h.ID, h.Score})
	}
	return out
}

func byScore(a, b scoredID) int {
	return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.id, b.id))
}

// Rerank is MaxSim over the best by BM25.
func TestRerank(t *testing.T) {
	db, col, m := modesFixture(t, 1)
	r := rand.New(rand.NewPCG(2, 70))
	for i := range 20 {
		query := randomText(r, 1+r.IntN(6))
		sims, _ := maxSims(t, col, query)
		n := []int{0, 7, 60}[i%3]
		best := m.search(engine.AnalyzerEnglish, query, cmp.Or(n, 100), nil)
		for i := range best {
			best[i].score = sims[best[i].id]
		}
		slices.SortFunc(best, byScore)
		res, err := col.Search(ctx, engine.SearchRequest{Mode: engine.ModeRerank, Text: query, K: 5, NCandidates: n, Explain: true})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := hitScores(res.Hits), best[:min(5, len(best))]; !slices.Equal(got, want) {
			t.Fatalf("%q: %v, want %v", query, got, want)
		}
		if res.Scored != len(best) {
			t.Errorf("%q: %d scored, want %d", query, res.Scored, len(best))
		}
		for _, h := range res.Hits {
			if len(h.Explain.Sims) == 0 || len(h.Explain.Terms) == 0 {
				t.Fatalf("%q: %+v", query, h.Explain)
			}
		}
	}
	mustClose(t, db)
}

// Hybrid fuses the lists as its documentation says.
func TestHybrid(t *testing.T) {
	db, col, m := modesFixture(t, 3)
	r := rand.New(rand.NewPCG(4, 70))
	weight := 0.25
	for i := range 24 {
		query := randomText(r, 1+r.IntN(6))
		sims, tokens := maxSims(t, col, query)
		words := map[string]float32{}
		for _, s := range m.search(engine.AnalyzerEnglish, query, len(m.live), nil) {
			words[s.id] = s.score
		}
		const depth = 40
		var late []scoredID
		for id, s := range sims {
			late = append(late, scoredID{id, s})
		}
		slices.SortFunc(late, byScore)
		union := map[string]bool{}
		for _, s := range late[:depth] {
			union[s.id] = true
		}
		for _, s := range m.search(engine.AnalyzerEnglish, query, depth, nil) {
			union[s.id] = true
		}
		fusion := []engine.Fusion{{}, {Weight: &weight}, {RRF: true}, {RRF: true, RankConstant: 5}}[i%4]
		want := fused(union, sims, words, fusion, tokens, m.length(query))
		res, err := col.Search(ctx, engine.SearchRequest{Mode: engine.ModeHybrid, Text: query, NCandidates: depth, Fusion: fusion, Exact: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := hitScores(res.Hits); !slices.Equal(got, want[:10]) {
			t.Fatalf("%q, %+v:\n%v, want\n%v", query, fusion, got, want[:10])
		}
	}
	mustClose(t, db)
}

// fused is the fusion of two scores over some documents, best first.
func fused(ids map[string]bool, sims, words map[string]float32, f engine.Fusion, simUnit, wordUnit float64) (out []scoredID) {
	part := func(scores map[string]float32, w, unit float64) map[string]float64 {
		var list []scoredID
		for id := range ids {
			list = append(list, scoredID{id, scores[id]})
		}
		slices.SortFunc(list, byScore)
		out := map[string]float64{}
		for i, s := range list {
			if f.RRF {
				out[s.id] = 1 / (cmp.Or(f.RankConstant, 60) + float64(i+1))
			} else if unit > 0 {
				out[s.id] = w * (float64(s.score) / unit)
			}
		}
		return out
	}
	w := engine.DefaultFusionWeight
	if f.Weight != nil {
		w = *f.Weight
	}
	best := 0.
	for id := range ids {
		best = max(best, float64(sims[id]))
	}
	open := max(0, 1-best/simUnit)
	a, b := part(sims, w, simUnit), part(words, (1-w)*(open*open), wordUnit)
	for id := range ids {
		if f.RRF && words[id] == 0 {
			b[id] = 0
		}
		out = append(out, scoredID{id, float32(a[id] + b[id])})
	}
	slices.SortFunc(out, byScore)
	return out
}

// Filters, groups, a wait for a write and batches hold in every mode.
func TestModesWithEverything(t *testing.T) {
	db, col, m := modesFixture(t, 5)
	r := rand.New(rand.NewPCG(6, 70))
	f, err := engine.ParseFilter("third = 1 and n >= 100")
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{}
	page, err := col.Page(ctx, engine.PageOptions{Limit: 1000, Filter: f})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range page.Documents {
		allowed[d.ID] = true
	}
	if len(allowed) < 20 {
		t.Fatalf("%d documents are allowed", len(allowed))
	}
	seq, err := col.Upsert(ctx, engine.Document{ID: "new", Text: "unheard of", Attributes: []byte(`{"third":1,"n":1000}`)})
	if err != nil {
		t.Fatal(err)
	}
	m.put("new", "unheard of")
	allowed["new"] = true
	var reqs []engine.SearchRequest
	for i := range 16 {
		req := engine.SearchRequest{Mode: engine.Mode(i % 4), Text: "unheard " + randomText(r, 3), K: 8, Filter: f, MinSeq: seq, Exact: true}
		if i >= 8 {
			req.GroupBy, req.GroupSize, req.Filter = "third", 2, nil
		}
		reqs = append(reqs, req)
	}
	batch, err := col.SearchBatch(ctx, reqs)
	if err != nil {
		t.Fatal(err)
	}
	for i, req := range reqs {
		res, err := col.Search(ctx, req)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(hitScores(res.Hits), hitScores(batch[i].Hits)) {
			t.Errorf("%s: %v in a batch, %v alone", req.Mode, hitScores(batch[i].Hits), hitScores(res.Hits))
		}
		if req.GroupBy != "" {
			if n := len(res.Hits); n < 1 || n > 4 || len(res.Hits[0].Passages) < 1 || len(res.Hits[0].Passages) > 2 {
				t.Errorf("%s: groups %+v", req.Mode, res.Hits)
			}
			continue
		}
		for _, h := range res.Hits {
			if !allowed[h.ID] {
				t.Errorf("%s: %q is not allowed", req.Mode, h.ID)
			}
		}
		want := m.search(engine.AnalyzerEnglish, req.Text, 8, func(id string) bool { return allowed[id] })
		if req.Mode == engine.ModeBM25 && !slices.Equal(hitScores(res.Hits), want) {
			t.Errorf("%v, want %v", hitScores(res.Hits), want)
		}
	}
	mustClose(t, db)
}

// What a mode cannot do is said; in a batch, with the search's number.
func TestModesBadInput(t *testing.T) {
	db, col, _ := modesFixture(t, 7)
	r := rand.New(rand.NewPCG(8, 70))
	q := vectors(r, 3)
	two := 2.0
	for name, req := range map[string]engine.SearchRequest{
		"no mode":          {Mode: 9, Text: "x"},
		"no text":          {Mode: engine.ModeHybrid, Vectors: q},
		"vectors":          {Mode: engine.ModeBM25, Text: "x", Vectors: q},
		"weights":          {Mode: engine.ModeBM25, Text: "x", Weights: []float32{1}},
		"k1":               {Mode: engine.ModeBM25, Text: "x", BM25: &engine.BM25{K1: -1}},
		"b":                {Mode: engine.ModeRerank, Text: "x", BM25: &engine.BM25{B: 2}},
		"weight of MaxSim": {Mode: engine.ModeHybrid, Text: "x", Fusion: engine.Fusion{Weight: &two}},
		"rank constant":    {Mode: engine.ModeHybrid, Text: "x", Fusion: engine.Fusion{RankConstant: -1}},
		"K":                {Mode: engine.ModeBM25, Text: "x", K: -1},
	} {
		if _, err := col.Search(ctx, req); !errors.Is(err, engine.ErrInvalid) && !errors.Is(err, engine.ErrSearch) {
			t.Errorf("%s: %v", name, err)
		}
		_, err := col.SearchBatch(ctx, []engine.SearchRequest{{Text: "x"}, req})
		if err == nil || !strings.Contains(err.Error(), "search 1 of the batch") {
			t.Errorf("%s in a batch: %v", name, err)
		}
	}
	// Vectors that are given are not encoded, and BM25 needs no encoder.
	bare, err := db.Collection("test")
	if err != nil {
		t.Fatal(err)
	}
	for _, req := range []engine.SearchRequest{
		{Mode: engine.ModeBM25, Text: "term1"}, {Mode: engine.ModeRerank, Text: "term1", Vectors: q}, {Mode: engine.ModeHybrid, Text: "term1", Vectors: q},
	} {
		if res, err := bare.Search(ctx, req); err != nil || len(res.Hits) != 10 {
			t.Errorf("%s: %v", req.Mode, err)
		}
	}
	if _, err := bare.Search(ctx, engine.SearchRequest{Mode: engine.ModeRerank, Text: "term1"}); !errors.Is(err, engine.ErrNoEncoder) {
		t.Error(err)
	}
	for mode := engine.ModeLateInteraction; mode <= engine.ModeHybrid; mode++ {
		if got, err := engine.ParseMode(mode.String()); err != nil || got != mode {
			t.Errorf("%s is read as %s, %v", mode, got, err)
		}
	}
	if _, err := engine.ParseMode("words"); !errors.Is(err, engine.ErrSearch) {
		t.Error(err)
	}
	mustClose(t, db)
}
