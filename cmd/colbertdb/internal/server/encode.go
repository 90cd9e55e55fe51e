package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// encodeTexts is how many texts are encoded in one call of a model: a context is
// looked at in between, and their vectors are all that is in memory at once.
const encodeTexts = 32

// model is the model of a request to a route of another server: the one that it
// names where there is one of that name, else the standard one. Clients of other
// servers name models of theirs; the answer says which it was.
func (q *request) model(name string) (encoder.Encoder, error) {
	if m := q.s.models.find(name); m != nil {
		return m, nil
	}
	if q.s.models.standard == nil {
		return nil, failf(http.StatusNotImplemented, "no_model", "the server has no model: start it with --model")
	}
	return q.s.models.standard, nil
}

// guarded calls a model; where that panics, the request fails and nothing else.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("colbertdb: encoder panicked: %v", p)
		}
	}()
	return f()
}

// encoded is a text with one vector a token.
type encoded struct {
	vectors   encoder.Matrix
	truncated int
	weights   []float32 // of a query
	tokens    []string  // of a query
}

// encode encodes texts on one side of a model.
func encode(ctx context.Context, m encoder.Encoder, query bool, texts []string) ([]encoded, error) {
	out := make([]encoded, 0, len(texts))
	for part := range slices.Chunk(texts, encodeTexts) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := guarded(func() error {
			if query {
				vs, err := m.EncodeQueries(ctx, part)
				for _, v := range vs {
					out = append(out, encoded{v.Vectors, v.Truncated, v.Weights, v.Tokens})
				}
				return err
			}
			vs, err := m.EncodeDocuments(ctx, part)
			for _, v := range vs {
				out = append(out, encoded{vectors: v.Vectors, truncated: v.Truncated})
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// rerank is encoder.Rerank within the bounds of guarded.
func rerank(ctx context.Context, m encoder.Encoder, query string, documents []string, maxTokens int) (out *encoder.Ranking, err error) {
	err = spanning(ctx, "encode", func(ctx context.Context) error {
		return guarded(func() (err error) {
			out, err = encoder.Rerank(ctx, m, query, documents, maxTokens)
			return err
		})
	})
	return out, err
}
