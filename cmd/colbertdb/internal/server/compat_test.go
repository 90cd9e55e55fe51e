package server_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/server"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// multiVectors is the answer of /v1/multi-vector and /v1/embeddings.
type multiVectors struct {
	Model, Object string
	Usage         struct {
		Total int `json:"total_tokens"`
	}
	Data []struct {
		Object     string
		Index      int
		Embeddings wire.Rows `json:"embeddings"`
		Embedding  wire.Rows `json:"embedding"`
	}
}

// With the bundled model, queries and documents are encoded each on its side, to the
// vectors that the model itself gives: other servers get this wrong over HTTP.
func TestSidesOfTheModel(t *testing.T) {
	m, err := bundled.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	i := start(t, server.Options{Model: m})
	const text = "Where does the kitten rest?"
	queries, err := m.EncodeQueries(ctx, []string{text})
	if err != nil {
		t.Fatal(err)
	}
	documents, err := m.EncodeDocuments(ctx, []string{text})
	if err != nil {
		t.Fatal(err)
	}
	same := func(what string, got wire.Rows, want engine.Matrix) {
		t.Helper()
		if got.Dim != want.Dim || maxDifference(got.Matrix, want) > 1e-6 {
			t.Errorf("%s: %d vectors of %d, want %d of %d", what, got.Len(), got.Dim, want.Len(), want.Dim)
		}
	}
	var q, d, e multiVectors
	i.do(200, "POST", "/v1/multi-vector", `{"model":"jina-colbert-v2","input_type":"query","input":"`+text+`"}`, &q)
	i.do(200, "POST", "/v1/multi-vector", `{"model":"jina-colbert-v2","input":["`+text+`",{"text":"another"}]}`, &d)
	i.do(200, "POST", "/v1/embeddings", `{"model":"x","return_multivector":true,"task":"retrieval.query","input":["`+text+`"]}`, &e)
	same("query", q.Data[0].Embeddings, queries[0].Vectors)
	same("document", d.Data[0].Embeddings, documents[0].Vectors)
	same("embeddings", e.Data[0].Embedding, queries[0].Vectors)
	if maxDifference(queries[0].Vectors, documents[0].Vectors) < 0.01 {
		t.Error("the model encodes both sides alike: the test shows nothing")
	}
	if q.Object != "list" || q.Data[0].Object != "embeddings" || q.Model != m.Info().Name || q.Usage.Total != queries[0].Vectors.Len() || len(d.Data) != 2 || d.Data[1].Index != 1 {
		t.Errorf("answer %+v", q)
	}
	var packed struct {
		Data []struct{ Embeddings []string }
	}
	i.do(200, "POST", "/v1/multi-vector", `{"input":"`+text+`","embedding_type":"base64"}`, &packed)
	for row, b64 := range packed.Data[0].Embeddings {
		b, err := base64.StdEncoding.DecodeString(b64)
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.Binary("f32", []int{1, m.Info().Dim}, b)
		if err != nil || maxDifference(got, engine.Matrix{Dim: m.Info().Dim, Data: documents[0].Vectors.Row(row)}) > 1e-6 {
			t.Fatalf("row %d in base64: %v", row, err)
		}
	}
	for _, bad := range []string{
		`{"input":[]}`, `{"input":5}`, `{"input":"a","input_type":"sideways"}`, `{"input":"a","dimensions":7}`, `{"input":"a","embedding_type":"binary"}`,
		`{"input":"a","embedding_type":["float","base64"]}`, `{"input":[{"image":"x"}]}`, `{"input":"` + strings.Repeat("word ", 2000) + `","truncate":false}`,
	} {
		if resp, b := i.send("POST", "/v1/multi-vector", "application/json", []byte(bad)); resp.StatusCode != 422 && resp.StatusCode != 400 {
			t.Errorf("%.80s: %d %s", bad, resp.StatusCode, b)
		}
	}
	i.wantError(400, "bad_request", "POST", "/v1/embeddings", `{"input":"a"}`)
}

// Every rerank route orders documents by MaxSim and answers in its own form.
func TestRerankRoutes(t *testing.T) {
	i := start(t, server.Options{})
	model := newSlow()
	close(model.wait)
	docs := make([]string, 40)
	for n := range docs {
		docs[n] = words(paragraphs[n], 60)
	}
	docs[7] = strings.Repeat("filler ", 300) + paragraphs[9] // beyond the first window
	query := words(paragraphs[9], 10)
	// The order by brute force.
	qs, _ := model.Encoder.EncodeQueries(ctx, []string{query})
	want := make([]float64, len(docs))
	order := make([]int, len(docs))
	for n, text := range docs {
		order[n] = n
		want[n] = math.Inf(-1)
		for _, w := range model.Windows(text, 32) {
			ds, _ := model.EncodeDocuments(ctx, []string{text[w.Start:w.End]})
			want[n] = max(want[n], maxSim(qs[0].Vectors, ds[0].Vectors))
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(math.Copysign(1, want[b]-want[a])) })
	type result struct {
		Index    int
		Score    float64 `json:"relevance_score"`
		Document json.RawMessage
	}
	check := func(route string, got []result, n int) {
		t.Helper()
		if len(got) != n {
			t.Fatalf("%s: %d results, want %d", route, len(got), n)
		}
		for at, r := range got {
			if sim := want[r.Index] / float64(qs[0].Vectors.Len()); math.Abs(r.Score-max(0, sim)) > 1e-5 {
				t.Errorf("%s: document %d scores %g, want %g", route, r.Index, r.Score, sim)
			}
			if math.Abs(want[r.Index]-want[order[at]]) > 1e-5 {
				t.Errorf("%s: place %d is document %d, want %d", route, at, r.Index, order[at])
			}
		}
	}
	body := func(more string) string {
		b, _ := json.Marshal(docs)
		return fmt.Sprintf(`{"model":"m","query":%s,"documents":%s%s}`, quote(query), b, more)
	}
	var v1 struct {
		ID, Model, Object string
		Usage             struct {
			Total int `json:"total_tokens"`
		}
		Results []result
	}
	i.do(200, "POST", "/v1/rerank", body(`,"top_n":4`), &v1)
	check("/v1/rerank", v1.Results, 4)
	if v1.Results[0].Document != nil {
		t.Errorf("documents unasked: %s", v1.Results[0].Document)
	}
	i.do(200, "POST", "/v1/rerank", body(`,"top_n":5,"return_documents":true`), &v1)
	check("/v1/rerank", v1.Results, 5)
	if v1.Object != "list" || v1.Usage.Total < 100 || string(v1.Results[0].Document) != `{"text":`+quote(docs[v1.Results[0].Index])+`}` {
		t.Errorf("/v1/rerank: %+v", v1)
	}
	var v2 struct {
		ID   string
		Meta struct {
			Billed struct {
				Units int `json:"search_units"`
			} `json:"billed_units"`
		}
		Results []result
	}
	i.do(200, "POST", "/v2/rerank", body(""), &v2)
	check("/v2/rerank", v2.Results, len(docs))
	if v2.Meta.Billed.Units != 1 || v2.Results[0].Document != nil {
		t.Errorf("/v2/rerank: %+v", v2.Meta)
	}
	var infinity struct{ Results []result }
	i.do(200, "POST", "/rerank", body(`,"return_documents":true`), &infinity)
	check("/rerank with documents", infinity.Results, len(docs))
	b, _ := json.Marshal(docs)
	var tei []struct {
		Index int
		Score float64
		Text  string
	}
	i.do(200, "POST", "/rerank", fmt.Sprintf(`{"query":%s,"texts":%s,"return_text":true,"raw_scores":true}`, quote(query), b), &tei)
	for at, r := range tei {
		if math.Abs(r.Score-want[r.Index]) > 1e-4 || r.Text != docs[r.Index] || math.Abs(want[r.Index]-want[order[at]]) > 1e-5 {
			t.Errorf("/rerank with texts: place %d is %+v", at, r)
		}
	}
	// The window that was beyond the first counts; of one window alone it does not.
	i.do(200, "POST", "/v2/rerank", body(`,"max_tokens_per_doc":100`), &v2)
	for _, r := range v2.Results {
		if r.Index == 7 && math.Abs(r.Score-max(0, want[7]/float64(qs[0].Vectors.Len()))) < 0.1 {
			t.Errorf("with max_tokens_per_doc document 7 scores %g", r.Score)
		}
	}
	var fields struct{ Results []result }
	i.do(200, "POST", "/v1/rerank", `{"query":"harbour","documents":[{"title":"none","text":"harbour"},{"title":"harbour","text":"none"}],"rank_fields":["title"],"return_documents":true}`, &fields)
	if fields.Results[0].Index != 1 || string(fields.Results[0].Document) != `{"title":"harbour","text":"none"}` {
		t.Errorf("rank_fields: %+v", fields)
	}
	for _, bad := range []string{`{"query":"a","documents":[]}`, `{"documents":["a"]}`, `{"query":"a"}`, `{"query":"a","documents":[5]}`, `{"query":"a","documents":[{"x":1}]}`, `{"query":"a","documents":["a"],"top_n":0}`} {
		if resp, b := i.send("POST", "/rerank", "application/json", []byte(bad)); resp.StatusCode != 422 {
			t.Errorf("%s: %d %s", bad, resp.StatusCode, b)
		}
	}
	i.do(200, "GET", "/health", nil, nil)
	var told struct {
		Model string `json:"model_id"`
	}
	i.do(200, "GET", "/info", nil, &told)
	var models struct{ Data []struct{ ID string } }
	i.do(200, "GET", "/v1/models", nil, &models)
	if told.Model != "fake-64" || len(models.Data) != 1 || models.Data[0].ID != "fake-64" {
		t.Errorf("info %+v, models %+v", told, models)
	}
	i.wantError(404, "model_not_found", "GET", "/v1/models/none", nil)
}

// badModel panics on one text and returns NaN for another.
type badModel struct{ encoder.Encoder }

func (m badModel) EncodeDocuments(c context.Context, texts []string) ([]encoder.Document, error) {
	out, err := m.Encoder.EncodeDocuments(c, texts)
	for n, text := range texts {
		if strings.Contains(text, "panic") {
			panic("a defect of the model")
		}
		if strings.Contains(text, "nan") {
			out[n].Vectors.Data[0] = float32(math.NaN())
		}
	}
	return out, err
}

// A model that fails costs its request and nothing else.
func TestModelThatFails(t *testing.T) {
	i := start(t, server.Options{Model: badModel{newSlow().Encoder}})
	i.do(201, "PUT", "/v1/collections/notes", nil, nil)
	i.wantError(500, "internal", "POST", "/v1/collections/notes/documents", `{"documents":[{"id":"a","text":"panic"},{"id":"b","text":"fine"}]}`)
	i.wantError(422, "bad_vector", "POST", "/v1/collections/notes/documents", `{"documents":[{"id":"a","text":"nan"}]}`)
	i.wantError(500, "internal", "POST", "/v1/rerank", `{"query":"a","documents":["panic"]}`)
	i.wantError(404, "not_found", "GET", "/v1/collections/notes/documents/b", nil)
	i.do(200, "POST", "/v1/collections/notes/documents", `{"documents":[{"id":"b","text":"fine"}]}`, nil)
}
