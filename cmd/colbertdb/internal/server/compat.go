package server

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// The routes of other servers: their clients work unchanged with another address.
// Fields that these routes do not know are passed over, as by the servers that they
// stand for.

// texts is a text, a list of texts, or a list of objects with a text.
type texts []string

// UnmarshalJSON reads any of the three.
func (t *texts) UnmarshalJSON(b []byte) error {
	*t = nil
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '"' {
		*t = make(texts, 1)
		return json.Unmarshal(b, &(*t)[0])
	}
	var list []text
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	for _, x := range list {
		*t = append(*t, string(x))
	}
	return nil
}

// text is a string, or an object with a text.
type text string

// UnmarshalJSON reads either.
func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(t))
	}
	var o struct {
		Text *string `json:"text"`
	}
	if err := json.Unmarshal(b, &o); err != nil {
		return err
	}
	if o.Text == nil {
		return unprocessable("each text is a string, or an object with a text")
	}
	*t = text(*o.Text)
	return nil
}

// names is a string or a list of strings.
type names []string

// UnmarshalJSON reads either.
func (n *names) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		*n = make(names, 1)
		return json.Unmarshal(b, &(*n)[0])
	}
	return json.Unmarshal(b, (*wire.List[string])(n))
}

// checkTexts bounds the texts of a request.
func (q *request) checkTexts(what string, list []string) error {
	if n := len(list); n == 0 || n > q.s.limits.Documents {
		return unprocessable("%s: give 1 to %d, not %d", what, q.s.limits.Documents, n)
	}
	return nil
}

// usage is what other servers bill by.
type usage struct {
	TotalTokens  int `json:"total_tokens"`
	PromptTokens int `json:"prompt_tokens"`
}

// embedRequest is the body of /v1/multi-vector (Jina) and /v1/embeddings.
type embedRequest struct {
	Model          string `json:"model"`
	Input          texts  `json:"input"`
	InputType      string `json:"input_type"`
	Task           string `json:"task"` // of newer Jina models: retrieval.query, retrieval.passage
	EmbeddingType  names  `json:"embedding_type"`
	EncodingFormat string `json:"encoding_format"`
	Dimensions     int    `json:"dimensions"`
	Truncate       *bool  `json:"truncate"`
	Multivector    bool   `json:"return_multivector"`
}

// side reports whether the texts are queries.
func (e *embedRequest) side() (query bool, err error) {
	switch e.InputType {
	case "query", "search_query":
		return true, nil
	case "", "document", "search_document", "passage":
	default:
		return false, unprocessable("input_type %.40q: use query or document", e.InputType)
	}
	switch e.Task {
	case "retrieval.query", "text-matching.query":
		return true, nil
	}
	return false, nil
}

// base64 reports whether vectors are wanted in base64.
func (e *embedRequest) base64() (bool, error) {
	kind := e.EncodingFormat
	for _, t := range e.EmbeddingType {
		kind = t
	}
	switch {
	case len(e.EmbeddingType) > 1:
		return false, unprocessable("embedding_type: one at a time")
	case kind == "", kind == "float":
		return false, nil
	case kind == "base64":
		return true, nil
	}
	return false, unprocessable("embedding_type %.40q: use float or base64", kind)
}

// embed encodes what a request asks for.
func (q *request) embed(e *embedRequest, answer func(model encoder.Info, out []encoded, vectors []any, u usage)) error {
	if err := q.checkTexts("input", e.Input); err != nil {
		return err
	}
	query, err := e.side()
	if err != nil {
		return err
	}
	packed, err := e.base64()
	if err != nil {
		return err
	}
	m, err := q.model(e.Model)
	if err != nil {
		return err
	}
	if dim := m.Info().Dim; e.Dimensions != 0 && e.Dimensions != dim {
		return unprocessable("dimensions: %s has %d", m.Info().Name, dim)
	}
	return q.admitted(q.s.searches, q.s.limits.MaxTimeout, func(ctx context.Context) error {
		out, err := encode(ctx, m, query, e.Input)
		if err != nil {
			return err
		}
		vectors := make([]any, len(out))
		u := usage{}
		for i, v := range out {
			if v.truncated > 0 && e.Truncate != nil && !*e.Truncate {
				return unprocessable("input %d is %d tokens too long, and truncate is false", i, v.truncated)
			}
			u.TotalTokens += v.vectors.Len()
			if !packed {
				vectors[i] = wire.Rows{Matrix: v.vectors}
				continue
			}
			rows := make([][]byte, v.vectors.Len()) // base64 of little-endian float32, a token each
			for t := range rows {
				rows[t] = wire.F32Bytes(encoder.Matrix{Dim: v.vectors.Dim, Data: v.vectors.Row(t)})
			}
			vectors[i] = rows
		}
		u.PromptTokens = u.TotalTokens
		answer(m.Info(), out, vectors, u)
		return nil
	})
}

// multiVector is Jina's route for late-interaction models.
func multiVector(q *request) error {
	var body embedRequest
	if err := q.readJSON(&body, false); err != nil {
		return err
	}
	type item struct {
		Object     string `json:"object"`
		Index      int    `json:"index"`
		Embeddings any    `json:"embeddings"`
		// What Jina's does not have, for encoder/multivector.
		Weights   []float32 `json:"weights,omitempty"`
		Tokens    []string  `json:"tokens,omitempty"`
		Truncated int       `json:"truncated,omitempty"`
	}
	return q.embed(&body, func(model encoder.Info, out []encoded, vectors []any, u usage) {
		data := make([]item, len(vectors))
		for i, v := range vectors {
			data[i] = item{"embeddings", i, v, out[i].weights, out[i].tokens, out[i].truncated}
		}
		q.json(http.StatusOK, map[string]any{"model": model.Name, "fingerprint": model.Fingerprint, "object": "list", "usage": u, "data": data})
	})
}

// embeddings is OpenAI's route with a list of vectors for each text, as Jina's and
// others' servers answer return_multivector. There is no single vector to give.
func embeddings(q *request) error {
	var body embedRequest
	if err := q.readJSON(&body, false); err != nil {
		return err
	}
	if !body.Multivector {
		return badRequest("the server's models make a vector for each token and none for a text: set return_multivector to get them, or use /v1/multi-vector")
	}
	type item struct {
		Object    string `json:"object"`
		Index     int    `json:"index"`
		Embedding any    `json:"embedding"`
	}
	return q.embed(&body, func(model encoder.Info, _ []encoded, vectors []any, u usage) {
		data := make([]item, len(vectors))
		for i, v := range vectors {
			data[i] = item{"embedding", i, v}
		}
		q.json(http.StatusOK, map[string]any{"model": model.Name, "object": "list", "usage": u, "data": data})
	})
}

// modelObject describes a model as OpenAI's /v1/models does, and a little more.
type modelObject struct {
	ID          string `json:"id"`
	Object      string `json:"object"`
	Created     int64  `json:"created"`
	OwnedBy     string `json:"owned_by"`
	Dim         int    `json:"dim"`
	Fingerprint string `json:"fingerprint"`
	QueryTokens int    `json:"max_query_tokens"`
	Tokens      int    `json:"max_document_tokens"`
	Standard    bool   `json:"default"`
	Loaded      bool   `json:"loaded"`
	Runtime     string `json:"runtime,omitempty"` // what it runs on, where it is loaded and says so
}

func (s *Server) modelObjects() []modelObject {
	out := []modelObject{}
	for i, m := range s.models.named {
		info := m.Info()
		out = append(out, modelObject{
			ID: info.Name, Object: "model", OwnedBy: "colbertdb", Dim: info.Dim, Fingerprint: info.Fingerprint,
			QueryTokens: info.QueryMaxLen, Tokens: info.DocMaxLen, Standard: i == 0 && s.models.standard != nil, Loaded: loaded(m), Runtime: runtimeOf(m),
		})
	}
	return out
}

func listModels(q *request) error {
	q.json(http.StatusOK, map[string]any{"object": "list", "data": q.s.modelObjects()})
	return nil
}

func getModel(q *request) error {
	for _, m := range q.s.modelObjects() {
		if m.ID == q.r.PathValue("m") {
			q.json(http.StatusOK, m)
			return nil
		}
	}
	return failf(http.StatusNotFound, "model_not_found", "there is no model %.80q: GET /v1/models lists them", q.r.PathValue("m"))
}

// info is TEI's description of the model that it serves.
func info(q *request) error {
	m, err := q.model("")
	if err != nil {
		return err
	}
	i, l := m.Info(), &q.s.limits
	q.json(http.StatusOK, map[string]any{
		"model_id": i.Name, "model_sha": i.Fingerprint, "model_dtype": "float32",
		"model_type":              map[string]any{"reranker": map[string]any{"id2label": map[string]string{"0": "LABEL_0"}, "label2id": map[string]int{"LABEL_0": 0}}},
		"max_concurrent_requests": l.Running + l.Queued, "max_input_length": i.DocMaxLen, "max_batch_tokens": i.DocMaxLen * encodeTexts,
		"max_client_batch_size": l.Documents, "auto_truncate": true, "tokenization_workers": 1, "version": q.s.version,
		"max_batch_requests": nil, "sha": nil, "docker_label": nil, // clients require the fields
	})
	return nil
}
