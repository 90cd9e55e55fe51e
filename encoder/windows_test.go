package encoder_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/encoder"
)

func windowsOf(t *testing.T, length, text string, overlap int) (*encoder.ColBERT, []string, []encoder.Span) {
	t.Helper()
	c, _ := open(t, folder("onnx_config.json", strings.Replace(config, `"document_length":10`, `"document_length":`+length, 1)))
	spans := c.Windows(text, overlap)
	var out []string
	for _, s := range spans {
		out = append(out, text[s.Start:s.End])
	}
	return c, out, spans
}

func TestWindowsCutAtSentences(t *testing.T) {
	for _, c := range []struct {
		text    string
		overlap int
		want    []string
	}{
		{"what is amber", 2, []string{"what is amber"}},
		{"", 2, []string{""}},
		{"what is amber. the color of urine. is the amber color", 0, []string{"what is amber.", "the color of urine.", "is the amber color"}},
		// No sentence ends in the second half of the window: between words.
		{"a b c a b c a b c a b c", 0, []string{"a b c a b c a", "b c a b c"}},
		{"a b c a b c a b c a b c", 2, []string{"a b c a b c a", "c a b c a b c"}},
		// Not inside a word: colorss is three pieces.
		{"a b c a b colorss c", 0, []string{"a b c a b", "colorss c"}},
		// An accent that has no token of its own stays with its letter.
		{"a b c a b c a\u0301 b c a b", 0, []string{"a b c a b c a\u0301", "b c a b"}},
	} {
		_, got, _ := windowsOf(t, "10", c.text, c.overlap)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q, overlap %d (-want +got):\n%s", c.text, c.overlap, diff)
		}
	}
}

// Whatever the text: every window fits, the windows are in order, and together
// they hold every token.
func TestWindowsFit(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	parts := []string{"what", "color", "colors", "amber", ". ", ", ", " ", " ", "\n\n", "한", "한국", "colorsssssss", "zzz", "東京", "a\u0301", "\u200d", "\xff", "[MASK]", "é", "!"}
	for range 400 {
		var b strings.Builder
		for range r.IntN(120) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		text, overlap := b.String(), r.IntN(12)
		c, windows, spans := windowsOf(t, "10", text, overlap)
		docs, err := c.EncodeDocuments(context.Background(), windows)
		if err != nil {
			t.Fatal(err)
		}
		covered := 0
		for i, s := range spans {
			if docs[i].Truncated != 0 {
				t.Fatalf("window %q of %q has %d tokens too many", windows[i], text, docs[i].Truncated)
			}
			if i > 0 && (s.Start <= spans[i-1].Start || s.End <= spans[i-1].End) {
				t.Fatalf("windows %v of %q do not advance", spans, text)
			}
			if s.Start > covered && strings.ContainsFunc(text[covered:s.Start], isText) {
				t.Fatalf("%q of %q is in no window", text[covered:s.Start], text)
			}
			if utf8.ValidString(text) && !utf8.ValidString(windows[i]) {
				t.Fatalf("window %q cuts a character", windows[i])
			}
			covered = s.End
		}
		if spans[0].Start != 0 || covered != len(text) {
			t.Fatalf("windows %v of %d bytes", spans, len(text))
		}
	}
}

// isText reports whether a character of the test above has a token.
func isText(r rune) bool { return !strings.ContainsRune(" \n\u200d", r) && r != utf8.RuneError }

func TestWindowsOfLongTextAreLinear(t *testing.T) {
	text := strings.Repeat("what is the color of amber. ", 40000) // a megabyte
	_, windows, _ := windowsOf(t, "300", text, 32)
	if len(windows) < 900 || len(windows) > 1100 {
		t.Errorf("%d windows of a text of 280,000 tokens", len(windows))
	}
}
