package fake_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
)

func document(t *testing.T, e encoder.Encoder, text string) encoder.Document {
	t.Helper()
	d, err := e.EncodeDocuments(context.Background(), []string{text})
	if err != nil {
		t.Fatal(err)
	}
	return d[0]
}

func dot(a, b []float32) (sum float64) {
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

// A word's vector is the word's alone: the same on both sides, in any case and
// place, of unit length, and close to no other's.
func TestVectorsAreTheWords(t *testing.T) {
	e := fake.New(128)
	text := "Amber urine, amber -- étoile"
	d := document(t, e, text)
	var words []string
	for _, s := range d.Spans {
		words = append(words, text[s.Start:s.End])
	}
	if diff := cmp.Diff([]string{"Amber", "urine", "amber", "étoile"}, words); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(d.Spans, e.DocumentSpans(text)); diff != "" {
		t.Errorf("DocumentSpans (-encoded +spans):\n%s", diff)
	}
	q, err := fake.New(128).EncodeQueries(context.Background(), []string{"AMBER"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{1, 0, 1, 0} {
		if got := dot(q[0].Vectors.Row(0), d.Vectors.Row(i)); math.Abs(got-want) > 0.35 || want == 1 && math.Abs(got-1) > 1e-6 {
			t.Errorf("amber and %s have the product %v", words[i], got)
		}
	}
	other, err := fake.Named("other", 128).EncodeQueries(context.Background(), []string{"amber"})
	if err != nil {
		t.Fatal(err)
	}
	if got := dot(q[0].Vectors.Row(0), other[0].Vectors.Row(0)); math.Abs(got) > 0.35 {
		t.Errorf("two models agree on a word: %v", got)
	}
	if fake.New(8).Info().Fingerprint == fake.New(16).Info().Fingerprint {
		t.Error("two dimensions have one fingerprint")
	}
}

func TestLimits(t *testing.T) {
	e := fake.New(8)
	if d := document(t, e, " .. "); d.Vectors.Len() != 1 || len(d.Spans) != 1 || d.Spans[0] != (encoder.Span{}) {
		t.Errorf("a text without words: %+v", d)
	}
	long := strings.Repeat("word ", 300)
	if d := document(t, e, long); d.Vectors.Len() != 256 || d.Truncated != 44 {
		t.Errorf("%d vectors, %d cut", d.Vectors.Len(), d.Truncated)
	}
	windows := e.Windows(long, 16)
	if len(windows) != 2 || windows[0].Start != 0 || windows[1].Start >= windows[0].End {
		t.Errorf("windows %v", windows)
	}
	for _, w := range windows {
		if d := document(t, e, long[w.Start:w.End]); d.Truncated != 0 {
			t.Errorf("window %v is %d words too long", w, d.Truncated)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.EncodeDocuments(ctx, []string{"a"}); err == nil {
		t.Error("a cancelled context was not noticed")
	}
}
