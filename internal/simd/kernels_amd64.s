//go:build !noasm

#include "textflag.h"

// Row scores. Sixteen lanes are two registers of eight sums; four rows are
// scored at once, so that every load of the lanes serves four rows and eight
// independent sums hide the latency of adding:
//
//	Y0 Y1   row 0, lanes 0-7 and 8-15
//	Y2 Y3   row 1        Y4 Y5   row 2        Y6 Y7   row 3
//	Y8-Y11  maxima and their row numbers, or floors
//	Y12 Y13 the lanes at hand    Y14 Y15 scratch
//
// SI lanes, DI rows, CX rows left, DX dimensions ÷ 8, R11 bytes a row. Inside a
// tile: AX lanes, BX rows 0-2, R13 row 3, R12 steps left of eight dimensions.

#define ZERO2 \
	VPXOR Y0, Y0, Y0 \
	VPXOR Y1, Y1, Y1

#define ZERO8 \
	ZERO2            \
	VPXOR Y2, Y2, Y2 \
	VPXOR Y3, Y3, Y3 \
	VPXOR Y4, Y4, Y4 \
	VPXOR Y5, Y5, Y5 \
	VPXOR Y6, Y6, Y6 \
	VPXOR Y7, Y7, Y7

#define TILE4 \
	ZERO8                   \
	MOVQ SI, AX             \
	MOVQ DI, BX             \
	LEAQ (DI)(R11*2), R13   \
	ADDQ R11, R13           \
	MOVQ DX, R12

#define TILE1 \
	ZERO2       \
	MOVQ SI, AX \
	MOVQ DI, BX \
	MOVQ DX, R12

// ROW adds the products of a pair of dimensions of one row: int16 rows.
#define ROW(ADDR, LO, HI) \
	VPBROADCASTD ADDR, Y14       \
	VPMADDWD     Y12, Y14, Y15   \
	VPMADDWD     Y13, Y14, Y14   \
	VPADDD       Y15, LO, LO     \
	VPADDD       Y14, HI, HI

#define PAIR4(LANES, AT) \
	VMOVDQU LANES(AX), Y12        \
	VMOVDQU 32+LANES(AX), Y13     \
	ROW(AT(BX), Y0, Y1)           \
	ROW(AT(BX)(R11*1), Y2, Y3)    \
	ROW(AT(BX)(R11*2), Y4, Y5)    \
	ROW(AT(R13), Y6, Y7)

#define PAIR1(LANES, AT) \
	VMOVDQU LANES(AX), Y12    \
	VMOVDQU 32+LANES(AX), Y13 \
	ROW(AT(BX), Y0, Y1)

#define EIGHT4 \
	PAIR4(0, 0)     \
	PAIR4(64, 4)    \
	PAIR4(128, 8)   \
	PAIR4(192, 12)  \
	ADDQ $256, AX   \
	ADDQ $16, BX    \
	ADDQ $16, R13

#define EIGHT1 \
	PAIR1(0, 0)     \
	PAIR1(64, 4)    \
	PAIR1(128, 8)   \
	PAIR1(192, 12)  \
	ADDQ $256, AX   \
	ADDQ $16, BX

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

#define LOADBEST \
	VMOVDQU (R8), Y8    \
	VMOVDQU 32(R8), Y9  \
	VMOVDQU (R9), Y10   \
	VMOVDQU 32(R9), Y11

#define STOREBEST \
	VMOVDQU Y8, (R8)    \
	VMOVDQU Y9, 32(R8)  \
	VMOVDQU Y10, (R9)   \
	VMOVDQU Y11, 32(R9)

// func argmaxRowsAVX2(q, rows *int16, n, eights int, base int32, best, ids *[16]int32)
TEXT ·argmaxRowsAVX2(SB), NOSPLIT, $0-56
	MOVQ q+0(FP), SI
	MOVQ rows+8(FP), DI
	MOVQ n+16(FP), CX
	MOVQ eights+24(FP), DX
	MOVL base+32(FP), R10
	MOVQ best+40(FP), R8
	MOVQ ids+48(FP), R9
	MOVQ DX, R11
	SHLQ $4, R11
	LOADBEST

argmax4:
	CMPQ CX, $4
	JLT  argmax1
	TILE4

argmax4eight:
	EIGHT4
	DECQ R12
	JNZ  argmax4eight
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
	TILE1

argmax1eight:
	EIGHT1
	DECQ R12
	JNZ  argmax1eight
	KEEP(Y0, Y1)
	ADDQ R11, DI
	DECQ CX
	JMP  argmax1

argmaxdone:
	STOREBEST
	VZEROUPPER
	RET

// SCAN stores one row's sums and the mask of the lanes above their floors.
#define SCAN(LO, HI) \
	VMOVDQU   LO, (R8)      \
	VMOVDQU   HI, 32(R8)    \
	VPCMPGTD  Y8, LO, Y14   \
	VPCMPGTD  Y9, HI, Y15   \
	VMOVMSKPS Y14, AX       \
	VMOVMSKPS Y15, BX       \
	SHLL      $8, BX        \
	ORL       BX, AX        \
	MOVW      AX, (R9)      \
	ADDQ      $64, R8       \
	ADDQ      $2, R9

// func scanRowsAVX2(q, rows *int16, n, eights int, floor *[16]int32, out *int32, above *uint16)
TEXT ·scanRowsAVX2(SB), NOSPLIT, $0-56
	MOVQ q+0(FP), SI
	MOVQ rows+8(FP), DI
	MOVQ n+16(FP), CX
	MOVQ eights+24(FP), DX
	MOVQ floor+32(FP), R10
	MOVQ out+40(FP), R8
	MOVQ above+48(FP), R9
	MOVQ DX, R11
	SHLQ $4, R11
	VMOVDQU (R10), Y8
	VMOVDQU 32(R10), Y9

scan4:
	CMPQ CX, $4
	JLT  scan1
	TILE4

scan4eight:
	EIGHT4
	DECQ R12
	JNZ  scan4eight
	SCAN(Y0, Y1)
	SCAN(Y2, Y3)
	SCAN(Y4, Y5)
	SCAN(Y6, Y7)
	LEAQ (DI)(R11*4), DI
	SUBQ $4, CX
	JMP  scan4

scan1:
	TESTQ CX, CX
	JZ    scandone
	TILE1

scan1eight:
	EIGHT1
	DECQ R12
	JNZ  scan1eight
	SCAN(Y0, Y1)
	ADDQ R11, DI
	DECQ CX
	JMP  scan1

scandone:
	VZEROUPPER
	RET

// FROW adds the products of one dimension of one row: float32 rows. Products
// are rounded before they are added, so that every tier gives the same sums; on
// processors that multiply and add in different pipes that costs nothing.
#define FROW(ADDR, LO, HI) \
	VBROADCASTSS ADDR, Y14       \
	VMULPS       Y12, Y14, Y15   \
	VMULPS       Y13, Y14, Y14   \
	VADDPS       Y15, LO, LO     \
	VADDPS       Y14, HI, HI

#define DIM4(LANES, AT) \
	VMOVUPS LANES(AX), Y12        \
	VMOVUPS 32+LANES(AX), Y13     \
	FROW(AT(BX), Y0, Y1)          \
	FROW(AT(BX)(R11*1), Y2, Y3)   \
	FROW(AT(BX)(R11*2), Y4, Y5)   \
	FROW(AT(R13), Y6, Y7)

#define DIM1(LANES, AT) \
	VMOVUPS LANES(AX), Y12    \
	VMOVUPS 32+LANES(AX), Y13 \
	FROW(AT(BX), Y0, Y1)

#define FEIGHT4 \
	DIM4(0, 0)     \
	DIM4(64, 4)    \
	DIM4(128, 8)   \
	DIM4(192, 12)  \
	DIM4(256, 16)  \
	DIM4(320, 20)  \
	DIM4(384, 24)  \
	DIM4(448, 28)  \
	ADDQ $512, AX  \
	ADDQ $32, BX   \
	ADDQ $32, R13

#define FEIGHT1 \
	DIM1(0, 0)     \
	DIM1(64, 4)    \
	DIM1(128, 8)   \
	DIM1(192, 12)  \
	DIM1(256, 16)  \
	DIM1(320, 20)  \
	DIM1(384, 24)  \
	DIM1(448, 28)  \
	ADDQ $512, AX  \
	ADDQ $32, BX

// FKEEP is KEEP for floats; $0x1e is "greater than", false for NaN.
#define FKEEP(LO, HI) \
	VMOVD        R10, X14               \
	VPBROADCASTD X14, Y14               \
	VCMPPS       $0x1e, Y8, LO, Y15     \
	VPBLENDVB    Y15, Y14, Y10, Y10     \
	VPBLENDVB    Y15, LO, Y8, Y8        \
	VCMPPS       $0x1e, Y9, HI, Y15     \
	VPBLENDVB    Y15, Y14, Y11, Y11     \
	VPBLENDVB    Y15, HI, Y9, Y9        \
	INCL         R10

// func argmaxRowsF32AVX2(q, rows *float32, n, eights int, base int32, best *[16]float32, ids *[16]int32)
TEXT ·argmaxRowsF32AVX2(SB), NOSPLIT, $0-56
	MOVQ q+0(FP), SI
	MOVQ rows+8(FP), DI
	MOVQ n+16(FP), CX
	MOVQ eights+24(FP), DX
	MOVL base+32(FP), R10
	MOVQ best+40(FP), R8
	MOVQ ids+48(FP), R9
	MOVQ DX, R11
	SHLQ $5, R11
	LOADBEST

fargmax4:
	CMPQ CX, $4
	JLT  fargmax1
	TILE4

fargmax4eight:
	FEIGHT4
	DECQ R12
	JNZ  fargmax4eight
	FKEEP(Y0, Y1)
	FKEEP(Y2, Y3)
	FKEEP(Y4, Y5)
	FKEEP(Y6, Y7)
	LEAQ (DI)(R11*4), DI
	SUBQ $4, CX
	JMP  fargmax4

fargmax1:
	TESTQ CX, CX
	JZ    fargmaxdone
	TILE1

fargmax1eight:
	FEIGHT1
	DECQ R12
	JNZ  fargmax1eight
	FKEEP(Y0, Y1)
	ADDQ R11, DI
	DECQ CX
	JMP  fargmax1

fargmaxdone:
	STOREBEST
	VZEROUPPER
	RET

// One vector against many int8 rows: sixteen dimensions at a time, four rows at
// once. SI vector, BX rows 0-2, R13 row 3, R11 bytes a row, Y0-Y3 sums.

#define DOT16(ADDR, SUM) \
	VPMOVSXBW ADDR, Y5       \
	VPMADDWD  Y4, Y5, Y5     \
	VPADDD    Y5, SUM, SUM

// DOT8 clears the upper half of what it adds.
#define DOT8(ADDR, SUM) \
	VPMOVSXBW ADDR, X5       \
	VPMADDWD  X4, X5, X5     \
	VPADDD    Y5, SUM, SUM

// func dotRowsAVX2(v *int16, rows *int8, n, sixteens, eight int, out *int32)
TEXT ·dotRowsAVX2(SB), NOSPLIT, $0-48
	MOVQ v+0(FP), SI
	MOVQ rows+8(FP), DI
	MOVQ n+16(FP), CX
	MOVQ sixteens+24(FP), DX
	MOVQ eight+32(FP), R9
	MOVQ out+40(FP), R8
	MOVQ DX, R11
	SHLQ $4, R11
	LEAQ (R11)(R9*8), R11

dot4:
	CMPQ  CX, $4
	JLT   dot1
	VPXOR Y0, Y0, Y0
	VPXOR Y1, Y1, Y1
	VPXOR Y2, Y2, Y2
	VPXOR Y3, Y3, Y3
	MOVQ  SI, AX
	MOVQ  DI, BX
	LEAQ  (DI)(R11*2), R13
	ADDQ  R11, R13
	MOVQ  DX, R12
	TESTQ R12, R12
	JZ    dot4eight

dot4sixteen:
	VMOVDQU (AX), Y4
	DOT16((BX), Y0)
	DOT16((BX)(R11*1), Y1)
	DOT16((BX)(R11*2), Y2)
	DOT16((R13), Y3)
	ADDQ $32, AX
	ADDQ $16, BX
	ADDQ $16, R13
	DECQ R12
	JNZ  dot4sixteen

dot4eight:
	TESTQ R9, R9
	JZ    dot4sum
	VMOVDQU (AX), X4
	DOT8((BX), Y0)
	DOT8((BX)(R11*1), Y1)
	DOT8((BX)(R11*2), Y2)
	DOT8((R13), Y3)

dot4sum:
	VPHADDD Y1, Y0, Y0
	VPHADDD Y3, Y2, Y2
	VPHADDD Y2, Y0, Y0
	VEXTRACTI128 $1, Y0, X1
	VPADDD  X1, X0, X0
	VMOVDQU X0, (R8)
	ADDQ $16, R8
	LEAQ (DI)(R11*4), DI
	SUBQ $4, CX
	JMP  dot4

dot1:
	TESTQ CX, CX
	JZ    dotdone
	VPXOR Y0, Y0, Y0
	MOVQ  SI, AX
	MOVQ  DI, BX
	MOVQ  DX, R12
	TESTQ R12, R12
	JZ    dot1eight

dot1sixteen:
	VMOVDQU (AX), Y4
	DOT16((BX), Y0)
	ADDQ $32, AX
	ADDQ $16, BX
	DECQ R12
	JNZ  dot1sixteen

dot1eight:
	TESTQ R9, R9
	JZ    dot1sum
	VMOVDQU (AX), X4
	DOT8((BX), Y0)

dot1sum:
	VEXTRACTI128 $1, Y0, X1
	VPADDD  X1, X0, X0
	VPHADDD X0, X0, X0
	VPHADDD X0, X0, X0
	VMOVD   X0, (R8)
	ADDQ $4, R8
	ADDQ R11, DI
	DECQ CX
	JMP  dot1

dotdone:
	VZEROUPPER
	RET

// func widenAVX2(dst *int16, src *int8, eights int)
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

// Plane expansion works on sixteen dimensions at a time. The 32 bits of their
// two-bit codes are spread so that each word holds the 16 bits of its half;
// word i is multiplied by 4^(7-i), which brings its code to the top two bits.
//
// DI dst, SI cell, R8 plane A, R9 plane B, R10 codes, R11 cells, CX tokens
// left, DX dimensions ÷ 16, R13 dimensions mod 16 ÷ 8, BX last cell.
// Y8 Y9 masks of table look-ups, Y10 shifts, Y11 factor, Y12 127, Y13 -127,
// Y14 spread, Y6 Y7 levels.

DATA expandshift<>+0(SB)/8, $0x0100040010004000
DATA expandshift<>+8(SB)/8, $0x0001000400100040
GLOBL expandshift<>(SB), RODATA|NOPTR, $16

DATA expandspread<>+0(SB)/8, $0x0100010001000100
DATA expandspread<>+8(SB)/8, $0x0100010001000100
DATA expandspread<>+16(SB)/8, $0x0302030203020302
DATA expandspread<>+24(SB)/8, $0x0302030203020302
GLOBL expandspread<>(SB), RODATA|NOPTR, $32

// WORDS sets every word of a register; it uses AX.
#define WORDS(VALUE, X, Y) \
	MOVL         $VALUE, AX \
	VMOVD        AX, X      \
	VPBROADCASTW X, Y

#define CONSTANTS \
	VBROADCASTI128 expandshift<>(SB), Y10  \
	VMOVDQU        expandspread<>(SB), Y14 \
	WORDS(127, X12, Y12)                   \
	WORDS(0xff81, X13, Y13)

// TOKEN finds a token's cell and its factor: 4 · (length byte + 80) >> exponent,
// with the exponent in CL. LENGTH addresses the byte, CELLBYTES holds 2 · dim.
#define TOKEN(CODE, LENGTH, CELLBYTES) \
	MOVWLZX      CODE, AX       \
	CMPQ         AX, BX         \
	CMOVQGT      BX, AX         \
	IMULQ        CELLBYTES, AX  \
	LEAQ         (R11)(AX*1), SI \
	MOVBLZX      LENGTH, AX     \
	ADDL         $80, AX        \
	SHLL         $2, AX         \
	SHRL         CX, AX         \
	VMOVD        AX, X11        \
	VPBROADCASTW X11, Y11

// LEVELA turns spread bits into levels of plane A: word code c to bytes 2c, 2c+1.
#define LEVELA(BITS, SHIFT, ONES, NEXT, TABLE) \
	VPMULLW SHIFT, BITS, BITS \
	VPSRLW  $14, BITS, BITS   \
	VPMULLW ONES, BITS, BITS  \
	VPADDW  NEXT, BITS, BITS  \
	VPSHUFB BITS, TABLE, BITS

// LEVELAB does so for both planes: the low bytes of sixteen levels are in one
// table, the high bytes in another.
#define LEVELAB(A, B, SHIFT, NOHIGH, NOLOW, LOWS, HIGHS) \
	VPMULLW SHIFT, A, A  \
	VPMULLW SHIFT, B, B  \
	VPSRLW  $14, A, A    \
	VPSRLW  $14, B, B    \
	VPSLLW  $2, A, A     \
	VPOR    B, A, A      \
	VPOR    NOHIGH, A, B \
	VPSHUFB B, LOWS, B   \
	VPSLLW  $8, A, A     \
	VPOR    NOLOW, A, A  \
	VPSHUFB A, HIGHS, A  \
	VPOR    B, A, A

// FINISH adds the cell, restores the length, clamps and stores.
#define FINISH(LEVEL, FACTOR, TOP, BOTTOM) \
	VPADDW    (SI), LEVEL, LEVEL   \
	VPMULHRSW FACTOR, LEVEL, LEVEL \
	VPMINSW   TOP, LEVEL, LEVEL    \
	VPMAXSW   BOTTOM, LEVEL, LEVEL \
	VMOVDQU   LEVEL, (DI)

// func expandAAVX2(dst, cells *int16, last int, codes, a *byte, n, sixteens, eight int, levels *[4]int16, exp uint64)
TEXT ·expandAAVX2(SB), NOSPLIT, $0-80
	MOVQ dst+0(FP), DI
	MOVQ cells+8(FP), R11
	MOVQ last+16(FP), BX
	MOVQ codes+24(FP), R10
	MOVQ a+32(FP), R8
	MOVQ n+40(FP), R15
	MOVQ sixteens+48(FP), DX
	MOVQ eight+56(FP), R13
	MOVQ levels+64(FP), AX
	MOVQ exp+72(FP), CX
	VPBROADCASTQ (AX), Y7
	CONSTANTS
	WORDS(0x0202, X8, Y8)
	WORDS(0x0100, X9, Y9)
	LEAQ (DX)(DX*1), R9       // a token's bytes of dst and cell: 32·sixteens + 16·eight
	ADDQ R13, R9
	SHLQ $4, R9

expandatoken:
	MOVQ R9, R12
	SHRQ $3, R12              // bytes of bits
	TOKEN((R10), (R8)(R12*1), R9)
	MOVQ DX, R12
	TESTQ R12, R12
	JZ   expanda8

expanda16:
	VPBROADCASTD (R8), Y0
	VPSHUFB Y14, Y0, Y0
	LEVELA(Y0, Y10, Y8, Y9, Y7)
	FINISH(Y0, Y11, Y12, Y13)
	ADDQ $4, R8
	ADDQ $32, SI
	ADDQ $32, DI
	DECQ R12
	JNZ  expanda16

expanda8:
	TESTQ R13, R13
	JZ   expandanext
	VPBROADCASTW (R8), X0
	LEVELA(X0, X10, X8, X9, X7)
	FINISH(X0, X11, X12, X13)
	ADDQ $2, R8
	ADDQ $16, DI

expandanext:
	INCQ R8                   // the length byte
	ADDQ $2, R10
	DECQ R15
	JNZ  expandatoken
	VZEROUPPER
	RET

// func expandABAVX2(dst, cells *int16, last int, codes, a, b *byte, n, sixteens, eight int, lows, highs *[16]byte, exp uint64)
TEXT ·expandABAVX2(SB), NOSPLIT, $0-96
	MOVQ dst+0(FP), DI
	MOVQ cells+8(FP), R11
	MOVQ last+16(FP), BX
	MOVQ codes+24(FP), R10
	MOVQ a+32(FP), R8
	MOVQ b+40(FP), R9
	MOVQ n+48(FP), R15
	MOVQ sixteens+56(FP), DX
	MOVQ eight+64(FP), R13
	MOVQ exp+88(FP), CX
	MOVQ lows+72(FP), AX
	VBROADCASTI128 (AX), Y6
	MOVQ highs+80(FP), AX
	VBROADCASTI128 (AX), Y7
	CONSTANTS
	WORDS(0x8000, X8, Y8)     // a clear high byte
	WORDS(0x0080, X9, Y9)     // a clear low byte
	LEAQ (DX)(DX*1), R14      // a token's bytes of dst and cell
	ADDQ R13, R14
	SHLQ $4, R14

expandabtoken:
	MOVQ R14, R12
	SHRQ $3, R12
	TOKEN((R10), (R9)(R12*1), R14)
	MOVQ DX, R12
	TESTQ R12, R12
	JZ   expandab8

expandab16:
	VPBROADCASTD (R8), Y0
	VPBROADCASTD (R9), Y1
	VPSHUFB Y14, Y0, Y0
	VPSHUFB Y14, Y1, Y1
	LEVELAB(Y0, Y1, Y10, Y8, Y9, Y6, Y7)
	FINISH(Y0, Y11, Y12, Y13)
	ADDQ $4, R8
	ADDQ $4, R9
	ADDQ $32, SI
	ADDQ $32, DI
	DECQ R12
	JNZ  expandab16

expandab8:
	TESTQ R13, R13
	JZ   expandabnext
	VPBROADCASTW (R8), X0
	VPBROADCASTW (R9), X1
	LEVELAB(X0, X1, X10, X8, X9, X6, X7)
	FINISH(X0, X11, X12, X13)
	ADDQ $2, R8
	ADDQ $2, R9
	ADDQ $16, DI

expandabnext:
	INCQ R8
	INCQ R9
	ADDQ $2, R10
	DECQ R15
	JNZ  expandabtoken
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
