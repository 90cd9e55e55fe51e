package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/encoder/tokenizer/hf"
)

// --tokenizer hf gives what --tokenizer go does, in builds that have the library; in
// others it is an error that says how to get one.
func TestTokenizerLibrary(t *testing.T) {
	needRuntime(t)
	dir, prose := tinyModel(t), filepath.Join("..", "..", "docs", "models.md")
	for _, args := range [][]string{
		{"encode", "--model", dir, "--input", prose},
		{"encode", "--model", dir, "--side", "query", "the color of amber", "", "é\x00Ü"},
		{"encode", "--model", dir, "\xff broken"},
	} {
		_, own, errs := colbertdb(args...)
		if own == "" {
			t.Fatal(errs)
		}
		status, out, errs := colbertdb(append(args, "--tokenizer", "hf")...)
		switch {
		case !hf.Available && (status != exitError || !strings.Contains(errs, "make tokenizers")):
			t.Errorf("status %d: %s", status, errs)
		case hf.Available && (status != exitOK || out != own):
			t.Errorf("%v: other vectors: %s", args, errs)
		}
	}
}
