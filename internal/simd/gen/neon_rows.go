package main

import "fmt"

// Row kernels take one block of sixteen lanes, four rows or one at once:
//
//	V0-V15   sums: of row r, lanes 4l to 4l+3 in V(4r+l)
//	V16-V23  eight dimensions of the lanes     V24-V27  of rows
//	V28-V31  what the kernel compares with
//
// At the end of a tile V16 to V27 are free.
//
// R0 lanes, R1 rows, R2 rows left, R3 dimensions ÷ 8, R4-R7 rows of the tile, R8
// bytes a row. In a tile: R10 lanes, R11 steps left.

// rowKernelNEON is what differs between row kernels: begin runs once, finish
// takes the sums of some rows, end runs at the end.
type rowKernelNEON struct {
	name, params string
	args         int
	begin, end   func(a *asm)
	finish       func(a *asm, rows int)
}

var rowKernelsNEON = []rowKernelNEON{
	{
		name: "maxRows", params: "q, rows *int8, n, eights int, best *[Lanes]int32", args: 40,
		begin: func(a *asm) {
			a.loadArm("best+32", "R12")
			a.op("VLD1 (R12), %s", four(28, "S4"))
		},
		finish: func(a *asm, rows int) {
			for i := range 4 * rows {
				a.smax4s(28+i%4, 28+i%4, i)
			}
		},
		end: func(a *asm) { a.op("VST1 %s, (R12)", four(28, "S4")) },
	},
	{
		name: "maxScaledRows", params: "q, rows *int8, n, eights int, best *[Lanes]int32, factors *int32", args: 48,
		begin: func(a *asm) {
			a.loadArm("best+32", "R12", "factors+40", "R13")
			a.op("VLD1 (R12), %s", four(28, "S4"))
		},
		finish: func(a *asm, rows int) {
			for r := range rows {
				a.op("VLD1R.P 4(R13), [V%d.S4]", 24+r)
			}
			for i := range 4 * rows {
				a.mul4s(i, i, 24+i/4)
				a.smax4s(28+i%4, 28+i%4, i)
			}
		},
		end: func(a *asm) { a.op("VST1 %s, (R12)", four(28, "S4")) },
	},
	{
		name: "argmaxRows", params: "q, rows *int8, n, eights int, best, ids *[Lanes]int32, base int32", args: 52,
		begin: func(a *asm) {
			a.loadArm("best+32", "R12", "ids+40", "R13")
			a.op("MOVW base+48(FP), R14")
			a.op("VLD1 (R12), %s", four(28, "S4"))
		},
		finish: func(a *asm, rows int) {
			a.op("VLD1 (R13), %s", four(20, "S4"))
			for r := range rows {
				a.op("VDUP R14, V24.S4")
				a.op("ADD $1, R14")
				for l := range 4 {
					a.cmgt4s(16+l, 4*r+l, 28+l)
					a.bit(20+l, 24, 16+l)
					a.smax4s(28+l, 28+l, 4*r+l)
				}
			}
			a.op("VST1 %s, (R13)", four(20, "S4"))
		},
		end: func(a *asm) { a.op("VST1 %s, (R12)", four(28, "S4")) },
	},
	{
		name: "scanRows", params: "q, rows *int8, n, eights int, floor *[Lanes]int32, out *int32, above *uint16, blocks int", args: 64,
		begin: func(a *asm) {
			a.loadArm("floor+32", "R12", "out+40", "R13", "above+48", "R14", "blocks+56", "R15")
			a.op("VLD1 (R12), %s", four(28, "S4"))
			a.op("LSL $1, R15, R16") // bytes between masks
			a.op("LSL $6, R15, R15") // and between results
			a.op("MOVD $lanebits<>(SB), R12")
		},
		finish: func(a *asm, rows int) {
			a.op("VLD1 (R12), %s", four(20, "S4"))
			for r := range rows {
				a.op("VST1 %s, (R13)", four(4*r, "S4"))
				a.op("ADD R15, R13")
				for l := range 4 {
					a.cmgt4s(16+l, 4*r+l, 28+l)
					a.op("VAND V%d.B16, V%d.B16, V%d.B16", 20+l, 16+l, 16+l)
				}
				a.op("VORR V16.B16, V17.B16, V16.B16")
				a.op("VORR V18.B16, V19.B16, V18.B16")
				a.op("VORR V16.B16, V18.B16, V16.B16")
				a.addv4s(16, 16)
				a.op("VMOV V16.S[0], R17")
				a.op("MOVH R17, (R14)")
				a.op("ADD R16, R14")
			}
		},
		end: func(*asm) {},
	},
}

func (k rowKernelNEON) write(a *asm) {
	a.function(fmt.Sprintf("%sNEON(%s)", k.name, k.params), k.args)
	a.loadArm("q+0", "R0", "rows+8", "R1", "n+16", "R2", "eights+24", "R3")
	a.op("LSL $3, R3, R8")
	k.begin(a)
	tilesNEON(a, func(rows int) {
		for i := range 4 * rows {
			a.op("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
		}
		a.op("MOVD R0, R10")
		a.op("MOVD R3, R11")
		a.label(fmt.Sprintf("step%d", rows))
		a.op("VLD1.P 64(R10), %s", four(16, "B16"))
		a.op("VLD1.P 64(R10), %s", four(20, "B16"))
		for r := range rows {
			a.op("VLD1.P 8(R%d), [V%d.B8]", 4+r, 24+r)
		}
		for quad := range 2 {
			for r := range rows {
				for l := range 4 {
					a.sdotElement(4*r+l, 16+4*quad+l, 24+r, quad)
				}
			}
		}
		a.op("SUBS $1, R11")
		a.op("BNE step%d", rows)
		k.finish(a, rows)
	})
	k.end(a)
	a.op("RET")
}

// tilesNEON runs a tile of four rows as often as they last, then tiles of one.
func tilesNEON(a *asm, tile func(rows int)) {
	for _, rows := range []int{4, 1} {
		a.label(fmt.Sprintf("tile%d", rows))
		a.op("CMP $%d, R2", rows)
		if rows == 4 {
			a.op("BLT tile1")
		} else {
			a.op("BLT end")
		}
		a.op("MOVD R1, R4")
		for r := 1; r < rows; r++ {
			a.op("ADD R8, R%d, R%d", 3+r, 4+r)
		}
		if rows == 4 {
			a.op("ADD R8<<2, R1")
		} else {
			a.op("ADD R8, R1")
		}
		tile(rows)
		a.op("SUB $%d, R2", rows)
		a.op("B tile%d", rows)
	}
	a.label("end")
}

// rowsF32NEON multiplies and adds in two steps, as the other tiers do. V16-V19
// are lanes, V20-V23 products, V24-V27 four dimensions of rows.
func rowsF32NEON(a *asm) {
	a.function("argmaxRowsF32NEON(q, rows *float32, n, eights int, base int32, best *[Lanes]float32, ids *[Lanes]int32)", 56)
	a.loadArm("q+0", "R0", "rows+8", "R1", "n+16", "R2", "eights+24", "R3", "best+40", "R12", "ids+48", "R13")
	a.op("MOVW base+32(FP), R14")
	a.op("LSL $5, R3, R8")
	tilesNEON(a, func(rows int) {
		for i := range 4 * rows {
			a.op("VEOR V%d.B16, V%d.B16, V%d.B16", i, i, i)
		}
		a.op("MOVD R0, R10")
		a.op("LSL $1, R3, R11")
		a.label(fmt.Sprintf("step%d", rows))
		for r := range rows {
			a.op("VLD1.P 16(R%d), [V%d.S4]", 4+r, 24+r)
		}
		for d := range 4 {
			a.op("VLD1.P 64(R10), %s", four(16, "S4"))
			for r := range rows {
				for l := range 4 {
					a.fmulElement(20+l, 16+l, 24+r, d)
				}
				for l := range 4 {
					a.fadd4s(4*r+l, 4*r+l, 20+l)
				}
			}
		}
		a.op("SUBS $1, R11")
		a.op("BNE step%d", rows)
		a.op("VLD1 (R12), %s", four(28, "S4"))
		a.op("VLD1 (R13), %s", four(20, "S4"))
		for r := range rows {
			a.op("VDUP R14, V24.S4")
			a.op("ADD $1, R14")
			for l := range 4 {
				a.fcmgt4s(16+l, 4*r+l, 28+l)
				a.bit(20+l, 24, 16+l)
				a.bit(28+l, 4*r+l, 16+l)
			}
		}
		a.op("VST1 %s, (R13)", four(20, "S4"))
		a.op("VST1 %s, (R12)", four(28, "S4"))
	})
	a.op("RET")
}

// dotNEON multiplies one vector with rows, sixteen dimensions at once.
func dotNEON(a *asm) {
	a.function("dotRowsNEON(v, rows *int8, n, sixteens, eight int, out *int32)", 48)
	a.loadArm("v+0", "R0", "rows+8", "R1", "n+16", "R2", "sixteens+24", "R3", "eight+32", "R4", "out+40", "R5")
	a.label("row")
	a.op("VEOR V0.B16, V0.B16, V0.B16")
	a.op("MOVD R0, R10")
	a.op("MOVD R3, R11")
	a.op("CBZ R11, eight")
	a.label("sixteen")
	a.op("VLD1.P 16(R10), [V1.B16]")
	a.op("VLD1.P 16(R1), [V2.B16]")
	a.sdot(0, 1, 2)
	a.op("SUBS $1, R11")
	a.op("BNE sixteen")
	a.label("eight")
	a.op("CBZ R4, sum")
	a.op("VLD1 (R10), [V1.B8]")
	a.op("VLD1.P 8(R1), [V2.B8]")
	a.sdot(0, 1, 2)
	a.label("sum")
	a.addv4s(0, 0)
	a.op("VMOV V0.S[0], R10")
	a.op("MOVW.P R10, 4(R5)")
	a.op("SUBS $1, R2")
	a.op("BNE row")
	a.op("RET")
}
