package main

import "fmt"

// cellsNEON has a row in two registers or four. R1 table, R2 last cell, R3 codes,
// R4 tokens left.
func cellsNEON(a *asm) {
	a.function("cellSimsNEON(dst *uint8, stride int, products *int32, step int, factors *[Lanes]int32, n int)", 48)
	a.loadArm("dst+0", "R0", "stride+8", "R1", "products+16", "R2", "step+24", "R3", "factors+32", "R5", "n+40", "R4")
	a.op("VLD1 (R5), %s", four(28, "S4"))
	a.op("LSL $2, R3")
	a.label("row")
	a.op("VLD1 (R2), %s", four(0, "S4"))
	for i := range 4 {
		a.mul4s(i, i, 28+i)
		a.sshr22(i, i)
	}
	a.sqxtn4s(4, 0)
	a.sqxtn24s(4, 1)
	a.sqxtn4s(5, 2)
	a.sqxtn24s(5, 3)
	a.sqxtun8h(6, 4)
	a.sqxtun28h(6, 5)
	a.op("VST1 [V6.B16], (R0)")
	a.op("ADD R1, R0")
	a.op("ADD R3, R2")
	a.op("SUBS $1, R4")
	a.op("BNE row")
	a.op("RET")
	for _, lanes := range []int{32, 64} {
		n := lanes / 16
		regs := func(i int) string {
			if n == 2 {
				return fmt.Sprintf("[V%d.B16, V%d.B16]", i, i+1)
			}
			return four(i, "B16")
		}
		shift := map[int]int{32: 5, 64: 6}[lanes]
		load := func() {
			a.op("MOVHU.P 2(R3), R5")
			a.op("CMP R2, R5")
			a.op("CSEL GT, R2, R5, R5")
			a.op("ADD R5<<%d, R1, R6", shift)
			a.op("VLD1 (R6), %s", regs(4))
		}
		a.function(fmt.Sprintf("maxCells%dNEON(best *[CellLanes]uint8, table *uint8, last int, codes *byte, n int)", lanes), 40)
		a.loadArm("best+0", "R0", "table+8", "R1", "last+16", "R2", "codes+24", "R3", "n+32", "R4")
		a.op("VLD1 (R0), %s", regs(0))
		a.label("token")
		load()
		for i := range n {
			a.umax16b(i, i, 4+i)
		}
		a.op("SUBS $1, R4")
		a.op("BNE token")
		a.op("VST1 %s, (R0)", regs(0))
		a.op("RET")

		a.function(fmt.Sprintf("selectCells%dNEON(ids *uint32, floor *[CellLanes]uint8, table *uint8, last int, codes *byte, n int) int", lanes), 56)
		a.loadArm("ids+0", "R7", "floor+8", "R0", "table+16", "R1", "last+24", "R2", "codes+32", "R3", "n+40", "R4")
		a.op("VLD1 (R0), %s", regs(0))
		a.op("MOVD $0, R8") // tokens selected
		a.op("MOVD $0, R9") // number of the token
		a.label("token")
		load()
		for i := range n { // zero where floor ≤ row
			a.uqsub16b(4+i, i, 4+i)
		}
		for i := 1; i < n; i++ {
			a.umin16b(4, 4, 4+i)
		}
		a.uminv16b(4, 4)
		a.op("VMOV V4.B[0], R5")
		a.op("ADD R8<<2, R7, R6")
		a.op("MOVW R9, (R6)")
		a.op("CMP $0, R5")
		a.op("CINC EQ, R8, R8")
		a.op("ADD $1, R9")
		a.op("SUBS $1, R4")
		a.op("BNE token")
		a.op("MOVD R8, ret+48(FP)")
		a.op("RET")
	}
}
