package engine

import (
	"context"
	"fmt"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// An encoder is the caller's code. What it returns is checked like vectors from
// the caller, and where it panics the call fails and nothing else.

func encodeDocuments(ctx context.Context, enc encoder.Encoder, texts []string) (out []encoder.Document, err error) {
	defer recoverEncoder(&err)
	if out, err = enc.EncodeDocuments(ctx, texts); err != nil {
		return nil, fmt.Errorf("colbertdb: encoding %d documents: %w", len(texts), err)
	}
	if len(out) != len(texts) {
		return nil, fmt.Errorf("colbertdb: encoder returned %d documents for %d texts", len(out), len(texts))
	}
	return out, nil
}

func encodeQueries(ctx context.Context, enc encoder.Encoder, texts []string) (out []encoder.Query, err error) {
	defer recoverEncoder(&err)
	if out, err = enc.EncodeQueries(ctx, texts); err != nil {
		return nil, fmt.Errorf("colbertdb: encoding the query: %w", err)
	}
	if len(out) != len(texts) {
		return nil, fmt.Errorf("colbertdb: encoder returned %d queries for %d texts", len(out), len(texts))
	}
	return out, nil
}

func recoverEncoder(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("colbertdb: encoder panicked: %v", p)
	}
}
