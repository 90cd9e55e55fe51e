package onnx_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/onnx"
)

// jinaGolden is what PyTorch makes of texts with a random-weight JinaBERT, in a
// plain implementation: scripts/jinabert/jinabert.py wrote it.
type jinaGolden struct {
	Documents []struct {
		Length  int
		Text    string
		Every   int // which tokens' vectors are there
		Vectors [][]float32
		Entropy float64                // of attention, as a share of the uniform one's
		Faults  map[string][][]float32 // what it gives with something planted
	}
}

// JinaBERT's architecture (symmetric ALiBi, gated MLP, no position embeddings) at
// document lengths up to 8,192 tokens gives PyTorch's vectors, for every token.
// The test has power: attention is far from uniform, and each planted fault is
// seen. $COLBERTDB_JINA names a folder of base size that the script made.
func TestJinaBERT(t *testing.T) {
	tiny, long := filepath.Join("testdata", "jina"), os.Getenv("COLBERTDB_RELIABILITY") == "full"
	t.Run("tiny", func(t *testing.T) { jina(t, tiny, "", 0.9999, long) })
	t.Run("float16", func(t *testing.T) { jina(t, tiny, "model_fp16.onnx", 0.999, long) })
	if dir := os.Getenv("COLBERTDB_JINA"); dir != "" {
		t.Run("base", func(t *testing.T) { jina(t, dir, "", 0.9999, true) })
	}
}

// jina compares a folder's graph, "" for its first, with the folder's golden file.
func jina(t *testing.T, dir, graph string, enough float64, long bool) {
	needRuntime(t)
	b, err := os.ReadFile(filepath.Join(dir, "golden.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden jinaGolden
	if err := json.Unmarshal(b, &golden); err != nil {
		t.Fatal(err)
	}
	o := onnx.Options{}
	if graph != "" {
		o.Overrides = encoder.Overrides{"graph": graph}
	}
	enc, err := onnx.OpenDir(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := enc.Close(); err != nil {
			t.Error(err)
		}
	}()
	if i := enc.Info(); i.DocMaxLen != 8192 || i.QueryMaxLen != 128 {
		t.Errorf("%+v", i)
	}
	planted := 0
	for _, d := range golden.Documents {
		if d.Length > 2048 && !long {
			continue
		}
		out, err := enc.EncodeDocuments(context.Background(), []string{d.Text})
		if err != nil {
			t.Fatal(err)
		}
		got := out[0].Vectors
		if got.Len() != d.Length || out[0].Truncated != 0 {
			t.Fatalf("%d tokens: %d vectors, %d truncated", d.Length, got.Len(), out[0].Truncated)
		}
		least := 1.0
		for i, want := range d.Vectors {
			least = min(least, dot(want, got.Row(i*d.Every)))
		}
		t.Logf("%d tokens: least cosine %.7f", d.Length, least)
		if least < enough {
			t.Errorf("%d tokens: a token's cosine is %v", d.Length, least)
		}
		if d.Entropy >= 0.7 {
			t.Errorf("%d tokens: attention has %v of the uniform entropy", d.Length, d.Entropy)
		}
		for fault, vectors := range d.Faults {
			planted++
			least := 1.0
			for i, right := range d.Vectors {
				if i >= len(vectors) { // cut off
					least = 0
					break
				}
				least = min(least, dot(right, vectors[i]))
			}
			t.Logf("fault %s: least cosine %.4f", fault, least)
			if least >= 0.99 {
				t.Errorf("fault %s gives a least cosine of %v: it would not be seen", fault, least)
			}
		}
	}
	if planted != 5 {
		t.Errorf("%d faults were planted", planted)
	}
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}
