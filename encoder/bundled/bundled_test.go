package bundled_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bert"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/encoder/onnx"
	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

// runtimes are the ways to run the model.
var runtimes = []string{"go", "onnx"}

// open opens the model, or skips where ONNX Runtime is absent; in CI it must
// be there.
func open(tb testing.TB, runtime string) encoder.Encoder {
	tb.Helper()
	var enc encoder.Encoder
	var err error
	if runtime == "go" {
		enc, err = bundled.OpenGo(bert.Options{})
	} else {
		if _, err := onnx.Library(""); err != nil && os.Getenv("CI") == "" {
			tb.Skip(err)
		}
		enc, err = bundled.OpenONNX(onnx.Options{})
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := enc.Close(); err != nil {
			tb.Error(err)
		}
	})
	return enc
}

func onEveryRuntime(t *testing.T, f func(t *testing.T, enc encoder.Encoder)) {
	for _, r := range runtimes {
		t.Run(r, func(t *testing.T) { f(t, open(t, r)) })
	}
}

// The vectors equal those of the Python program that exported the model.
func TestVectorsEqualTheExporters(t *testing.T) { onEveryRuntime(t, vectorsEqualTheExporters) }

func vectorsEqualTheExporters(t *testing.T, enc encoder.Encoder) {
	b, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Text, Side string
		Vectors    [][]float32
	}
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		var got encoder.Matrix
		if c.Side == "query" {
			q, err := enc.EncodeQueries(context.Background(), []string{c.Text})
			if err != nil {
				t.Fatal(err)
			}
			got = q[0].Vectors
		} else {
			d, err := enc.EncodeDocuments(context.Background(), []string{c.Text})
			if err != nil {
				t.Fatal(err)
			}
			got = d[0].Vectors
			if len(d[0].Spans) != got.Len() || len(enc.DocumentSpans(c.Text)) != got.Len() {
				t.Errorf("%q: %d spans, %d vectors", c.Text, len(d[0].Spans), got.Len())
			}
		}
		if got.Len() != len(c.Vectors) {
			t.Fatalf("%q: %d vectors, want %d", c.Text, got.Len(), len(c.Vectors))
		}
		for i, want := range c.Vectors {
			var dot float64
			for d, x := range want {
				dot += float64(x) * float64(got.Row(i)[d])
			}
			if math.Abs(dot-1) > 1e-4 {
				t.Errorf("%q, token %d: cosine %v", c.Text, i, dot)
			}
		}
	}
}

// Vectors do not depend on what else is in the batch.
func TestBatchesDoNotMatter(t *testing.T) { onEveryRuntime(t, batchesDoNotMatter) }

func batchesDoNotMatter(t *testing.T, enc encoder.Encoder) {
	texts := []string{"one", "a somewhat longer sentence about files and folders", "", "reads the whole file, at once; and closes it."}
	all, err := enc.EncodeDocuments(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range texts {
		one, err := enc.EncodeDocuments(context.Background(), []string{text})
		if err != nil {
			t.Fatal(err)
		}
		for j := range one[0].Vectors.Data {
			if d := math.Abs(float64(one[0].Vectors.Data[j] - all[i].Vectors.Data[j])); d > 1e-4 {
				t.Fatalf("%q: differs by %v alone and in a batch", text, d)
			}
		}
	}
}

func BenchmarkEncodeDocuments(b *testing.B) {
	for _, r := range runtimes {
		b.Run(r, func(b *testing.B) { encodeDocuments(b, open(b, r)) })
	}
}

func encodeDocuments(b *testing.B, enc encoder.Encoder) {
	text := "ReadFile reads the named file and returns the contents. A successful call returns err == nil, not err == EOF. Because ReadFile reads the whole file, it does not treat an EOF from Read as an error to be reported."
	texts := make([]string, 64)
	for i := range texts {
		texts[i] = text
	}
	tokens := 0
	for b.Loop() {
		d, err := enc.EncodeDocuments(context.Background(), texts)
		if err != nil {
			b.Fatal(err)
		}
		tokens += len(texts) * d[0].Vectors.Len()
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
}

func BenchmarkEncodeQuery(b *testing.B) {
	for _, r := range runtimes {
		b.Run(r, func(b *testing.B) { encodeQuery(b, open(b, r)) })
	}
}

func encodeQuery(b *testing.B, enc encoder.Encoder) {
	for b.Loop() {
		if _, err := enc.EncodeQueries(context.Background(), []string{"how do I read a whole file into memory"}); err != nil {
			b.Fatal(err)
		}
	}
}

// Both runtimes give the same vectors, on real texts of all lengths.
func TestRuntimesAgree(t *testing.T) {
	goEnc, onnxEnc := open(t, "go"), open(t, "onnx")
	var texts []string
	for _, name := range []string{"scifact", "cosqa", "miracl-yo"} {
		f, err := os.Open(filepath.Join(testdata.Dir(t, name), "corpus.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		d := json.NewDecoder(f)
		for range 40 {
			var doc struct{ Text string }
			if err := d.Decode(&doc); err != nil {
				t.Fatal(err)
			}
			texts = append(texts, doc.Text)
		}
	}
	a, err := goEnc.EncodeDocuments(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	b, err := onnxEnc.EncodeDocuments(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	least, sum, n := 1.0, 0.0, 0
	for i := range texts {
		if a[i].Vectors.Len() != b[i].Vectors.Len() {
			t.Fatalf("text %d: %d and %d vectors", i, a[i].Vectors.Len(), b[i].Vectors.Len())
		}
		for r := range a[i].Vectors.Len() {
			var dot float64
			for d, x := range a[i].Vectors.Row(r) {
				dot += float64(x) * float64(b[i].Vectors.Row(r)[d])
			}
			least, sum, n = min(least, dot), sum+dot, n+1
		}
	}
	t.Logf("cosine of %d token vectors: mean %.6f, least %.6f", n, sum/float64(n), least)
	if least < 0.999 {
		t.Errorf("least cosine %v, want 0.999", least)
	}
	if goEnc.Info().Fingerprint != onnxEnc.Info().Fingerprint {
		t.Error("the fingerprints differ")
	}
}
