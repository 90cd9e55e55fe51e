package encoder_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/encoder"
)

const stanford = `{"dim":4,"query_maxlen":32,"doc_maxlen":220,"mask_punctuation":true,"attend_to_mask_tokens":false,"query_token_id":"[unused0]","doc_token_id":"[unused1]","checkpoint":"x"}`

func stanfordFolder(metadata string) []string {
	return []string{"onnx_config.json", "", "model.onnx", "", "onnx/model.onnx", "graph", "artifact.metadata", metadata}
}

func TestReadFolderForms(t *testing.T) {
	read := func(files ...string) *encoder.Folder {
		t.Helper()
		f, err := encoder.ReadFolder(folder(files...), "models/tiny", nil)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := read()
	if f.GraphName != "model.onnx" || string(f.Graph) != "graph" || f.Config.Name != "tiny" || *f.Config.QueryMarker != 1 || *f.Config.DocumentMarker != 2 ||
		f.Config.QueryLength != 8 || f.Config.DocumentLength != 10 || !f.Config.QueryExpansion || f.Config.MaskID != 6 || !slices.Equal(f.Config.Before, []int{4}) || !slices.Equal(f.Config.After, []int{5}) {
		t.Errorf("the onnx_config.json form: %+v", f.Config)
	}
	s := read(stanfordFolder(stanford)...)
	if s.GraphName != "onnx/model.onnx" || *s.Config.QueryMarker != 1 || *s.Config.DocumentMarker != 2 || s.Config.QueryLength != 32 ||
		s.Config.DocumentLength != 220 || !s.Config.QueryExpansion || s.Config.AttendToExpansion || len(s.Config.Skip) != 32 {
		t.Errorf("the artifact.metadata form: %+v", s.Config)
	}
	if w := read(stanfordFolder(`{"config":` + stanford + `}`)...); w.Config.DocumentLength != 220 {
		t.Errorf("wrapped settings: %+v", w.Config)
	}
	// The text of a marker alone, and no marker at all.
	text := strings.NewReplacer(`"[Q] "`, `"[unused0] "`, `"query_prefix_id":1`, `"query_prefix_id":null`, `"[D] "`, `""`, `"document_prefix_id":2,`, ``).Replace(config)
	if f := read("onnx_config.json", text); *f.Config.QueryMarker != 1 || f.Config.DocumentMarker != nil {
		t.Errorf("markers %v and %v", f.Config.QueryMarker, f.Config.DocumentMarker)
	}
}

// The fingerprint changes with every part that changes vectors, and with
// nothing else.
func TestFingerprint(t *testing.T) {
	print := func(location string, files ...string) string {
		t.Helper()
		f, err := encoder.ReadFolder(folder(files...), location, nil)
		if err != nil {
			t.Fatal(err)
		}
		return f.Fingerprint
	}
	base := print("a")
	if len(base) != 64 || base != print("elsewhere/b", "README.md", "x") {
		t.Error("the fingerprint depends on the place or on other files")
	}
	seen := []string{base}
	ones := "[1" + strings.Repeat(",1", len(pieces)-1) + "]"
	for _, files := range [][]string{
		{"model.onnx", "graph2"},
		{"vocab.txt", strings.Join(append(slices.Clone(pieces), "more"), "\n")},
		{"onnx_config.json", strings.Replace(config, `"query_length":8`, `"query_length":9`, 1)},
		{"onnx_config.json", strings.Replace(config, `"query_length"`, `"query_weights":"w.json","query_length"`, 1), "w.json", ones},
		{"onnx_config.json", strings.Replace(config, `[".",","]`, `["."]`, 1)},
		{"onnx_config.json", strings.Replace(config, `"document_prefix_id":2`, `"document_prefix_id":1`, 1)},
	} {
		f := print("a", files...)
		if slices.Contains(seen, f) {
			t.Errorf("%s: the fingerprint is one seen before", files[0])
		}
		seen = append(seen, f)
	}
}

// What does not fit together is an error that names the files at odds.
func TestReadFolderContradictions(t *testing.T) {
	with := func(old, new string) []string {
		if !strings.Contains(config, old) {
			t.Fatalf("no %s in the configuration", old)
		}
		return []string{"onnx_config.json", strings.Replace(config, old, new, 1)}
	}
	cased := `{"added_tokens":[],"normalizer":{"type":"BertNormalizer","lowercase":false},"pre_tokenizer":{"type":"BertPreTokenizer"},
		"model":{"type":"WordPiece","vocab":{"[UNK]":3,"[PAD]":0,"[CLS]":4,"[SEP]":5,"[MASK]":6,"a":1,"b":2}}}`
	for name, c := range map[string]struct {
		files []string
		names []string
	}{
		"no configuration":  {[]string{"onnx_config.json", ""}, []string{"onnx_config.json", "artifact.metadata"}},
		"no tokenizer":      {[]string{"vocab.txt", ""}, []string{"tokenizer.json", "vocab.txt"}},
		"no graph":          {[]string{"model.onnx", ""}, []string{"model.onnx"}},
		"mask":              {with(`"mask_token_id":6`, `"mask_token_id":7`), []string{"onnx_config.json", "vocab.txt", "[MASK]", "7"}},
		"pad":               {with(`"pad_token_id":0`, `"pad_token_id":1`), []string{"onnx_config.json", "vocab.txt", "[PAD]"}},
		"marker id":         {with(`"query_prefix_id":1`, `"query_prefix_id":999`), []string{"onnx_config.json", "vocab.txt", "999"}},
		"marker text":       {with(`"query_prefix":"[Q] ","document_prefix":"[D] ","query_prefix_id":1`, `"query_prefix":"what","query_prefix_id":1`), []string{"onnx_config.json", "vocab.txt", "what"}},
		"marker unknown":    {with(`"query_prefix_id":1,`, ``), []string{"onnx_config.json", "vocab.txt", "[Q]"}},
		"case":              {append(with(`"mask_token_id"`, `"do_lower_case":true,"mask_token_id"`), "vocab.txt", "", "tokenizer.json", cased), []string{"onnx_config.json", "tokenizer.json", "do_lower_case"}},
		"dimension":         {with(`"embedding_dim":4`, `"embedding_dim":0`), []string{"onnx_config.json", "dimension"}},
		"length":            {with(`"document_length":10`, `"document_length":2`), []string{"onnx_config.json", "document length"}},
		"not JSON":          {with(`{"query_prefix"`, `{`), []string{"onnx_config.json"}},
		"foreign tokenizer": {[]string{"tokenizer.json", strings.Replace(cased, "WordPiece", "WordLevel", 1)}, []string{"tokenizer.json", "WordLevel"}},
		"foreign markers":   {stanfordFolder(strings.Replace(stanford, "[unused1]", "[D]", 1)), []string{"artifact.metadata", "vocab.txt", "[D]"}},
	} {
		_, err := encoder.ReadFolder(folder(c.files...), "models/tiny", nil)
		if !errors.Is(err, encoder.ErrModel) {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		for _, want := range append(c.names, "models/tiny") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not name %s", name, err, want)
			}
		}
	}
}
