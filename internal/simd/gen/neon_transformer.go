package main

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
