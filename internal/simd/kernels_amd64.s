//go:build !noasm

#include "textflag.h"

// Row scores. Sixteen lanes are two registers of eight int32 sums. For every
// pair of dimensions the lanes' pairs are loaded once and multiplied with the
// broadcast pair of four rows:
//
//	Y0 Y1   row 0, lanes 0-7 and 8-15
//	Y2 Y3   row 1        Y4 Y5   row 2        Y6 Y7   row 3
//	Y12 Y13 the lanes' pairs    Y14 Y15 scratch
//
// SI lanes, BX rows 0-2, R13 row 3, R11 bytes a row, DX pairs.

#define ROW(ADDR, LO, HI) \
	VPBROADCASTD ADDR, Y14       \
	VPMADDWD     Y12, Y14, Y15   \
	VPADDD       Y15, LO, LO     \
	VPMADDWD     Y13, Y14, Y14   \
	VPADDD       Y14, HI, HI

#define ZERO4 \
	VPXOR Y0, Y0, Y0 \
	VPXOR Y1, Y1, Y1 \
	VPXOR Y2, Y2, Y2 \
	VPXOR Y3, Y3, Y3 \
	VPXOR Y4, Y4, Y4 \
	VPXOR Y5, Y5, Y5 \
	VPXOR Y6, Y6, Y6 \
	VPXOR Y7, Y7, Y7

// KEEP folds one row's sums into best (Y8 Y9) and ids (Y10 Y11).
#define KEEP(LO, HI) \
	VMOVD        R10, X14             \
	VPBROADCASTD X14, Y14             \
	VPCMPGTD     Y8, LO, Y15          \
	VPBLENDVB    Y15, Y14, Y10, Y10   \
	VPMAXSD      LO, Y8, Y8           \
	VPCMPGTD     Y9, HI, Y15          \
	VPBLENDVB    Y15, Y14, Y11, Y11   \
	VPMAXSD      HI, Y9, Y9           \
	INCL         R10

// func argmaxRowsAVX2(q, rows *int16, n, pairs int, base int32, best, ids *[16]int32)
TEXT ·argmaxRowsAVX2(SB), NOSPLIT, $0-56
	MOVQ q+0(FP), SI
	MOVQ rows+8(FP), DI
	MOVQ n+16(FP), CX
	MOVQ pairs+24(FP), DX
	MOVL base+32(FP), R10
	MOVQ best+40(FP), R8
	MOVQ ids+48(FP), R9
	LEAQ (DX*4), R11
	VMOVDQU (R8), Y8
	VMOVDQU 32(R8), Y9
	VMOVDQU (R9), Y10
	VMOVDQU 32(R9), Y11

argmax4:
	CMPQ CX, $4
	JLT  argmax1
	ZERO4
	MOVQ SI, AX
	MOVQ DI, BX
	LEAQ (DI)(R11*2), R13
	ADDQ R11, R13
	MOVQ DX, R12

argmax4pair:
	VMOVDQU (AX), Y12
	VMOVDQU 32(AX), Y13
	ROW((BX), Y0, Y1)
	ROW((BX)(R11*1), Y2, Y3)
	ROW((BX)(R11*2), Y4, Y5)
	ROW((R13), Y6, Y7)
	ADDQ $64, AX
	ADDQ $4, BX
	ADDQ $4, R13
	DECQ R12
	JNZ  argmax4pair

	KEEP(Y0, Y1)
	KEEP(Y2, Y3)
	KEEP(Y4, Y5)
	KEEP(Y6, Y7)
	LEAQ (DI)(R11*4), DI
	SUBQ $4, CX
	JMP  argmax4

argmax1:
	TESTQ CX, CX
	JZ    argmaxdone
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	MOVQ  SI, AX
	MOVQ  DI, BX
	MOVQ  DX, R12

argmax1pair:
	VMOVDQU (AX), Y12
	VMOVDQU 32(AX), Y13
	ROW((BX), Y0, Y1)
	ADDQ $64, AX
	ADDQ $4, BX
	DECQ R12
	JNZ  argmax1pair

	KEEP(Y0, Y1)
	ADDQ R11, DI
	DECQ CX
	JMP  argmax1

argmaxdone:
	VMOVDQU Y8, (R8)
	VMOVDQU Y9, 32(R8)
	VMOVDQU Y10, (R9)
	VMOVDQU Y11, 32(R9)
	VZEROUPPER
	RET

// func scoreRowsAVX2(q, rows *int16, n, pairs int, out *int32)
TEXT ·scoreRowsAVX2(SB), NOSPLIT, $0-40
	MOVQ q+0(FP), SI
	MOVQ rows+8(FP), DI
	MOVQ n+16(FP), CX
	MOVQ pairs+24(FP), DX
	MOVQ out+32(FP), R8
	LEAQ (DX*4), R11

score4:
	CMPQ CX, $4
	JLT  score1
	ZERO4
	MOVQ SI, AX
	MOVQ DI, BX
	LEAQ (DI)(R11*2), R13
	ADDQ R11, R13
	MOVQ DX, R12

score4pair:
	VMOVDQU (AX), Y12
	VMOVDQU 32(AX), Y13
	ROW((BX), Y0, Y1)
	ROW((BX)(R11*1), Y2, Y3)
	ROW((BX)(R11*2), Y4, Y5)
	ROW((R13), Y6, Y7)
	ADDQ $64, AX
	ADDQ $4, BX
	ADDQ $4, R13
	DECQ R12
	JNZ  score4pair

	VMOVDQU Y0, (R8)
	VMOVDQU Y1, 32(R8)
	VMOVDQU Y2, 64(R8)
	VMOVDQU Y3, 96(R8)
	VMOVDQU Y4, 128(R8)
	VMOVDQU Y5, 160(R8)
	VMOVDQU Y6, 192(R8)
	VMOVDQU Y7, 224(R8)
	ADDQ $256, R8
	LEAQ (DI)(R11*4), DI
	SUBQ $4, CX
	JMP  score4

score1:
	TESTQ CX, CX
	JZ    scoredone
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	MOVQ  SI, AX
	MOVQ  DI, BX
	MOVQ  DX, R12

score1pair:
	VMOVDQU (AX), Y12
	VMOVDQU 32(AX), Y13
	ROW((BX), Y0, Y1)
	ADDQ $64, AX
	ADDQ $4, BX
	DECQ R12
	JNZ  score1pair

	VMOVDQU Y0, (R8)
	VMOVDQU Y1, 32(R8)
	ADDQ $64, R8
	ADDQ R11, DI
	DECQ CX
	JMP  score1

scoredone:
	VZEROUPPER
	RET

// func widenAVX2(dst *int16, src *byte, eights int)
TEXT ·widenAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ eights+16(FP), CX

widen32:
	CMPQ CX, $4
	JLT  widen8
	VPMOVSXBW (SI), Y0
	VPMOVSXBW 16(SI), Y1
	VMOVDQU Y0, (DI)
	VMOVDQU Y1, 32(DI)
	ADDQ $32, SI
	ADDQ $64, DI
	SUBQ $4, CX
	JMP  widen32

widen8:
	TESTQ CX, CX
	JZ    widendone
	VPMOVSXBW (SI), X0
	VMOVDQU X0, (DI)
	ADDQ $8, SI
	ADDQ $16, DI
	DECQ CX
	JMP  widen8

widendone:
	VZEROUPPER
	RET

// Plane expansion works on eight int16 dimensions a lane. The 16 bits of eight
// two-bit codes are broadcast to eight words; word i is multiplied by 4^(7-i),
// so that its code ends up in the top two bits, and shifted down.

DATA expandshift<>+0(SB)/8, $0x0100040010004000
DATA expandshift<>+8(SB)/8, $0x0001000400100040
GLOBL expandshift<>(SB), RODATA|NOPTR, $16

// FULLFACTOR sets up the constants shared by both expansions:
// Y10 shifts, Y11 factor, Y12 127, Y13 -127.
#define CONSTANTS(FACTOR) \
	VBROADCASTI128 expandshift<>(SB), Y10 \
	VPBROADCASTW   FACTOR, Y11            \
	MOVL           $0x007f007f, AX        \
	VMOVD          AX, X12                \
	VPBROADCASTD   X12, Y12               \
	VPXOR          Y13, Y13, Y13          \
	VPSUBW         Y12, Y13, Y13

// FINISH adds the cell, restores the length, clamps and stores eight words.
#define FINISH(LEVEL) \
	VPADDW    (SI), LEVEL, LEVEL   \
	VPMULHRSW X11, LEVEL, LEVEL    \
	VPMINSW   X12, LEVEL, LEVEL    \
	VPMAXSW   X13, LEVEL, LEVEL    \
	VMOVDQU   LEVEL, (DI)          \
	ADDQ      $16, SI              \
	ADDQ      $16, DI

// func expandAAVX2(dst, cell *int16, bits *byte, eights int, levels *[4]int16, factor int16)
TEXT ·expandAAVX2(SB), NOSPLIT, $0-42
	MOVQ dst+0(FP), DI
	MOVQ cell+8(FP), SI
	MOVQ bits+16(FP), R8
	MOVQ eights+24(FP), CX
	MOVQ levels+32(FP), R9
	CONSTANTS(factor+40(FP))
	VMOVQ (R9), X7            // four levels of two bytes
	MOVL  $0x02020202, AX     // word code c -> bytes 2c, 2c
	VMOVD AX, X8
	VPBROADCASTD X8, X8
	MOVL  $0x01000100, AX     // -> bytes 2c, 2c+1
	VMOVD AX, X9
	VPBROADCASTD X9, X9

expanda:
	VPBROADCASTW (R8), X0
	VPMULLW X10, X0, X0
	VPSRLW  $14, X0, X0
	VPMULLW X8, X0, X0
	VPADDW  X9, X0, X0
	VPSHUFB X0, X7, X0
	FINISH(X0)
	ADDQ $2, R8
	DECQ CX
	JNZ  expanda
	VZEROUPPER
	RET

// func expandABAVX2(dst, cell *int16, a, b *byte, eights int, lo, hi *[16]byte, factor int16)
TEXT ·expandABAVX2(SB), NOSPLIT, $0-58
	MOVQ dst+0(FP), DI
	MOVQ cell+8(FP), SI
	MOVQ a+16(FP), R8
	MOVQ b+24(FP), R9
	MOVQ eights+32(FP), CX
	MOVQ lo+40(FP), R10
	MOVQ hi+48(FP), R11
	CONSTANTS(factor+56(FP))
	VMOVDQU (R10), X6
	VMOVDQU (R11), X7
	MOVL  $0x80008000, AX     // a clear high byte
	VMOVD AX, X8
	VPBROADCASTD X8, X8
	MOVL  $0x00800080, AX     // a clear low byte
	VMOVD AX, X9
	VPBROADCASTD X9, X9

expandab:
	VPBROADCASTW (R8), X0
	VPBROADCASTW (R9), X1
	VPMULLW X10, X0, X0
	VPMULLW X10, X1, X1
	VPSRLW  $14, X0, X0
	VPSRLW  $14, X1, X1
	VPSLLW  $2, X0, X0
	VPOR    X1, X0, X0        // code 0..15 a word
	VPOR    X8, X0, X1
	VPSHUFB X1, X6, X1        // low bytes
	VPSLLW  $8, X0, X0
	VPOR    X9, X0, X0
	VPSHUFB X0, X7, X0        // high bytes
	VPOR    X1, X0, X0
	FINISH(X0)
	ADDQ $2, R8
	ADDQ $2, R9
	DECQ CX
	JNZ  expandab
	VZEROUPPER
	RET

// func dotF32AVX2(a, b *float32, eights int) float32
TEXT ·dotF32AVX2(SB), NOSPLIT, $0-28
	MOVQ a+0(FP), SI
	MOVQ b+8(FP), DI
	MOVQ eights+16(FP), CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3

dot32:
	CMPQ CX, $4
	JLT  dot8
	VMOVUPS (SI), Y4
	VMOVUPS 32(SI), Y5
	VMOVUPS 64(SI), Y6
	VMOVUPS 96(SI), Y7
	VFMADD231PS (DI), Y4, Y0
	VFMADD231PS 32(DI), Y5, Y1
	VFMADD231PS 64(DI), Y6, Y2
	VFMADD231PS 96(DI), Y7, Y3
	ADDQ $128, SI
	ADDQ $128, DI
	SUBQ $4, CX
	JMP  dot32

dot8:
	TESTQ CX, CX
	JZ    dotsum
	VMOVUPS (SI), Y4
	VFMADD231PS (DI), Y4, Y0
	ADDQ $32, SI
	ADDQ $32, DI
	DECQ CX
	JMP  dot8

dotsum:
	VADDPS Y1, Y0, Y0
	VADDPS Y3, Y2, Y2
	VADDPS Y2, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPS X1, X0, X0
	VHADDPS X0, X0, X0
	VHADDPS X0, X0, X0
	VMOVSS X0, ret+24(FP)
	VZEROUPPER
	RET

// func f16ToF32AVX2(dst *float32, src *byte, eights int)
TEXT ·f16ToF32AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ eights+16(FP), CX

f16loop:
	VCVTPH2PS (SI), Y0
	VMOVUPS Y0, (DI)
	ADDQ $16, SI
	ADDQ $32, DI
	DECQ CX
	JNZ  f16loop
	VZEROUPPER
	RET
