package tokenizer

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// parseScore reads a number of tokenizer.json as the library's JSON parser does:
// the first digits that fit 64 bits as a whole number, times or divided by a power
// of ten. That may be one unit in the last place off the nearest float64, and two
// ways to cut a word whose scores are equal but for rounding are told apart by it.
func parseScore(text string) (float64, error) {
	mantissa, exponentText, _ := strings.Cut(strings.ToLower(text), "e")
	exponent := 0
	if exponentText != "" {
		var err error
		if exponent, err = strconv.Atoi(exponentText); err != nil || exponent < -1000 || exponent > 1000 {
			return 0, fmt.Errorf("score %s is out of range", text)
		}
	}
	digits, negative := strings.CutPrefix(mantissa, "-")
	var significand uint64
	full, fraction := false, false
	for _, c := range digits {
		switch d := uint64(c - '0'); {
		case c == '.':
			fraction = true
		case c < '0' || c > '9':
			return 0, fmt.Errorf("score %s is not a number", text)
		case full || significand > (math.MaxUint64-d)/10:
			full = true
			if !fraction {
				exponent++
			}
		default:
			significand = significand*10 + d
			if fraction {
				exponent--
			}
		}
	}
	f := float64(significand)
	for ; exponent < -308 && f != 0; exponent += 308 {
		f /= 1e308
	}
	if f != 0 {
		power, err := strconv.ParseFloat(fmt.Sprintf("1e%d", max(exponent, -exponent)), 64)
		if err != nil {
			return 0, fmt.Errorf("score %s is out of range", text)
		}
		if exponent >= 0 {
			f *= power
		} else {
			f /= power
		}
	}
	if math.IsInf(f, 0) {
		return 0, fmt.Errorf("score %s is out of range", text)
	}
	if negative {
		f = -f
	}
	return f, nil
}
