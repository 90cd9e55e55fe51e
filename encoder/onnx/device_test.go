package onnx_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/encoder/onnx"
)

func TestParseDevices(t *testing.T) {
	for list, want := range map[string][]onnx.Device{
		"":              nil,
		"cpu":           {{Provider: "cpu"}},
		"cpu:0, CPU:1":  {{Provider: "cpu"}, {Provider: "cpu", Index: 1}},
		"cuda:0,cuda:3": {{Provider: "cuda"}, {Provider: "cuda", Index: 3}},
		"tensorrt:0":    {{Provider: "tensorrt"}},
		"auto":          {{Provider: "auto"}},
		"coreml,cpu:7":  {{Provider: "coreml"}, {Provider: "cpu", Index: 7}},
	} {
		got, err := onnx.ParseDevices(list)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", list, err, diff)
		}
		var names []string
		for _, d := range got {
			names = append(names, d.String())
		}
		if again, err := onnx.ParseDevices(strings.Join(names, ",")); err != nil || !slices.Equal(again, got) {
			t.Errorf("%q gives %v, which gives %v, %v", list, names, again, err)
		}
	}
	for list, names := range map[string]string{
		"gpu": `"gpu"`, "cuda:": `"cuda:"`, "cuda:-1": `"cuda:-1"`, "cuda:256": "255", "cpu,cpu:0": "twice", "auto,cpu": "alone", "auto:1": `"auto:1"`, ",": `""`,
	} {
		if got, err := onnx.ParseDevices(list); !errors.Is(err, onnx.ErrDevice) || !strings.Contains(err.Error(), names) {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
}

// A provider that the library does not have is an error that names it and says what
// mends it; auto takes what there is and says what that is.
func TestDevices(t *testing.T) {
	needRuntime(t)
	fsys := folder(t, "types")
	open := func(devices string) (encoder.Encoder, error) {
		d, err := onnx.ParseDevices(devices)
		if err != nil {
			t.Fatal(err)
		}
		return onnx.Open(fsys, "tiny", onnx.Options{Devices: d, Threads: 2})
	}
	enc, err := open("auto")
	if err != nil {
		t.Fatal(err)
	}
	took := enc.(interface{ Runtime() string }).Runtime()
	t.Log(took)
	if err := enc.Close(); err != nil {
		t.Error(err)
	}
	if strings.Contains(took, "on cuda:0") {
		t.Skip("this machine has a GPU")
	}
	if !strings.Contains(took, "on cpu:0 (no cuda:0: ") || !strings.HasPrefix(took, "ONNX Runtime 1.") {
		t.Errorf("auto took %q", took)
	}
	library, _ := onnx.Library("")
	for _, devices := range []string{"cuda:0", "cpu:0,cuda:1", "tensorrt:0"} {
		enc, err := open(devices)
		if !errors.Is(err, onnx.ErrDevice) {
			t.Errorf("%s: encoder %v, error %v", devices, enc, err)
			continue
		}
		name := devices[strings.LastIndex(devices, ",")+1:]
		for _, want := range []string{name, library, "onnxruntime-gpu", "COLBERTDB_ONNXRUNTIME"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not name %s", devices, err, want)
			}
		}
	}
}

// Several sessions share the batches of one call and give the vectors that one gives,
// with the bundled model on real text.
func TestDataParallel(t *testing.T) {
	needRuntime(t)
	texts := documentation(t)
	encode := func(devices string) ([]encoder.Document, []encoder.Query) {
		d, err := onnx.ParseDevices(devices)
		if err != nil {
			t.Fatal(err)
		}
		enc, batches, err := onnx.OpenCounted(bundled.FS(), onnx.Options{Devices: d, Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := enc.Close(); err != nil {
				t.Error(err)
			}
		}()
		documents, err := enc.EncodeDocuments(context.Background(), texts)
		if err != nil {
			t.Fatal(err)
		}
		queries, err := enc.EncodeQueries(context.Background(), texts[:20])
		if err != nil {
			t.Fatal(err)
		}
		runs := batches()
		t.Logf("%s: batches %v", devices, runs)
		for i, n := range runs {
			if n == 0 {
				t.Errorf("%s: session %d ran no batch", devices, i)
			}
		}
		if len(runs) != len(d) {
			t.Errorf("%s: %d sessions", devices, len(runs))
		}
		return documents, queries
	}
	documents, queries := encode("cpu:0")
	for _, devices := range []string{"cpu:0,cpu:1"} {
		d, q := encode(devices)
		least, n := 1.0, 0
		compare := func(want, got encoder.Matrix) {
			if want.Len() != got.Len() {
				t.Fatalf("%s: %d vectors, want %d", devices, got.Len(), want.Len())
			}
			for i := range want.Len() {
				least, n = min(least, dot(want.Row(i), got.Row(i))), n+1
			}
		}
		for i := range documents {
			compare(documents[i].Vectors, d[i].Vectors)
		}
		for i := range queries {
			compare(queries[i].Vectors, q[i].Vectors)
		}
		t.Logf("%s: least cosine of %d vectors %.7f", devices, n, least)
		if least < 0.9999 || n < 1000 {
			t.Errorf("%s: least cosine of %d vectors is %v", devices, n, least)
		}
	}
}

// documentation are paragraphs of the project's documentation, of all lengths.
func documentation(t testing.TB) (texts []string) {
	t.Helper()
	for _, name := range []string{"models.md", "design.md", "operations.md"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range strings.Split(string(b), "\n\n") {
			if p = strings.TrimSpace(p); p != "" {
				texts = append(texts, p)
			}
		}
	}
	if len(texts) < 60 {
		t.Fatalf("%d paragraphs", len(texts))
	}
	return texts[:30]
}
