package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// tinyModel is a model folder of the onnx_config.json form.
func tinyModel(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tiny")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for to, from := range map[string]string{"model.onnx": "types.onnx", "tokenizer.json": "tokenizer.json", "onnx_config.json": "onnx_config.json"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "encoder", "onnx", "testdata", from))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, to), string(b))
	}
	writeFile(t, filepath.Join(dir, "README.md"), "---\nlanguage: en\nlicense: cc-by-nc-4.0\n---\n# tiny\n")
	return dir
}

// colbertdb runs the command and returns its status and what it printed.
func colbertdb(args ...string) (status int, out, errs string) {
	var stdout, stderr bytes.Buffer
	status = run(context.Background(), args, strings.NewReader(""), &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

func TestModelInspect(t *testing.T) {
	dir := tinyModel(t)
	status, out, errs := colbertdb("model", "inspect", dir)
	if status != exitOK {
		t.Fatal(errs)
	}
	for _, want := range []string{
		"cc-by-nc-4.0: not for commercial use", "WordPiece of 18 tokens, lower-cased", "takes input_ids, attention_mask, token_type_ids", "gives embeddings, float32 of dimension 8",
		"[CLS] [unused0] text [SEP]", "query_length                8 (onnx_config.json)", "skiplist_words              2 words",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	// Overrides, and the encoder that they make.
	status, out, errs = colbertdb("model", "inspect", "--json", dir+"?query_length=12&embedding_dim=4")
	var in encoder.Inspection
	if err := json.Unmarshal([]byte(out), &in); status != exitOK || err != nil {
		t.Fatal(errs, err)
	}
	from := map[string]encoder.Setting{}
	for _, s := range in.Settings {
		from[s.Name] = s
	}
	if s := from["query_length"]; s.Value != 12.0 || s.From != "overrides" || in.Graph.Dim != 8 {
		t.Errorf("%+v", in)
	}
	if info, err := modelInfo(t.Context(), dir+"?query_length=12&embedding_dim=4"); err != nil || info.QueryMaxLen != 12 || info.Dim != 4 || info.Location != dir+"?query_length=12&embedding_dim=4" || info.Fingerprint != in.Fingerprint {
		t.Errorf("%+v, %v", info, err)
	}
	if status, out, errs = colbertdb("model", "inspect", "bundled"); status != exitOK || !strings.Contains(out, "apache-2.0") {
		t.Error(out, errs)
	}
	// What does not fit is the error that opening it gives.
	writeFile(t, filepath.Join(dir, "artifact.metadata"), `{"dim":128,"query_maxlen":8}`)
	for _, args := range [][]string{{dir}, {dir + "?query_len=3"}, {filepath.Join(dir, "not")}} {
		if status, _, errs := colbertdb(append([]string{"model", "inspect"}, args...)...); status != exitError || !strings.HasPrefix(errs, "colbertdb: ") {
			t.Errorf("%v: status %d, %s", args, status, errs)
		}
	}
	if _, _, errs := colbertdb("model", "inspect", dir); !strings.Contains(errs, "artifact.metadata") || !strings.Contains(errs, "onnx_config.json") || !strings.Contains(errs, "128") {
		t.Error(errs)
	}
}
