package query

import (
	"math"
	"slices"
)

// candidate is a document of one source with the score of the latest stage.
type candidate struct {
	source, ord int
	score       float32
}

// ranking orders candidates: descending by score, equal scores by external id.
type ranking struct{ sources []Source }

func (r ranking) compare(a, b candidate) int {
	switch {
	case a.score > b.score:
		return -1
	case a.score < b.score:
		return 1
	}
	ida, idb := r.sources[a.source].ExternalID(a.ord), r.sources[b.source].ExternalID(b.ord)
	switch {
	case ida < idb:
		return -1
	case ida > idb:
		return 1
	}
	return 0
}

// top moves the best n candidates to the front, in order, and returns them.
func (r ranking) top(c []candidate, n int) []candidate {
	if n >= len(c) {
		slices.SortFunc(c, r.compare)
		return c
	}
	r.selectTop(c, n)
	c = c[:n]
	slices.SortFunc(c, r.compare)
	return c
}

// selectTop partitions c so that its n best are in front, in any order: first by
// a histogram, then Hoare's quickselect with the median of three among those
// that it cannot tell apart.
func (r ranking) selectTop(c []candidate, n int) {
	if len(c) > histogramBins && n > 0 && n < len(c) {
		c, n = narrowTop(c, n)
	}
	for len(c) > 1 && n > 0 && n < len(c) {
		a, b, m := c[0], c[len(c)-1], c[len(c)/2]
		pivot := m
		if (r.compare(a, b) < 0) == (r.compare(m, a) < 0) {
			pivot = a
		} else if (r.compare(b, a) < 0) == (r.compare(m, b) < 0) {
			pivot = b
		}
		i, j := 0, len(c)-1
		for i <= j {
			for r.compare(c[i], pivot) < 0 {
				i++
			}
			for r.compare(c[j], pivot) > 0 {
				j--
			}
			if i <= j {
				c[i], c[j] = c[j], c[i]
				i++
				j--
			}
		}
		switch {
		case n <= j:
			c = c[:j+1]
		case n >= i:
			c, n = c[i:], n-i
		default:
			return
		}
	}
}

const histogramBins = 1024

// narrowTop moves candidates whose scores are surely among the n best to the front
// of c and those whose are surely not to its end. It returns those between, and
// how many of them belong to the n best.
func narrowTop(c []candidate, n int) ([]candidate, int) {
	low, high := c[0].score, c[0].score
	for i := range c {
		low, high = min(low, c[i].score), max(high, c[i].score)
	}
	scale := (histogramBins - 1) / (high - low)
	if !(scale > 0 && scale <= math.MaxFloat32) {
		return c, n // all are equal, or not numbers
	}
	bin := func(score float32) int { return int((high - score) * scale) }
	var counts [histogramBins]int
	for i := range c {
		counts[bin(c[i].score)]++
	}
	last, before := 0, 0
	for before+counts[last] < n {
		before += counts[last]
		last++
	}
	front, end := 0, len(c)
	for i := 0; i < end; {
		switch b := bin(c[i].score); {
		case b < last:
			c[i], c[front] = c[front], c[i]
			front++
			i++
		case b > last:
			end--
			c[i], c[end] = c[end], c[i]
		default:
			i++
		}
	}
	return c[front:end], n - before
}
