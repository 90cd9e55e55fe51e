package encoder_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// The vocabulary of the tests: a piece's id is its line.
var pieces = strings.Split("[PAD] [unused0] [unused1] [UNK] [CLS] [SEP] [MASK] what color is amber urine the of ##s . , ! a b c 한 ᄒ ##ᅡ ##ᆫ ##국", " ")

func id(t testing.TB, piece string) int64 {
	i := slices.Index(pieces, piece)
	if i < 0 {
		t.Fatalf("no piece %q", piece)
	}
	return int64(i)
}

const config = `{"query_prefix":"[Q] ","document_prefix":"[D] ","query_prefix_id":1,"document_prefix_id":2,"query_length":8,"document_length":10,
"do_query_expansion":true,"attend_to_expansion_tokens":false,"embedding_dim":4,"uses_token_type_ids":true,"mask_token_id":6,"pad_token_id":0,"skiplist_words":[".",","]}`

func folder(files ...string) fstest.MapFS {
	fsys := fstest.MapFS{
		"onnx_config.json": {Data: []byte(config)},
		"vocab.txt":        {Data: []byte(strings.Join(pieces, "\n"))},
		"model.onnx":       {Data: []byte("graph")},
	}
	for i := 0; i < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
		if files[i+1] == "" {
			delete(fsys, files[i])
		}
	}
	return fsys
}

// session stands for a graph: a token's vector is (1, id, position, number of
// attended tokens in its row), so that a test sees what went in.
type session struct {
	batches []encoder.Batch
	dim     int
	poison  int64 // the id that gives NaN; 0: none
	runs    func()
	closed  bool
}

func (s *session) Run(_ context.Context, b encoder.Batch) ([]float32, int, error) {
	s.batches = append(s.batches, b)
	if s.runs != nil {
		s.runs()
	}
	out := make([]float32, b.Rows*b.Cols*s.dim)
	for r := range b.Rows {
		attended := 0
		for c := range b.Cols {
			attended += int(b.Mask[r*b.Cols+c])
		}
		for c := range b.Cols {
			at := r*b.Cols + c
			v := []float32{1, float32(b.IDs[at]), float32(c), float32(attended)}
			if s.poison != 0 && b.IDs[at] == s.poison {
				v[1] = float32(math.NaN())
			}
			copy(out[at*s.dim:(at+1)*s.dim], v)
		}
	}
	return out, s.dim, nil
}

func (s *session) Close() error { s.closed = true; return nil }

func open(t testing.TB, fsys fstest.MapFS) (*encoder.ColBERT, *session) {
	t.Helper()
	f, err := encoder.ReadFolder(fsys, "models/tiny", nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{dim: 4}
	c, err := encoder.NewColBERT(f, s, encoder.Tuning{})
	if err != nil {
		t.Fatal(err)
	}
	s.batches = nil
	return c, s
}

func unit(v ...float64) []float32 {
	var n float64
	for _, x := range v {
		n += x * x
	}
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x / math.Sqrt(n))
	}
	return out
}

func TestQuery(t *testing.T) {
	c, s := open(t, folder())
	got, err := c.EncodeQueries(context.Background(), []string{"What color?", "what is the color of amber urine amber"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"[CLS]", "[unused0]", "what", "color", "[UNK]", "[SEP]", "[MASK]", "[MASK]"}
	if diff := cmp.Diff(want, got[0].Tokens); diff != "" || got[0].Truncated != 0 {
		t.Errorf("short query: %d tokens cut, (-want +got):\n%s", got[0].Truncated, diff)
	}
	for i, piece := range want { // attention does not see the masks
		row := unit(1, float64(id(t, piece)), float64(i), 6)
		if diff := cmp.Diff(row, got[0].Vectors.Row(i), cmpopts.EquateApprox(0, 1e-6)); diff != "" {
			t.Errorf("vector of %s (-want +got):\n%s", piece, diff)
		}
	}
	want = []string{"[CLS]", "[unused0]", "what", "is", "the", "color", "of", "[SEP]"}
	if diff := cmp.Diff(want, got[1].Tokens); diff != "" || got[1].Truncated != 3 {
		t.Errorf("long query: %d tokens cut, want 3, (-want +got):\n%s", got[1].Truncated, diff)
	}
	for _, b := range s.batches {
		for _, kind := range b.Types {
			if kind != 0 {
				t.Error("token type other than 0")
			}
		}
	}

	c, _ = open(t, folder("onnx_config.json", strings.Replace(config, `"attend_to_expansion_tokens":false`, `"attend_to_expansion_tokens":true`, 1)))
	if got, err = c.EncodeQueries(context.Background(), []string{"what"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(unit(1, 4, 0, 8), got[0].Vectors.Row(0), cmpopts.EquateApprox(0, 1e-6)); diff != "" {
		t.Errorf("attended masks (-want +got):\n%s", diff)
	}
	c, _ = open(t, folder("onnx_config.json", strings.Replace(config, `"do_query_expansion":true`, `"do_query_expansion":false`, 1)))
	if got, err = c.EncodeQueries(context.Background(), []string{"what"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"[CLS]", "[unused0]", "what", "[SEP]"}, got[0].Tokens); diff != "" {
		t.Errorf("without expansion (-want +got):\n%s", diff)
	}
}

// A model may weigh query tokens by their ids; the weights are 1 on the mean.
func TestQueryWeights(t *testing.T) {
	weights := make([]string, len(pieces))
	for i := range weights {
		weights[i] = "1"
	}
	weights[id(t, "what")], weights[id(t, "[SEP]")] = "3", "0"
	named := strings.Replace(config, `"query_length"`, `"query_weights":"w.json","query_length"`, 1)
	named = strings.Replace(named, `"do_query_expansion":true`, `"do_query_expansion":false`, 1)
	c, _ := open(t, folder("onnx_config.json", named, "w.json", "["+strings.Join(weights, ",")+"]"))
	got, err := c.EncodeQueries(context.Background(), []string{"what color"})
	if err != nil {
		t.Fatal(err)
	}
	// [CLS] [unused0] what color [SEP]: 1 1 3 1 0, of a mean of 1.2.
	if diff := cmp.Diff([]float32{1 / 1.2, 1 / 1.2, 2.5, 1 / 1.2, 0}, got[0].Weights, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Vectors of the whole text weigh a share of what the others' sum to above a
	// least: 6 here, and 4 without "color" and with a sum at the least.
	pooled := strings.Replace(named, `"query_length"`, `"pooled":{"ids":[3,2],"weights":[1,0.5],"least":5},"query_length"`, 1)
	file := "[" + strings.Join(weights, ",") + "]"
	c, _ = open(t, folder("onnx_config.json", pooled, "w.json", file))
	if got, err = c.EncodeQueries(context.Background(), []string{"what color", "what", "color"}); err != nil {
		t.Fatal(err)
	}
	scale := 7. / 7.5
	if diff := cmp.Diff([][]float32{
		{float32(scale), float32(scale), float32(3 * scale), float32(scale), 0, float32(scale), float32(scale / 2)},
		{1.2, 1.2, 3.6, 0, 0, 0},
		{2, 2, 2, 0, 0, 0},
	}, [][]float32{got[0].Weights, got[1].Weights, got[2].Weights}, cmpopts.EquateApprox(0, 1e-6)); diff != "" {
		t.Errorf("pooled (-want +got):\n%s", diff)
	}
	// They come last and are not attended to, in documents too.
	d, err := c.EncodeDocuments(context.Background(), []string{strings.Repeat("amber ", 20)})
	if err != nil {
		t.Fatal(err)
	}
	if d[0].Vectors.Len() != 12 || len(d[0].Spans) != 12 || d[0].Truncated != 13 {
		t.Fatalf("%d vectors, %d spans, %d tokens cut; want 12, 12, 13", d[0].Vectors.Len(), len(d[0].Spans), d[0].Truncated)
	}
	for i, piece := range map[int]string{9: "[SEP]", 10: "[UNK]", 11: "[unused1]"} {
		if diff := cmp.Diff(unit(1, float64(id(t, piece)), float64(i), 10), d[0].Vectors.Row(i), cmpopts.EquateApprox(0, 1e-6)); diff != "" {
			t.Errorf("vector of %s (-want +got):\n%s", piece, diff)
		}
	}
	for want, conf := range map[string]string{
		"pooled has 2 ids, 1 weights":     strings.Replace(pooled, "[1,0.5]", "[1]", 1),
		"pooled has 0 ids":                strings.Replace(pooled, `"ids":[3,2],"weights":[1,0.5]`, `"ids":[]`, 1),
		"least -5":                        strings.Replace(pooled, `"least":5`, `"least":-5`, 1),
		"beside query_weights":            strings.Replace(pooled, `"query_weights":"w.json",`, "", 1),
		"names token 999":                 strings.Replace(pooled, "[3,2]", "[3,999]", 1),
		"gives token 2 the weight 1.5":    strings.Replace(pooled, "0.5", "1.5", 1),
		"onnx_config.json: json: cannot ": strings.Replace(pooled, "[3,2]", `"x"`, 1),
	} {
		_, err := encoder.ReadFolder(folder("onnx_config.json", conf, "w.json", file), "x", nil)
		if !errors.Is(err, encoder.ErrModel) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	c, _ = open(t, folder())
	if got, err = c.EncodeQueries(context.Background(), []string{"what"}); err != nil || got[0].Weights != nil {
		t.Errorf("without a file: %v, %v", got[0].Weights, err)
	}
	for want, file := range map[string]string{
		"w.json has 2 weights":                 "[1,2]",
		"token 0 is -1":                        "[-1," + strings.Join(weights[1:], ",") + "]",
		"onnx_config.json names query_weights": "",
		"w.json: json":                         "{}",
	} {
		_, err := encoder.ReadFolder(folder("onnx_config.json", named, "w.json", file), "x", nil)
		if !errors.Is(err, encoder.ErrModel) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestDocument(t *testing.T) {
	c, _ := open(t, folder())
	text := "The colors, of AMBER."
	got, err := c.EncodeDocuments(context.Background(), []string{text, "", strings.Repeat("amber ", 20)})
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, s := range got[0].Spans {
		words = append(words, text[s.Start:s.End])
	}
	if diff := cmp.Diff([]string{"", "", "The", "color", "s", "of", "AMBER", ""}, words); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	// Positions 5 and 9 held the comma and the full stop.
	var want []float32
	for i, piece := range []string{"[CLS]", "[unused1]", "the", "color", "##s", "", "of", "amber", "", "[SEP]"} {
		if piece != "" {
			want = append(want, unit(1, float64(id(t, piece)), float64(i), 10)...)
		}
	}
	if diff := cmp.Diff(want, got[0].Vectors.Data, cmpopts.EquateApprox(0, 1e-6)); diff != "" || got[0].Truncated != 0 {
		t.Errorf("vectors (-want +got):\n%s", diff)
	}
	if got[1].Vectors.Len() != 3 || len(got[1].Spans) != 3 {
		t.Errorf("an empty text has %d vectors and %d spans, want 3", got[1].Vectors.Len(), len(got[1].Spans))
	}
	if got[2].Truncated != 13 || got[2].Vectors.Len() != 10 {
		t.Errorf("a long text: %d tokens cut and %d vectors, want 13 and 10", got[2].Truncated, got[2].Vectors.Len())
	}
	for i, text := range []string{text, "", strings.Repeat("amber ", 20)} {
		if diff := cmp.Diff(got[i].Spans, c.DocumentSpans(text)); diff != "" {
			t.Errorf("DocumentSpans(%q) (-encoded +spans):\n%s", text, diff)
		}
	}
}

// Batching changes neither order nor vectors, and stays within the budget.
func TestBatches(t *testing.T) {
	long := strings.Replace(config, `"document_length":10`, `"document_length":300`, 1)
	c, s := open(t, folder("onnx_config.json", long))
	r := rand.New(rand.NewPCG(1, 2))
	var texts []string
	for range 300 {
		var words []string
		for range r.IntN(320) {
			words = append(words, []string{"what", "is", "amber", ".", "of"}[r.IntN(5)])
		}
		texts = append(texts, strings.Join(words, " "))
	}
	all, err := c.EncodeDocuments(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	padded, real := 0, 0
	for _, b := range s.batches {
		if b.Rows*b.Cols > 4096 && b.Rows > 1 {
			t.Errorf("a batch of %d × %d positions", b.Rows, b.Cols)
		}
		padded += b.Rows * b.Cols
		for i, m := range b.Mask {
			real += int(m)
			if m == 0 && b.IDs[i] != 0 {
				t.Fatalf("padding has id %d", b.IDs[i])
			}
		}
	}
	if len(s.batches) > 60 || float64(real) < 0.95*float64(padded) {
		t.Errorf("%d batches, %d real tokens of %d positions", len(s.batches), real, padded)
	}
	for i, text := range texts {
		one, err := c.EncodeDocuments(context.Background(), []string{text})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(one[0], all[i]); diff != "" {
			t.Fatalf("document %d alone and in the batch (-alone +together):\n%s", i, diff)
		}
	}
}

func TestRunErrors(t *testing.T) {
	c, s := open(t, folder())
	s.poison = id(t, "urine")
	for _, encode := range []func(...string) error{
		func(texts ...string) error { _, err := c.EncodeQueries(context.Background(), texts); return err },
		func(texts ...string) error { _, err := c.EncodeDocuments(context.Background(), texts); return err },
	} {
		if err := encode("amber"); err != nil {
			t.Error(err)
		}
		if err := encode("amber", "what urine"); err == nil || !strings.Contains(err.Error(), `"urine"`) || !strings.Contains(err.Error(), "what urine") {
			t.Errorf("error %v does not name text and token", err)
		}
	}

	// A graph of another dimension than the configuration's.
	f, err := encoder.ReadFolder(folder(), "models/tiny", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = encoder.NewColBERT(f, &session{dim: 5}, encoder.Tuning{})
	if !errors.Is(err, encoder.ErrModel) || !strings.Contains(err.Error(), "onnx_config.json") || !strings.Contains(err.Error(), "model.onnx") {
		t.Errorf("error %v does not name both files", err)
	}

	// The context is honoured between batches.
	ctx, cancel := context.WithCancel(context.Background())
	c, s = open(t, folder())
	s.runs = cancel
	var texts []string
	for range 2000 {
		texts = append(texts, "what is the color of amber")
	}
	if _, err := c.EncodeDocuments(ctx, texts); !errors.Is(err, context.Canceled) || len(s.batches) != 1 {
		t.Errorf("error %v after %d batches", err, len(s.batches))
	}
	if err := c.Close(); err != nil || !s.closed {
		t.Errorf("close: %v, session closed %v", err, s.closed)
	}
}
