package bundled_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

// leastCosine is how near the two runtimes' vectors of a token must be.
const leastCosine = 0.999

// agreement collects the cosines of two runtimes' token vectors.
type agreement struct {
	least, sum float64
	n          int
}

func (a *agreement) add(t *testing.T, text string, x, y encoder.Matrix) {
	t.Helper()
	if x.Len() != y.Len() {
		t.Fatalf("%.40q: %d and %d vectors", text, x.Len(), y.Len())
	}
	for i := range x.Len() {
		var dot float64
		for d, v := range x.Row(i) {
			dot += float64(v) * float64(y.Row(i)[d])
		}
		if a.n == 0 || dot < a.least {
			a.least = dot
		}
		a.sum, a.n = a.sum+dot, a.n+1
	}
}

func (a *agreement) check(t *testing.T) {
	t.Helper()
	t.Logf("cosine of %d token vectors: mean %.7f, least %.7f", a.n, a.sum/float64(a.n), a.least)
	if a.least < leastCosine {
		t.Errorf("least cosine %v, want %v", a.least, leastCosine)
	}
}

// realTexts returns texts of three collections: of each the first documents, cut
// after 1, 2, 3… words in turn, so that there are texts of up to 300 tokens.
func realTexts(t *testing.T) []string {
	var texts []string
	for _, name := range []string{"scifact", "cosqa", "miracl-yo"} {
		f, err := os.Open(filepath.Join(testdata.Dir(t, name), "corpus.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		d := json.NewDecoder(f)
		for i := range 70 {
			var doc struct{ Text string }
			if err := d.Decode(&doc); err != nil {
				t.Fatal(err)
			}
			words := strings.SplitAfter(doc.Text, " ")
			texts = append(texts, strings.Join(words[:min(1+4*i, len(words))], ""))
		}
	}
	return texts
}

// Both runtimes give the same vectors, on documents and queries.
func TestRuntimesAgree(t *testing.T) {
	ctx := context.Background()
	goEnc, onnxEnc := open(t, "go"), open(t, "onnx")
	if goEnc.Info() != onnxEnc.Info() {
		t.Errorf("%+v in Go, %+v in ONNX Runtime", goEnc.Info(), onnxEnc.Info())
	}
	texts := realTexts(t)
	var documents, queries agreement
	x, err := goEnc.EncodeDocuments(ctx, texts)
	if err != nil {
		t.Fatal(err)
	}
	y, err := onnxEnc.EncodeDocuments(ctx, texts)
	if err != nil {
		t.Fatal(err)
	}
	longest := 0
	for i, text := range texts {
		documents.add(t, text, x[i].Vectors, y[i].Vectors)
		longest = max(longest, x[i].Vectors.Len())
	}
	documents.check(t)
	if len(texts) < 200 || longest < 250 {
		t.Errorf("%d texts, the longest with %d vectors: too few to judge", len(texts), longest)
	}
	p, err := goEnc.EncodeQueries(ctx, texts[:100])
	if err != nil {
		t.Fatal(err)
	}
	q, err := onnxEnc.EncodeQueries(ctx, texts[:100])
	if err != nil {
		t.Fatal(err)
	}
	for i := range p {
		queries.add(t, texts[i], p[i].Vectors, q[i].Vectors)
	}
	queries.check(t)
}

// Queries that are filled up with masks agree too, whether masks are attended
// to or only have vectors.
func TestRuntimesAgreeOnExpansion(t *testing.T) {
	config, err := fs.ReadFile(bundled.FS(), "onnx_config.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, attend := range []string{"false", "true"} {
		edited := strings.NewReplacer(`"do_query_expansion": false`, `"do_query_expansion": true`,
			`"attend_to_expansion_tokens": false`, `"attend_to_expansion_tokens": `+attend).Replace(string(config))
		folder := fstest.MapFS{"onnx_config.json": {Data: []byte(edited)}}
		for _, name := range []string{"model_int8.onnx", "tokenizer.json", "query_weights.json"} {
			b, err := fs.ReadFile(bundled.FS(), name)
			if err != nil {
				t.Fatal(err)
			}
			folder[name] = &fstest.MapFile{Data: b}
		}
		var a agreement
		texts := []string{"", "read a file", "how do I read a whole file into memory and close it?"}
		enc := openFolder(t, "go", folder)
		x, err := enc.EncodeQueries(context.Background(), texts)
		if err != nil {
			t.Fatal(err)
		}
		y, err := openFolder(t, "onnx", folder).EncodeQueries(context.Background(), texts)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range texts {
			a.add(t, text, x[i].Vectors, y[i].Vectors)
		}
		if longest := enc.Info().QueryMaxLen + 2; a.n != 3*longest { // and two of the text as a whole
			t.Errorf("%d vectors, want %d a query", a.n, longest)
		}
		a.check(t)
	}
}
