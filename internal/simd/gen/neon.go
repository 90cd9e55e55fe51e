package main

import "fmt"

// Kernels for arm64 with the dot-product instructions (SDOT). Go's assembler
// lacks many vector instructions; they are written as words.
//
// Row kernels take one block of sixteen lanes, four rows or one at once:
//
//	V0-V15   sums: of row r, lanes 4l to 4l+3 in V(4r+l)
//	V16-V23  eight dimensions of the lanes     V24-V27  of rows
//	V28-V31  what the kernel compares with
//
// At the end of a tile V16 to V27 are free.
//
// R0 lanes, R1 rows, R2 rows left, R3 dimensions ÷ 8, R4-R7 rows of the tile, R8
// bytes a row, R9 rows done. In a tile: R10 lanes, R11 steps left.

// word is an instruction with vector registers d, n and m.
func (a *asm) word(code uint32, name string, d, n, m int) {
	a.op("WORD $0x%08x // %s V%d, V%d, V%d", code|uint32(m)<<16|uint32(n)<<5|uint32(d), name, d, n, m)
}

// word2 is one with registers d and n.
func (a *asm) word2(code uint32, name string, d, n int) {
	a.op("WORD $0x%08x // %s V%d, V%d", code|uint32(n)<<5|uint32(d), name, d, n)
}

func (a *asm) sdotElement(d, n, m, index int) {
	a.op("WORD $0x%08x // SDOT V%d.4S, V%d.16B, V%d.4B[%d]",
		0x4F80E000|uint32(index>>1)<<11|uint32(index&1)<<21|uint32(m)<<16|uint32(n)<<5|uint32(d), d, n, m, index)
}

func (a *asm) fmulElement(d, n, m, index int) {
	a.op("WORD $0x%08x // FMUL V%d.4S, V%d.4S, V%d.S[%d]",
		0x4F809000|uint32(index>>1)<<11|uint32(index&1)<<21|uint32(m)<<16|uint32(n)<<5|uint32(d), d, n, m, index)
}

// smlal multiplies four int16 of n, the upper four where upper is set, by one of
// m, a register below 16.
func (a *asm) smlal(d, n, m, index int, upper bool) {
	code, name := uint32(0x0F402000), "SMLAL"
	if upper {
		code, name = code|1<<30, "SMLAL2"
	}
	a.op("WORD $0x%08x // %s V%d.4S, V%d, V%d.H[%d]",
		code|uint32(index>>2)<<11|uint32(index>>1&1)<<21|uint32(index&1)<<20|uint32(m)<<16|uint32(n)<<5|uint32(d), name, d, n, m, index)
}

func (a *asm) sdot(d, n, m int)     { a.word(0x4E809400, "SDOT.4S", d, n, m) }
func (a *asm) smax4s(d, n, m int)   { a.word(0x4EA06400, "SMAX.4S", d, n, m) }
func (a *asm) smin4s(d, n, m int)   { a.word(0x4EA06C00, "SMIN.4S", d, n, m) }
func (a *asm) mul4s(d, n, m int)    { a.word(0x4EA09C00, "MUL.4S", d, n, m) }
func (a *asm) cmgt4s(d, n, m int)   { a.word(0x4EA03400, "CMGT.4S", d, n, m) }
func (a *asm) cmeq4s(d, n, m int)   { a.word(0x6EA08C00, "CMEQ.4S", d, n, m) }
func (a *asm) bit(d, n, m int)      { a.word(0x6EA01C00, "BIT.16B", d, n, m) }
func (a *asm) fmul4s(d, n, m int)   { a.word(0x6E20DC00, "FMUL.4S", d, n, m) }
func (a *asm) fadd4s(d, n, m int)   { a.word(0x4E20D400, "FADD.4S", d, n, m) }
func (a *asm) fcmgt4s(d, n, m int)  { a.word(0x6EA0E400, "FCMGT.4S", d, n, m) }
func (a *asm) ushl16b(d, n, m int)  { a.word(0x6E204400, "USHL.16B", d, n, m) }
func (a *asm) sqadd16b(d, n, m int) { a.word(0x4E200C00, "SQADD.16B", d, n, m) }
func (a *asm) umax16b(d, n, m int)  { a.word(0x6E206400, "UMAX.16B", d, n, m) }
func (a *asm) umin16b(d, n, m int)  { a.word(0x6E206C00, "UMIN.16B", d, n, m) }
func (a *asm) uqsub16b(d, n, m int) { a.word(0x6E202C00, "UQSUB.16B", d, n, m) }
func (a *asm) addv4s(d, n int)      { a.word2(0x4EB1B800, "ADDV.4S", d, n) }
func (a *asm) uminv16b(d, n int)    { a.word2(0x6E31A800, "UMINV.16B", d, n) }
func (a *asm) sshr22(d, n int)      { a.word2(0x4F2A0400, "SSHR.4S $22,", d, n) }
func (a *asm) sqxtn4s(d, n int)     { a.word2(0x0E614800, "SQXTN.4H", d, n) }
func (a *asm) sqxtn24s(d, n int)    { a.word2(0x4E614800, "SQXTN2.8H", d, n) }
func (a *asm) sqxtn8h(d, n int)     { a.word2(0x0E214800, "SQXTN.8B", d, n) }
func (a *asm) sqxtun8h(d, n int)    { a.word2(0x2E212800, "SQXTUN.8B", d, n) }
func (a *asm) sqxtun28h(d, n int)   { a.word2(0x6E212800, "SQXTUN2.16B", d, n) }
func (a *asm) sxtl8b(d, n int)      { a.word2(0x0F08A400, "SXTL.8H", d, n) }
func (a *asm) sxtl216b(d, n int)    { a.word2(0x4F08A400, "SXTL2.8H", d, n) }
func (a *asm) scvtf4s(d, n int)     { a.word2(0x4E21D800, "SCVTF.4S", d, n) }
func (a *asm) fabs4s(d, n int)      { a.word2(0x4EA0F800, "FABS.4S", d, n) }
func (a *asm) fmaxv4s(d, n int)     { a.word2(0x6E30F800, "FMAXV.4S", d, n) }
func (a *asm) fmax4s(d, n, m int)   { a.word(0x4E20F400, "FMAX.4S", d, n, m) }
func (a *asm) fcvtns4s(d, n int)    { a.word2(0x4E21A800, "FCVTNS.4S", d, n) }
func (a *asm) fcvtl(d, n int)       { a.word2(0x0E217800, "FCVTL.4S", d, n) }
func (a *asm) fcvtl2(d, n int)      { a.word2(0x4E217800, "FCVTL2.4S", d, n) }

// loadArm is load with the names of arm64.
func (a *asm) loadArm(args ...string) {
	for i := 0; i < len(args); i += 2 {
		a.op("MOVD %s(FP), %s", args[i], args[i+1])
	}
}

// four names four registers of a kind, from number i.
func four(i int, kind string) string {
	return fmt.Sprintf("[V%d.%s, V%d.%s, V%d.%s, V%d.%s]", i, kind, i+1, kind, i+2, kind, i+3, kind)
}

func neon(a *asm) {
	a.text(`
// The bit of each lane.
DATA lanebits<>+0(SB)/8, $0x0000000200000001
DATA lanebits<>+8(SB)/8, $0x0000000800000004
DATA lanebits<>+16(SB)/8, $0x0000002000000010
DATA lanebits<>+24(SB)/8, $0x0000008000000040
DATA lanebits<>+32(SB)/8, $0x0000020000000100
DATA lanebits<>+40(SB)/8, $0x0000080000000400
DATA lanebits<>+48(SB)/8, $0x0000200000001000
DATA lanebits<>+56(SB)/8, $0x0000800000004000
GLOBL lanebits<>(SB), RODATA|NOPTR, $64

// Four copies of each of four bytes; how far a byte's codes are to move right,
// or right but for two bits.
DATA spread<>+0(SB)/8, $0x0101010100000000
DATA spread<>+8(SB)/8, $0x0303030302020202
DATA spread<>+16(SB)/8, $0xfafcfe00fafcfe00
DATA spread<>+24(SB)/8, $0xfafcfe00fafcfe00
DATA spread<>+32(SB)/8, $0xfcfe0002fcfe0002
DATA spread<>+40(SB)/8, $0xfcfe0002fcfe0002
GLOBL spread<>(SB), RODATA|NOPTR, $48
`)
	for _, k := range rowKernelsNEON {
		k.write(a)
	}
	rowsF32NEON(a)
	dotNEON(a)
	for _, k := range []expandKernel{{}, {both: true}, {some: true}} {
		k.writeNEON(a)
	}
	cellsNEON(a)
	conversionsNEON(a)
	transformerNEON(a)
}

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

// writeNEON expands sixteen dimensions a step and the last eight, if there are
// eight more. V31 levels, V30 how bytes are spread, V29 and V28 how codes move,
// V27 and V26 the bits that they are. R0 rows, R1 factors, R2 cells, R3 last
// cell, R4 codes, R5 plane A, R6 plane B or the tokens' numbers, R7 tokens left,
// R8 dimensions, R9 bytes of bits in a record, R10 levels.
func (k expandKernel) writeNEON(a *asm) {
	name, args := "expandA", []string{"n+48", "R7", "dim+56", "R8", "levels+64", "R10"}
	switch {
	case k.both:
		name, args = "expandAB", []string{"b+48", "R6", "n+56", "R7", "dim+64", "R8", "levels+72", "R10"}
	case k.some:
		name, args = "expandSomeA", []string{"ids+48", "R6", "n+56", "R7", "dim+64", "R8", "levels+72", "R10"}
	}
	proto, size := k.proto()
	a.function(name+"NEON("+proto+")", size)
	a.loadArm("dst+0", "R0", "factors+8", "R1", "cells+16", "R2", "last+24", "R3", "codes+32", "R4", "a+40", "R5")
	a.loadArm(args...)
	a.op("VLD1 (R10), [V31.B16]")
	a.op("MOVD $spread<>(SB), R10")
	a.op("VLD1.P 16(R10), [V30.B16]")
	a.op("VLD1.P 16(R10), [V29.B16]")
	a.op("VLD1 (R10), [V28.B16]")
	a.op("VMOVI $3, V27.B16")
	a.op("VMOVI $12, V26.B16")
	a.op("LSR $2, R8, R9")
	a.op("MOVD R5, R19") // of token 0
	a.label("token")
	if k.some {
		a.op("MOVWU.P 4(R6), R11")
		a.op("ADD $1, R9, R5")
		a.op("MADD R5, R19, R11, R5")
		a.op("ADD R11<<1, R4, R12")
		a.op("MOVHU (R12), R11")
	} else {
		a.op("MOVHU.P 2(R4), R11")
	}
	a.op("CMP R3, R11") // the last where the code is beyond
	a.op("CSEL GT, R3, R11, R11")
	a.op("MADD R8, R2, R11, R12") // its cell
	length := "R5"
	if k.both {
		length = "R6"
	}
	a.op("ADD R9, %s, R13", length)
	a.op("MOVBU (R13), R13")
	a.op("ADD $80, R13")
	a.op("MOVW.P R13, 4(R1)")
	a.op("LSR $4, R8, R14")
	a.op("CBZ R14, rest")
	a.label("sixteen")
	a.op("VLD1R.P 4(R5), [V0.S4]")
	if k.both {
		a.op("VLD1R.P 4(R6), [V1.S4]")
	}
	k.levelsNEON(a)
	a.op("VLD1.P 16(R12), [V2.B16]")
	a.sqadd16b(0, 0, 2)
	a.op("VST1.P [V0.B16], 16(R0)")
	a.op("SUBS $1, R14")
	a.op("BNE sixteen")
	a.label("rest")
	a.op("TBZ $3, R8, next")
	a.op("VLD1R.P 2(R5), [V0.H8]")
	if k.both {
		a.op("VLD1R.P 2(R6), [V1.H8]")
	}
	k.levelsNEON(a)
	a.op("VLD1 (R12), [V2.B8]")
	a.sqadd16b(0, 0, 2)
	a.op("VST1.P [V0.B8], 8(R0)")
	a.label("next")
	if !k.some {
		a.op("ADD $1, R5")
	}
	if k.both {
		a.op("ADD $1, R6")
	}
	a.op("SUBS $1, R7")
	a.op("BNE token")
	a.op("RET")
}

// levelsNEON turns the bits in V0, and V1, to levels.
func (k expandKernel) levelsNEON(a *asm) {
	a.op("VTBL V30.B16, [V0.B16], V0.B16")
	if !k.both {
		a.ushl16b(0, 0, 29)
		a.op("VAND V27.B16, V0.B16, V0.B16")
	} else {
		a.op("VTBL V30.B16, [V1.B16], V1.B16")
		a.ushl16b(0, 0, 28)
		a.ushl16b(1, 1, 29)
		a.op("VAND V26.B16, V0.B16, V0.B16")
		a.op("VAND V27.B16, V1.B16, V1.B16")
		a.op("VORR V1.B16, V0.B16, V0.B16")
	}
	a.op("VTBL V0.B16, [V31.B16], V0.B16")
}

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

func conversionsNEON(a *asm) {
	a.function("quantizeNEON(dst *int8, src *float32, eights int, scale float32) int", 40)
	a.loadArm("dst+0", "R0", "src+8", "R1", "eights+16", "R2")
	a.op("MOVWU scale+24(FP), R3")
	a.op("VDUP R3, V31.S4")
	a.op("MOVD $127, R3")
	a.op("VDUP R3, V30.S4")
	a.op("MOVD $-127, R3")
	a.op("VDUP R3, V29.S4")
	a.op("VEOR V28.B16, V28.B16, V28.B16") // -1 for every value within bounds
	a.op("LSL $3, R2, R4")
	a.label("eight")
	a.op("VLD1.P 32(R1), [V0.S4, V1.S4]")
	for i := range 2 {
		a.fmul4s(i, i, 31)
		a.fcvtns4s(i, i)
		a.smin4s(2+i, i, 30)
		a.smax4s(2+i, 2+i, 29)
		a.cmeq4s(i, i, 2+i)
		a.op("VADD V%d.S4, V28.S4, V28.S4", i)
	}
	a.sqxtn4s(4, 2)
	a.sqxtn24s(4, 3)
	a.sqxtn8h(4, 4)
	a.op("VST1.P [V4.B8], 8(R0)")
	a.op("SUBS $1, R2")
	a.op("BNE eight")
	a.addv4s(28, 28)
	a.op("VMOV V28.S[0], R5")
	a.op("ADDW R5, R4")
	a.op("MOVWU R4, R4")
	a.op("MOVD R4, ret+32(FP)")
	a.op("RET")

	a.function("f16ToF32NEON(dst *float32, src *byte, eights int)", 24)
	a.loadArm("dst+0", "R0", "src+8", "R1", "eights+16", "R2")
	a.label("eight")
	a.op("VLD1.P 16(R1), [V0.H8]")
	a.fcvtl(1, 0)
	a.fcvtl2(2, 0)
	a.op("VST1.P [V1.S4, V2.S4], 32(R0)")
	a.op("SUBS $1, R2")
	a.op("BNE eight")
	a.op("RET")

	a.function("prefetchNEON(p *byte, n int)", 16)
	a.loadArm("p+0", "R0", "n+8", "R1")
	a.op("ADD R0, R1")
	a.op("AND $~63, R0")
	a.label("line")
	a.op("PRFM (R0), PLDL2KEEP")
	a.op("ADD $64, R0")
	a.op("CMP R1, R0")
	a.op("BLT line")
	a.op("RET")

	a.function("prefetchSomeNEON(p *byte, ids *uint32, n, size int)", 32)
	a.loadArm("p+0", "R0", "ids+8", "R1", "n+16", "R2", "size+24", "R3")
	a.op("SUB $1, R3, R4")
	a.label("record")
	a.op("MOVWU.P 4(R1), R5")
	a.op("MADD R3, R0, R5, R5")
	a.op("PRFM (R5), PLDL1KEEP")
	a.op("ADD R4, R5")
	a.op("PRFM (R5), PLDL1KEEP")
	a.op("SUBS $1, R2")
	a.op("BNE record")
	a.op("RET")
}

// transformerNEON has the products of a transformer, tiles of four rows by
// sixteen columns, sums of row r in V(16+4r) to V(19+4r), and the rounding of
// activations.
func transformerNEON(a *asm) {
	// V0-V3 are eight values of each row, V4 and V5 the weights of two of them,
	// V6-V9 the same in int16.
	a.function("linear4NEON(out *float32, outBytes int, a *int16, eights int, w *int8, scales, columns, bias *float32)", 64)
	a.loadArm("out+0", "R0", "outBytes+8", "R1", "a+16", "R2", "eights+24", "R3", "w+32", "R4", "scales+40", "R5", "columns+48", "R6", "bias+56", "R7")
	a.op("LSL $4, R3, R9")
	for r := 1; r < 4; r++ {
		a.op("ADD R9, R%d, R%d", map[int]int{1: 2, 2: 10, 3: 11}[r], 9+r)
	}
	for i := range 16 {
		a.op("VEOR V%d.B16, V%d.B16, V%d.B16", 16+i, 16+i, 16+i)
	}
	a.label("eight")
	for r, p := range []int{2, 10, 11, 12} {
		a.op("VLD1.P 16(R%d), [V%d.H8]", p, r)
	}
	for pair := range 4 {
		a.op("VLD2.P 32(R4), [V4.B16, V5.B16]")
		a.sxtl8b(6, 4)
		a.sxtl216b(7, 4)
		a.sxtl8b(8, 5)
		a.sxtl216b(9, 5)
		for odd := range 2 {
			for r := range 4 {
				for c := range 4 {
					a.smlal(16+4*r+c, 6+2*odd+c/2, r, 2*pair+odd, c%2 == 1)
				}
			}
		}
	}
	a.op("SUBS $1, R3")
	a.op("BNE eight")
	a.op("VLD1 (R6), %s", four(4, "S4"))
	a.op("VLD1 (R7), %s", four(8, "S4"))
	for r := range 4 {
		a.op("VLD1R.P 4(R5), [V0.S4]")
		for c := range 4 {
			sum := 16 + 4*r + c
			a.scvtf4s(sum, sum)
			a.fmul4s(sum, sum, 0)
			a.fmul4s(sum, sum, 4+c)
			a.fadd4s(sum, sum, 8+c)
		}
		a.op("VST1 %s, (R0)", four(16+4*r, "S4"))
		a.op("ADD R1, R0")
	}
	a.op("RET")

	a.function("matMulTileNEON(out *float32, outBytes int, a *float32, aBytes, k int, b *float32, bBytes int)", 56)
	a.loadArm("out+0", "R0", "outBytes+8", "R1", "a+16", "R2", "aBytes+24", "R3", "k+32", "R4", "b+40", "R5", "bBytes+48", "R6")
	a.op("ADD R3, R2, R10")
	a.op("ADD R3, R10, R11")
	a.op("ADD R3, R11, R12")
	for i := range 16 {
		a.op("VEOR V%d.B16, V%d.B16, V%d.B16", 16+i, 16+i, 16+i)
	}
	a.label("step")
	a.op("VLD1 (R5), %s", four(0, "S4"))
	a.op("ADD R6, R5")
	for r, p := range []int{2, 10, 11, 12} {
		a.op("VLD1R.P 4(R%d), [V%d.S4]", p, 4+r)
		for c := range 4 {
			a.fmul4s(8+c, c, 4+r)
		}
		for c := range 4 {
			a.fadd4s(16+4*r+c, 16+4*r+c, 8+c)
		}
	}
	a.op("SUBS $1, R4")
	a.op("BNE step")
	for r := range 4 {
		a.op("VST1 %s, (R0)", four(16+4*r, "S4"))
		a.op("ADD R1, R0")
	}
	a.op("RET")

	// A maximum with a NaN is NaN, as the caller needs it.
	a.function("maxAbsNEON(src *float32, sixteens int) float32", 20)
	a.loadArm("src+0", "R0", "sixteens+8", "R1")
	a.op("VEOR V4.B16, V4.B16, V4.B16")
	a.label("sixteen")
	a.op("VLD1.P 64(R0), %s", four(0, "S4"))
	for i := range 4 {
		a.fabs4s(i, i)
		a.fmax4s(4, 4, i)
	}
	a.op("SUBS $1, R1")
	a.op("BNE sixteen")
	a.fmaxv4s(4, 4)
	a.op("FMOVS F4, ret+16(FP)")
	a.op("RET")

	a.function("roundNEON(dst *int16, src *float32, sixteens int, factor float32)", 28)
	a.loadArm("dst+0", "R0", "src+8", "R1", "sixteens+16", "R2")
	a.op("MOVWU factor+24(FP), R3")
	a.op("VDUP R3, V31.S4")
	a.label("sixteen")
	a.op("VLD1.P 64(R1), %s", four(0, "S4"))
	for i := range 4 {
		a.fmul4s(i, i, 31)
		a.fcvtns4s(i, i)
	}
	a.sqxtn4s(4, 0)
	a.sqxtn24s(4, 1)
	a.sqxtn4s(5, 2)
	a.sqxtn24s(5, 3)
	a.op("VST1.P [V4.H8, V5.H8], 32(R0)")
	a.op("SUBS $1, R2")
	a.op("BNE sixteen")
	a.op("RET")
}
