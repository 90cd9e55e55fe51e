package encoder

import (
	"os"
	"reflect"
	"testing"
	"testing/fstest"
)

// FuzzConfig: whatever the files of a model folder hold, they are read or refused,
// and a file agrees with itself.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"embedding_dim":128,"query_length":32,"mask_token_id":103,"skiplist_words":["."]}`))
	f.Add([]byte(`{"config":{"dim":128,"query_maxlen":32,"mask_punctuation":true}}`))
	f.Add([]byte(`{"config":[]}`))
	f.Add([]byte(`{"query_prefix":"[Q] ","query_length":48,"similarity_fn_name":"MaxSim","mask_token":{"content":"[MASK]"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, form := range forms {
			_, _ = form.read(b)
		}
		_, _ = readSpecials(b)
		_, _ = readModules(b)
		if s, err := decodeSettings(b); err == nil {
			var sum sources
			if err := sum.add(s, "a", settings{}); err != nil {
				t.Error(err)
			}
			if err := sum.add(s, "b", settings{}); err != nil || !reflect.DeepEqual(s, sum.settings) {
				t.Errorf("a file contradicts itself: %v", err)
			}
		}
	})
}

// FuzzGraph: any bytes are read as a graph or refused.
func FuzzGraph(f *testing.F) {
	for _, name := range []string{"types", "half"} {
		b, err := os.ReadFile("onnx/testdata/" + name + ".onnx")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if g, err := ReadGraph(b); err == nil && len(g.Outputs) == 0 {
			t.Error("a graph without outputs was accepted")
		}
	})
}

// FuzzTensor: any bytes are read as a safetensors file or refused.
func FuzzTensor(f *testing.F) {
	f.Add([]byte("\x3f\x00\x00\x00\x00\x00\x00\x00" + `{"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}         ` + "abcd"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if out, err := readTensor(fstest.MapFS{"x": {Data: b}}, "x", "t", 1); err == nil && len(out) != 1 {
			t.Errorf("%d values", len(out))
		}
	})
}
