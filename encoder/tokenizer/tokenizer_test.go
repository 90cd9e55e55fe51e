package tokenizer_test

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/encoder/tokenizer"
	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

const bertFile = "../bundled/model/tokenizer.json"

func bert(tb testing.TB) *tokenizer.Tokenizer {
	tb.Helper()
	return loadFile(tb, bertFile)
}

func loadFile(tb testing.TB, name string) *tokenizer.Tokenizer {
	tb.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	t, err := tokenizer.Load(data)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func ids(tokens []tokenizer.Token) []int {
	out := make([]int, len(tokens))
	for i, t := range tokens {
		out[i] = t.ID
	}
	return out
}

// The golden files hold what the Hugging Face library makes of hostile strings;
// scripts/tokenizer_diff.py wrote them and compares many more.
func TestGolden(t *testing.T) {
	for name, tok := range map[string]*tokenizer.Tokenizer{
		"golden.jsonl":         bert(t),
		"bpe.golden.jsonl":     loadFile(t, "testdata/bpe.json"),
		"unigram.golden.jsonl": loadFile(t, "testdata/unigram.json"),
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, tok) })
	}
}

func golden(t *testing.T, name string, tok *tokenizer.Tokenizer) {
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cases := 0
	for lines := bufio.NewScanner(f); lines.Scan(); cases++ {
		var c struct {
			Text   string
			Tokens [][3]int
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		got := [][3]int{}
		for _, token := range tok.Encode(c.Text) {
			got = append(got, [3]int{token.ID, token.Start, token.End})
		}
		if diff := cmp.Diff(c.Tokens, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", c.Text, diff)
		}
	}
	if cases < 400 {
		t.Fatalf("read %d cases", cases)
	}
}

func TestKnownIDs(t *testing.T) {
	tok := bert(t)
	for text, want := range map[string][]int{
		"what color is amber urine":          {2054, 3609, 2003, 8994, 17996},
		"The presence of communication amid": {1996, 3739, 1997, 4807, 13463},
		"[MASK] [unused0]":                   {103, 1031, 15171, 2692, 1033},
		"":                                   {},
		"\x00\xff\xfe":                       {},
	} {
		if diff := cmp.Diff(want, ids(tok.Encode(text))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
	for piece, want := range map[string]int{"[CLS]": 101, "[SEP]": 102, "[MASK]": 103, "[PAD]": 0, "[unused0]": 1, "[unused1]": 2} {
		if id, ok := tok.ID(piece); !ok || id != want || tok.Piece(id) != piece {
			t.Errorf("%s has id %d, %v and piece %q", piece, id, ok, tok.Piece(id))
		}
	}
}

// The vectors of a real ColBERT index came with the id of every token: markers
// in place, cut to 180, punctuation dropped.
func TestRealIndexIDs(t *testing.T) {
	tok := bert(t)
	dir := testdata.Dir(t, "lotte-500-colbert")
	integers := func(name string) []int {
		b, err := os.ReadFile(filepath.Join(dir, "emb", name))
		if err != nil {
			t.Fatal(err)
		}
		out := make([]int, len(b)/4)
		for i := range out {
			out[i] = int(int32(binary.LittleEndian.Uint32(b[4*i:])))
		}
		return out
	}
	want, lens := integers("doc_token_ids.i32"), integers("doclens.i32")
	f, err := os.Open(filepath.Join(dir, "corpus.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	docs := 0
	for ; lines.Scan(); docs++ {
		var doc struct{ Text string }
		if err := json.Unmarshal(lines.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		got := append([]int{101, 2}, ids(tok.Encode(doc.Text))...)
		got = append(got[:min(len(got), 179)], 102)
		got = slices.DeleteFunc(got, func(id int) bool {
			p := tok.Piece(id)
			return len(p) == 1 && strings.Contains("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", p)
		})
		n := lens[docs]
		if diff := cmp.Diff(want[:n], got); diff != "" {
			t.Errorf("document %d (-want +got):\n%s", docs, diff)
		}
		want = want[n:]
	}
	if docs != len(lens) || len(want) != 0 {
		t.Errorf("%d documents of %d, %d ids left", docs, len(lens), len(want))
	}
}

func TestOffsetsOfInvalidUTF8(t *testing.T) {
	tok := bert(t)
	text := "a\xffb caf\xc3\xa9 \xf0\x9f x"
	var got []string
	for _, token := range tok.Encode(text) {
		got = append(got, text[token.Start:token.End])
	}
	// The bad bytes vanish, so that "a" and "b" are one word.
	if diff := cmp.Diff([]string{"a\xffb", "café", "x"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestJoined(t *testing.T) {
	var got []bool
	for _, token := range bert(t).Encode("unbelievably good, urine-amberish") {
		got = append(got, token.Joined)
	}
	want := []bool{false, true, true, true, false, false, false, false, false, true} // un ##bel ##ie ##va.. , - isolated
	if len(got) < 8 || got[0] || !got[1] {
		t.Errorf("joined flags %v, want something like %v", got, want)
	}
}

// Words of a megabyte take time linear in their length, or nearly: a quadratic
// step anywhere would take hours.
func TestLongWord(t *testing.T) {
	tok := bert(t)
	for _, word := range []string{strings.Repeat("x", 1<<20), strings.Repeat("é", 1<<19), strings.Repeat("e\u0301", 1<<18)} {
		got := tok.Encode(word)
		if len(got) != 1 || got[0].ID != 100 || got[0].Start != 0 {
			t.Errorf("%d tokens for a word of %d bytes", len(got), len(word))
		}
	}
	tokenizers := []*tokenizer.Tokenizer{tok, loadFile(t, "testdata/bpe.json"), loadFile(t, "testdata/unigram.json")}
	for _, word := range []string{
		strings.Repeat("abcd", 1<<18), strings.Repeat("한é", 1<<14), strings.Repeat(" ", 1<<17), strings.Repeat("[MASK", 1<<14), strings.Repeat("'", 1<<17), strings.Repeat("\u1100", 1<<15),
		// Marks beside one another are sorted, which must not be quadratic either.
		"a" + strings.Repeat("\u0301\u0323", 1<<15),
	} {
		for i, tok := range tokenizers {
			end := 0
			for _, token := range tok.Encode(word) {
				if token.Start < 0 || token.End > len(word) || token.Start > token.End {
					t.Fatalf("tokenizer %d: token %+v of %d bytes", i, token, len(word))
				}
				end = max(end, token.End)
			}
			if end < len(word)-8 && i == 1 {
				t.Errorf("tokenizer %d: tokens end at %d of %d bytes", i, end, len(word))
			}
		}
	}
}

func TestVocabFileEqualsJSON(t *testing.T) {
	tok := bert(t)
	var vocab strings.Builder
	for id := 0; tok.Piece(id) != ""; id++ {
		vocab.WriteString(tok.Piece(id) + "\n")
	}
	other, err := tokenizer.LoadVocab([]byte(vocab.String()), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"Naïve CAFÉ 東京 [MASK] unbelievably", "İstanbul\u200d[CLS]"} {
		if diff := cmp.Diff(tok.Encode(text), other.Encode(text)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	cased, err := tokenizer.LoadVocab([]byte("[UNK]\n[CLS]\nCafé\nCafe\ncafe\n"), false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{2, 3}, ids(cased.Encode("Café Cafe"))); diff != "" {
		t.Error(diff)
	}
}

const small = `{"added_tokens":[],"normalizer":{"type":"BertNormalizer"},"pre_tokenizer":{"type":"BertPreTokenizer"},
"model":{"type":"WordPiece","vocab":{"[UNK]":0,"a":1,"##b":2}}}`

// What is not implemented is refused, and the error names it.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		old, new, names string
		unsupported     bool
	}{
		{"BertNormalizer", "Nmt", "Nmt", true},
		{"BertPreTokenizer", "CharDelimiterSplit", "CharDelimiterSplit", true},
		{"WordPiece", "WordLevel", "WordLevel", true},
		{`"BertNormalizer"`, `"BertNormalizer","speed":9`, "speed", true},
		{`{"added`, `{"extra":1,"added`, "extra", true},
		{`{"type":"BertPreTokenizer"}`, `{"type":"Split","pattern":{"Regex":"\\w+"},"behavior":"Isolated","invert":false}`, `\\w+`, true},
		{`{"type":"BertPreTokenizer"}`, `{"type":"Split","pattern":{"String":"x"},"behavior":"Exploded","invert":false}`, "Exploded", true},
		{`{"type":"BertPreTokenizer"}`, `{"type":"Metaspace","replacement":"__"}`, "__", false},
		{`{"type":"BertPreTokenizer"}`, `{"type":"Metaspace","replacement":"_","prepend_scheme":"sometimes"}`, "sometimes", true},
		{`{"type":"BertNormalizer"}`, `{"type":"Replace","pattern":{"Regex":"(a|b)"},"content":""}`, "(a|b)", true},
		{`{"type":"BertNormalizer"}`, `{"type":"Precompiled","precompiled_charsmap":"AAAA"}`, "precompiled_charsmap", false},
		{`{"type":"BertNormalizer"}`, `{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Nmt"}]}`, "Nmt", true},
		{`"model"`, `"post_processor":{"type":"Chunking"},"model"`, "Chunking", true},
		{`"model"`, `"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{}},"model"`, "[CLS]", false},
		{`"[UNK]":0,`, ``, "[UNK]", false},
		{`"a":1`, `"a":2`, "id 2", false},
		{`"added_tokens":[]`, `"added_tokens":[{"id":7,"content":"a"}]`, "id 7", false},
		{`"added_tokens":[]`, `"added_tokens":[{"id":1,"content":"b"}]`, "id 1", false},
		{`"added_tokens":[]`, `"added_tokens":[{"id":7,"content":"\u0301","normalized":true}]`, "empty", true},
		{`{"[UNK]":0,"a":1,"##b":2}`, `{}`, "empty", false},
		{`{"added`, `{{"added`, "tokenizer.json", false},
	} {
		checkRefused(t, small, c.old, c.new, c.names, c.unsupported)
	}
	for _, c := range []struct {
		old, new, names string
		unsupported     bool
	}{
		{`"dropout":null`, `"dropout":0.1`, "dropout", true},
		{`"end_of_word_suffix":null`, `"end_of_word_suffix":"</w>"`, "end_of_word_suffix", true},
		{`"continuing_subword_prefix":null`, `"continuing_subword_prefix":"##"`, "continuing_subword_prefix", true},
		{`"byte_fallback":false`, `"byte_fallback":true`, "byte_fallback", true},
		{`["a","b"]`, `["a","c"]`, `"ac"`, false},
		{`["a","b"]`, `"a b c"`, "a b c", false},
		{`"unk_token":null`, `"unk_token":"?"`, `"?"`, false},
	} {
		checkRefused(t, smallBPE, c.old, c.new, c.names, c.unsupported)
	}
	for _, c := range []struct {
		old, new, names string
		unsupported     bool
	}{
		{`"unk_id":0`, `"unk_id":null`, "unk_id", false},
		{`["a",-1]`, `["a"]`, "score", false},
		{`["b",-2]`, `["a",-2]`, `"a"`, false},
		{`"byte_fallback":false`, `"byte_fallback":true`, "byte_fallback", true},
	} {
		checkRefused(t, smallUnigram, c.old, c.new, c.names, c.unsupported)
	}
	for _, vocab := range []string{"", "a\nb\n", "[UNK]\na\na\n"} {
		if _, err := tokenizer.LoadVocab([]byte(vocab), true); err == nil {
			t.Errorf("vocabulary %q was accepted", vocab)
		}
	}
}

const smallBPE = `{"added_tokens":[{"id":9,"content":"[MASK]","lstrip":true}],"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},
"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"byte_fallback":false,"vocab":{"a":0,"b":1,"ab":2,"c":3},"merges":[["a","b"]]}}`

const smallUnigram = `{"added_tokens":[],"normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "}]},
"pre_tokenizer":{"type":"Metaspace","replacement":"▁"},"model":{"type":"Unigram","unk_id":0,"byte_fallback":false,"vocab":[["?",0],["a",-1],["b",-2],["▁ab",-1.5],["▁",-3]]}}`

func checkRefused(t *testing.T, file, old, new, names string, unsupported bool) {
	t.Helper()
	if _, err := tokenizer.Load([]byte(file)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(file, old) {
		t.Fatalf("no %q in the file", old)
	}
	_, err := tokenizer.Load([]byte(strings.Replace(file, old, new, 1)))
	if err == nil || !strings.Contains(err.Error(), names) || !strings.HasPrefix(err.Error(), "colbertdb: ") {
		t.Errorf("%s for %s: error %v does not name %s", new, old, err, names)
	}
	if errors.Is(err, tokenizer.ErrUnsupported) != unsupported {
		t.Errorf("%s for %s: error %v", new, old, err)
	}
}

// The special tokens around a text are the post-processor's.
func TestSpecial(t *testing.T) {
	for _, c := range []struct {
		post          string
		before, after []int
	}{
		{`null`, nil, nil},
		{`{"type":"BertProcessing","sep":["[SEP]",102],"cls":["[CLS]",101]}`, []int{101}, []int{102}},
		{`{"type":"RobertaProcessing","sep":["</s>",2],"cls":["<s>",0],"trim_offsets":true,"add_prefix_space":true}`, []int{0}, []int{2}},
		{`{"type":"Sequence","processors":[{"type":"ByteLevel","trim_offsets":false},{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x","type_id":0}},
			{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"y","type_id":0}}],"pair":[],"special_tokens":{"x":{"id":"x","ids":[4,5],"tokens":["p","q"]},"y":{"id":"y","ids":[6],"tokens":["r"]}}}]}`, []int{4, 5}, []int{6}},
	} {
		tok, err := tokenizer.Load([]byte(strings.Replace(small, `"model"`, `"post_processor":`+c.post+`,"model"`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		before, after := tok.Special()
		if !slices.Equal(before, c.before) || !slices.Equal(after, c.after) {
			t.Errorf("%s: %v and %v", c.post, before, after)
		}
	}
	before, after := bert(t).Special()
	if !slices.Equal(before, []int{101}) || !slices.Equal(after, []int{102}) {
		t.Errorf("BERT: %v and %v", before, after)
	}
}

// Whatever a tokenizer.json says, reading it and using what was read neither
// panics nor gives offsets outside the text.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(small), "ab [UNK] é\xff")
	f.Add([]byte(strings.Replace(small, `"added_tokens":[]`, `"added_tokens":[{"id":3,"content":" x","lstrip":true,"rstrip":true},{"id":4,"content":"É","normalized":true,"single_word":true}]`, 1)), " x  x É éa ")
	f.Add([]byte(strings.Replace(small, `"type":"BertNormalizer"`, `"type":"BertNormalizer","lowercase":true,"strip_accents":false,"clean_text":false`, 1)), "İ\x00\u0301")
	f.Add([]byte(smallBPE), "ab [MASK] abc\u0301")
	f.Add([]byte(smallUnigram), "ab  ?? b a\u0301")
	f.Add([]byte(strings.Replace(smallUnigram, `{"type":"NFKC"}`, `{"type":"Precompiled","precompiled_charsmap":"CAAAAAAEAAAAAAAAYQA="}`, 1)), "ab\r\n한국")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		tok, err := tokenizer.Load(data)
		if err != nil {
			return
		}
		for _, token := range tok.Encode(text) {
			if token.Start < 0 || token.Start > token.End || token.End > len(text) {
				t.Fatalf("token %+v of %d bytes", token, len(text))
			}
		}
	})
}

// FuzzEncode: offsets are within the text and in order, and a text says the same
// again.
func FuzzEncode(f *testing.F) {
	tokenizers := []*tokenizer.Tokenizer{bert(f), loadFile(f, "testdata/bpe.json"), loadFile(f, "testdata/unigram.json")}
	f.Add("don't [MASK]  stop\r\n½ e\u0301 한국 \xff <mask> 🇩🇪")
	f.Fuzz(func(t *testing.T, text string) {
		for i, tok := range tokenizers {
			tokens, end := tok.Encode(text), 0
			for _, token := range tokens {
				if token.Start < 0 || token.Start > token.End || token.End > len(text) || token.End < end && i != 0 {
					t.Fatalf("tokenizer %d: token %+v of %d bytes after one that ends at %d", i, token, len(text), end)
				}
				end = token.End
			}
			if !slices.Equal(tokens, tok.Encode(text)) {
				t.Fatalf("tokenizer %d gives other tokens the second time", i)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	for _, file := range []string{bertFile, "testdata/bpe.json", "testdata/unigram.json"} {
		b.Run(filepath.Base(file), func(b *testing.B) { benchmark(b, file) })
	}
}

func benchmark(b *testing.B, file string) {
	tok := loadFile(b, file)
	text := strings.Repeat("The presence of communication amid scientific minds was equally important to the success. ", 100)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		tok.Encode(text)
	}
}
