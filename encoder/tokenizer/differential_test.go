package tokenizer_test

import (
	"cmp"
	"os"
	"os/exec"
	"testing"
)

// TestDifferential compares with the Hugging Face library where Python has it:
// 10,000 hostile strings for each of three files, 2,500 for each of their
// variants.
func TestDifferential(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	python := cmp.Or(os.Getenv("COLBERTDB_PYTHON"), "python3")
	if err := exec.Command(python, "-c", "import tokenizers").Run(); err != nil {
		t.Skipf("%s has no package tokenizers; COLBERTDB_PYTHON may name one that does", python)
	}
	for _, file := range []string{"bundled/model/tokenizer.json", "tokenizer/testdata/bpe.json", "tokenizer/testdata/unigram.json"} {
		out, err := exec.Command(python, "../../scripts/tokenizer_diff.py", "--count", "10000", "--tokenizer", "../"+file).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
		}
	}
}
