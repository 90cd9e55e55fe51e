package simd

// Similarities of the cells of a codebook with the tokens of a query, a byte
// each: rows of 32 or 64 lanes.

// CellLanes is the greatest number of lanes of a row.
const CellLanes = 64

// cellShift is how far CellSims shifts products down.
const cellShift = 22

// CellSims turns the products of n rows with one block of lanes into
// similarities: products times factors, which stay within int32, divided by
// 2²², rounded down and held within a byte. Rows are step products, and stride
// similarities, apart.
func CellSims(dst []uint8, stride int, products []int32, step int, factors *[Lanes]int32, n int) {
	if n == 0 {
		return
	}
	check(stride >= Lanes && step >= Lanes && len(dst) >= (n-1)*stride+Lanes && len(products) >= (n-1)*step+Lanes, "CellSims")
	active.cellSims(dst, stride, products, step, factors, n)
}

// MaxCells raises best, for each of 32 or 64 lanes, to the greatest similarity
// of a token's cell. Codes are little-endian uint16, n of them, as in Residuals.
func MaxCells(best *[CellLanes]uint8, table []uint8, lanes int, codes []byte, n int) {
	if n == 0 {
		return
	}
	checkCells(table, lanes, codes, n, "MaxCells")
	active.maxCells(best, table, lanes, codes, n)
}

// SelectCells writes the numbers of the tokens whose cell reaches the floor in
// some lane to ids, in order, and returns how many they are.
func SelectCells(ids []uint32, floor *[CellLanes]uint8, table []uint8, lanes int, codes []byte, n int) int {
	if n == 0 {
		return 0
	}
	checkCells(table, lanes, codes, n, "SelectCells")
	check(len(ids) >= n, "SelectCells")
	return active.selectCells(ids, floor, table, lanes, codes, n)
}

func checkCells(table []uint8, lanes int, codes []byte, n int, name string) {
	check((lanes == CellLanes/2 || lanes == CellLanes) && len(table) >= lanes && len(table)%lanes == 0 && len(codes) >= 2*n, name)
}

func cellSimsGeneric(dst []uint8, stride int, products []int32, step int, factors *[Lanes]int32, n int) {
	for r := range n {
		for l, f := range factors {
			dst[r*stride+l] = uint8(min(max(products[r*step+l]*f>>cellShift, 0), 255))
		}
	}
}

// cellRow is the row of a token's cell.
func cellRow(table []uint8, lanes int, codes []byte, token int) []uint8 {
	c := min(int(codes[2*token])|int(codes[2*token+1])<<8, len(table)/lanes-1)
	return table[c*lanes : (c+1)*lanes]
}

func maxCellsGeneric(best *[CellLanes]uint8, table []uint8, lanes int, codes []byte, n int) {
	for t := range n {
		for l, v := range cellRow(table, lanes, codes, t) {
			best[l] = max(best[l], v)
		}
	}
}

func selectCellsGeneric(ids []uint32, floor *[CellLanes]uint8, table []uint8, lanes int, codes []byte, n int) (found int) {
	for t := range n {
		for l, v := range cellRow(table, lanes, codes, t) {
			if v >= floor[l] {
				ids[found] = uint32(t)
				found++
				break
			}
		}
	}
	return found
}
