package engine

import (
	"encoding/json"
	"math/bits"
	"sync/atomic"
	"time"
)

// Histogram counts values that are not negative, four buckets to each doubling,
// so that a quantile is at most a quarter too large. The field that holds one
// says the unit of its values; times are in microseconds.
type Histogram struct {
	Buckets  [histogramBuckets]uint64
	Count    uint64
	Sum, Max uint64
}

// histogramBuckets reach up to 2^32.
const histogramBuckets = 124

// bucketOf numbers the buckets: 0 to 3 hold one value each, then four a doubling.
func bucketOf(v uint64) int {
	if v < 4 {
		return int(v)
	}
	octave := bits.Len64(v) - 1
	return min(4*(octave-1)+int(v>>(octave-2)&3), histogramBuckets-1)
}

// HistogramBound is the largest value that bucket i of a Histogram counts.
func HistogramBound(i int) uint64 {
	if i < 4 {
		return uint64(i)
	}
	return uint64(5+i%4)<<(i/4-1) - 1
}

// Quantile returns a value that at least the share q of the values do not
// exceed, 0 without values.
func (h *Histogram) Quantile(q float64) uint64 {
	if h.Count == 0 {
		return 0
	}
	rank := uint64(q*float64(h.Count-1)) + 1
	for i, n := range h.Buckets {
		if n >= rank {
			return min(HistogramBound(i), h.Max)
		}
		rank -= n
	}
	return h.Max
}

// Mean is the average value, 0 without values.
func (h *Histogram) Mean() float64 {
	if h.Count == 0 {
		return 0
	}
	return float64(h.Sum) / float64(h.Count)
}

// MarshalJSON gives the figures that people read, and the buckets that hold
// something as pairs of bound and count.
func (h Histogram) MarshalJSON() ([]byte, error) {
	out := struct {
		Count   uint64      `json:"count"`
		Mean    float64     `json:"mean"`
		P50     uint64      `json:"p50"`
		P90     uint64      `json:"p90"`
		P99     uint64      `json:"p99"`
		Max     uint64      `json:"max"`
		Sum     uint64      `json:"sum"`
		Buckets [][2]uint64 `json:"buckets"`
	}{h.Count, h.Mean(), h.Quantile(0.5), h.Quantile(0.9), h.Quantile(0.99), h.Max, h.Sum, [][2]uint64{}}
	for i, n := range h.Buckets {
		if n > 0 {
			out.Buckets = append(out.Buckets, [2]uint64{HistogramBound(i), n})
		}
	}
	return json.Marshal(out)
}

// histogram is a Histogram that many goroutines count into.
type histogram struct {
	buckets  [histogramBuckets]atomic.Uint64
	sum, max atomic.Uint64
}

func (h *histogram) observe(v uint64) {
	h.buckets[bucketOf(v)].Add(1)
	h.sum.Add(v)
	for m := h.max.Load(); v > m && !h.max.CompareAndSwap(m, v); m = h.max.Load() {
	}
}

func (h *histogram) observeTime(d time.Duration) { h.observe(uint64(max(0, d.Microseconds()))) }

// load copies the counts out.
func (h *histogram) load() Histogram {
	out := Histogram{Sum: h.sum.Load(), Max: h.max.Load()}
	for i := range h.buckets {
		out.Buckets[i] = h.buckets[i].Load()
		out.Count += out.Buckets[i]
	}
	return out
}
