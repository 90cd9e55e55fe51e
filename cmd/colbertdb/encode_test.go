package main

import (
	"encoding/json"
	"strings"
	"testing"
)

// encode prints what a document's vectors stand for, pools them, says what was cut and
// takes fewer tokens at once or fewer dimensions, with the model's own vectors.
func TestEncodeOptions(t *testing.T) {
	needRuntime(t)
	dir := tinyModel(t)
	const text = "The colors of amber."
	encode := func(args ...string) (line encodedLine) {
		t.Helper()
		status, out, errs := colbertdb(append([]string{"encode"}, args...)...)
		if err := json.Unmarshal([]byte(out), &line); status != exitOK || err != nil {
			t.Fatalf("%v: status %d, %v: %s", args, status, err, errs)
		}
		return line
	}
	whole := encode("--model", dir, "--spans", text)
	var words []string
	for _, s := range whole.Spans {
		words = append(words, text[s[0]:s[1]])
	}
	if got := strings.Join(words, "|"); got != "||The|color|s|of|amber|" || len(whole.Vectors) != 8 {
		t.Errorf("spans %q of %d vectors", got, len(whole.Vectors))
	}
	if pooled := encode("--model", dir, "--pool-factor", "2", text); len(pooled.Vectors) != 4 || pooled.Spans != nil {
		t.Errorf("%d vectors, pooled by 2", len(pooled.Vectors))
	}
	if long := encode("--model", dir, strings.Repeat("amber ", 20)); long.Truncated != 13 || len(long.Vectors) != 10 {
		t.Errorf("%d vectors, %d tokens cut", len(long.Vectors), long.Truncated)
	}
	if q := encode("--model", dir+"?query_length=12", "--side", "query", "amber"); len(q.Vectors) != 12 {
		t.Errorf("%d vectors of a query of 12", len(q.Vectors))
	}
	if short := encode("--model", dir+"?embedding_dim=4", text); len(short.Vectors[3]) != 4 {
		t.Errorf("%d dimensions", len(short.Vectors[3]))
	}
	few := encode("--model", dir, "--batch-tokens", "1", text)
	if len(few.Vectors) != 8 || few.Vectors[3][0] != whole.Vectors[3][0] {
		t.Errorf("a batch of one token: %v", few.Vectors)
	}
	for _, bad := range [][]string{{"--pool-factor", "0"}, {"--pool-factor", "2", "--spans"}, {"--pool-factor", "2", "--side", "query"}, {"--batch-tokens", "-1"}} {
		if status, _, errs := colbertdb(append([]string{"encode", "--model", dir, text}, bad...)...); status != exitUsage {
			t.Errorf("%v: status %d: %s", bad, status, errs)
		}
	}
}
