package onnx_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/onnx"
)

// needRuntime skips where ONNX Runtime is absent; in CI it must be there.
func needRuntime(t *testing.T) {
	t.Helper()
	if _, err := onnx.Library(""); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// folder is a model folder with one of the tiny graphs; edits are pairs of old
// and new text in its onnx_config.json.
func folder(t *testing.T, graph string, edits ...string) fstest.MapFS {
	t.Helper()
	config := string(read(t, "onnx_config.json"))
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(config, edits[i]) {
			t.Fatalf("no %s in the configuration", edits[i])
		}
		config = strings.Replace(config, edits[i], edits[i+1], 1)
	}
	return fstest.MapFS{
		"model.onnx":       {Data: read(t, graph+".onnx")},
		"tokenizer.json":   {Data: read(t, "tokenizer.json")},
		"onnx_config.json": {Data: []byte(config)},
	}
}

const noTypes = `"uses_token_type_ids": false`

func open(t *testing.T, fsys fstest.MapFS) encoder.Encoder {
	t.Helper()
	needRuntime(t)
	enc, err := onnx.Open(fsys, "tiny", onnx.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := enc.Close(); err != nil {
			t.Error(err)
		}
	})
	return enc
}

// golden.json holds what Python's onnxruntime makes of a query and a document
// whose ids the Python program chose.
func TestGolden(t *testing.T) {
	var golden map[string][]struct{ Vectors [][]float64 }
	if err := json.Unmarshal(read(t, "golden.json"), &golden); err != nil {
		t.Fatal(err)
	}
	for graph, tolerance := range map[string]float64{"types": 1e-6, "half": 1e-6} {
		var edits []string
		if graph == "half" {
			edits = []string{`"uses_token_type_ids": true`, noTypes}
		}
		enc := open(t, folder(t, graph, edits...))
		q, err := enc.EncodeQueries(context.Background(), []string{"What color"})
		if err != nil {
			t.Fatal(err)
		}
		// With a longer text, so that the document is padded.
		d, err := enc.EncodeDocuments(context.Background(), []string{"The colors of amber.", "the color of the urine of the amber"})
		if err != nil {
			t.Fatal(err)
		}
		document := golden[graph][1].Vectors
		document = append(document[:7:7], document[8]) // the full stop is on the skip list
		for _, c := range []struct {
			side string
			want [][]float64
			got  encoder.Matrix
		}{{"query", golden[graph][0].Vectors, q[0].Vectors}, {"document", document, d[0].Vectors}} {
			if c.got.Len() != len(c.want) {
				t.Fatalf("%s, %s: %d vectors, want %d", graph, c.side, c.got.Len(), len(c.want))
			}
			for i, row := range c.want {
				for j, want := range row {
					if got := float64(c.got.Row(i)[j]); math.Abs(got-want) > tolerance {
						t.Fatalf("%s, %s: vector %d is %v, want %v", graph, c.side, i, c.got.Row(i), row)
					}
				}
			}
		}
	}
}

// A graph that is at odds with its folder is refused when it is opened, by an
// error that names both files.
func TestOpenRefuses(t *testing.T) {
	needRuntime(t)
	for name, c := range map[string]struct {
		fsys  fstest.MapFS
		names []string
	}{
		"dimension in the graph":  {folder(t, "types", `"embedding_dim": 8`, `"embedding_dim": 16`), []string{"onnx_config.json", "model.onnx", "16", "8"}},
		"dimension seen at a run": {folder(t, "half", `"embedding_dim": 8`, `"embedding_dim": 16`, `"uses_token_type_ids": true`, noTypes), []string{"onnx_config.json", "model.onnx", "16", "8"}},
		"token types missing":     {folder(t, "half"), []string{"onnx_config.json", "model.onnx", "token_type_ids"}},
		"token types unexpected":  {folder(t, "types", `"uses_token_type_ids": true`, noTypes), []string{"onnx_config.json", "model.onnx", "token_type_ids"}},
		"not a graph":             {fstest.MapFS{"model.onnx": {Data: []byte("nonsense")}, "tokenizer.json": {Data: read(t, "tokenizer.json")}, "onnx_config.json": {Data: read(t, "onnx_config.json")}}, []string{"model.onnx"}},
	} {
		enc, err := onnx.Open(c.fsys, "models/tiny", onnx.Options{})
		if !errors.Is(err, encoder.ErrModel) {
			t.Errorf("%s: error %v, encoder %v", name, err, enc)
			continue
		}
		for _, want := range c.names {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not name %s", name, err, want)
			}
		}
	}
}

func TestNaN(t *testing.T) {
	enc := open(t, folder(t, "nan", `"uses_token_type_ids": true`, noTypes))
	if _, err := enc.EncodeDocuments(context.Background(), []string{"the color"}); err != nil {
		t.Error(err)
	}
	if _, err := enc.EncodeDocuments(context.Background(), []string{"the color", "nan"}); err == nil || !strings.Contains(err.Error(), "NaN") {
		t.Errorf("error %v for a NaN", err)
	}
}

func TestConcurrentUseAndClose(t *testing.T) {
	needRuntime(t)
	enc, err := onnx.Open(folder(t, "types"), "tiny", onnx.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	want, err := enc.EncodeQueries(context.Background(), []string{"what is amber"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				got, err := enc.EncodeQueries(context.Background(), []string{"what is amber"})
				if err != nil || got[0].Vectors.Data[9] != want[0].Vectors.Data[9] {
					t.Errorf("%v, error %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	for range 2 {
		if err := enc.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := enc.EncodeQueries(context.Background(), []string{"what"}); !errors.Is(err, onnx.ErrRuntime) {
		t.Errorf("error %v after Close", err)
	}
}

// A library that is named is the one that is taken; the error where none is
// found lists the places and says what to do.
func TestLibrary(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("COLBERTDB_ONNXRUNTIME", "")
	t.Setenv("ONNXRUNTIME_SHARED_LIBRARY_PATH", "")
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	expect := func(given, want string) {
		t.Helper()
		if got, err := onnx.Library(given); got != want || err != nil {
			t.Errorf("Library(%q) = %q, %v; want %s", given, got, err, want)
		}
	}
	standard, own, given := file("standard"), file("own"), file("given")
	t.Setenv("ONNXRUNTIME_SHARED_LIBRARY_PATH", standard)
	expect("", standard)
	t.Setenv("COLBERTDB_ONNXRUNTIME", own)
	expect("", own)
	expect(given, given)

	// Without a name: the cache folder before the loader's, and both are listed.
	if runtime.GOOS == "linux" {
		t.Setenv("COLBERTDB_ONNXRUNTIME", "")
		t.Setenv("ONNXRUNTIME_SHARED_LIBRARY_PATH", "")
		t.Setenv("LD_LIBRARY_PATH", filepath.Join(dir, "loader"))
		loader := file("loader/libonnxruntime.so.1")
		expect("", loader)
		cached := file("cache/colbertdb/lib/libonnxruntime.so")
		expect("", cached)
		t.Setenv("ONNXRUNTIME_SHARED_LIBRARY_PATH", standard)
	}

	missing := filepath.Join(dir, "missing")
	for _, c := range []struct{ given, env string }{{missing, own}, {"", missing}} {
		t.Setenv("COLBERTDB_ONNXRUNTIME", c.env)
		_, err := onnx.Library(c.given)
		if !errors.Is(err, onnx.ErrRuntime) || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), "make onnxruntime") {
			t.Errorf("error %v for a path that is not there", err)
		}
	}
}

// The sentence-transformers form: a float16 graph whose width it does not say, and
// a Dense layer that is applied here. The yardstick is the layer on what Python's
// onnxruntime gave.
func TestTransformerForm(t *testing.T) {
	var golden map[string][]struct{ Vectors [][]float64 }
	if err := json.Unmarshal(read(t, "golden.json"), &golden); err != nil {
		t.Fatal(err)
	}
	const in, out = 8, 3
	var weights [out * in]float32
	data := []byte{}
	for i := range weights {
		weights[i] = float32((i*7)%11)/11 - 0.4
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(weights[i]))
	}
	head := `{"linear.weight":{"dtype":"F32","shape":[3,8],"data_offsets":[0,96]}}`
	fsys := fstest.MapFS{
		"onnx/model_fp16.onnx": {Data: read(t, "half.onnx")},
		"tokenizer.json":       {Data: read(t, "tokenizer.json")},
		"config_sentence_transformers.json": {Data: []byte(`{"query_prefix":"[unused0]","document_prefix":"[unused1]","query_length":8,"document_length":10,
			"similarity_fn_name":"MaxSim","skiplist_words":[".",","]}`)},
		"modules.json":              {Data: []byte(`[{"path":"","type":"sentence_transformers.models.Transformer"},{"path":"1_Dense","type":"pylate.models.Dense.Dense"}]`)},
		"1_Dense/config.json":       {Data: []byte(`{"in_features":8,"out_features":3,"bias":false,"activation_function":"torch.nn.modules.linear.Identity"}`)},
		"1_Dense/model.safetensors": {Data: append(append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...), data...)},
	}
	enc := open(t, fsys)
	q, err := enc.EncodeQueries(context.Background(), []string{"What color"})
	if err != nil {
		t.Fatal(err)
	}
	if q[0].Vectors.Dim != out || q[0].Vectors.Len() != 8 {
		t.Fatalf("%d vectors of dimension %d", q[0].Vectors.Len(), q[0].Vectors.Dim)
	}
	for i, row := range golden["half"][0].Vectors {
		var want [out]float64
		var norm float64
		for o := range want {
			for d, x := range row {
				want[o] += x * float64(weights[o*in+d])
			}
			norm += want[o] * want[o]
		}
		for o := range want {
			if got := float64(q[0].Vectors.Row(i)[o]); math.Abs(got-want[o]/math.Sqrt(norm)) > 1e-5 {
				t.Fatalf("vector %d is %v, want %v of norm %v", i, q[0].Vectors.Row(i), want, math.Sqrt(norm))
			}
		}
	}
	// Without the layer's weights the graph is of no use, and the error says why.
	delete(fsys, "1_Dense/model.safetensors")
	if _, err := onnx.Open(fsys, "tiny", onnx.Options{}); !errors.Is(err, encoder.ErrModel) || !strings.Contains(err.Error(), "1_Dense/model.safetensors") {
		t.Errorf("error %v", err)
	}
}
