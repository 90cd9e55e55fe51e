package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

// paragraphs are real text: those of the project's documents.
var paragraphs = func() (out []string) {
	paths, _ := filepath.Glob("../../../../docs/*.md")
	slices.Sort(paths)
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			panic(err)
		}
		for text := range strings.SplitSeq(string(b), "\n\n") {
			if len(text) > 80 {
				out = append(out, text)
			}
		}
	}
	return out
}()

const dim = 64

// instance is a server under test with the store behind it.
type instance struct {
	t    testing.TB
	db   *engine.Engine
	s    *server.Server
	url  string
	key  string
	http *http.Client
}

// start starts a server with a fake model, unless o has one, on a store in memory.
func start(t testing.TB, o server.Options) *instance {
	t.Helper()
	db, err := engine.OpenMem(&engine.Options{SealDocuments: 40, TrainTokens: 3000, TrainSample: 20000})
	if err != nil {
		t.Fatal(err)
	}
	return startOn(t, db, o)
}

func startOn(t testing.TB, db *engine.Engine, o server.Options) *instance {
	t.Helper()
	if o.Model == nil {
		o.Model = fake.New(dim)
	}
	s, err := server.New(db, o)
	if err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(s.Handler())
	i := &instance{t: t, db: db, s: s, url: hs.URL, http: hs.Client()}
	t.Cleanup(func() {
		hs.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		r, err := db.Verify(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range r.Problems {
			t.Error(p)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// send sends a request and returns the answer with its body.
func (i *instance) send(method, path, contentType string, body []byte, headers ...string) (*http.Response, []byte) {
	i.t.Helper()
	r, err := http.NewRequest(method, i.url+path, bytes.NewReader(body))
	if err != nil {
		i.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if i.key != "" {
		r.Header.Set("Authorization", "Bearer "+i.key)
	}
	for n := 0; n+1 < len(headers); n += 2 {
		r.Header.Set(headers[n], headers[n+1])
	}
	resp, err := i.http.Do(r)
	if err != nil {
		i.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	return resp, b
}

// do sends JSON, wants a status and reads the answer.
func (i *instance) do(status int, method, path string, body, out any, headers ...string) {
	i.t.Helper()
	var b []byte
	contentType := ""
	switch v := body.(type) {
	case nil:
	case string:
		b, contentType = []byte(v), "application/json"
	default:
		var err error
		if b, err = json.Marshal(v); err != nil {
			i.t.Fatal(err)
		}
		contentType = "application/json"
	}
	resp, answer := i.send(method, path, contentType, b, headers...)
	if resp.StatusCode != status {
		i.t.Fatalf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, status, answer)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			i.t.Fatalf("%s %s: %v: %s", method, path, err, answer)
		}
	}
}

// wantError wants an error of a kind.
func (i *instance) wantError(status int, kind, method, path string, body any, headers ...string) {
	i.t.Helper()
	var e wire.Error
	i.do(status, method, path, body, &e, headers...)
	if e.Type != kind || e.Code != status || e.Message == "" || e.Detail != e.Message || e.Error != e.Message || e.RequestID == "" {
		i.t.Fatalf("%s %s: error %+v, want kind %s", method, path, e, kind)
	}
}

func document(n int) wire.Document {
	return wire.Document{
		ID: fmt.Sprintf("doc/%03d?", n), Text: paragraphs[n%len(paragraphs)],
		Attributes: json.RawMessage(fmt.Sprintf(`{"n":%d,"even":%t,"tag":"t%d"}`, n, n%2 == 0, n%7)),
	}
}

// A random life of a collection over HTTP: what the server says is what the model,
// a map, and the engine beside it say.
func TestLifeOfACollection(t *testing.T) {
	i := start(t, server.Options{})
	var c wire.Collection
	i.do(201, "PUT", "/v1/collections/notes", nil, &c)
	if c.Dim != dim || c.Model == nil || c.Model.Name != "fake-64" || c.Profile != "exact" {
		t.Fatalf("created %+v", c)
	}
	i.do(200, "PUT", "/v1/collections/notes", wire.CollectionConfig{Model: "fake-64"}, nil)
	i.wantError(409, "collection_exists", "PUT", "/v1/collections/notes", wire.CollectionConfig{Profile: "compact"})
	i.wantError(409, "collection_exists", "PUT", "/v1/collections/notes", wire.CollectionConfig{Dim: dim})
	col, err := i.db.Collection("notes", engine.WithEncoder(fake.New(dim)))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(8, 1))
	model := map[string]wire.Document{}
	for step := range 60 {
		switch r.IntN(6) {
		case 0:
			d := document(r.IntN(200))
			var res wire.DeleteResult
			i.do(200, "DELETE", "/v1/collections/notes/documents/"+escape(d.ID), nil, &res)
			if _, there := model[d.ID]; (res.Deleted == 1) != there {
				t.Fatalf("deleted %d of %q, there: %t", res.Deleted, d.ID, there)
			}
			delete(model, d.ID)
		case 1:
			n := r.IntN(200)
			var res wire.DeleteResult
			i.do(200, "POST", "/v1/collections/notes/documents:delete", fmt.Sprintf(`{"filter":"n >= %d and n < %d"}`, n, n+4), &res)
			gone := 0
			for m := n; m < n+4; m++ {
				if _, there := model[document(m).ID]; there {
					delete(model, document(m).ID)
					gone++
				}
			}
			if res.Deleted != gone {
				t.Fatalf("deleted %d by filter, want %d", res.Deleted, gone)
			}
		default:
			var up wire.Upsert
			for range 1 + r.IntN(12) {
				d := document(r.IntN(200))
				up.Documents = append(up.Documents, d)
				model[d.ID] = d
			}
			var res wire.UpsertResult
			i.do(200, "POST", "/v1/collections/notes/documents", up, &res)
			if res.Upserted != len(up.Documents) || res.Seq == 0 {
				t.Fatalf("upsert answered %+v", res)
			}
			last := up.Documents[len(up.Documents)-1]
			var found wire.SearchResult
			i.do(200, "POST", "/v1/collections/notes/search", wire.Search{Text: last.Text, K: 3, MinSeq: res.Seq}, &found)
			if found.Seq < res.Seq || len(found.Hits) == 0 {
				t.Fatalf("a search after change %d saw %d", res.Seq, found.Seq)
			}
		}
		if step%6 != 0 {
			continue
		}
		i.checkDocuments(model)
		query := words(paragraphs[r.IntN(len(paragraphs))], 8)
		for _, f := range []string{"", "even = true"} {
			s := wire.Search{Text: query, K: 7, Offset: 2}
			req := engine.SearchRequest{Text: query, K: 9}
			if f != "" {
				s.Filter = &wire.Filter{Filter: mustFilter(t, f)}
				req.Filter = s.Filter.Filter
			}
			var got wire.SearchResult
			i.do(200, "POST", "/v1/collections/notes/search", s, &got)
			want, err := col.Search(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Hits) != max(0, len(want.Hits)-2) {
				t.Fatalf("%d hits after an offset of 2, the engine has %d", len(got.Hits), len(want.Hits))
			}
			for n, h := range got.Hits {
				w := want.Hits[n+2]
				if h.ID != w.ID || h.Score != w.Score || h.Rank != w.Rank || h.Text != w.Text || string(h.Attributes) != string(w.Attributes) {
					t.Fatalf("hit %+v, the engine has %+v", h, w)
				}
				if h.Text != model[h.ID].Text {
					t.Fatalf("hit %q has a text that was never stored", h.ID)
				}
			}
		}
	}
	var list wire.Collections
	i.do(200, "GET", "/v1/collections", nil, &list)
	if len(list.Collections) != 1 || list.Collections[0].Documents != int64(len(model)) {
		t.Fatalf("listed %+v, want %d documents", list, len(model))
	}
	i.do(200, "POST", "/v1/collections/notes/compact", nil, nil)
	i.do(200, "GET", "/v1/collections/notes/stats", nil, nil)
	i.checkDocuments(model)
	i.do(204, "DELETE", "/v1/collections/notes", nil, nil)
	i.wantError(404, "collection_not_found", "GET", "/v1/collections/notes", nil)
}

// checkDocuments compares what scrolling and getting give with the model.
func (i *instance) checkDocuments(model map[string]wire.Document) {
	i.t.Helper()
	seen := map[string]bool{}
	for cursor := ""; ; {
		var p wire.Page
		i.do(200, "GET", "/v1/collections/notes/documents?limit=17&cursor="+cursor, nil, &p)
		for _, d := range p.Documents {
			w, there := model[d.ID]
			if !there || seen[d.ID] || d.Text != w.Text || string(d.Attributes) != string(w.Attributes) {
				i.t.Fatalf("scrolled to %+v, the model has %+v (there: %t, seen: %t)", d, w, there, seen[d.ID])
			}
			seen[d.ID] = true
		}
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	if len(seen) != len(model) {
		i.t.Fatalf("scrolled over %d documents, the model has %d", len(seen), len(model))
	}
	for id, w := range model {
		var d wire.Document
		i.do(200, "GET", "/v1/collections/notes/documents/"+escape(id), nil, &d)
		if d.ID != id || d.Text != w.Text {
			i.t.Fatalf("got %+v", d)
		}
		break
	}
	i.wantError(404, "not_found", "GET", "/v1/collections/notes/documents/never", nil)
}

func mustFilter(t testing.TB, s string) *engine.Filter {
	t.Helper()
	f, err := engine.ParseFilter(s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func escape(id string) string {
	return strings.NewReplacer("/", "%2F", "?", "%3F", "#", "%23").Replace(id)
}

// words are the first n words of a text.
func words(text string, n int) string {
	f := strings.Fields(text)
	return strings.Join(f[:min(n, len(f))], " ")
}

// Scores over HTTP are MaxSim of the vectors that were sent, in every form in which
// vectors can be sent.
func TestVectorsAndScores(t *testing.T) {
	i := start(t, server.Options{})
	i.do(201, "PUT", "/v1/collections/v", wire.CollectionConfig{Dim: 16, RetainRaw: true}, nil)
	r := rand.New(rand.NewPCG(9, 1))
	docs := map[string]engine.Matrix{}
	for n := range 60 {
		m := randomMatrix(r, 1+r.IntN(9))
		id := fmt.Sprintf("d%02d", n)
		docs[id] = m
		d := wire.Document{ID: id}
		switch n % 5 {
		case 0:
			d.Rows = wire.Rows{Matrix: m}
		case 1:
			d.F32, d.Shape = wire.F32Bytes(m), []int{m.Len(), 16}
		case 2:
			d.NPY = npyFile(m)
		case 3:
			i.sendMatrix(200, "PUT", "/v1/collections/v/documents/"+id, "application/x-npy", npyFile(m))
			continue
		case 4:
			i.sendMatrix(200, "PUT", "/v1/collections/v/documents/"+id+"?dim=16&dtype=f32&text=hello&attributes=%7B%22a%22:1%7D", "application/octet-stream", wire.F32Bytes(m))
			continue
		}
		i.do(200, "POST", "/v1/collections/v/documents", wire.Upsert{Documents: []wire.Document{d}}, nil)
	}
	query := randomMatrix(r, 5)
	var got wire.SearchResult
	i.do(200, "POST", "/v1/collections/v/search", wire.Search{Vectors: wire.Vectors{Rows: wire.Rows{Matrix: query}}, K: 60, Exact: true}, &got)
	if len(got.Hits) != 60 {
		t.Fatalf("%d hits", len(got.Hits))
	}
	last := math.Inf(1)
	for _, h := range got.Hits {
		want := maxSim(query, docs[h.ID])
		if math.Abs(float64(h.Score)-want) > 2e-3 || float64(h.Score) > last {
			t.Errorf("%s: score %g, MaxSim is %g, the hit before has %g", h.ID, h.Score, want, last)
		}
		if math.Abs(float64(h.ScoreNorm)-want/5) > 1e-3 {
			t.Errorf("%s: score_norm %g, want %g", h.ID, h.ScoreNorm, want/5)
		}
		last = float64(h.Score)
	}
	b := i.sendMatrix(200, "POST", "/v1/collections/v/search?k=60&exact=true&include=attributes&dim=16&dtype=f32", "application/octet-stream", wire.F32Bytes(query))
	var binary wire.SearchResult
	if err := json.Unmarshal(b, &binary); err != nil {
		t.Fatal(err)
	}
	for n, h := range binary.Hits {
		if h.ID != got.Hits[n].ID || h.Score != got.Hits[n].Score || h.Text != "" {
			t.Fatalf("hit %d of the binary query is %+v, want %+v", n, h, got.Hits[n])
		}
	}
	// A document as the query finds its neighbours and not itself.
	var near wire.SearchResult
	i.do(200, "POST", "/v1/collections/v/search", wire.Search{DocumentID: "d07", K: 59, Exact: true}, &near)
	if len(near.Hits) != 59 || slices.ContainsFunc(near.Hits, func(h wire.Hit) bool { return h.ID == "d07" }) {
		t.Fatalf("d07 as the query has %d hits", len(near.Hits))
	}
	// What was stored comes back.
	var d wire.Document
	i.do(200, "GET", "/v1/collections/v/documents/d04?vectors=true", nil, &d)
	if d.Text != "hello" || string(d.Attributes) != `{"a":1}` || maxDifference(d.Rows.Matrix, docs["d04"]) > 2e-3 {
		t.Fatalf("d04 came back as %+v", d)
	}
	resp, raw := i.send("GET", "/v1/collections/v/documents/d04", "", nil, "Accept", "application/octet-stream")
	back, err := wire.Binary("f32", []int{-1, 16}, raw)
	if err != nil || resp.Header.Get("X-Shape") != fmt.Sprintf("%d,16", back.Len()) || maxDifference(back, docs["d04"]) > 2e-3 {
		t.Fatalf("d04 came back as %v, %v", resp.Header, err)
	}
	// A text needs a model, which a collection of vectors does not have.
	i.wantError(422, "no_model", "POST", "/v1/collections/v/search", wire.Search{Text: "words"})
	i.wantError(422, "no_model", "POST", "/v1/collections/v/documents", `{"documents":[{"id":"a","text":"words"}]}`)
}

func (i *instance) sendMatrix(status int, method, path, contentType string, b []byte) []byte {
	i.t.Helper()
	resp, answer := i.send(method, path, contentType, b)
	if resp.StatusCode != status {
		i.t.Fatalf("%s %s: %d: %s", method, path, resp.StatusCode, answer)
	}
	return answer
}

func randomMatrix(r *rand.Rand, tokens int) engine.Matrix {
	m := engine.Matrix{Dim: 16, Data: make([]float32, 16*tokens)}
	for t := range tokens {
		norm := 0.0
		for d := range 16 {
			x := r.NormFloat64()
			m.Row(t)[d] = float32(x)
			norm += x * x
		}
		for d := range 16 {
			m.Row(t)[d] /= float32(math.Sqrt(norm))
		}
	}
	return m
}

func maxSim(q, d engine.Matrix) (sum float64) {
	for i := range q.Len() {
		best := math.Inf(-1)
		for j := range d.Len() {
			dot := 0.0
			for k := range q.Dim {
				dot += float64(q.Row(i)[k]) * float64(d.Row(j)[k])
			}
			best = max(best, dot)
		}
		sum += best
	}
	return sum
}

func maxDifference(a, b engine.Matrix) (most float64) {
	if len(a.Data) != len(b.Data) {
		return math.Inf(1)
	}
	for i := range a.Data {
		most = max(most, math.Abs(float64(a.Data[i]-b.Data[i])))
	}
	return most
}

// npyFile is a NumPy file of float32.
func npyFile(m engine.Matrix) []byte {
	head := fmt.Sprintf("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", m.Len(), m.Dim)
	head += strings.Repeat(" ", 117-len(head)) + "\n"
	return append([]byte("\x93NUMPY\x01\x00"+string([]byte{byte(len(head)), 0})+head), wire.F32Bytes(m)...)
}

// The words that matched, which token matched which, how the filter was evaluated:
// all as the engine says.
func TestExplainAndHighlights(t *testing.T) {
	i := start(t, server.Options{})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	text := "Amber lamps hang above the quiet harbour, and none of them was lit."
	i.do(200, "PUT", "/v1/collections/notes/documents/a", wire.Document{Text: text, Attributes: json.RawMessage(`{"year":2020}`)}, nil)
	var got wire.SearchResult
	i.do(200, "POST", "/v1/collections/notes/search",
		`{"text":"harbour lamps","explain":true,"include":["highlights"],"filter":{"gte":{"year":2000}}}`, &got)
	h := got.Hits[0]
	if h.Text != "" || h.Attributes != nil || len(h.Highlights) != 2 || len(h.Explain) != 2 {
		t.Fatalf("hit %+v", h)
	}
	var marked []string
	for _, m := range h.Highlights {
		marked = append(marked, text[m.Start:m.End])
	}
	if !slices.Equal(marked, []string{"lamps", "harbour"}) {
		t.Errorf("highlighted %q", marked)
	}
	sum := float32(0)
	for _, m := range h.Explain {
		if text[m.Start:m.End] != m.Query {
			t.Errorf("query token %q matched %q", m.Query, text[m.Start:m.End])
		}
		sum += m.Similarity * m.Weight
	}
	if math.Abs(float64(sum-h.Score)) > 1e-4 {
		t.Errorf("the explanation adds up to %g, the score is %g", sum, h.Score)
	}
	if f := got.Filter; f == nil || f.Matches != 1 || f.Scanned != 1 || f.Conditions[0].Indexed != 0 {
		t.Errorf("a filter without an index: %+v", f)
	}
	i.do(200, "POST", "/v1/collections/notes/indexes", wire.Paths{Paths: []string{"year"}}, nil)
	var indexes wire.Indexes
	i.do(200, "GET", "/v1/collections/notes/indexes", nil, &indexes)
	if len(indexes.Indexes) != 1 || indexes.Indexes[0].Path != "year" {
		t.Fatalf("indexes %+v", indexes)
	}
	i.do(200, "POST", "/v1/collections/notes/search", `{"text":"lamps","explain":true,"filter":"year >= 2000"}`, &got)
	if f := got.Filter; f == nil || f.Matches != 1 || f.Scanned != 0 || f.Conditions[0].Indexed != 1 {
		t.Errorf("a filter with an index: %+v", f)
	}
	i.do(200, "DELETE", "/v1/collections/notes/indexes", wire.Paths{Paths: []string{"year"}}, &indexes)
	if len(indexes.Indexes) != 0 {
		t.Errorf("a dropped index is listed: %+v", indexes)
	}
}

// Searches by words: a default index, the other modes, what is refused.
func TestModes(t *testing.T) {
	i := start(t, server.Options{})
	i.do(201, "PUT", "/v1/collections/notes", wire.CollectionConfig{TextIndex: "plain"}, nil)
	i.do(200, "PUT", "/v1/collections/notes/documents/a", `{"text":"the lamps of a harbour"}`, nil)
	i.do(200, "PUT", "/v1/collections/notes/documents/b", `{"text":"a storm"}`, nil)
	var indexes wire.Indexes
	i.do(200, "GET", "/v1/collections/notes/indexes", nil, &indexes)
	if x := indexes.Text; x == nil || x.Analyzer != "plain" || len(indexes.Indexes) != 0 {
		t.Errorf("%+v", indexes)
	}
	var got wire.SearchResult
	i.do(200, "POST", "/v1/collections/notes/search", `{"text":"harbour lamp","mode":"bm25","explain":true}`, &got)
	if len(got.Hits) != 1 || got.Hits[0].ID != "a" || got.Hits[0].ScoreNorm != 0 || len(got.Hits[0].Terms) != 1 || got.Hits[0].Terms[0].Term != "harbour" {
		t.Errorf("bm25: %+v", got.Hits)
	}
	i.do(200, "POST", "/v1/collections/notes/indexes", wire.Paths{Text: "english"}, &indexes)
	if indexes.Text.Analyzer != "english" {
		t.Errorf("%+v", indexes.Text)
	}
	for mode, hits := range map[string]int{"bm25": 1, "rerank": 1, "hybrid": 2, "late-interaction": 2} {
		got = wire.SearchResult{}
		i.do(200, "POST", "/v1/collections/notes/search", fmt.Sprintf(`{"text":"harbour lamp","mode":%q,"explain":true}`, mode), &got)
		terms := 0
		for _, h := range got.Hits {
			terms += len(h.Terms)
		}
		if len(got.Hits) != hits || (mode != "late-interaction") != (terms == 2) {
			t.Errorf("%s: %+v", mode, got.Hits)
		}
	}
	i.wantError(422, "invalid", "POST", "/v1/collections/notes/search", `{"vectors":[[1,0]],"mode":"hybrid"}`)
	i.wantError(404, "not_found", "DELETE", "/v1/collections/notes/indexes", wire.Paths{Text: "plain"})
	i.do(200, "DELETE", "/v1/collections/notes/indexes", wire.Paths{Text: "english"}, nil)
	i.wantError(422, "invalid", "POST", "/v1/collections/notes/search", `{"text":"storm","mode":"bm25"}`)
	i.wantError(422, "invalid", "PUT", "/v1/collections/other", wire.CollectionConfig{TextIndex: "latin"})
}

// A batch of searches has the results of the single ones.
func TestSearchBatch(t *testing.T) {
	i := start(t, server.Options{})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	i.fill("notes", 90)
	var batch wire.SearchBatch
	for n := range 20 {
		s := wire.Search{Text: words(paragraphs[n], 6), K: 5}
		if n%2 == 0 {
			s.Filter = &wire.Filter{Filter: mustFilter(t, "even = true")}
		}
		batch.Searches = append(batch.Searches, s)
	}
	var got wire.SearchBatchResult
	i.do(200, "POST", "/v1/collections/notes/search:batch", batch, &got)
	if len(got.Results) != 20 {
		t.Fatalf("%d results", len(got.Results))
	}
	for n, s := range batch.Searches {
		var one wire.SearchResult
		i.do(200, "POST", "/v1/collections/notes/search", s, &one)
		for h := range one.Hits {
			if a, b := one.Hits[h], got.Results[n].Hits[h]; a.ID != b.ID || a.Score != b.Score {
				t.Fatalf("search %d, hit %d: %s %g alone, %s %g in the batch", n, h, a.ID, a.Score, b.ID, b.Score)
			}
		}
	}
	i.wantError(413, "too_large", "POST", "/v1/collections/notes/search:batch", `{"searches":[]}`)
}

// fill upserts documents 0 to n.
func (i *instance) fill(collection string, n int) {
	i.t.Helper()
	var up wire.Upsert
	for d := range n {
		up.Documents = append(up.Documents, document(d))
	}
	i.do(200, "POST", "/v1/collections/"+collection+"/documents", up, nil)
}

// A repeated write with an idempotency key changes nothing and gets the same
// answer; another write with it is refused.
func TestIdempotencyKey(t *testing.T) {
	i := start(t, server.Options{})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	up := wire.Upsert{Documents: []wire.Document{document(1), document(2)}}
	var first, again wire.UpsertResult
	i.do(200, "POST", "/v1/collections/notes/documents", up, &first, "Idempotency-Key", "k1")
	i.do(200, "POST", "/v1/collections/notes/documents", up, &again, "Idempotency-Key", "k1")
	if first.Seq != again.Seq || i.db.Seq() != first.Seq {
		t.Errorf("change %d, then %d; the store is at %d", first.Seq, again.Seq, i.db.Seq())
	}
	up.Documents = up.Documents[:1]
	i.wantError(409, "idempotency_conflict", "POST", "/v1/collections/notes/documents", up, "Idempotency-Key", "k1")
	i.do(200, "POST", "/v1/collections/notes/documents:delete", wire.Delete{IDs: []string{document(1).ID}}, nil, "Idempotency-Key", "k2")
	var res wire.DeleteResult
	i.do(200, "POST", "/v1/collections/notes/documents:delete", wire.Delete{IDs: []string{document(1).ID}}, &res, "Idempotency-Key", "k2")
	if res.Deleted != 1 {
		t.Errorf("the repetition says that %d were deleted", res.Deleted)
	}
}

// A document longer than the model's window is stored, and the answer says so.
func TestTruncatedIsTold(t *testing.T) {
	i := start(t, server.Options{})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	long := strings.Repeat("word ", 300) // the fake model has a window of 256
	var res wire.UpsertResult
	i.do(200, "POST", "/v1/collections/notes/documents", wire.Upsert{Documents: []wire.Document{
		{ID: "short", Text: "a short text"}, {ID: "vectors", Text: long, Vectors: wire.Vectors{Rows: wire.Rows{Matrix: engine.Matrix{Dim: dim, Data: slices.Repeat([]float32{1}, dim)}}}},
		{ID: "long", Text: long},
	}}, &res)
	if len(res.Truncated) != 1 || res.Truncated[0] != (wire.Truncated{ID: "long", Tokens: 44}) {
		t.Errorf("truncated: %+v", res.Truncated)
	}
}

// Aliases lead searches to where they point, and purges erase.
func TestAliasesAndPurge(t *testing.T) {
	i := start(t, server.Options{})
	i.do(201, "PUT", "/v1/collections/docs-1", nil, nil)
	i.fill("docs-1", 10)
	i.do(200, "PUT", "/v1/aliases/docs", wire.SetAlias{Collection: "docs-1"}, nil)
	var got wire.SearchResult
	i.do(200, "POST", "/v1/collections/docs/search", wire.Search{Text: paragraphs[3], K: 1}, &got)
	if got.Hits[0].ID != document(3).ID {
		t.Errorf("found %q", got.Hits[0].ID)
	}
	i.wantError(409, "in_use", "DELETE", "/v1/collections/docs-1", nil)
	var purged wire.PurgeResult
	i.do(200, "POST", "/v1/collections/docs/documents:purge", wire.Delete{IDs: []string{document(3).ID}}, &purged)
	if purged.Deleted != 1 {
		t.Errorf("purged %+v", purged)
	}
	i.do(204, "DELETE", "/v1/aliases/docs", nil, nil)
	i.wantError(404, "collection_not_found", "GET", "/v1/collections/docs", nil)
}

// A snapshot opens as a store with what was there when it was made.
func TestSnapshots(t *testing.T) {
	dir := t.TempDir()
	db, err := engine.Open(ctx, filepath.Join(dir, "db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	i := startOn(t, db, server.Options{Snapshots: filepath.Join(dir, "snapshots")})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	i.fill("notes", 20)
	var made wire.Snapshot
	i.do(201, "POST", "/v1/snapshots", wire.NewSnapshot{Name: "monday"}, &made)
	i.do(200, "DELETE", "/v1/collections/notes/documents/"+escape(document(3).ID), nil, nil)
	i.wantError(409, "snapshot_exists", "POST", "/v1/snapshots", wire.NewSnapshot{Name: "monday"})
	for _, name := range []string{"../x", "..", "a/b", "A", "monday.gone", strings.Repeat("a", 64), "mönday", "a\x00"} {
		i.wantError(422, "invalid", "POST", "/v1/snapshots", wire.NewSnapshot{Name: name})
	}
	var list wire.Snapshots
	i.do(200, "GET", "/v1/snapshots", nil, &list)
	if len(list.Snapshots) != 1 || list.Snapshots[0] != made || made.Seq == 0 {
		t.Fatalf("listed %+v, made %+v", list, made)
	}
	snap, err := engine.Open(ctx, filepath.Join(dir, "snapshots", "monday"), &engine.Options{ReadOnly: true, MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	col, err := snap.Collection("notes")
	if err != nil {
		t.Fatal(err)
	}
	if d, err := col.Get(ctx, document(3).ID); err != nil || d.Text != document(3).Text {
		t.Errorf("the snapshot has %+v, %v", d, err)
	}
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
	i.do(204, "DELETE", "/v1/snapshots/monday", nil, nil)
	i.wantError(404, "not_found", "DELETE", "/v1/snapshots/monday", nil)
	if entries, err := os.ReadDir(filepath.Join(dir, "snapshots")); err != nil || len(entries) != 0 {
		t.Errorf("the folder has %v, %v", entries, err)
	}
}

// slowModel is a model that takes its time, until its context ends.
type slowModel struct {
	encoder.Encoder
	wait    chan struct{}
	waiting chan struct{}
}

func (m *slowModel) EncodeQueries(ctx context.Context, texts []string) ([]encoder.Query, error) {
	m.waiting <- struct{}{}
	select {
	case <-m.wait:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return m.Encoder.EncodeQueries(ctx, texts)
}

func newSlow() *slowModel {
	return &slowModel{Encoder: fake.New(dim), wait: make(chan struct{}), waiting: make(chan struct{}, 1000)}
}

// A collection's recall is measured, told by stats and metrics, and aimed at, by its
// default effort and by searches that name a target.
func TestCalibrate(t *testing.T) {
	i := start(t, server.Options{})
	i.do(201, "PUT", "/v1/collections/notes", wire.CollectionConfig{RecallTarget: 0.97}, nil)
	var none wire.Calibrated
	i.do(200, "POST", "/v1/collections/notes/calibrate", nil, &none)
	if none.Recall != nil {
		t.Errorf("an empty collection is calibrated: %+v", none.Recall)
	}
	effort := func(target float64) string {
		var got wire.SearchResult
		i.do(200, "POST", "/v1/collections/notes/search", wire.Search{Text: "log files", RecallTarget: target}, &got)
		return got.Effort
	}
	if got := effort(0.9); got != "default" {
		t.Errorf("without a measurement the effort is %q", got)
	}
	for from := 0; from < 2400; from += 800 { // below 2,048 documents every search is exact
		var up wire.Upsert
		for n := from; n < from+800; n++ {
			up.Documents = append(up.Documents, wire.Document{ID: fmt.Sprint(n), Text: words(document(n).Text, 10+n%10) + fmt.Sprint(" word", n/100)})
		}
		i.do(200, "POST", "/v1/collections/notes/documents", up, nil)
	}
	i.do(200, "POST", "/v1/collections/notes/compact", nil, nil)
	body := wire.Calibrate{RecallTarget: 0.9}
	for n := range 30 {
		body.Queries = append(body.Queries, words(paragraphs[n], 6))
	}
	var got wire.Calibrated
	i.do(200, "POST", "/v1/collections/notes/calibrate", body, &got)
	if got.Recall == nil || got.Recall.Target != 0.9 || got.Recall.Queries != 30 || len(got.Recall.Efforts) != 4 {
		t.Fatalf("calibrated %+v", got.Recall)
	}
	var stats wire.CollectionStats
	i.do(200, "GET", "/v1/collections/notes/stats", nil, &stats)
	if stats.Recall == nil || stats.Recall.Queries != 30 {
		t.Errorf("stats tell %+v", stats.Recall)
	}
	if _, b := i.send("GET", "/metrics", "", nil); !strings.Contains(string(b), `colbertdb_collection_candidate_recall{collection="notes",effort="full"} `) {
		t.Error("the metrics do not tell it")
	}
	for _, target := range []float64{0.001, 0.5, 0.9, 0.97, 0.99, 0.9999, 1} {
		want := "full" // or the cheapest effort that was measured to reach the target
		for _, e := range stats.Recall.Efforts {
			if e.CandidateRecall >= target {
				want = e.Effort
				break
			}
		}
		if got := effort(target); got != want {
			t.Errorf("target %v: effort %q, want %q of %+v", target, got, want, stats.Recall.Efforts)
		}
	}
	for _, bad := range []string{`{"text":"a","recall_target":1.5}`, `{"text":"a","recall_target":-0.1}`, `{"text":"a","recall_target":0.9,"effort":"fast"}`, `{"text":"a","recall_target":0.9,"n_probe":3}`} {
		i.wantError(422, "bad_search", "POST", "/v1/collections/notes/search", bad)
	}
	i.wantError(422, "invalid", "POST", "/v1/collections/notes/calibrate", wire.Calibrate{RecallTarget: 2})
	i.wantError(422, "invalid", "PUT", "/v1/collections/other", wire.CollectionConfig{RecallTarget: -1})
}
