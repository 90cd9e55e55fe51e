package main

import "fmt"

// Expansion of residual planes to int8 rows: for each token its cell, found by
// its code, plus a level for every two-bit code (plane A) or pair of codes
// (planes A and B), saturating. A record ends in its length byte, which becomes
// a factor: length + 80.
//
// DI rows, SI cell, R8 plane A, R9 plane B, R10 codes, R11 cells, R12 bytes of
// bits in a record, R13 steps of a whole register, R14 remaining dimensions,
// R15 factors, CX tokens left, DX last cell. BX is the step at hand. Where only
// some tokens are expanded, R9 points to their numbers.

// expandKernel is one plane on one tier.
type expandKernel struct {
	both bool // planes A and B
	some bool // of the tokens, given by number
	tier string
}

func (k expandKernel) proto() (string, int) {
	if k.some {
		return "dst *int8, factors *int32, cells *int8, last int, codes, a *byte, ids *uint32, n, dim int, levels *[16]int8", 80
	}
	if k.both {
		return "dst *int8, factors *int32, cells *int8, last int, codes, a, b *byte, n, dim int, levels *[16]int8", 80
	}
	return "dst *int8, factors *int32, cells *int8, last int, codes, a *byte, n, dim int, levels *[16]int8", 72
}

func expand(a *asm) {
	a.text(`
// Where the bits of eight codes begin in a quadword that holds them, and in one
// whose codes are to land two bits higher.
DATA expandlow<>+0(SB)/8, $0x0e0c0a0806040200
GLOBL expandlow<>(SB), RODATA|NOPTR, $8
DATA expandhigh<>+0(SB)/8, $0x0c0a08060402003e
GLOBL expandhigh<>(SB), RODATA|NOPTR, $8
`)
	for _, tier := range []string{"AVX512", "AVX2"} {
		expandKernel{tier: tier}.write(a)
		expandKernel{tier: tier, both: true}.write(a)
		expandKernel{tier: tier, some: true}.write(a)
	}
}

func (k expandKernel) write(a *asm) {
	proto, size := k.proto()
	name := "expandA"
	args := []string{"n+48", "CX", "dim+56", "AX", "levels+64", "BX"}
	length := "(R8)(R12*1)"
	if k.some {
		name = "expandSomeA"
		args = []string{"ids+48", "R9", "n+56", "CX", "dim+64", "AX", "levels+72", "BX"}
	}
	if k.both {
		name = "expandAB"
		args = []string{"b+48", "R9", "n+56", "CX", "dim+64", "AX", "levels+72", "BX"}
		length = "(R9)(R12*1)"
	}
	a.function(name+k.tier+"("+proto+")", size)
	a.load("dst+0", "DI", "factors+8", "R15", "cells+16", "R11", "last+24", "DX", "codes+32", "R10", "a+40", "R8")
	a.load(args...)
	a.op("MOVQ AX, R12")
	a.op("SHRQ $2, R12")
	a.op("MOVQ AX, R13")
	a.op("MOVQ AX, R14")
	if k.tier == "AVX512" {
		k.constants512(a)
	} else {
		k.constants2(a)
	}
	a.label("token")
	if k.some {
		a.op("MOVLQZX (R9), BX")
		a.op("ADDQ $4, R9")
		a.op("LEAQ 1(R12), R8")
		a.op("IMULQ BX, R8")
		a.op("ADDQ a+40(FP), R8")
		a.op("MOVWLZX (R10)(BX*2), AX")
	} else {
		a.op("MOVWLZX (R10), AX")
	}
	// The last cell where the code is beyond.
	a.op("CMPQ AX, DX")
	a.op("CMOVQGT DX, AX")
	a.op("LEAQ (R12*4), SI")
	a.op("IMULQ AX, SI")
	a.op("ADDQ R11, SI")
	a.op("MOVBLZX %s, AX", length)
	a.op("ADDL $80, AX")
	a.op("MOVL AX, (R15)")
	a.op("MOVQ R13, BX")
	a.op("TESTQ BX, BX")
	a.op("JZ rest")
	whole, wholeBits, rest := k.step2, 8, k.rest2
	if k.tier == "AVX512" {
		whole, wholeBits, rest = k.step512, 16, k.rest512
	}
	a.label("whole")
	whole(a)
	k.next(a, wholeBits)
	a.op("DECQ BX")
	a.op("JNZ whole")
	a.label("rest")
	a.op("TESTQ R14, R14")
	a.op("JZ next")
	rest(a)
	a.label("next")
	if !k.some {
		a.op("INCQ R8")
		a.op("ADDQ $2, R10")
	}
	if k.both {
		a.op("INCQ R9")
	}
	a.op("ADDQ $4, R15")
	a.op("DECQ CX")
	a.op("JNZ token")
	a.done()
}

// next moves on by bytes of bits.
func (k expandKernel) next(a *asm, bits int) {
	a.op("ADDQ $%d, R8", bits)
	if k.both {
		a.op("ADDQ $%d, R9", bits)
	}
	a.op("ADDQ $%d, SI", 4*bits)
	a.op("ADDQ $%d, DI", 4*bits)
}

// With AVX-512 a step has 64 dimensions. Every quadword gets the sixteen bits of
// its eight codes, VPMULTISHIFTQB brings each code to the low bits of its byte,
// and VPERMB, which reads six bits, looks it up in sixteen levels, four times
// over. Z31 levels, Z30 and Z29 where codes begin, Z28 the two low bits; K1 and
// K2 the quadwords and bytes of the remaining dimensions.

func (k expandKernel) constants512(a *asm) {
	a.op("VBROADCASTI32X4 (BX), Z31")
	a.op("VPBROADCASTQ expandlow<>(SB), Z30")
	if k.both {
		a.op("VPBROADCASTQ expandhigh<>(SB), Z29")
		a.op("MOVL $0x03030303, AX")
		a.op("VPBROADCASTD AX, Z28")
	}
	a.op("SHRQ $6, R13")
	a.op("ANDQ $63, R14")
	a.op("MOVQ $-1, AX")
	a.op("BZHIQ R14, AX, AX")
	a.op("KMOVQ AX, K2")
	a.op("MOVQ R14, BX")
	a.op("SHRQ $3, BX")
	a.op("MOVQ $-1, AX")
	a.op("BZHIQ BX, AX, AX")
	a.op("KMOVQ AX, K1")
}

func (k expandKernel) levels512(a *asm) {
	if k.both {
		a.op("VPMULTISHIFTQB Z0, Z29, Z0")
		a.op("VPMULTISHIFTQB Z1, Z30, Z1")
		a.op("VPTERNLOGD $0xD8, Z28, Z1, Z0") // where the mask is set B, else A
	} else {
		a.op("VPMULTISHIFTQB Z0, Z30, Z0")
	}
	a.op("VPERMB Z31, Z0, Z0")
}

func (k expandKernel) step512(a *asm) {
	a.op("VPMOVZXWQ (R8), Z0")
	if k.both {
		a.op("VPMOVZXWQ (R9), Z1")
	}
	k.levels512(a)
	a.op("VPADDSB (SI), Z0, Z0")
	a.op("VMOVDQU32 Z0, (DI)")
}

func (k expandKernel) rest512(a *asm) {
	a.op("VPMOVZXWQ.Z (R8), K1, Z0")
	if k.both {
		a.op("VPMOVZXWQ.Z (R9), K1, Z1")
	}
	k.levels512(a)
	a.op("VMOVDQU8.Z (SI), K2, Z2")
	a.op("VPADDSB Z2, Z0, Z0")
	a.op("VMOVDQU8 Z0, K2, (DI)")
	a.op("MOVQ R14, AX")
	a.op("ADDQ AX, DI")
	a.op("SHRQ $2, AX")
	a.op("ADDQ AX, R8")
	if k.both {
		a.op("ADDQ AX, R9")
	}
}

// With AVX2 a step has 32 dimensions, and the rest goes by eights. Every
// doubleword gets the byte of its four codes; copies of it shifted by 6, 12 and
// 18 bits have one code in each byte. Y15 levels, Y14 the two low bits.

func (k expandKernel) constants2(a *asm) {
	a.op("VBROADCASTI128 (BX), Y15")
	a.op("MOVL $0x03030303, AX")
	a.op("VMOVD AX, X14")
	a.op("VPBROADCASTD X14, Y14")
	a.op("SHRQ $5, R13")
	a.op("ANDQ $31, R14")
	a.op("SHRQ $3, R14")
}

// codes2 spreads the codes of register 0, of kind R.
func (k expandKernel) codes2(a *asm, kind string, at int) {
	r := func(i int) string { return fmt.Sprintf("%s%d", kind, at+i) }
	a.op("VPSLLD $12, %s, %s", r(0), r(1))
	a.op("VPOR %s, %s, %s", r(1), r(0), r(0))
	a.op("VPSLLD $6, %s, %s", r(0), r(1))
	a.op("VPOR %s, %s, %s", r(1), r(0), r(0))
	a.op("VPAND %s14, %s, %s", kind, r(0), r(0))
}

func (k expandKernel) levels2(a *asm, kind string) {
	k.codes2(a, kind, 0)
	if k.both {
		k.codes2(a, kind, 2)
		a.op("VPSLLD $2, %s0, %s0", kind, kind)
		a.op("VPOR %s2, %s0, %s0", kind, kind, kind)
	}
	a.op("VPSHUFB %s0, %s15, %s0", kind, kind, kind)
}

func (k expandKernel) step2(a *asm) {
	a.op("VPMOVZXBD (R8), Y0")
	if k.both {
		a.op("VPMOVZXBD (R9), Y2")
	}
	k.levels2(a, "Y")
	a.op("VPADDSB (SI), Y0, Y0")
	a.op("VMOVDQU Y0, (DI)")
}

func (k expandKernel) rest2(a *asm) {
	a.op("MOVQ R14, BX")
	a.label("eight")
	a.op("MOVWLZX (R8), AX")
	a.op("VMOVD AX, X0")
	a.op("VPMOVZXBD X0, X0")
	if k.both {
		a.op("MOVWLZX (R9), AX")
		a.op("VMOVD AX, X2")
		a.op("VPMOVZXBD X2, X2")
	}
	k.levels2(a, "X")
	a.op("VMOVQ (SI), X4")
	a.op("VPADDSB X4, X0, X0")
	a.op("VMOVQ X0, (DI)")
	k.next(a, 2)
	a.op("DECQ BX")
	a.op("JNZ eight")
}
