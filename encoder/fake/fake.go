package fake

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"unicode"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/encoder"
)

// Encoder is a fake encoder.Encoder.
type Encoder struct {
	dim, window int
	name        string
}

var _ encoder.Encoder = (*Encoder)(nil)

// New returns an encoder of the given dimension whose documents have at most
// 256 words.
func New(dim int) *Encoder { return &Encoder{dim: dim, window: 256, name: fmt.Sprintf("fake-%d", dim)} }

// Named returns an encoder with another name and fingerprint, and other vectors.
func Named(name string, dim int) *Encoder { return &Encoder{dim: dim, window: 256, name: name} }

// Info names the encoder.
func (e *Encoder) Info() encoder.Info {
	return encoder.Info{
		Name: e.name, Fingerprint: fmt.Sprintf("%s/%d", e.name, e.dim), Dim: e.dim,
		QueryMaxLen: 32, DocMaxLen: e.window, Location: fmt.Sprintf("fake:%d", e.dim),
	}
}

// WithDocumentLength returns an encoder whose documents have at most n words.
func (e *Encoder) WithDocumentLength(n int) (encoder.Encoder, error) {
	short := *e
	short.window = n
	return &short, nil
}

// EncodeQueries encodes words on the query side.
func (e *Encoder) EncodeQueries(ctx context.Context, texts []string) ([]encoder.Query, error) {
	out := make([]encoder.Query, len(texts))
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		spans := words(text)
		if len(spans) == 0 {
			spans = []encoder.Span{{}}
		}
		if len(spans) > 32 {
			out[i].Truncated = len(spans) - 32
			spans = spans[:32]
		}
		out[i].Vectors = e.vectors(text, spans)
		for _, s := range spans {
			out[i].Tokens = append(out[i].Tokens, strings.ToLower(text[s.Start:s.End]))
		}
	}
	return out, nil
}

// EncodeDocuments encodes words on the document side.
func (e *Encoder) EncodeDocuments(ctx context.Context, texts []string) ([]encoder.Document, error) {
	out := make([]encoder.Document, len(texts))
	for i, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		spans := e.DocumentSpans(text)
		out[i] = encoder.Document{Vectors: e.vectors(text, spans), Spans: spans, Truncated: max(0, len(words(text))-e.window)}
	}
	return out, nil
}

// DocumentSpans returns the words of a text that fit the window.
func (e *Encoder) DocumentSpans(text string) []encoder.Span {
	spans := words(text)
	if len(spans) == 0 {
		return []encoder.Span{{}}
	}
	return spans[:min(len(spans), e.window)]
}

// Windows cuts a text after every so many words.
func (e *Encoder) Windows(text string, overlap int) []encoder.Span {
	spans := words(text)
	if len(spans) <= e.window {
		return []encoder.Span{{Start: 0, End: len(text)}}
	}
	var out []encoder.Span
	for from := 0; ; from += e.window - min(overlap, e.window/2) {
		to := min(from+e.window, len(spans))
		out = append(out, encoder.Span{Start: spans[from].Start, End: spans[to-1].End})
		if to == len(spans) {
			return out
		}
	}
}

// Close does nothing.
func (e *Encoder) Close() error { return nil }

func (e *Encoder) vectors(text string, spans []encoder.Span) codec.Matrix {
	m := codec.NewMatrix(len(spans), e.dim)
	for i, s := range spans {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s\x00%s", e.name, strings.ToLower(text[s.Start:s.End]))
		r := rand.New(rand.NewPCG(h.Sum64(), 1))
		for d := range m.Row(i) {
			m.Row(i)[d] = float32(r.NormFloat64())
		}
	}
	return m.Normalized()
}

// words returns the runs of letters and digits of a text.
func words(text string) []encoder.Span {
	var out []encoder.Span
	start := -1
	for i, r := range text {
		in := unicode.IsLetter(r) || unicode.IsDigit(r)
		if in && start < 0 {
			start = i
		}
		if !in && start >= 0 {
			out = append(out, encoder.Span{Start: start, End: i})
			start = -1
		}
	}
	if start >= 0 {
		out = append(out, encoder.Span{Start: start, End: len(text)})
	}
	return out
}
