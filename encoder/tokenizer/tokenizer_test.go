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
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/encoder/tokenizer"
	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

const bertFile = "../bundled/model/tokenizer.json"

func bert(tb testing.TB) *tokenizer.Tokenizer {
	tb.Helper()
	data, err := os.ReadFile(bertFile)
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

// golden.jsonl holds what the Hugging Face library makes of hostile strings;
// scripts/tokenizer_diff.py wrote it and compares many more.
func TestGolden(t *testing.T) {
	tok := bert(t)
	f, err := os.Open("testdata/golden.jsonl")
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

// A word of a megabyte is one unknown token, in time linear in its length.
func TestLongWord(t *testing.T) {
	tok := bert(t)
	start := time.Now()
	for _, word := range []string{strings.Repeat("x", 1<<20), strings.Repeat("é", 1<<19), strings.Repeat("e\u0301", 1<<18)} {
		got := tok.Encode(word)
		if len(got) != 1 || got[0].ID != 100 || got[0].Start != 0 {
			t.Errorf("%d tokens for a word of %d bytes", len(got), len(word))
		}
	}
	// Marks beside one another are sorted, which must not be quadratic either.
	tok.Encode("a" + strings.Repeat("\u0301\u0323", 1<<18))
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
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
	for _, c := range []struct{ old, new, names string }{
		{"BertNormalizer", "NFKC", "NFKC"},
		{"BertPreTokenizer", "ByteLevel", "ByteLevel"},
		{`{"type":"BertPreTokenizer"}`, `null`, "pre_tokenizer"},
		{"WordPiece", "Unigram", "Unigram"},
		{`"model"`, `"post_processor":{"type":"ByteLevel"},"model"`, "post_processor"},
		{`"[UNK]":0,`, ``, "[UNK]"},
		{`"a":1`, `"a":2`, "id 2"},
		{`"added_tokens":[]`, `"added_tokens":[{"id":7,"content":"a"}]`, "id 7"},
		{`"added_tokens":[]`, `"added_tokens":[{"id":1,"content":"b"}]`, "id 1"},
		{`{"[UNK]":0,"a":1,"##b":2}`, `{}`, "empty"},
		{`{"added`, `{{"added`, "tokenizer.json"},
	} {
		if !strings.Contains(small, c.old) {
			t.Fatalf("no %q in the file", c.old)
		}
		_, err := tokenizer.Load([]byte(strings.Replace(small, c.old, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.names) || !strings.HasPrefix(err.Error(), "colbertdb: ") {
			t.Errorf("%s for %s: error %v does not name %s", c.new, c.old, err, c.names)
		}
		if strings.Contains(c.names, "L") && c.names != "[UNK]" && !errors.Is(err, tokenizer.ErrUnsupported) {
			t.Errorf("%v is not ErrUnsupported", err)
		}
	}
	for _, vocab := range []string{"", "a\nb\n", "[UNK]\na\na\n"} {
		if _, err := tokenizer.LoadVocab([]byte(vocab), true); err == nil {
			t.Errorf("vocabulary %q was accepted", vocab)
		}
	}
}

// Whatever a tokenizer.json says, reading it and using what was read neither
// panics nor gives offsets outside the text.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(small), "ab [UNK] é\xff")
	f.Add([]byte(strings.Replace(small, `"added_tokens":[]`, `"added_tokens":[{"id":3,"content":" x","lstrip":true,"rstrip":true},{"id":4,"content":"É","normalized":true,"single_word":true}]`, 1)), " x  x É éa ")
	f.Add([]byte(strings.Replace(small, `"type":"BertNormalizer"`, `"type":"BertNormalizer","lowercase":true,"strip_accents":false,"clean_text":false`, 1)), "İ\x00\u0301")
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

func BenchmarkEncode(b *testing.B) {
	tok := bert(b)
	text := strings.Repeat("The presence of communication amid scientific minds was equally important to the success. ", 100)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		tok.Encode(text)
	}
}
