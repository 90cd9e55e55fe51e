//go:build !noasm

#include "textflag.h"

// Scores of float32 rows. Sixteen lanes are two registers of eight sums; four
// rows are scored at once, so that every load of the lanes serves four rows and
// eight independent sums hide the latency of adding:
//
//	Y0 Y1   row 0, lanes 0-7 and 8-15
//	Y2 Y3   row 1        Y4 Y5   row 2        Y6 Y7   row 3
//	Y8-Y11  maxima and their row numbers
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

// func dotRowsAVX2(v, rows *int8, n, sixteens, eight int, out *int32)
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
	VPMOVSXBW (AX), Y4
	DOT16((BX), Y0)
	DOT16((BX)(R11*1), Y1)
	DOT16((BX)(R11*2), Y2)
	DOT16((R13), Y3)
	ADDQ $16, AX
	ADDQ $16, BX
	ADDQ $16, R13
	DECQ R12
	JNZ  dot4sixteen

dot4eight:
	TESTQ R9, R9
	JZ    dot4sum
	VPMOVSXBW (AX), X4
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
	VPMOVSXBW (AX), Y4
	DOT16((BX), Y0)
	ADDQ $16, AX
	ADDQ $16, BX
	DECQ R12
	JNZ  dot1sixteen

dot1eight:
	TESTQ R9, R9
	JZ    dot1sum
	VPMOVSXBW (AX), X4
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

// func quantizeAVX2(dst *int8, src *float32, eights int, scale float32) int
// Y15 scale, Y14 127, Y13 -127, AX values beyond.
TEXT ·quantizeAVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ eights+16(FP), CX
	VBROADCASTSS scale+24(FP), Y15
	MOVL $127, AX
	VMOVD AX, X14
	VPBROADCASTD X14, Y14
	VPXOR Y13, Y13, Y13
	VPSUBD Y14, Y13, Y13
	XORL AX, AX

quantize8:
	VMULPS    (SI), Y15, Y0
	VCVTPS2DQ Y0, Y0
	VPMINSD   Y14, Y0, Y1
	VPMAXSD   Y13, Y1, Y1
	VPCMPEQD  Y0, Y1, Y2
	VMOVMSKPS Y2, BX
	POPCNTL   BX, BX
	SUBQ      BX, AX
	VEXTRACTI128 $1, Y1, X2
	VPACKSSDW X2, X1, X1
	VPACKSSWB X1, X1, X1
	VMOVQ     X1, (DI)
	ADDQ $32, SI
	ADDQ $8, DI
	ADDQ $8, AX
	DECQ CX
	JNZ  quantize8
	MOVQ AX, ret+32(FP)
	VZEROUPPER
	RET

// func prefetchAVX2(p *byte, n int)
// Every line that the n bytes from p on touch.
TEXT ·prefetchAVX2(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	ADDQ SI, CX
	ANDQ $~63, SI

prefetchline:
	PREFETCHT1 (SI)
	ADDQ $64, SI
	CMPQ SI, CX
	JLT  prefetchline
	RET

// func prefetchSomeAVX2(p *byte, ids *uint32, n, size int)
// The first and the last line of each record. Addresses need not be valid.
TEXT ·prefetchSomeAVX2(SB), NOSPLIT, $0-32
	MOVQ p+0(FP), SI
	MOVQ ids+8(FP), DI
	MOVQ n+16(FP), CX
	MOVQ size+24(FP), DX
	LEAQ -1(SI)(DX*1), BX

prefetchrecord:
	MOVLQZX (DI), AX
	IMULQ   DX, AX
	PREFETCHT0 (SI)(AX*1)
	PREFETCHT0 (BX)(AX*1)
	ADDQ $4, DI
	DECQ CX
	JNZ  prefetchrecord
	RET
