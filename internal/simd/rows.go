package simd

import "encoding/binary"

// Scores of int8 rows, [n][dim] in ±127, against packed lanes. Rows and
// dimensions bound the work of a call (MaxWork).

// BlockBytes is the size of a packed block of 16 lanes.
func BlockBytes(dim int) int { return Lanes*dim + 4*Lanes }

// PackLanes packs up to 16 vectors of dim values in ±127, given row-major, into
// dst as one block: [dim/4][16][4]int8, then [16]int32 with -128·Σ of each lane,
// little-endian, where sums over unsigned rows begin. Missing lanes are zero.
func PackLanes(dst, vectors []int8, dim int) {
	check(dim%8 == 0 && len(dst) >= BlockBytes(dim) && len(vectors) <= Lanes*dim, "PackLanes")
	clear(dst[:BlockBytes(dim)])
	sums := dst[Lanes*dim:]
	for lane := range len(vectors) / dim {
		sum := int32(0)
		for d, x := range vectors[lane*dim : (lane+1)*dim] {
			dst[d/4*4*Lanes+lane*4+d%4] = x
			sum += int32(x)
		}
		var le [4]byte
		binary.LittleEndian.PutUint32(le[:], uint32(-128*sum))
		for i, b := range le {
			sums[4*lane+i] = int8(b)
		}
	}
}

// blocks is how many of some blocks a tier's row kernels take at once.
func (k *kernels) blocks(left int) int {
	if k.pairs && left > 1 {
		return 2
	}
	return 1
}

// maxDim is what kernels have room for.
const maxDim = 1024

func checkRows(q, rows []int8, blocks, n, dim int, name string) {
	check(dim > 0 && dim <= maxDim && dim%8 == 0 && len(q) >= blocks*BlockBytes(dim) && len(rows) >= n*dim, name)
}

// MaxRows raises best, for each lane of its packed blocks, to the greatest dot
// product with n rows.
func MaxRows(q, rows []int8, n, dim int, best [][Lanes]int32) {
	if n == 0 {
		return
	}
	checkRows(q, rows, len(best), n, dim, "MaxRows")
	for b := 0; b < len(best); {
		c := active.blocks(len(best) - b)
		active.maxRows(q[b*BlockBytes(dim):], rows, n, dim, best[b:b+c])
		b += c
	}
}

// MaxScaledRows is MaxRows with each row's products multiplied by its factor.
// They stay within int32.
func MaxScaledRows(q, rows []int8, n, dim int, factors []int32, best [][Lanes]int32) {
	if n == 0 {
		return
	}
	checkRows(q, rows, len(best), n, dim, "MaxScaledRows")
	_ = factors[n-1]
	for b := 0; b < len(best); {
		c := active.blocks(len(best) - b)
		active.maxScaledRows(q[b*BlockBytes(dim):], rows, n, dim, factors, best[b:b+c])
		b += c
	}
}

// ArgmaxRows keeps, for each lane of its packed blocks, the greatest dot product
// so far in best and its row number (base + row) in ids. The first of equal rows
// wins.
func ArgmaxRows(q, rows []int8, n, dim int, base int32, best, ids [][Lanes]int32) {
	if n == 0 {
		return
	}
	checkRows(q, rows, len(best), n, dim, "ArgmaxRows")
	check(len(ids) == len(best), "ArgmaxRows")
	for b := 0; b < len(best); {
		c := active.blocks(len(best) - b)
		active.argmaxRows(q[b*BlockBytes(dim):], rows, n, dim, base, best[b:b+c], ids[b:b+c])
		b += c
	}
}

// ScanBlocks is the greatest number of blocks that ScanRows takes.
const ScanBlocks = 2

// ScanRows writes the dot products of n rows with one or two packed blocks to
// out, [n][blocks][16]int32, and to above, [n][blocks], a mask of the lanes whose
// product is greater than their floor.
func ScanRows(q, rows []int8, n, dim int, floor [][Lanes]int32, out []int32, above []uint16) {
	if n == 0 {
		return
	}
	blocks := len(floor)
	checkRows(q, rows, blocks, n, dim, "ScanRows")
	check(blocks >= 1 && blocks <= ScanBlocks && len(out) >= n*blocks*Lanes && len(above) >= n*blocks, "ScanRows")
	active.scanRows(q, rows, n, dim, floor, out, above)
}

// DotRows writes the dot products of n rows with one vector in ±127 to out.
func DotRows(v, rows []int8, n, dim int, out []int32) {
	if n == 0 {
		return
	}
	check(dim > 0 && dim%8 == 0 && len(v) >= dim && len(rows) >= n*dim && len(out) >= n, "DotRows")
	active.dotRows(v, rows, n, dim, out)
}
