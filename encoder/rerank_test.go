package encoder_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
)

// Documents are ranked as by brute force over all of their windows, of several batches.
func TestRerank(t *testing.T) {
	short, err := fake.New(16).WithDocumentLength(12)
	if err != nil {
		t.Fatal(err)
	}
	documents := []string{
		"nothing of the kind", "the kitten", strings.Repeat("a long text about all and nothing ", 20) + "where the kitten rests on a warm sill", "",
		"the kitten", strings.Repeat("rests ", 300),
	}
	const query = "where does the kitten rest on the sill"
	q, err := short.EncodeQueries(t.Context(), []string{query})
	if err != nil {
		t.Fatal(err)
	}
	want, tokens := make([]float64, len(documents)), q[0].Vectors.Len()
	for i, text := range documents {
		want[i] = math.Inf(-1)
		for _, w := range short.Windows(text, 32) {
			d, err := short.EncodeDocuments(t.Context(), []string{text[w.Start:w.End]})
			if err != nil {
				t.Fatal(err)
			}
			tokens += d[0].Vectors.Len()
			var sum float64
			for i := range q[0].Vectors.Len() {
				best := math.Inf(-1)
				for j := range d[0].Vectors.Len() {
					var dot float64
					for k, x := range q[0].Vectors.Row(i) {
						dot += float64(x) * float64(d[0].Vectors.Row(j)[k])
					}
					best = max(best, dot)
				}
				sum += best
			}
			want[i] = max(want[i], sum)
		}
	}
	order := []int{0, 1, 2, 3, 4, 5}
	slices.SortStableFunc(order, func(a, b int) int {
		if math.Abs(want[a]-want[b]) < 1e-9 {
			return 0
		}
		return map[bool]int{true: -1, false: 1}[want[a] > want[b]]
	})
	r, err := encoder.Rerank(t.Context(), short, query, documents, 0)
	if err != nil {
		t.Fatal(err)
	}
	if r.Tokens != tokens {
		t.Errorf("%d tokens, want %d", r.Tokens, tokens)
	}
	for n, d := range r.Documents {
		if d.Index != order[n] || math.Abs(float64(d.Score)-want[d.Index]) > 1e-4 || d.Similarity < 0 || d.Similarity > 1 ||
			math.Abs(float64(d.Similarity)-min(max(want[d.Index]/float64(q[0].Vectors.Len()), 0), 1)) > 1e-5 {
			t.Errorf("place %d is %+v, want document %d with %v", n, d, order[n], want[order[n]])
		}
	}
	if order[0] != 2 {
		t.Errorf("the best is %d: the test shows nothing of windows", order[0])
	}
	// Of the long text only its first window: the kitten is not in it.
	r, err = encoder.Rerank(t.Context(), short, query, documents, 12)
	if err != nil || r.Documents[0].Index == 2 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := encoder.Rerank(t.Context(), short, query, nil, 0); err != nil || len(r.Documents) != 0 {
		t.Errorf("no documents: %+v, %v", r, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := encoder.Rerank(ctx, short, query, documents, 0); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
