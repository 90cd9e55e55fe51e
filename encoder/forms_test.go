package encoder_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// safetensors is a file of float32 tensors.
func safetensors(tensors map[string][]float32, shapes map[string][]int) []byte {
	head, data := map[string]any{"__metadata__": map[string]string{"format": "pt"}}, []byte{}
	for name, values := range tensors {
		start := len(data)
		for _, v := range values {
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
		}
		head[name] = map[string]any{"dtype": "F32", "shape": shapes[name], "data_offsets": []int{start, len(data)}}
	}
	h, _ := json.Marshal(head)
	return slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(h))), h, data)
}

// numbers are n numbers around 0.
func numbers(seed uint64, n int) []float32 {
	r, out := rand.New(rand.NewPCG(seed, 1)), make([]float32, n)
	for i := range out {
		out[i] = float32(r.NormFloat64())
	}
	return out
}

const (
	pylate  = `{"__version__":{"pytorch":"2"},"prompts":{},"similarity_fn_name":"MaxSim","query_prefix":"[Q] ","document_prefix":"[D] ","query_length":10,"document_length":14,"attend_to_expansion_tokens":false,"skiplist_words":["!",".",","]}`
	modules = `[{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},{"idx":1,"name":"1","path":"1_Dense","type":"pylate.models.Dense.Dense"}]`
	denseIn = `{"in_features":4,"out_features":3,"bias":false,"activation_function":"torch.nn.modules.linear.Identity"}`
	modern  = `{"model_type":"modernbert","hidden_size":4,"vocab_size":1400,"max_position_embeddings":100}`
)

// transformer is a folder of the sentence-transformers form with ModernBERT's kind
// of tokenizer; changes are pairs of file and content, "" removes.
func transformer(t testing.TB, changes ...string) fstest.MapFS {
	t.Helper()
	tok, err := os.ReadFile("tokenizer/testdata/bpe.json")
	if err != nil {
		t.Fatal(err)
	}
	fsys := fstest.MapFS{
		"config_sentence_transformers.json": {Data: []byte(pylate)}, "modules.json": {Data: []byte(modules)}, "config.json": {Data: []byte(modern)},
		"special_tokens_map.json": {Data: []byte(`{"mask_token":{"content":"[MASK]","lstrip":true},"pad_token":"[PAD]"}`)},
		"tokenizer.json":          {Data: tok}, "onnx/model.onnx": {Data: []byte("graph")}, "1_Dense/config.json": {Data: []byte(denseIn)},
		"1_Dense/model.safetensors": {Data: safetensors(map[string][]float32{"linear.weight": numbers(1, 12)}, map[string][]int{"linear.weight": {3, 4}})},
	}
	for i := 0; i < len(changes); i += 2 {
		fsys[changes[i]] = &fstest.MapFile{Data: []byte(changes[i+1])}
		if changes[i+1] == "" {
			delete(fsys, changes[i])
		}
	}
	return fsys
}

func graphOf(name string, dim int64) encoder.Graph {
	return encoder.Graph{Inputs: []string{"input_ids", "attention_mask"}, Outputs: []encoder.GraphOutput{{Name: name, Dims: []int64{-1, -1, dim}, Type: "float32"}}}
}

// A folder of the third form: markers, lengths and special tokens are found, and
// the Dense layer is applied to what the graph gives.
func TestTransformerForm(t *testing.T) {
	f, err := encoder.ReadFolder(transformer(t), "models/modern", nil)
	if err != nil {
		t.Fatal(err)
	}
	c, id := f.Config, func(piece string) int {
		id, ok := f.Tokenizer.ID(piece)
		if !ok {
			t.Fatalf("no %q", piece)
		}
		return id
	}
	if c.Dim != 3 || *c.QueryMarker != id("[Q] ") || *c.DocumentMarker != id("[D] ") || c.QueryLength != 10 || c.DocumentLength != 14 || !c.QueryExpansion ||
		c.AttendToExpansion || c.MaskID != id("[MASK]") || c.PadID != id("[PAD]") || !slices.Equal(c.Before, []int{id("[CLS]")}) || !slices.Equal(c.After, []int{id("[SEP]")}) || len(c.Skip) != 3 {
		t.Errorf("%+v", c)
	}
	if fit, err := f.Fit(graphOf("last_hidden_state", 4)); err != nil || !fit.Projects || fit.Dim != 4 {
		t.Fatalf("%+v, %v", fit, err)
	}
	s := &session{dim: 4}
	enc, err := encoder.NewColBERT(f, s, encoder.Tuning{})
	if err != nil {
		t.Fatal(err)
	}
	text := "the words are, here"
	docs, err := enc.EncodeDocuments(context.Background(), []string{text, strings.Repeat("the words are here ", 20)})
	if err != nil {
		t.Fatal(err)
	}
	// The ids that went in, and what should have come out of them.
	b := s.batches[len(s.batches)-1]
	ids := b.IDs[:b.Lengths[0]]
	if int(ids[0]) != id("[CLS]") || int(ids[1]) != id("[D] ") || int(ids[len(ids)-1]) != id("[SEP]") {
		t.Errorf("ids %v", ids)
	}
	weights, d := numbers(1, 12), docs[0]
	row := 0
	for at, id := range ids {
		if f.Tokenizer.Piece(int(id)) == "," {
			continue
		}
		in := []float64{1, float64(id), float64(at), float64(b.Lengths[0])}
		var want [3]float64
		var norm float64
		for o := range want {
			for i, x := range in {
				want[o] += x * float64(weights[4*o+i])
			}
			norm += want[o] * want[o]
		}
		for o := range want {
			if got := float64(d.Vectors.Row(row)[o]); math.Abs(got-want[o]/math.Sqrt(norm)) > 1e-5 {
				t.Fatalf("token %d: %v, want %v", at, d.Vectors.Row(row), want)
			}
		}
		row++
	}
	if row != d.Vectors.Len() || docs[1].Truncated == 0 || docs[1].Vectors.Len() != 14 {
		t.Errorf("%d vectors of %d, truncated %d, %d vectors", row, d.Vectors.Len(), docs[1].Truncated, docs[1].Vectors.Len())
	}
	// Spans leave out the space that byte-level pieces begin with.
	for _, span := range d.Spans {
		if piece := text[span.Start:span.End]; piece != strings.TrimSpace(piece) {
			t.Errorf("span %q", piece)
		}
	}
	q, err := enc.EncodeQueries(context.Background(), []string{"the words"})
	if err != nil || q[0].Vectors.Len() != 10 || q[0].Tokens[9] != "[MASK]" {
		t.Errorf("%v, %v", q, err)
	}
	for _, w := range enc.Windows(strings.Repeat("The words are here. ", 20), 0) {
		if w.Start%20 != 0 {
			t.Errorf("window %v does not begin at a sentence", w)
		}
	}
}

// A Dense layer that the graph has already is not applied again, and a layer that
// is needed and not there is an error.
func TestProjectionFits(t *testing.T) {
	wide := strings.NewReplacer(`"in_features":4`, `"in_features":3`).Replace(denseIn)
	square := safetensors(map[string][]float32{"linear.weight": numbers(2, 9)}, map[string][]int{"linear.weight": {3, 3}})
	for name, c := range map[string]struct {
		changes  []string
		graph    encoder.Graph
		projects bool
		err      []string
	}{
		"projected in the graph":  {nil, graphOf("embeddings", 3), false, nil},
		"hidden":                  {nil, graphOf("hidden", 4), true, nil},
		"hidden of unknown width": {nil, graphOf("last_hidden_state", -1), true, nil},
		"square, hidden":          {[]string{"1_Dense/config.json", wide, "1_Dense/model.safetensors", string(square), "config.json", ""}, graphOf("last_hidden_state", 3), true, nil},
		"square, projected":       {[]string{"1_Dense/config.json", wide, "1_Dense/model.safetensors", string(square), "config.json", ""}, graphOf("token_embeddings", 3), false, nil},
		"another width":           {nil, graphOf("last_hidden_state", 5), false, []string{"onnx/model.onnx", "1_Dense/config.json", "5"}},
		"weights not there":       {[]string{"1_Dense/model.safetensors", ""}, graphOf("last_hidden_state", 4), false, []string{"onnx/model.onnx", "1_Dense/model.safetensors"}},
		"no layer":                {[]string{"modules.json", strings.Split(modules, ",{")[0] + "]", "1_Dense/config.json", ""}, graphOf("last_hidden_state", 3), false, []string{"config.json", "onnx/model.onnx", "4"}},
		"unknown input":           {nil, encoder.Graph{Inputs: []string{"input_ids", "attention_mask", "position_ids"}}, false, []string{"position_ids"}},
		"two outputs": {nil, encoder.Graph{Inputs: []string{"input_ids", "attention_mask"}, Outputs: []encoder.GraphOutput{{Name: "a", Dims: []int64{1, 1, 3}}, {Name: "b", Dims: []int64{1, 1, 3}}}},
			false, []string{`"a"`, `"b"`, "override output"}},
	} {
		f, err := encoder.ReadFolder(transformer(t, c.changes...), "m", nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		fit, err := f.Fit(c.graph)
		if (err != nil) != (c.err != nil) || fit.Projects != c.projects {
			t.Errorf("%s: %+v, %v", name, fit, err)
		}
		for _, want := range c.err {
			if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, encoder.ErrModel) {
				t.Errorf("%s: error %v does not name %s", name, err, want)
			}
		}
	}
}

// Stanford's checkpoints keep the linear layer beside the transformer.
func TestStanfordLinear(t *testing.T) {
	files := stanfordFolder(strings.Replace(stanford, `"dim":4`, `"dim":2`, 1))
	weights := safetensors(map[string][]float32{"bert.x": {1, 2}, "linear.weight": numbers(3, 8)}, map[string][]int{"bert.x": {2}, "linear.weight": {2, 4}})
	fsys := folder(append(files, "config.json", `{"hidden_size":4}`, "model.safetensors", string(weights))...)
	f, err := encoder.ReadFolder(fsys, "m", nil)
	if err != nil {
		t.Fatal(err)
	}
	if fit, err := f.Fit(graphOf("last_hidden_state", 4)); err != nil || !fit.Projects {
		t.Errorf("%+v, %v", fit, err)
	}
	delete(fsys, "model.safetensors")
	if f, err = encoder.ReadFolder(fsys, "m", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Fit(graphOf("last_hidden_state", 4)); err == nil || !strings.Contains(err.Error(), "artifact.metadata") {
		t.Errorf("error %v", err)
	}
}

// Files at odds are an error that names both.
func TestFormContradictions(t *testing.T) {
	edit := func(text, old, new string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("no %s", old)
		}
		return strings.Replace(text, old, new, 1)
	}
	two := edit(modules, `"}]`, `"},{"path":"2_Dense","type":"pylate.models.Dense.Dense"}]`)
	for name, c := range map[string]struct{ changes, names []string }{
		"lengths of two forms":   {[]string{"artifact.metadata", `{"query_maxlen":32}`}, []string{"artifact.metadata", "config_sentence_transformers.json", "query_length", "32", "10"}},
		"layer and form":         {[]string{"artifact.metadata", `{"dim":7}`}, []string{"artifact.metadata", "1_Dense/config.json", "embedding_dim", "7", "3"}},
		"skip lists":             {[]string{"onnx_config.json", `{"skiplist_words":["!"]}`}, []string{"onnx_config.json", "config_sentence_transformers.json", "skiplist_words"}},
		"hidden size":            {[]string{"config.json", edit(modern, `"hidden_size":4`, `"hidden_size":5`)}, []string{"config.json", "1_Dense/config.json", "hidden_size", "in_features"}},
		"vocabulary":             {[]string{"config.json", edit(modern, "1400", "1000")}, []string{"config.json", "tokenizer.json", "vocab_size", "1000"}},
		"positions":              {[]string{"config.json", edit(modern, "100}", "12}")}, []string{"config.json", "config_sentence_transformers.json", "document_length", "12"}},
		"RoBERTa's positions":    {[]string{"config.json", edit(edit(modern, "100}", "15}"), "modernbert", "xlm-roberta")}, []string{"config.json", "document_length", "13"}},
		"mask tokens":            {[]string{"tokenizer_config.json", `{"mask_token":"[UNK]"}`}, []string{"tokenizer_config.json", "special_tokens_map.json", "mask_token"}},
		"mask token not there":   {[]string{"special_tokens_map.json", `{"mask_token":"<mask>"}`}, []string{"special_tokens_map.json", "tokenizer.json", "<mask>"}},
		"lower case":             {[]string{"tokenizer_config.json", `{"do_lower_case":true}`}, []string{"tokenizer_config.json", "tokenizer.json", "do_lower_case"}},
		"marker not there":       {[]string{"config_sentence_transformers.json", edit(pylate, "[Q] ", "[Query] ")}, []string{"config_sentence_transformers.json", "tokenizer.json", "[Query]"}},
		"vocabularies":           {[]string{"vocab.txt", "!\n\"\nx\n"}, []string{"vocab.txt", "tokenizer.json"}},
		"layers that do not fit": {[]string{"modules.json", two, "2_Dense/config.json", `{"in_features":9,"out_features":2}`}, []string{"1_Dense/config.json", "2_Dense/config.json", "9", "3"}},
		"weights of other shape": {[]string{"1_Dense/config.json", edit(denseIn, `"out_features":3`, `"out_features":2`)}, []string{"1_Dense/model.safetensors", "linear.weight", "[3 4]", "[2 4]"}},
		"weights cut off":        {[]string{"1_Dense/model.safetensors", "\x10\x00\x00\x00\x00\x00\x00\x00{}"}, []string{"1_Dense/model.safetensors"}},
		"activation":             {[]string{"1_Dense/config.json", edit(denseIn, "linear.Identity", "activation.Softmax")}, []string{"1_Dense/config.json", "Softmax"}},
		"residual":               {[]string{"1_Dense/config.json", edit(denseIn, `"bias":false`, `"use_residual":true`)}, []string{"1_Dense/model.safetensors", "residual.weight"}},
		"pooling":                {[]string{"modules.json", edit(modules, "pylate.models.Dense.Dense", "sentence_transformers.models.Pooling")}, []string{"modules.json", "Pooling"}},
		"not late interaction":   {[]string{"config_sentence_transformers.json", `{"similarity_fn_name":"cosine"}`}, []string{"config_sentence_transformers.json", "cosine"}},
		"overrides":              {[]string{"colbertdb.json", `{"query_len":4}`}, []string{"colbertdb.json", "query_len", "query_length"}},
	} {
		_, err := encoder.ReadFolder(transformer(t, c.changes...), "models/modern", nil)
		if !errors.Is(err, encoder.ErrModel) {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		for _, want := range append(c.names, "models/modern") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not name %s", name, err, want)
			}
		}
	}
}

// Every setting can be overridden, by colbertdb.json and over it by the caller; a
// contradiction about it is none any more.
func TestOverrides(t *testing.T) {
	base, err := encoder.ReadFolder(transformer(t), "m", nil)
	if err != nil {
		t.Fatal(err)
	}
	unk, _ := base.Tokenizer.ID("[UNK]")
	w := make([]float64, base.Tokenizer.Size())
	weights, _ := json.Marshal(w)
	for text, check := range map[string]func(f *encoder.Folder) bool{
		"name=other":                           func(f *encoder.Folder) bool { return f.Config.Name == "other" },
		"graph=x.onnx":                         func(f *encoder.Folder) bool { return f.GraphName == "x.onnx" },
		"output=b":                             func(f *encoder.Folder) bool { return f.Config.Output == "b" },
		"query_prefix=[CLS]":                   func(f *encoder.Folder) bool { return *f.Config.QueryMarker == f.Config.Before[0] },
		"document_prefix=":                     func(f *encoder.Folder) bool { return f.Config.DocumentMarker == nil },
		fmt.Sprint("query_prefix_id=", unk):    func(f *encoder.Folder) bool { return *f.Config.QueryMarker == unk },
		fmt.Sprint("document_prefix_id=", unk): func(f *encoder.Folder) bool { return *f.Config.DocumentMarker == unk },
		"query_length=20":                      func(f *encoder.Folder) bool { return f.Config.QueryLength == 20 },
		"document_length=90":                   func(f *encoder.Folder) bool { return f.Config.DocumentLength == 90 },
		"do_query_expansion=false":             func(f *encoder.Folder) bool { return !f.Config.QueryExpansion },
		"attend_to_expansion_tokens=true":      func(f *encoder.Folder) bool { return f.Config.AttendToExpansion },
		"embedding_dim=2":                      func(f *encoder.Folder) bool { return f.Config.Dim == 2 && f.Config.FullDim == 3 },
		"uses_token_type_ids=true":             func(f *encoder.Folder) bool { return *f.Config.UsesTokenTypes },
		fmt.Sprint("mask_token_id=", unk):      func(f *encoder.Folder) bool { return f.Config.MaskID == unk },
		fmt.Sprint("pad_token_id=", unk):       func(f *encoder.Folder) bool { return f.Config.PadID == unk },
		"mask_token=[UNK]":                     func(f *encoder.Folder) bool { return f.Config.MaskID == unk },
		"pad_token=[UNK]":                      func(f *encoder.Folder) bool { return f.Config.PadID == unk },
		`skiplist_words=["a"]`:                 func(f *encoder.Folder) bool { return slices.Equal(f.Config.Skip, []string{"a"}) },
		"do_lower_case=false":                  func(f *encoder.Folder) bool { return true },
		"query_weights=w.json":                 func(f *encoder.Folder) bool { return len(f.Config.QueryWeights) == len(w) },
		`query_weights=w.json&pooled={"ids":[3],"weights":[1],"least":0}`: func(f *encoder.Folder) bool { return f.Config.Pooled != nil },
	} {
		o, err := encoder.ParseOverrides(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		fsys := transformer(t, "x.onnx", "graph", "w.json", string(weights))
		f, err := encoder.ReadFolder(fsys, "m", o)
		if err != nil || !check(f) {
			t.Errorf("%s: %v", text, err)
			continue
		}
		same := strings.HasPrefix(text, "name") || strings.HasPrefix(text, "graph") || strings.HasPrefix(text, "do_lower") || strings.HasPrefix(text, "pad_token=")
		if (f.Fingerprint == base.Fingerprint) != same && !strings.HasPrefix(text, "mask_token=") {
			t.Errorf("%s: the fingerprint is the same: %v", text, !same)
		}
		file, _ := json.Marshal(o)
		fsys["colbertdb.json"] = &fstest.MapFile{Data: file}
		if g, err := encoder.ReadFolder(fsys, "m", nil); err != nil || g.Fingerprint != f.Fingerprint {
			t.Errorf("%s in colbertdb.json: %v", text, err)
		}
	}
	// The caller's come before the file's, and both before files at odds.
	fsys := transformer(t, "artifact.metadata", `{"query_maxlen":32}`, "colbertdb.json", `{"query_length":11}`)
	if f, err := encoder.ReadFolder(fsys, "m", nil); err != nil || f.Config.QueryLength != 11 {
		t.Errorf("%v", err)
	}
	if f, err := encoder.ReadFolder(fsys, "m", encoder.Overrides{"query_length": 12}); err != nil || f.Config.QueryLength != 12 {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"query_len=4", "query_length=x", "query_length=1&query_length=2", "embedding_dim=1.5"} {
		if _, err := encoder.ParseOverrides(text); !errors.Is(err, encoder.ErrModel) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A smaller dimension keeps the first components of each vector.
func TestFewerDimensions(t *testing.T) {
	encode := func(o encoder.Overrides) encoder.Matrix {
		f, err := encoder.ReadFolder(folder(), "m", o)
		if err != nil {
			t.Fatal(err)
		}
		c, err := encoder.NewColBERT(f, &session{dim: 4}, encoder.Tuning{})
		if err != nil {
			t.Fatal(err)
		}
		d, err := c.EncodeDocuments(context.Background(), []string{"what color is amber", "urine"})
		if err != nil {
			t.Fatal(err)
		}
		return d[0].Vectors
	}
	full, cut := encode(nil), encode(encoder.Overrides{"embedding_dim": 2})
	if cut.Dim != 2 || cut.Len() != full.Len() {
		t.Fatalf("%d vectors of %d", cut.Len(), cut.Dim)
	}
	for i := range full.Len() {
		a, b := full.Row(i), cut.Row(i)
		norm := math.Hypot(float64(a[0]), float64(a[1]))
		for d := range b {
			if math.Abs(float64(b[d])-float64(a[d])/norm) > 1e-5 {
				t.Fatalf("vector %d is %v of %v", i, b, a)
			}
		}
	}
}

// A graph's inputs, outputs and weights are read without a runtime.
func TestReadGraph(t *testing.T) {
	for name, want := range map[string]struct {
		inputs int
		out    string
		dim    int64
		kind   string
	}{"types": {3, "embeddings", 8, "float32"}, "half": {2, "last_hidden_state", -1, "float16"}} {
		b, err := os.ReadFile("onnx/testdata/" + name + ".onnx")
		if err != nil {
			t.Fatal(err)
		}
		g, err := encoder.ReadGraph(b)
		if err != nil || len(g.Inputs) != want.inputs || len(g.Outputs) != 1 || g.Outputs[0].Name != want.out || g.Outputs[0].Type != want.kind ||
			!slices.Equal(g.Outputs[0].Dims, []int64{-1, -1, want.dim}) || g.Weights["float32"] < 500 {
			t.Errorf("%s: %+v, %v", name, g, err)
		}
		if _, err := encoder.ReadGraph(b[:len(b)-9]); err == nil {
			t.Errorf("%s: a graph that is cut off was read", name)
		}
		if _, err := encoder.ReadGraph(bytes.Repeat([]byte{0xff}, 40)); err == nil {
			t.Error("noise was read")
		}
	}
}

// A folder as jina-colbert-v2 has it: Stanford's form with XLM-RoBERTa's tokenizer
// and markers of its own, at three dimensions.
func TestUnigramFolder(t *testing.T) {
	tok, err := os.ReadFile("tokenizer/testdata/unigram.json")
	if err != nil {
		t.Fatal(err)
	}
	marked := strings.Replace(string(tok), `"added_tokens":[`, `"added_tokens":[{"id":1201,"content":"[QueryMarker]","normalized":false},{"id":1202,"content":"[DocumentMarker]","normalized":false},`, 1)
	fsys := fstest.MapFS{
		"artifact.metadata": {Data: []byte(`{"dim":4,"query_maxlen":8,"doc_maxlen":12,"mask_punctuation":true,"attend_to_mask_tokens":true,"query_token_id":"[QueryMarker]","doc_token_id":"[DocumentMarker]"}`)},
		"tokenizer.json":    {Data: []byte(marked)}, "onnx/model.onnx": {Data: []byte("graph")},
		"config.json": {Data: []byte(`{"model_type":"xlm-roberta","hidden_size":4,"vocab_size":1203,"max_position_embeddings":8194,"pad_token_id":1}`)},
	}
	for _, dim := range []int{4, 3, 2} {
		f, err := encoder.ReadFolder(fsys, "m", encoder.Overrides{"embedding_dim": dim})
		if err != nil {
			t.Fatal(err)
		}
		s := &session{dim: 4}
		enc, err := encoder.NewColBERT(f, s, encoder.Tuning{})
		if err != nil {
			t.Fatal(err)
		}
		q, err := enc.EncodeQueries(context.Background(), []string{"the store"})
		if err != nil {
			t.Fatal(err)
		}
		b := s.batches[len(s.batches)-1]
		if q[0].Vectors.Dim != dim || q[0].Vectors.Len() != 8 || b.IDs[0] != 0 || b.IDs[1] != 1201 || q[0].Tokens[7] != "<mask>" || b.Mask[7] != 1 || !slices.Contains(b.IDs, 2) {
			t.Errorf("dimension %d: ids %v, mask %v, %d vectors of %d", dim, b.IDs, b.Mask, q[0].Vectors.Len(), q[0].Vectors.Dim)
		}
		d, err := enc.EncodeDocuments(context.Background(), []string{"a", "the store"})
		if err != nil || d[0].Vectors.Dim != dim {
			t.Fatal(err)
		}
		// <s>, the marker, the tokens, </s>; padded to the longest with <pad>.
		b = s.batches[len(s.batches)-1]
		if row := b.IDs[len(b.IDs)-b.Cols:]; row[0] != 0 || row[1] != 1202 {
			t.Errorf("ids %v", b.IDs)
		}
	}
}

// PyLate's use_residual: what goes into a layer is added after its activation, by
// weights of its own where it has another width.
func TestResidual(t *testing.T) {
	for _, out := range []int{3, 4} {
		tensors := map[string][]float32{"linear.weight": numbers(1, out*4), "linear.bias": numbers(2, out)}
		shapes := map[string][]int{"linear.weight": {out, 4}, "linear.bias": {out}}
		shortcut := func(o, i int) float64 { return map[bool]float64{true: 1}[o == i] }
		if out != 4 {
			tensors["residual.weight"], shapes["residual.weight"] = numbers(3, out*4), []int{out, 4}
			shortcut = func(o, i int) float64 { return float64(tensors["residual.weight"][o*4+i]) }
		}
		dense := fmt.Sprintf(`{"in_features":4,"out_features":%d,"bias":true,"activation_function":"torch.nn.modules.activation.Tanh","use_residual":true}`, out)
		f, err := encoder.ReadFolder(transformer(t, "1_Dense/config.json", dense, "1_Dense/model.safetensors", string(safetensors(tensors, shapes))), "m", nil)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := encoder.ReadFolder(transformer(t, "1_Dense/config.json", strings.Replace(dense, "true}", "false}", 1), "1_Dense/model.safetensors", string(safetensors(tensors, shapes))), "m", nil)
		if err != nil || plain.Fingerprint == f.Fingerprint {
			t.Errorf("%d: the fingerprint does not tell: %v", out, err)
		}
		if fit, err := f.Fit(graphOf("last_hidden_state", 4)); err != nil || !fit.Projects {
			t.Fatalf("%+v, %v", fit, err)
		}
		s := &session{dim: 4}
		enc, err := encoder.NewColBERT(f, s, encoder.Tuning{})
		if err != nil {
			t.Fatal(err)
		}
		docs, err := enc.EncodeDocuments(context.Background(), []string{"the words"})
		if err != nil {
			t.Fatal(err)
		}
		b := s.batches[len(s.batches)-1]
		for at, id := range b.IDs {
			in := []float64{1, float64(id), float64(at), float64(len(b.IDs))}
			want, norm := make([]float64, out), 0.
			for o := range want {
				sum, added := float64(tensors["linear.bias"][o]), 0.
				for i, x := range in {
					sum += x * float64(tensors["linear.weight"][o*4+i])
					added += x * shortcut(o, i)
				}
				want[o] = math.Tanh(sum) + added
				norm += want[o] * want[o]
			}
			for o := range want {
				if got := float64(docs[0].Vectors.Row(at)[o]); math.Abs(got-want[o]/math.Sqrt(norm)) > 1e-5 {
					t.Fatalf("width %d, token %d: %v, want %v", out, at, docs[0].Vectors.Row(at), want)
				}
			}
		}
		if err := enc.Close(); err != nil {
			t.Error(err)
		}
	}
}
