package main

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
