package codec

import (
	"math"
	"unsafe"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// rowBatch is how many int8 rows are widened and scored at a time: 16 KB at 128
// dimensions, half of the first-level cache.
const rowBatch = 64

// lowest is where a search for maxima starts.
var lowest = func() (l [simd.Lanes]int32) {
	for i := range l {
		l[i] = math.MinInt32
	}
	return l
}()

// argmaxAll finds the best of many int16 rows for 16 packed lanes.
func argmaxAll(lanes, rows []int16, dim int, best, ids *[simd.Lanes]int32) {
	*best = lowest
	n := len(rows) / dim
	batch := max(1, simd.MaxRows*128/dim)
	for at := 0; at < n; at += batch {
		simd.ArgmaxRows(lanes, rows[at*dim:], min(batch, n-at), dim, int32(at), best, ids)
	}
}

// widen widens int8 rows.
func widen(dst []int16, src []int8) {
	if len(src) > 0 {
		simd.Widen(dst, unsafe.Slice((*byte)(unsafe.Pointer(&src[0])), len(src)))
	}
}

// resize returns s with length n, keeping its memory where that is enough. The
// contents are undefined.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
