package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Every value falls into the bucket whose bound is the first not below it, and
// quantiles are at most a quarter above the true ones.
func TestHistogram(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		var h histogram
		values := make([]uint64, 1+r.IntN(3000))
		for i := range values {
			values[i] = r.Uint64() >> (34 + r.IntN(30))
			h.observe(values[i])
			b := bucketOf(values[i])
			if values[i] > HistogramBound(b) || b > 0 && values[i] <= HistogramBound(b-1) {
				t.Fatalf("%d is in bucket %d, bounds %d and %d", values[i], b, HistogramBound(b-1), HistogramBound(b))
			}
		}
		slices.Sort(values)
		got := h.load()
		if got.Count != uint64(len(values)) || got.Max != values[len(values)-1] {
			t.Fatalf("count %d of %d, max %d", got.Count, len(values), got.Max)
		}
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 1} {
			want := values[int(q*float64(len(values)-1))]
			if v := got.Quantile(q); v < want || float64(v) > 1.25*float64(want)+1 {
				t.Errorf("round %d: quantile %v is %d, want %d", round, q, v, want)
			}
		}
	}
	if (&Histogram{}).Quantile(0.5) != 0 {
		t.Error("a quantile of nothing")
	}
	last := histogramBuckets - 1
	if bucketOf(1<<63) != last || HistogramBound(last) != 1<<32-1 {
		t.Errorf("last bucket %d with bound %d", bucketOf(1<<63), HistogramBound(last))
	}
}
