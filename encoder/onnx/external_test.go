package onnx_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/onnx"
)

// A graph may keep its weights in a file of its own: the vectors are the same, the
// file counts in the fingerprint, and where it is not there the error names it.
func TestExternalWeights(t *testing.T) {
	needRuntime(t)
	texts := []string{"the color of amber", "urine"}
	inside, err := open(t, folder(t, "types")).EncodeDocuments(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	fsys := folder(t, "external")
	fsys["external.onnx.data"] = &fstest.MapFile{Data: read(t, "external.onnx.data")}
	dir := t.TempDir()
	for name, f := range fsys {
		if err := os.WriteFile(filepath.Join(dir, name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	enc, err := onnx.OpenDir(dir, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := enc.EncodeDocuments(context.Background(), texts)
	if diff := cmp.Diff(inside, got); diff != "" || err != nil {
		t.Errorf("%v (-inside +external):\n%s", err, diff)
	}
	if err := enc.Close(); err != nil {
		t.Error(err)
	}
	in, err := encoder.Inspect(os.DirFS(dir), dir, nil)
	if err != nil || in.Graph.Weights["float32"] != 4*8*(18+2) || in.Files[len(in.Files)-1] != "external.onnx.data" {
		t.Errorf("%+v, %v", in, err)
	}

	changed := fstest.MapFS{}
	for name, f := range fsys {
		changed[name] = f
	}
	other := append([]byte(nil), fsys["external.onnx.data"].Data...)
	other[0] ^= 1
	changed["external.onnx.data"] = &fstest.MapFile{Data: other}
	if f, err := encoder.ReadFolder(changed, dir, nil); err != nil || f.Fingerprint == in.Fingerprint {
		t.Errorf("the fingerprint does not see the weights: %v", err)
	}
	if _, err := onnx.Open(fsys, "tiny", onnx.Options{}); err == nil || !strings.Contains(err.Error(), "external.onnx.data") || !strings.Contains(err.Error(), "folder on disk") {
		t.Errorf("from no folder on disk: %v", err)
	}
	delete(fsys, "external.onnx.data")
	if _, err := onnx.Open(fsys, "tiny", onnx.Options{}); err == nil || !strings.Contains(err.Error(), "external.onnx.data, which is not there") {
		t.Errorf("without the file: %v", err)
	}
}
