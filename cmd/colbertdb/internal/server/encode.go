package server

import (
	"cmp"
	"context"
	"fmt"
	"math"
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

// ranked is a document that was compared with a query.
type ranked struct {
	index      int
	score      float32 // MaxSim
	similarity float32 // the mean similarity of the query's tokens, 0 to 1
}

// ranking is the outcome of rerank: documents best first, and the tokens encoded.
type ranking struct {
	documents []ranked
	tokens    int
}

// windowOverlap is the tokens that neighbouring windows of a long document share.
const windowOverlap = 32

// rerank compares documents with a query by MaxSim of their float32 vectors. A
// document that is longer than the model's window is cut into windows and counts by
// its best; of one, at most maxTokens tokens are looked at (0: all).
func rerank(ctx context.Context, m encoder.Encoder, query string, documents []string, maxTokens int) (*ranking, error) {
	var qs []encoder.Query
	err := spanning(ctx, "encode", func(ctx context.Context) error {
		return guarded(func() (err error) {
			qs, err = m.EncodeQueries(ctx, []string{query})
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	q := qs[0]
	weights := float32(q.Vectors.Len())
	if q.Weights != nil {
		weights = 0
		for _, w := range q.Weights {
			weights += w
		}
	}
	out := &ranking{documents: make([]ranked, len(documents)), tokens: q.Vectors.Len()}
	most := math.MaxInt
	if maxTokens > 0 {
		most = max(1, (maxTokens+m.Info().DocMaxLen-1)/m.Info().DocMaxLen)
	}
	var texts []string
	var of []int // the document of each
	flush := func() error {
		vs, err := encode(ctx, m, false, texts)
		if err != nil {
			return err
		}
		for i, v := range vs {
			d := &out.documents[of[i]]
			d.score = max(d.score, maxSim(q.Vectors, v.vectors, q.Weights))
			out.tokens += v.vectors.Len()
		}
		texts, of = texts[:0], of[:0]
		return nil
	}
	for i, text := range documents {
		out.documents[i] = ranked{index: i, score: float32(math.Inf(-1))}
		var windows []encoder.Span
		if err := guarded(func() error { windows = m.Windows(text, windowOverlap); return nil }); err != nil {
			return nil, err
		}
		for _, w := range windows[:min(len(windows), most)] {
			texts, of = append(texts, text[w.Start:w.End]), append(of, i)
			if len(texts) == encodeTexts {
				if err := flush(); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	for i := range out.documents {
		d := &out.documents[i]
		d.similarity = min(max(d.score/weights, 0), 1)
	}
	slices.SortStableFunc(out.documents, func(a, b ranked) int { return cmp.Compare(b.score, a.score) })
	return out, nil
}

// maxSim is the sum over the query's tokens, weighted, of the greatest dot product
// with a document's token.
func maxSim(q, d encoder.Matrix, weights []float32) (sum float32) {
	for i := range q.Len() {
		best := float32(math.Inf(-1))
		row := q.Row(i)
		for j := range d.Len() {
			best = max(best, dot(row, d.Row(j)))
		}
		if weights != nil {
			best *= weights[i]
		}
		sum += best
	}
	return sum
}

// dot takes four sums side by side, which the processor overlaps.
func dot(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	for ; len(a) >= 4; a, b = a[4:], b[4:] {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
	}
	for i := range a {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}
