package server

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/colbertdb-go/colbertdb/internal/wire"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// rerankRequest is the body of every rerank route.
type rerankRequest struct {
	Model     string                     `json:"model"`
	Query     text                       `json:"query"`
	Documents wire.List[json.RawMessage] `json:"documents"`
	Texts     texts                      `json:"texts"` // TEI
	TopN      *int                       `json:"top_n"`
	// ReturnDocuments is of Jina, Cohere v1 and infinity; ReturnText and RawScores of
	// TEI; RankFields of Cohere v1, MaxTokens of v2.
	ReturnDocuments *bool             `json:"return_documents"`
	ReturnText      bool              `json:"return_text"`
	RawScores       bool              `json:"raw_scores"`
	RankFields      wire.List[string] `json:"rank_fields"`
	MaxTokens       int               `json:"max_tokens_per_doc"`
}

// documentText is what of a document is ranked: a string, or the fields of an object
// that rank_fields names, by default its text.
func documentText(b json.RawMessage, fields []string) (string, error) {
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] == '"' {
		var s string
		return s, json.Unmarshal(b, &s)
	}
	var o map[string]json.RawMessage
	if err := json.Unmarshal(b, &o); err != nil {
		return "", unprocessable("each document is a string or an object")
	}
	if len(fields) == 0 {
		fields = []string{"text"}
	}
	var parts []string
	for _, f := range fields {
		v, ok := o[f]
		if !ok {
			continue
		}
		var s string
		if json.Unmarshal(v, &s) != nil {
			s = string(v)
		}
		parts = append(parts, s)
	}
	if len(parts) == 0 {
		return "", unprocessable("a document has none of the fields %v", fields)
	}
	return strings.Join(parts, "\n"), nil
}

// rankedDocument is one result.
type rankedDocument struct {
	Index    int     `json:"index"`
	Score    float32 `json:"relevance_score"`
	Document any     `json:"document,omitempty"`
}

// readRerank reads a body with its documents' texts.
func (q *request) readRerank() (*rerankRequest, []string, error) {
	body := &rerankRequest{}
	if err := q.readJSON(body, false); err != nil {
		return nil, nil, err
	}
	docs := []string(body.Texts)
	for _, d := range body.Documents {
		s, err := documentText(d, body.RankFields)
		if err != nil {
			return nil, nil, err
		}
		docs = append(docs, s)
	}
	switch {
	case body.Query == "":
		return nil, nil, unprocessable("query: give a text")
	case len(body.Query) > int(q.s.limits.QueryText):
		return nil, nil, tooLarge("the query has %d bytes, the limit is %d", len(body.Query), q.s.limits.QueryText)
	case body.TopN != nil && *body.TopN < 1:
		return nil, nil, unprocessable("top_n is %d, it must be at least 1", *body.TopN)
	case body.MaxTokens < 0:
		return nil, nil, unprocessable("max_tokens_per_doc is negative")
	}
	return body, docs, q.checkTexts("documents", docs)
}

// rank ranks the documents of a request.
func (q *request) rank(body *rerankRequest, docs []string, answer func(model string, r *encoder.Ranking)) error {
	m, err := q.model(body.Model)
	if err != nil {
		return err
	}
	return q.admitted(q.s.searches, q.s.limits.MaxTimeout, func(ctx context.Context) error {
		r, err := rerank(ctx, m, string(body.Query), docs, body.MaxTokens)
		if err != nil {
			return err
		}
		if body.TopN != nil {
			r.Documents = r.Documents[:min(*body.TopN, len(r.Documents))]
		}
		answer(m.Info().Name, r)
		return nil
	})
}

// results are the ranked documents, with their text where it is wanted.
func results(r *encoder.Ranking, given []json.RawMessage, docs []string, with bool) []rankedDocument {
	out := make([]rankedDocument, len(r.Documents))
	for i, d := range r.Documents {
		out[i] = rankedDocument{Index: d.Index, Score: d.Similarity}
		switch {
		case !with:
		case d.Index < len(given) && bytes.HasPrefix(bytes.TrimSpace(given[d.Index]), []byte("{")):
			out[i].Document = given[d.Index]
		default:
			out[i].Document = map[string]string{"text": docs[d.Index]}
		}
	}
	return out
}

// searchUnits are Cohere's: one for each hundred documents.
func searchUnits(docs int) int { return (docs + 99) / 100 }

// meta is Cohere's.
func meta(version string, docs int) map[string]any {
	return map[string]any{"api_version": map[string]string{"version": version}, "billed_units": map[string]int{"search_units": searchUnits(docs)}}
}

// rerankV1 is Jina's route and Cohere's first.
func rerankV1(q *request) error {
	body, docs, err := q.readRerank()
	if err != nil {
		return err
	}
	with := body.ReturnDocuments != nil && *body.ReturnDocuments // some clients cannot read them unasked
	return q.rank(body, docs, func(model string, r *encoder.Ranking) {
		q.json(http.StatusOK, map[string]any{
			"id": q.id, "model": model, "object": "list", "usage": usage{r.Tokens, r.Tokens}, "meta": meta("1", len(docs)),
			"results": results(r, body.Documents, docs, with),
		})
	})
}

// rerankV2 is Cohere's route.
func rerankV2(q *request) error {
	body, docs, err := q.readRerank()
	if err != nil {
		return err
	}
	return q.rank(body, docs, func(_ string, r *encoder.Ranking) {
		q.json(http.StatusOK, map[string]any{"id": q.id, "results": results(r, body.Documents, docs, false), "meta": meta("2", len(docs))})
	})
}

// rerankByBody is TEI's route, whose body has texts, and infinity's and vLLM's,
// whose body has documents.
func rerankByBody(q *request) error {
	body, docs, err := q.readRerank()
	if err != nil {
		return err
	}
	if body.Documents != nil {
		with := body.ReturnDocuments != nil && *body.ReturnDocuments
		return q.rank(body, docs, func(model string, r *encoder.Ranking) {
			q.json(http.StatusOK, map[string]any{
				"id": q.id, "object": "rerank", "model": model, "usage": usage{r.Tokens, r.Tokens}, "results": results(r, body.Documents, docs, with),
			})
		})
	}
	type item struct {
		Index int     `json:"index"`
		Score float32 `json:"score"`
		Text  *string `json:"text,omitempty"`
	}
	return q.rank(body, docs, func(_ string, r *encoder.Ranking) {
		out := make([]item, len(r.Documents))
		for i, d := range r.Documents {
			out[i] = item{Index: d.Index, Score: d.Similarity}
			if body.RawScores {
				out[i].Score = d.Score
			}
			if body.ReturnText {
				out[i].Text = &docs[d.Index]
			}
		}
		q.json(http.StatusOK, out)
	})
}
