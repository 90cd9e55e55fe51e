package codec

import "math"

// IntScale is the number of int8 units per 1.0 of a document vector's
// component: 127·√dim ÷ 5.1, so that ±5.1 standard deviations of a random unit
// vector's components fit (282 at 128 dimensions).
func IntScale(dim int) float32 {
	return float32(127 * math.Sqrt(float64(dim)) / 5.1)
}

// maxClipped is the largest norm that a token vector may lose to clipping
// before the document's scale exponent is raised.
const maxClipped = 0.05

// scaleExponent returns the smallest exponent at which no token of m, unit
// vectors, loses more than maxClipped to the range of int8.
func scaleExponent(m Matrix) uint8 {
	limit := 127 / float64(IntScale(m.Dim))
	for exp := uint8(0); ; exp++ {
		worst := 0.0
		for t := range m.Len() {
			lost := 0.0
			for _, x := range m.Row(t) {
				if over := math.Abs(float64(x)) - limit; over > 0 {
					lost += over * over
				}
			}
			worst = max(worst, lost)
		}
		if worst <= maxClipped*maxClipped {
			return exp
		}
		limit *= 2
	}
}
