package bundled_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bert"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/encoder/onnx"
	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// runtimes are the ways to run the model.
var runtimes = []string{"go", "onnx"}

// open opens the model.
func open(tb testing.TB, runtime string) encoder.Encoder {
	tb.Helper()
	return openFolder(tb, runtime, bundled.FS())
}

// openFolder opens a folder, or skips where ONNX Runtime is absent; in CI it
// must be there, but for builds without cgo.
func openFolder(tb testing.TB, runtime string, fsys fs.FS) encoder.Encoder {
	tb.Helper()
	var enc encoder.Encoder
	var err error
	if runtime == "go" {
		enc, err = bert.Open(fsys, bundled.Location, bert.Options{})
	} else {
		enc, err = onnx.Open(fsys, bundled.Location, onnx.Options{})
	}
	if errors.Is(err, onnx.ErrRuntime) && (os.Getenv("CI") == "" || strings.Contains(err.Error(), "without cgo")) {
		tb.Skip(err)
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

// Where there is no library, the model runs in Go.
func TestOpen(t *testing.T) {
	t.Setenv("COLBERTDB_ONNXRUNTIME", filepath.Join(t.TempDir(), "missing"))
	for _, tier := range simd.Tiers() {
		restore, err := simd.Force(tier)
		if err != nil {
			t.Fatal(err)
		}
		defer restore()
		enc, err := bundled.Open()
		if err != nil {
			t.Fatal(err)
		}
		vectorsEqualTheExporters(t, enc)
		if info := enc.Info(); info.Location != bundled.Location || info.Dim != 128 {
			t.Errorf("%+v", info)
		}
		if err := enc.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The repository carries the model: it must stay small.
func TestSize(t *testing.T) {
	var size int64
	err := fs.WalkDir(bundled.FS(), ".", func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		size += info.Size()
		return err
	})
	if err != nil || size < 20e6 || size > 25e6 {
		t.Errorf("the model's folder has %d bytes, %v; want at most 25 MB", size, err)
	}
}

// A short question weighs its words alone, a long one its subject too.
func TestPooledWeights(t *testing.T) {
	q, err := open(t, "go").EncodeQueries(context.Background(), []string{
		"read a file",
		"what is known about the effect of surface roughness on the transition of a laminar boundary layer at supersonic speed",
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true} {
		w := q[i].Weights
		n := len(w)
		var words float32
		for _, x := range w[:n-2] {
			words += x
		}
		if w[n-1] != w[n-2] || (w[n-1] > 0) != want || w[n-1] >= words {
			t.Errorf("query %d: the text weighs %v and %v, its tokens together %v", i, w[n-2], w[n-1], words)
		}
	}
}

// Words that most documents have say little.
func TestQueryWeights(t *testing.T) {
	q, err := open(t, "go").EncodeQueries(context.Background(), []string{"the wing of a bird"})
	if err != nil {
		t.Fatal(err)
	}
	weight := map[string]float32{}
	var sum float32
	for i, piece := range q[0].Tokens {
		weight[piece] = q[0].Weights[i]
		sum += q[0].Weights[i]
	}
	if weight["wing"] < 3*weight["the"] || weight["bird"] < 3*weight["of"] || weight["the"] <= 0 {
		t.Errorf("weights %v", weight)
	}
	if mean := sum / float32(len(q[0].Weights)); mean < 0.999 || mean > 1.001 {
		t.Errorf("the mean weight is %v, want 1", mean)
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

// Vectors do not depend on what else is in the batch: in Go to the bit, in ONNX
// Runtime but for rounding.
func TestBatchesDoNotMatter(t *testing.T) {
	for r, tolerance := range map[string]float64{"go": 0, "onnx": 1e-4} {
		t.Run(r, func(t *testing.T) { batchesDoNotMatter(t, open(t, r), tolerance) })
	}
}

func batchesDoNotMatter(t *testing.T, enc encoder.Encoder, tolerance float64) {
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
			if d := math.Abs(float64(one[0].Vectors.Data[j] - all[i].Vectors.Data[j])); d > tolerance {
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
	for name, text := range map[string]string{
		"short":     "how do I read a whole file into memory",
		"32 tokens": "how do I read a whole file into memory, split what it holds into lines, and sort them by the number in their second column without a copy",
	} {
		for _, r := range runtimes {
			b.Run(name+"/"+r, func(b *testing.B) { encodeQuery(b, open(b, r), text) })
		}
	}
}

func encodeQuery(b *testing.B, enc encoder.Encoder, text string) {
	tokens := 0
	for b.Loop() {
		q, err := enc.EncodeQueries(context.Background(), []string{text})
		if err != nil {
			b.Fatal(err)
		}
		tokens += q[0].Vectors.Len()
	}
	b.ReportMetric(float64(tokens)/b.Elapsed().Seconds(), "tokens/s")
}
