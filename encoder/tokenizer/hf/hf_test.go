package hf_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/colbertdb-go/colbertdb/encoder/tokenizer"
	"github.com/colbertdb-go/colbertdb/encoder/tokenizer/hf"
)

// files are tokenizers of the three kinds, with the golden strings of package tokenizer.
var files = map[string][2]string{
	"WordPiece": {"../../bundled/model/tokenizer.json", "../testdata/golden.jsonl"},
	"BPE":       {"../testdata/bpe.json", "../testdata/bpe.golden.jsonl"},
	"Unigram":   {"../testdata/unigram.json", "../testdata/unigram.golden.jsonl"},
}

// hostile are golden strings and mixtures of parts of them.
func hostile(t testing.TB, golden string) (texts []string) {
	f, err := os.Open(golden)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var line struct{ Text string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, line.Text)
	}
	if len(texts) < 300 {
		t.Fatalf("%d golden strings", len(texts))
	}
	r := rand.New(rand.NewPCG(7, 8))
	for range 3000 {
		var b strings.Builder
		for range 1 + r.IntN(4) {
			runes := []rune(texts[r.IntN(300)])
			if len(runes) > 0 {
				from := r.IntN(len(runes))
				b.WriteString(string(runes[from:min(len(runes), from+1+r.IntN(40))]))
			}
		}
		texts = append(texts, b.String())
	}
	return append(texts, "", "\x00", "a\x00b", "\xff\xfe broken", "half \xe2\x82 a sign", strings.Repeat("word", 20000))
}

// The library and package tokenizer give the same ids and offsets.
func TestSame(t *testing.T) {
	if !hf.Available {
		if _, err := hf.Load([]byte("{}")); err == nil || !strings.Contains(err.Error(), "make tokenizers") {
			t.Errorf("error %v", err)
		}
		t.Skip("built without the tag hf_tokenizers")
	}
	for name, f := range files {
		raw, err := os.ReadFile(filepath.FromSlash(f[0]))
		if err != nil {
			t.Fatal(err)
		}
		own, err := tokenizer.Load(raw)
		if err != nil {
			t.Fatal(err)
		}
		library, err := hf.Load(raw)
		if err != nil {
			t.Fatal(err)
		}
		different, n := 0, 0
		for _, text := range hostile(t, f[1]) {
			want := own.Encode(text)
			for i := range want {
				want[i].Joined = false
			}
			if got := library.Encode(text); !slices.Equal(want, got) {
				if different++; different <= 5 {
					t.Errorf("%s: %.200q: %v in Go, %v in the library", name, text, want, got)
				}
			}
			n++
		}
		t.Logf("%s: %d strings, %d different", name, n, different)
		var all sync.WaitGroup
		for range 4 { // one for many goroutines, and closed beside them
			all.Go(func() {
				for range 50 {
					library.Encode("some words")
				}
			})
		}
		all.Wait()
		for range 2 {
			if err := library.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := hf.Load([]byte(`{"model":{"type":"WordLevel"}}`)); err == nil {
		t.Error("a tokenizer that package tokenizer refuses was taken")
	}
}

// BenchmarkEncode cuts the golden strings, and paragraphs of documentation, with both.
//
//	CGO_LDFLAGS=-L$PWD/.cache/tokenizers go test -tags hf_tokenizers -run '^$' -bench . ./encoder/tokenizer/hf
func BenchmarkEncode(b *testing.B) {
	prose, err := os.ReadFile("../../../docs/design.md")
	if err != nil {
		b.Fatal(err)
	}
	texts := strings.Split(string(prose), "\n\n")
	for _, name := range []string{"WordPiece", "BPE", "Unigram"} {
		raw, err := os.ReadFile(filepath.FromSlash(files[name][0]))
		if err != nil {
			b.Fatal(err)
		}
		own, err := tokenizer.Load(raw)
		if err != nil {
			b.Fatal(err)
		}
		run := func(which string, encode func(string) []tokenizer.Token) {
			b.Run(fmt.Sprintf("%s/%s", name, which), func(b *testing.B) {
				b.SetBytes(int64(len(prose)))
				b.ReportAllocs()
				for b.Loop() {
					for _, t := range texts {
						encode(t)
					}
				}
			})
		}
		run("go", own.Encode)
		if hf.Available {
			library, err := hf.Load(raw)
			if err != nil {
				b.Fatal(err)
			}
			run("library", library.Encode)
			if err := library.Close(); err != nil {
				b.Error(err)
			}
		}
	}
}
