package codec

import (
	"math"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// Residual norms tell how well the cells still fit: documents of a kind that
// the codebook was not trained on lie farther from their cells. A norm is at
// most two, and is kept as a byte in units of 1/128.
const normUnit = 128

// normBuckets is the number of buckets of a histogram of norms, 1/32 each.
const normBuckets = 64

// ResidualStats are the residual norms of many tokens.
type ResidualStats struct {
	Tokens int64 `json:"tokens"`
	// Mean is the mean norm and P95 the 95th percentile, to a bucket's width.
	Mean float32 `json:"mean"`
	P95  float32 `json:"p95"`
	// Outliers is the share of tokens beyond the training's 95th percentile:
	// 0.05 for tokens like those of the training.
	Outliers float32 `json:"outliers"`
	// Histogram counts norms by 1/32, without the empty buckets at the end.
	Histogram []int64 `json:"histogram,omitempty"`
}

func normByte(norm float64) uint8 { return uint8(min(255, math.Round(norm*normUnit))) }

// AddNorms counts in the norms of a document's tokens against codebook cb.
func (s *ResidualStats) AddNorms(norms []uint8, cb *Codebook) {
	if len(norms) == 0 {
		return
	}
	limit := cb.ResidualP95 * normUnit
	one := ResidualStats{Tokens: int64(len(norms)), Histogram: make([]int64, normBuckets)}
	var sum, outliers int64
	for _, n := range norms {
		sum += int64(n)
		if float32(n) > limit {
			outliers++
		}
		one.Histogram[int(n)*normBuckets/256]++
	}
	one.Mean = float32(sum) / float32(len(norms)) / normUnit
	one.Outliers = float32(outliers) / float32(len(norms))
	s.Add(&one)
}

// Add counts in others, of the same codebook.
func (s *ResidualStats) Add(o *ResidualStats) {
	if o == nil || o.Tokens == 0 {
		return
	}
	n := s.Tokens + o.Tokens
	w := float64(o.Tokens) / float64(n)
	s.Mean += float32(w * float64(o.Mean-s.Mean))
	s.Outliers += float32(w * float64(o.Outliers-s.Outliers))
	s.Tokens = n
	for i, c := range o.Histogram {
		if c == 0 {
			continue
		}
		for len(s.Histogram) <= i {
			s.Histogram = append(s.Histogram, 0)
		}
		s.Histogram[i] += c
	}
	s.P95 = s.percentile(95)
}

// percentile is the upper bound of the bucket where it lies.
func (s *ResidualStats) percentile(p int64) float32 {
	var all, below int64
	for _, c := range s.Histogram {
		all += c
	}
	for i, c := range s.Histogram {
		if below += c; below*100 >= all*p {
			return float32(i+1) / (normBuckets / 2)
		}
	}
	return 0
}

// Scaled returns the figures for so many tokens of the same kind.
func (s *ResidualStats) Scaled(tokens int64) *ResidualStats {
	if s == nil || s.Tokens == 0 {
		return nil
	}
	out := *s
	out.Tokens = tokens
	out.Histogram = make([]int64, len(s.Histogram))
	for i, c := range s.Histogram {
		out.Histogram[i] = c * tokens / s.Tokens
	}
	return &out
}

// Distortion estimates the mean squared error of the vectors that plane p of a
// document stands for: 0 for the originals. A level is the mean of what it stands
// for, so that a reconstruction is shorter than the vector by its error, and the
// scale byte tells how long it was: error² = 1 − length².
func Distortion(v View, dim int, p Plane) float64 {
	rows := v.A
	switch p {
	case PlaneA:
	case PlaneB:
		rows = v.B
	default:
		return 0
	}
	pb := PlaneBytes(dim)
	var sum float64
	for at := pb - 1; at < len(rows); at += pb {
		length := factorUnit / float64(simd.Factor(rows[at]))
		sum += max(0, 1-length*length)
	}
	return sum / float64(max(1, v.Tokens))
}

// SquaredError is Distortion where plane C, whose components are rounded to its
// scale, has an error too.
func SquaredError(v View, dim int, p Plane) float64 {
	if p != PlaneC {
		return Distortion(v, dim, p)
	}
	step := float64(int(1)<<v.Exp) / float64(IntScale(dim))
	return float64(dim) * step * step / 12
}
