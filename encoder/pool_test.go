package encoder_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
)

// The clusters are those of SciPy's linkage(vectors[1:], "ward") and fcluster(…,
// maxclust), made with scripts/pool_golden.py.
func TestPoolAgreesWithSciPy(t *testing.T) {
	raw, err := os.ReadFile("testdata/pool.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Dim, Factor  int
		Vectors, Out []float32
	}
	if err := json.Unmarshal(raw, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for _, c := range cases {
		got := encoder.Pool(encoder.Matrix{Dim: c.Dim, Data: c.Vectors}, c.Factor)
		if len(got.Data) != len(c.Out) {
			t.Errorf("%d vectors, factor %d: %d left, want %d", len(c.Vectors)/c.Dim, c.Factor, got.Len(), len(c.Out)/c.Dim)
			continue
		}
		for i := range c.Out {
			if math.Abs(float64(got.Data[i]-c.Out[i])) > 1e-5 {
				t.Errorf("%d vectors, factor %d: row %d is %v, want %v", len(c.Vectors)/c.Dim, c.Factor, i/c.Dim, got.Row(i/c.Dim), c.Out[i/c.Dim*c.Dim:(i/c.Dim+1)*c.Dim])
				break
			}
		}
	}
}

func TestPooling(t *testing.T) {
	ctx := context.Background()
	plain := fake.New(16)
	texts := []string{"one two three four five six seven", "zebra", ""}
	before, err := plain.EncodeDocuments(ctx, texts)
	if err != nil {
		t.Fatal(err)
	}
	if e := encoder.Pooling(plain, 1); e != encoder.Encoder(plain) {
		t.Error("factor 1 is not the encoder itself")
	}
	after, err := encoder.Pooling(plain, 2).EncodeDocuments(ctx, texts)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{4, 1, 1} {
		if got := after[i].Vectors.Len(); got != want {
			t.Errorf("%q: %d vectors of %d, want %d", texts[i], got, before[i].Vectors.Len(), want)
		}
		if after[i].Spans != nil {
			t.Errorf("%q: spans %v", texts[i], after[i].Spans)
		}
	}
	for d, x := range before[0].Vectors.Row(0) {
		if after[0].Vectors.Row(0)[d] != x {
			t.Error("the first token was pooled")
		}
	}
}

func TestWithDocumentLength(t *testing.T) {
	c, _ := open(t, folder())
	short, err := c.WithDocumentLength(6)
	if err != nil {
		t.Fatal(err)
	}
	d, err := short.EncodeDocuments(context.Background(), []string{"a b c a b c"})
	if err != nil || d[0].Vectors.Len() != 6 || d[0].Truncated != 3 {
		t.Errorf("%d vectors, %d cut, %v", d[0].Vectors.Len(), d[0].Truncated, err)
	}
	if w := short.Windows("a b c a b c", 0); len(w) != 2 || short.Info().DocMaxLen != 6 || c.Info().DocMaxLen != 10 {
		t.Errorf("windows %v of %d tokens, before %d", w, short.Info().DocMaxLen, c.Info().DocMaxLen)
	}
	for _, n := range []int{3, 11} {
		if _, err := c.WithDocumentLength(n); err == nil {
			t.Errorf("%d tokens: no error", n)
		}
	}
}
