package encoder

import (
	"context"

	"github.com/colbertdb-go/colbertdb/codec"
)

// Matrix holds token vectors, [tokens][Dim]float32 row-major.
type Matrix = codec.Matrix

// Info names an encoder.
type Info struct {
	Name        string
	Fingerprint string // hex sha256 over graph, tokenizer and parameters
	Dim         int
	QueryMaxLen int    // tokens, markers included
	DocMaxLen   int    // tokens, markers included
	Location    string // where it was loaded from: a folder, or "bundled"
}

// Span is a range of bytes of the original text. Special tokens, which stand
// for no text, have an empty span.
type Span struct{ Start, End int }

// Document is an encoded document.
type Document struct {
	Vectors   Matrix // unit vectors of the kept tokens
	Spans     []Span // one a vector
	Truncated int    // tokens that did not fit Info.DocMaxLen
}

// Query is an encoded query.
type Query struct {
	Vectors   Matrix    // unit vectors
	Weights   []float32 // of each vector in MaxSim, 1 on the mean; nil: 1 each
	Tokens    []string  // the piece of each vector, such as "amber" or "[MASK]"
	Truncated int       // tokens that did not fit Info.QueryMaxLen
}

// Encoder turns text into token vectors. Queries and documents are encoded
// differently. Its methods may be called from many goroutines.
type Encoder interface {
	Info() Info
	EncodeQueries(ctx context.Context, texts []string) ([]Query, error)
	EncodeDocuments(ctx context.Context, texts []string) ([]Document, error)
	// DocumentSpans returns what EncodeDocuments would as Spans, without
	// running the model: for highlighting.
	DocumentSpans(text string) []Span
	// Windows cuts a text into ranges that each fit DocMaxLen, overlapping by
	// about so many tokens, at the ends of sentences or words where possible. A
	// text that fits is one range.
	Windows(text string, overlap int) []Span
	Close() error
}
