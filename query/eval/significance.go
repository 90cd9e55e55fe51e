package eval

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
)

// Comparison is what the measures of two systems, query by query, say of the
// difference between their means.
type Comparison struct {
	Queries    int     `json:"queries"`
	Difference float64 `json:"difference"` // of the means, other minus base

	// T and P are Student's paired t-test that the difference is not 0, two-sided;
	// Low and High the interval of t in which it lies with 95 %.
	T    float64 `json:"t"`
	P    float64 `json:"p"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`

	// BootstrapLow and BootstrapHigh are the interval of 95 % between percentiles
	// of the mean difference over resampled queries (Efron and Tibshirani 1993,
	// chapter 13): it assumes nothing of how differences are distributed.
	BootstrapLow  float64 `json:"bootstrap_low"`
	BootstrapHigh float64 `json:"bootstrap_high"`

	// Margin is the loss that does not matter, and PLoss how likely so small a
	// loss, or none, would be seen if the true one were Margin: the one-sided
	// t-test of "other loses Margin or more".
	Margin float64 `json:"margin"`
	PLoss  float64 `json:"p_loss"`
}

// Level is the error level of the tests: 5 %.
const Level = 0.05

// NoLoss reports whether a loss of Margin or more is excluded at Level: other is not
// inferior. The absence of a significant difference alone does not say so.
func (c Comparison) NoLoss() bool { return c.PLoss < Level }

// Differs reports whether the difference is significant at Level.
func (c Comparison) Differs() bool { return c.P < Level }

// resamples of the queries for the bootstrap.
const resamples = 10_000

// Compare compares two systems by a measure of the same queries: base[i] and other[i]
// are query i's. margin is the loss that does not matter, at least 0. The bootstrap
// draws from seed.
func Compare(base, other []float64, margin float64, seed uint64) (Comparison, error) {
	if len(base) != len(other) || len(base) < 2 {
		return Comparison{}, errors.New("colbertdb: a comparison needs the same queries of both systems, at least 2")
	}
	if !(margin >= 0) {
		return Comparison{}, errors.New("colbertdb: the margin of a comparison must not be negative")
	}
	n := len(base)
	d := make([]float64, n)
	for i := range d {
		d[i] = other[i] - base[i]
	}
	mean, deviation := moments(d)
	c := Comparison{Queries: n, Difference: mean, Margin: margin}
	stderr, df := deviation/math.Sqrt(float64(n)), float64(n-1)
	c.T, c.P = 0, 1
	if mean != 0 {
		c.T = mean / stderr // infinite where all differences are equal
		c.P = 2 * tailT(math.Abs(c.T), df)
	}
	reach := 0.0
	if stderr > 0 {
		reach = stderr * quantileT(1-Level/2, df)
	}
	c.Low, c.High = mean-reach, mean+reach
	c.PLoss = 1 // a loss of exactly the margin, of every query
	if t := (mean + margin) / stderr; !math.IsNaN(t) {
		c.PLoss = tailT(t, df)
	}
	c.BootstrapLow, c.BootstrapHigh = bootstrap(d, seed)
	return c, nil
}

// moments returns the mean and the standard deviation of a sample.
func moments(x []float64) (mean, deviation float64) {
	for _, v := range x {
		mean += v
	}
	mean /= float64(len(x))
	for _, v := range x {
		deviation += (v - mean) * (v - mean)
	}
	// Where all are equal the mean's rounding is no deviation.
	if slices.Min(x) == slices.Max(x) {
		return x[0], 0
	}
	return mean, math.Sqrt(deviation / float64(len(x)-1))
}

// bootstrap returns the percentiles of resampled means.
func bootstrap(d []float64, seed uint64) (low, high float64) {
	r := rand.New(rand.NewPCG(seed, uint64(len(d))))
	means := make([]float64, resamples)
	for i := range means {
		for range d {
			means[i] += d[r.IntN(len(d))]
		}
		means[i] /= float64(len(d))
	}
	slices.Sort(means)
	at := int(Level / 2 * resamples)
	return means[at], means[resamples-1-at]
}

// tailT is the probability that Student's t with df degrees of freedom exceeds t.
func tailT(t, df float64) float64 {
	if math.IsInf(t, 0) {
		return (1 - math.Copysign(1, t)) / 2
	}
	half := betaRegularized(df/(df+t*t), df/2, 0.5) / 2
	if t < 0 {
		return 1 - half
	}
	return half
}

// quantileT is the t that Student's t stays below with probability p, 0.5 ≤ p < 1.
func quantileT(p, df float64) float64 {
	low, high := 0.0, 1.0
	for tailT(high, df) > 1-p {
		high *= 2
	}
	for range 200 {
		mid := (low + high) / 2
		if tailT(mid, df) > 1-p {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// betaRegularized is the regularised incomplete beta function I_x(a, b), by its
// continued fraction (DLMF 8.17.22) in Lentz's form.
func betaRegularized(x, a, b float64) float64 {
	if x <= 0 {
		return 0
	}
	if x >= 1 {
		return 1
	}
	if x > (a+1)/(a+b+2) { // where the fraction of the complement converges faster
		return 1 - betaRegularized(1-x, b, a)
	}
	ga, _ := math.Lgamma(a)
	gb, _ := math.Lgamma(b)
	gab, _ := math.Lgamma(a + b)
	front := math.Exp(gab-ga-gb+a*math.Log(x)+b*math.Log1p(-x)) / a
	const tiny, enough = 1e-300, 1e-15
	away := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	f, c, d := 1.0, 1.0, 0.0
	for i := range 100_000 {
		m := float64(i / 2)
		var numerator float64
		switch {
		case i == 0:
			numerator = 1
		case i%2 == 0:
			numerator = m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		default:
			numerator = -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		}
		d = 1 / away(1+numerator*d)
		c = away(1 + numerator/c)
		f *= c * d
		if math.Abs(1-c*d) < enough {
			break
		}
	}
	return front * (f - 1)
}
