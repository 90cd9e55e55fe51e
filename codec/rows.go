package codec

import (
	"math"
	"unsafe"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// rowBatch is how many rows are scored at a time: 16 KB at 128 dimensions, half
// of the first-level cache.
const rowBatch = 128

// rowBatchF32 is rowBatch for float32 rows.
const rowBatchF32 = 32

// lowest is where a search for maxima starts.
var lowest = func() (l [simd.Lanes]int32) {
	for i := range l {
		l[i] = math.MinInt32
	}
	return l
}()

// argmaxAll finds the best of many rows for packed blocks of lanes. A batch of
// rows stays in cache for all blocks.
func argmaxAll(packed, rows []int8, dim int, best, ids [][simd.Lanes]int32) {
	for b := range best {
		best[b] = lowest
	}
	for at, n := 0, len(rows)/dim; at < n; at += rowBatch {
		m := min(rowBatch, n-at)
		for b := 0; b < len(best); b += 2 { // a call is short
			to := min(b+2, len(best))
			simd.ArgmaxRows(packed[b*simd.BlockBytes(dim):], rows[at*dim:(at+m)*dim], m, dim, int32(at), best[b:to], ids[b:to])
		}
	}
}

// signed views bytes as the int8 values that they hold.
func signed(b []byte) []int8 {
	return unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(b))), len(b))
}

// blocksOf is the number of packed blocks that n lanes need.
func blocksOf(n int) int { return (n + simd.Lanes - 1) / simd.Lanes }

// resize returns s with length n, keeping its memory where that is enough. The
// contents are undefined.
func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
