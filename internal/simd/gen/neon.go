package main

import "fmt"

// Kernels for arm64 with the dot-product instructions (SDOT). Go's assembler
// lacks many vector instructions; they are written as words.

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
