package reliability

import (
	"os"
	"strconv"
	"testing"
)

// Full reports whether the full lane runs.
func Full() bool { return os.Getenv("COLBERTDB_RELIABILITY") == "full" }

// Count is how often something is tried: short in every run, full in the full lane.
func Count(short, full int) int {
	if Full() {
		return full
	}
	return short
}

// Seeds calls f with the seeds from..from+n-1, or with COLBERTDB_SEED alone
// where it is set. The first failure ends the test and names its seed.
func Seeds(t testing.TB, from uint64, n int, f func(seed uint64) error) {
	t.Helper()
	if s := os.Getenv("COLBERTDB_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("COLBERTDB_SEED: %v", err)
		}
		from, n = seed, 1
	}
	for i := range n {
		seed := from + uint64(i)
		if err := f(seed); err != nil {
			t.Fatalf("COLBERTDB_SEED=%d (run %d): %v", seed, i+1, err)
		}
	}
}
