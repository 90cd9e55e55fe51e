package main

import "fmt"

// Similarities of cells and query tokens, a byte each: rows of 32 or 64 lanes.
// They tell which tokens of a document can be the best match of a query token.

func cells(a *asm) {
	cellSimsAVX2(a)
	for _, lanes := range []int{32, 64} {
		k := cellsKernel{lanes}
		k.max(a)
		k.sel(a)
	}
}

// cellSimsAVX2 turns products into similarities: times a factor, shifted down,
// held within a byte. DI and SI are a row of 16, R8 and R9 what is between rows.
func cellSimsAVX2(a *asm) {
	a.function("cellSimsAVX2(dst *uint8, stride int, products *int32, step int, factors *[Lanes]int32, n int)", 48)
	a.load("dst+0", "DI", "stride+8", "R8", "products+16", "SI", "step+24", "R9", "factors+32", "BX", "n+40", "CX")
	a.op("SHLQ $2, R9")
	a.op("VMOVDQU (BX), Y14")
	a.op("VMOVDQU 32(BX), Y15")
	a.label("row")
	for i := range 2 {
		a.op("VPMULLD %d(SI), Y%d, Y%d", 32*i, 14+i, i)
		a.op("VPSRAD $22, Y%d, Y%d", i, i)
	}
	a.op("VPACKSSDW Y1, Y0, Y0") // quadwords 0, 2, 1, 3 of the row
	a.op("VPERMQ $0xD8, Y0, Y0")
	a.op("VEXTRACTI128 $1, Y0, X1")
	a.op("VPACKUSWB X1, X0, X0")
	a.op("VMOVDQU X0, (DI)")
	a.op("ADDQ R8, DI")
	a.op("ADDQ R9, SI")
	a.op("DECQ CX")
	a.op("JNZ row")
	a.done()
}

// cellsKernel has the row of a token's cell, found by its code, in one register
// or two: a wider one is no faster, since rows come from the second-level cache.
// SI table, R10 codes, CX tokens left, DX last cell.
type cellsKernel struct{ lanes int }

func (k cellsKernel) name(what string) string { return fmt.Sprintf("%s%dAVX2", what, k.lanes) }

// row leaves the offset of the next token's row in AX.
func (k cellsKernel) row(a *asm) {
	a.op("MOVWLZX (R10), AX")
	a.op("CMPQ AX, DX")
	a.op("CMOVQGT DX, AX")
	shift := 5
	if k.lanes == 64 {
		shift = 6
	}
	a.op("SHLQ $%d, AX", shift)
}

func (k cellsKernel) max(a *asm) {
	a.function(k.name("maxCells")+"(best *[CellLanes]uint8, table *uint8, last int, codes *byte, n int)", 40)
	a.load("best+0", "DI", "table+8", "SI", "last+16", "DX", "codes+24", "R10", "n+32", "CX")
	for i := range k.lanes / 32 {
		a.op("VMOVDQU %d(DI), Y%d", 32*i, i)
	}
	a.label("token")
	k.row(a)
	for i := range k.lanes / 32 {
		a.op("VPMAXUB %d(SI)(AX*1), Y%d, Y%d", 32*i, i, i)
	}
	a.op("ADDQ $2, R10")
	a.op("DECQ CX")
	a.op("JNZ token")
	for i := range k.lanes / 32 {
		a.op("VMOVDQU Y%d, %d(DI)", i, 32*i)
	}
	a.done()
}

// sel appends the number of every token with a lane at its floor or above.
func (k cellsKernel) sel(a *asm) {
	a.function(k.name("selectCells")+"(ids *uint32, floor *[CellLanes]uint8, table *uint8, last int, codes *byte, n int) int", 56)
	a.load("ids+0", "DI", "floor+8", "BX", "table+16", "SI", "last+24", "DX", "codes+32", "R10", "n+40", "CX")
	for i := range k.lanes / 32 {
		a.op("VMOVDQU %d(BX), Y%d", 32*i, i)
	}
	a.op("VPXOR Y15, Y15, Y15")
	a.op("XORQ R8, R8") // tokens selected
	a.op("XORQ R9, R9") // number of the token
	a.label("token")
	k.row(a)
	a.op("MOVL R9, (DI)(R8*4)")
	a.op("XORQ BX, BX")
	// floor - row, saturating, is zero where floor ≤ row.
	for i := range k.lanes / 32 {
		a.op("VPSUBUSB %d(SI)(AX*1), Y%d, Y%d", 32*i, i, 2+i)
	}
	if k.lanes == 64 {
		a.op("VPMINUB Y3, Y2, Y2")
	}
	a.op("VPCMPEQB Y15, Y2, Y2")
	a.op("VPTEST Y2, Y2")
	a.op("SETNE BX")
	a.op("ADDQ BX, R8")
	a.op("INCQ R9")
	a.op("ADDQ $2, R10")
	a.op("DECQ CX")
	a.op("JNZ token")
	a.op("MOVQ R8, ret+48(FP)")
	a.done()
}
