package codec

import (
	"math"
	"unsafe"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// rowBatch is how many rows are scored at a time: as int16, 16 KB at 128
// dimensions, half of the first-level cache.
const rowBatch = 64

// lowest is where a search for maxima starts.
var lowest = func() (l [simd.Lanes]int32) {
	for i := range l {
		l[i] = math.MinInt32
	}
	return l
}()

// argmaxAll finds the best of many int16 rows for packed blocks of 16 lanes,
// [blocks][dim/2][16][2]. A batch of rows stays in cache for all blocks.
func argmaxAll(packed, rows []int16, dim int, best, ids [][simd.Lanes]int32) {
	for b := range best {
		best[b] = lowest
	}
	n, size := len(rows)/dim, dim*simd.Lanes
	for at := 0; at < n; at += rowBatch {
		batch := rows[at*dim:]
		for b := range best {
			simd.ArgmaxRows(packed[b*size:], batch, min(rowBatch, n-at), dim, int32(at), &best[b], &ids[b])
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
