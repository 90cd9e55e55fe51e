package onnx_test

import (
	"context"
	"io/fs"
	"sync"
	"testing"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/encoder/onnx"
	"github.com/colbertdb-go/colbertdb/encoder/tokenizer"
)

// constant is a session that costs nothing: every vector is the same.
type constant struct{ dim int }

func (c constant) Run(_ context.Context, b encoder.Batch) ([]float32, int, error) {
	out := make([]float32, b.Rows*b.Cols*c.dim)
	for i := range b.Rows * b.Cols {
		out[i*c.dim] = 1
	}
	return out, c.dim, nil
}

func (constant) Close() error { return nil }

// watched passes batches on and keeps them.
type watched struct {
	encoder.Session
	mu      sync.Mutex
	batches []encoder.Batch
}

func (w *watched) Run(ctx context.Context, b encoder.Batch) ([]float32, int, error) {
	w.mu.Lock()
	w.batches = append(w.batches, b)
	w.mu.Unlock()
	return w.Session.Run(ctx, b)
}

// BenchmarkEncode takes encoding apart, with the bundled model's graph and paragraphs of
// the documentation: the tokenizer; that and making batches, with a graph that costs
// nothing; the graph alone, on the same batches; and all of it.
//
//	go test -run '^$' -bench Encode ./encoder/onnx
func BenchmarkEncode(b *testing.B) {
	texts := documentation(b)
	raw, err := fs.ReadFile(bundled.FS(), "tokenizer.json")
	if err != nil {
		b.Fatal(err)
	}
	tok, err := tokenizer.Load(raw)
	if err != nil {
		b.Fatal(err)
	}
	tokens := 0
	for _, t := range texts {
		tokens += len(tok.Encode(t))
	}
	each := func(name string, f func() error) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(tokens)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
	each("tokenizer", func() error {
		for _, t := range texts {
			tok.Encode(t)
		}
		return nil
	})
	folder := func() *encoder.Folder {
		f, err := encoder.ReadFolder(bundled.FS(), "bundled", nil)
		if err != nil {
			b.Fatal(err)
		}
		return f
	}
	f := folder()
	w := &watched{Session: constant{f.Config.Dim}}
	batching, err := encoder.NewColBERT(f, w, encoder.Tuning{})
	if err != nil {
		b.Fatal(err)
	}
	w.batches = nil
	if _, err := batching.EncodeDocuments(context.Background(), texts); err != nil {
		b.Fatal(err)
	}
	batches := w.batches
	each("batching", func() error {
		w.batches = w.batches[:0:0]
		_, err := batching.EncodeDocuments(context.Background(), texts)
		return err
	})
	session, err := onnx.OpenSession(folder(), onnx.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer session.Close()
	each("graph", func() error {
		for _, batch := range batches {
			if _, _, err := session.Run(context.Background(), batch); err != nil {
				return err
			}
		}
		return nil
	})
	enc, err := bundled.OpenONNX(onnx.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer enc.Close()
	each("all", func() error {
		_, err := enc.EncodeDocuments(context.Background(), texts)
		return err
	})
}
