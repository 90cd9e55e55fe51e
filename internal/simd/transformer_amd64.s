//go:build !noasm

#include "textflag.h"

#define ZERO8 \
	VPXOR Y0, Y0, Y0 \
	VPXOR Y1, Y1, Y1 \
	VPXOR Y2, Y2, Y2 \
	VPXOR Y3, Y3, Y3 \
	VPXOR Y4, Y4, Y4 \
	VPXOR Y5, Y5, Y5 \
	VPXOR Y6, Y6, Y6 \
	VPXOR Y7, Y7, Y7

// INTS adds the products of a pair of values of one row with 16 columns.
#define INTS(ADDR, LO, HI) \
	VPBROADCASTD ADDR, Y14       \
	VPMADDWD     Y12, Y14, Y15   \
	VPMADDWD     Y13, Y14, Y14   \
	VPADDD       Y15, LO, LO     \
	VPADDD       Y14, HI, HI

#define INTS4(WEIGHTS, AT) \
	VPMOVSXBW WEIGHTS(DX), Y12    \
	VPMOVSXBW 16+WEIGHTS(DX), Y13 \
	INTS(AT(SI), Y0, Y1)          \
	INTS(AT(SI)(R12*1), Y2, Y3)   \
	INTS(AT(SI)(R12*2), Y4, Y5)   \
	INTS(AT(R13), Y6, Y7)

#define INTS6(WEIGHTS, AT) \
	INTS4(WEIGHTS, AT)            \
	INTS(AT(R13)(R12*1), Y8, Y9)  \
	INTS(AT(R13)(R12*2), Y10, Y11)

// SCALE turns one row's sums into floats and stores them.
#define SCALE(AT, LO, HI) \
	VCVTDQ2PS    LO, LO          \
	VCVTDQ2PS    HI, HI          \
	VBROADCASTSS AT(R9), Y14     \
	VMULPS       Y14, LO, LO     \
	VMULPS       Y14, HI, HI     \
	VMULPS       Y12, LO, LO     \
	VMULPS       Y13, HI, HI     \
	VADDPS       (R11), LO, LO   \
	VADDPS       32(R11), HI, HI \
	VMOVUPS      LO, (DI)        \
	VMOVUPS      HI, 32(DI)      \
	ADDQ         R8, DI

#define LINEAR \
	MOVQ out+0(FP), DI         \
	MOVQ outBytes+8(FP), R8    \
	MOVQ a+16(FP), SI          \
	MOVQ eights+24(FP), CX     \
	MOVQ w+32(FP), DX          \
	MOVQ scales+40(FP), R9     \
	MOVQ columns+48(FP), R10   \
	MOVQ bias+56(FP), R11      \
	MOVQ CX, R12               \
	SHLQ $4, R12               \
	LEAQ (SI)(R12*2), R13      \
	ADDQ R12, R13              \
	ZERO8

#define NEXT8 \
	ADDQ $16, SI  \
	ADDQ $16, R13 \
	ADDQ $128, DX

#define SCALE4 \
	VMOVUPS (R10), Y12   \
	VMOVUPS 32(R10), Y13 \
	SCALE(0, Y0, Y1)     \
	SCALE(4, Y2, Y3)     \
	SCALE(8, Y4, Y5)     \
	SCALE(12, Y6, Y7)

// func linear4AVX2(out *float32, outBytes int, a *int16, eights int, w *int8, scales, columns, bias *float32)
// Four rows by sixteen columns.
TEXT ·linear4AVX2(SB), NOSPLIT, $0-64
	LINEAR

linear4:
	INTS4(0, 0)
	INTS4(32, 4)
	INTS4(64, 8)
	INTS4(96, 12)
	NEXT8
	DECQ CX
	JNE  linear4
	SCALE4
	VZEROUPPER
	RET

// func linear6AVX2(out *float32, outBytes int, a *int16, eights int, w *int8, scales, columns, bias *float32)
// Six rows by sixteen columns.
TEXT ·linear6AVX2(SB), NOSPLIT, $0-64
	LINEAR
	VPXOR Y8, Y8, Y8
	VPXOR Y9, Y9, Y9
	VPXOR Y10, Y10, Y10
	VPXOR Y11, Y11, Y11

linear6:
	INTS6(0, 0)
	INTS6(32, 4)
	INTS6(64, 8)
	INTS6(96, 12)
	NEXT8
	DECQ CX
	JNE  linear6
	SCALE4
	SCALE(16, Y8, Y9)
	SCALE(20, Y10, Y11)
	VZEROUPPER
	RET

#define FLOATS(ADDR, LO, HI) \
	VBROADCASTSS ADDR, Y14       \
	VMULPS       Y12, Y14, Y15   \
	VMULPS       Y13, Y14, Y14   \
	VADDPS       Y15, LO, LO     \
	VADDPS       Y14, HI, HI

#define STORE(LO, HI) \
	VMOVUPS LO, (DI)     \
	VMOVUPS HI, 32(DI)   \
	ADDQ    R8, DI

// func matMulTileAVX2(out *float32, outBytes int, a *float32, aBytes, k int, b *float32, bBytes int)
TEXT ·matMulTileAVX2(SB), NOSPLIT, $0-56
	MOVQ out+0(FP), DI
	MOVQ outBytes+8(FP), R8
	MOVQ a+16(FP), SI
	MOVQ aBytes+24(FP), R12
	MOVQ k+32(FP), CX
	MOVQ b+40(FP), DX
	MOVQ bBytes+48(FP), R9
	LEAQ (SI)(R12*2), R13
	ADDQ R12, R13
	ZERO8

matmul:
	VMOVUPS (DX), Y12
	VMOVUPS 32(DX), Y13
	FLOATS((SI), Y0, Y1)
	FLOATS((SI)(R12*1), Y2, Y3)
	FLOATS((SI)(R12*2), Y4, Y5)
	FLOATS((R13), Y6, Y7)
	ADDQ $4, SI
	ADDQ $4, R13
	ADDQ R9, DX
	DECQ CX
	JNE  matmul

	STORE(Y0, Y1)
	STORE(Y2, Y3)
	STORE(Y4, Y5)
	STORE(Y6, Y7)
	VZEROUPPER
	RET

// REDUCE combines the eight lanes of R into its first, by OP.
#define REDUCE(OP, R, X, T) \
	VEXTRACTF128 $1, R, T     \
	OP           T, X, X      \
	VMOVHLPS     X, X, T      \
	OP           T, X, X      \
	VMOVSHDUP    X, T         \
	OP           T, X, X

// func maxAbsAVX2(src *float32, sixteens int) float32
// Magnitudes are compared as integers: their order is the same, and NaN is the
// greatest.
TEXT ·maxAbsAVX2(SB), NOSPLIT, $0-20
	MOVQ src+0(FP), SI
	MOVQ sixteens+8(FP), CX
	VPCMPEQD Y15, Y15, Y15
	VPSRLD   $1, Y15, Y15
	VPXOR    Y0, Y0, Y0
	VPXOR    Y1, Y1, Y1

maxabs:
	VPAND   (SI), Y15, Y2
	VPAND   32(SI), Y15, Y3
	VPMAXUD Y2, Y0, Y0
	VPMAXUD Y3, Y1, Y1
	ADDQ    $64, SI
	DECQ    CX
	JNE     maxabs
	VPMAXUD Y1, Y0, Y0
	REDUCE(VPMAXUD, Y0, X0, X1)
	VMOVSS X0, ret+16(FP)
	VZEROUPPER
	RET

// func roundAVX2(dst *int16, src *float32, sixteens int, factor float32)
TEXT ·roundAVX2(SB), NOSPLIT, $0-28
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ sixteens+16(FP), CX
	VBROADCASTSS factor+24(FP), Y15

round:
	VMULPS     (SI), Y15, Y0
	VMULPS     32(SI), Y15, Y1
	VCVTPS2DQ  Y0, Y0
	VCVTPS2DQ  Y1, Y1
	VPACKSSDW  Y1, Y0, Y0
	VPERMQ     $0xD8, Y0, Y0
	VMOVDQU    Y0, (DI)
	ADDQ       $64, SI
	ADDQ       $32, DI
	DECQ       CX
	JNE        round
	VZEROUPPER
	RET

// HORNER multiplies S by X and adds the coefficient at AT.
#define HORNER(S, X, AT, T) \
	VMULPS       X, S, S        \
	VBROADCASTSS AT, T          \
	VADDPS       T, S, S

// func softmaxAVX2(row *float32, eights int, c *[12]float32)
// c: least, log2e, ln2 high, ln2 low, then the polynomial, highest first.
TEXT ·softmaxAVX2(SB), NOSPLIT, $0-24
	MOVQ row+0(FP), DI
	MOVQ eights+8(FP), CX
	MOVQ c+16(FP), R8
	MOVQ DI, SI
	MOVQ CX, DX
	VMOVUPS (SI), Y0

most:
	VMAXPS (SI), Y0, Y0
	ADDQ   $32, SI
	DECQ   DX
	JNE    most
	REDUCE(VMAXPS, Y0, X0, X1)
	VBROADCASTSS X0, Y0
	VPXOR        Y1, Y1, Y1
	VBROADCASTSS (R8), Y8
	VBROADCASTSS 4(R8), Y9
	VBROADCASTSS 8(R8), Y10
	VBROADCASTSS 12(R8), Y11
	MOVL         $127, AX
	VMOVD        AX, X12
	VPBROADCASTD X12, Y12
	MOVQ         DI, SI
	MOVQ         CX, DX

exps:
	VMOVUPS   (SI), Y2
	VSUBPS    Y0, Y2, Y2
	VMAXPS    Y8, Y2, Y2
	VMULPS    Y9, Y2, Y3
	VROUNDPS  $0, Y3, Y3
	VMULPS    Y10, Y3, Y4
	VSUBPS    Y4, Y2, Y2
	VMULPS    Y11, Y3, Y4
	VSUBPS    Y4, Y2, Y2
	VBROADCASTSS 16(R8), Y5
	HORNER(Y5, Y2, 20(R8), Y6)
	HORNER(Y5, Y2, 24(R8), Y6)
	HORNER(Y5, Y2, 28(R8), Y6)
	HORNER(Y5, Y2, 32(R8), Y6)
	HORNER(Y5, Y2, 36(R8), Y6)
	HORNER(Y5, Y2, 40(R8), Y6)
	VCVTPS2DQ Y3, Y3
	VPADDD    Y12, Y3, Y3
	VPSLLD    $23, Y3, Y3
	VMULPS    Y3, Y5, Y5
	VADDPS    Y5, Y1, Y1
	VMOVUPS   Y5, (SI)
	ADDQ      $32, SI
	DECQ      DX
	JNE       exps

	REDUCE(VADDPS, Y1, X1, X2)
	MOVL         $0x3f800000, AX
	VMOVD        AX, X2
	VDIVSS       X1, X2, X1
	VBROADCASTSS X1, Y1

shares:
	VMULPS  (DI), Y1, Y2
	VMOVUPS Y2, (DI)
	ADDQ    $32, DI
	DECQ    CX
	JNE     shares
	VZEROUPPER
	RET

// func geluAVX2(x *float32, eights int, c *[16]float32)
// c: √½, -most, most, ½, numerator and denominator, highest first.
TEXT ·geluAVX2(SB), NOSPLIT, $0-24
	MOVQ x+0(FP), DI
	MOVQ eights+8(FP), CX
	MOVQ c+16(FP), R8
	VBROADCASTSS (R8), Y8
	VBROADCASTSS 4(R8), Y9
	VBROADCASTSS 8(R8), Y10
	VBROADCASTSS 12(R8), Y11
	VBROADCASTSS 60(R8), Y12 // 1, the denominator's last
	VBROADCASTSS 16(R8), Y13
	VBROADCASTSS 40(R8), Y14

gelu:
	VMOVUPS (DI), Y0
	VMULPS  Y8, Y0, Y1
	VMAXPS  Y9, Y1, Y1
	VMINPS  Y10, Y1, Y1
	VMULPS  Y1, Y1, Y2
	VMOVAPS Y13, Y3
	HORNER(Y3, Y2, 20(R8), Y5)
	HORNER(Y3, Y2, 24(R8), Y5)
	HORNER(Y3, Y2, 28(R8), Y5)
	HORNER(Y3, Y2, 32(R8), Y5)
	HORNER(Y3, Y2, 36(R8), Y5)
	VMOVAPS Y14, Y4
	HORNER(Y4, Y2, 44(R8), Y5)
	HORNER(Y4, Y2, 48(R8), Y5)
	HORNER(Y4, Y2, 52(R8), Y5)
	HORNER(Y4, Y2, 56(R8), Y5)
	HORNER(Y4, Y2, 60(R8), Y5)
	VMULPS  Y3, Y1, Y1
	VDIVPS  Y4, Y1, Y1
	VADDPS  Y12, Y1, Y1
	VMULPS  Y11, Y0, Y0
	VMULPS  Y1, Y0, Y0
	VMOVUPS Y0, (DI)
	ADDQ    $32, DI
	DECQ    CX
	JNE     gelu
	VZEROUPPER
	RET

// func layerNormAVX2(dst, a, b, gain, bias *float32, eights int, n, eps float32)
TEXT ·layerNormAVX2(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ a+8(FP), SI
	MOVQ b+16(FP), DX
	MOVQ gain+24(FP), R8
	MOVQ bias+32(FP), R9
	MOVQ eights+40(FP), CX
	VMOVSS n+48(FP), X14
	VPXOR Y0, Y0, Y0
	MOVQ  DI, R10
	MOVQ  CX, R11

sums:
	VMOVUPS (SI), Y1
	VADDPS  (DX), Y1, Y1
	VMOVUPS Y1, (R10)
	VADDPS  Y1, Y0, Y0
	ADDQ    $32, SI
	ADDQ    $32, DX
	ADDQ    $32, R10
	DECQ    R11
	JNE     sums
	REDUCE(VADDPS, Y0, X0, X1)
	VDIVSS       X14, X0, X0
	VBROADCASTSS X0, Y2
	VPXOR        Y0, Y0, Y0
	MOVQ         DI, R10
	MOVQ         CX, R11

squares:
	VMOVUPS (R10), Y1
	VSUBPS  Y2, Y1, Y1
	VMOVUPS Y1, (R10)
	VMULPS  Y1, Y1, Y1
	VADDPS  Y1, Y0, Y0
	ADDQ    $32, R10
	DECQ    R11
	JNE     squares
	REDUCE(VADDPS, Y0, X0, X1)
	VDIVSS       X14, X0, X0
	VADDSS       eps+52(FP), X0, X0
	VSQRTSS      X0, X0, X0
	MOVL         $0x3f800000, AX
	VMOVD        AX, X1
	VDIVSS       X0, X1, X0
	VBROADCASTSS X0, Y2

normed:
	VMULPS  (DI), Y2, Y1
	VMULPS  (R8), Y1, Y1
	VADDPS  (R9), Y1, Y1
	VMOVUPS Y1, (DI)
	ADDQ    $32, DI
	ADDQ    $32, R8
	ADDQ    $32, R9
	DECQ    CX
	JNE     normed
	VZEROUPPER
	RET
