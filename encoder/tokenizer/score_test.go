package tokenizer

import (
	"math"
	"strconv"
	"testing"
)

func TestParseScore(t *testing.T) {
	for _, text := range []string{"0", "0.0", "-0.0", "-1.5", "12e3", "1E-3", "-3.9299705028533936", "-9.87654321e2", "1e-320", "123456789012345678901234567890", "0.000000000000000000012345678901234567890123", "1e308"} {
		got, err := parseScore(text)
		want, _ := strconv.ParseFloat(text, 64)
		if err != nil || math.Abs(got-want) > math.Abs(want)*1e-15+1e-322 {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{`"1"`, "null", "1e400", "1e99999", "true", "[1]"} {
		if f, err := parseScore(text); err == nil {
			t.Errorf("%s: %v", text, f)
		}
	}
	// One unit in the last place off, as the library has it.
	if got, _ := parseScore("-7.2318713816811915"); got != -7.231871381681192 {
		t.Errorf("%v", got)
	}
}
