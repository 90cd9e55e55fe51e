package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/encoder/onnx"
)

// needRuntime skips where ONNX Runtime is absent; in CI it must be there.
func needRuntime(t *testing.T) {
	t.Helper()
	if _, err := onnx.Library(""); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
}

// --devices says where a model's graph runs: several sessions give the vectors of one,
// what was taken is told, and what is not there is an error that names it.
func TestDevices(t *testing.T) {
	needRuntime(t)
	dir := tinyModel(t)
	_, one, _ := colbertdb("encode", "--model", dir, "the color of amber", "urine")
	status, two, errs := colbertdb("encode", "--model", dir, "--devices", "cpu:0,cpu:1", "the color of amber", "urine")
	if status != exitOK || one == "" || one != two {
		t.Errorf("status %d, %q on one and %q on two: %s", status, one, two, errs)
	}
	if !strings.Contains(errs, "on cpu:0, cpu:1") {
		t.Errorf("what was taken is not told: %q", errs)
	}
	status, out, errs := colbertdb("model", "inspect", "--devices", "auto", dir)
	if status != exitOK || !strings.Contains(out, "\nruns          ONNX Runtime ") {
		t.Errorf("status %d: %s\n%s", status, out, errs)
	}
	if strings.Contains(out, "on cpu:0 (no cuda:0") { // no GPU here
		notes := filepath.Join(t.TempDir(), "notes.txt")
		writeFile(t, notes, "the color of amber")
		for _, verb := range [][]string{{"encode", "text"}, {"index", notes}, {"model", "inspect", dir}, {"reindex"}, {"serve"}} {
			status, _, errs := colbertdb(append(verb, "--devices", "cuda:0", "--model", dir, "--db", t.TempDir()+"/db")...)
			if status != exitError || !strings.Contains(errs, "device is not available: cuda:0") || !strings.Contains(errs, "COLBERTDB_ONNXRUNTIME") {
				t.Errorf("%v: status %d: %s", verb, status, errs)
			}
		}
	}
	if status, _, errs := colbertdb("encode", "--devices", "gpu", "text"); status != exitUsage || !strings.Contains(errs, `"gpu"`) {
		t.Errorf("status %d: %s", status, errs)
	}
}
