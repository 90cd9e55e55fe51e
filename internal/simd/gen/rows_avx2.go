package main

import "fmt"

// Row scores with AVX2, in int16: the lanes of a block are widened once a call,
// to [dim/2][16][2]int16, and the rows of a tile once a tile, into the frame.
// Nothing in the inner loop but VPMADDWD and VPADDD takes a pipe of the
// processor. (Products of bytes, VPMADDUBSW, need the signs moved from row to
// lane and are slower.)
//
// Sixteen lanes are two registers of eight sums; four rows or one at once:
//
//	Y0-Y7    sums: of row r, lanes 0-7 in Y(2r) and 8-15 in Y(2r+1)
//	Y8 Y9    two dimensions of the lanes    Y10-Y11  of rows    Y12-Y15  products
//
// At the end of a tile Y8 to Y15 are free.
//
// SI widened lanes, DI rows, R11 bytes a row, CX rows left, R10 rows done, DX
// dimensions ÷ 8. In a tile: AX lanes, BX widened rows 0-2 and R9 row 3, R13
// bytes of one, R12 steps left.

// frameLanes and frameRows are what the greatest dimension, 1,024, needs.
const (
	frameLanes = 16 * 1024 * 2
	frameRows  = 4 * 1024 * 2
)

var rowKernelsAVX2 = []rowKernel{
	{
		name:   "maxRows",
		params: "q, rows *int8, n, eights int, best *[16]int32",
		args:   40,
		begin:  func(a *asm, _, _ int) { a.load("best+32", "R14") },
		finish: func(a *asm, _, rows int) {
			for half := range 2 {
				for r := range rows - 1 {
					a.op("VPMAXSD Y%d, Y%d, Y%d", 2*(r+1)+half, half, half)
				}
				a.op("VPMAXSD %d(R14), Y%d, Y%d", 32*half, half, half)
				a.op("VMOVDQU Y%d, %d(R14)", half, 32*half)
			}
		},
	},
	{
		name:   "maxScaledRows",
		params: "q, rows *int8, n, eights int, best *[16]int32, factors *int32",
		args:   48,
		begin:  func(a *asm, _, _ int) { a.load("best+32", "R14", "factors+40", "R15") },
		finish: func(a *asm, _, rows int) {
			a.op("LEAQ (R15)(R10*4), AX")
			for r := range rows {
				a.op("VPBROADCASTD %d(AX), Y8", 4*r)
				a.op("VPMULLD Y8, Y%d, Y%d", 2*r, 2*r)
				a.op("VPMULLD Y8, Y%d, Y%d", 2*r+1, 2*r+1)
			}
			for half := range 2 {
				for r := range rows - 1 {
					a.op("VPMAXSD Y%d, Y%d, Y%d", 2*(r+1)+half, half, half)
				}
				a.op("VPMAXSD %d(R14), Y%d, Y%d", 32*half, half, half)
				a.op("VMOVDQU Y%d, %d(R14)", half, 32*half)
			}
		},
	},
	{
		name:   "argmaxRows",
		params: "q, rows *int8, n, eights int, best, ids *[16]int32, base int32",
		args:   52,
		begin:  func(a *asm, _, _ int) { a.load("best+32", "R14", "ids+40", "R15") },
		finish: func(a *asm, _, rows int) {
			a.op("MOVL base+48(FP), AX")
			a.op("ADDL R10, AX")
			for half := range 2 {
				a.op("VMOVDQU %d(R14), Y%d", 32*half, 8+half)
				a.op("VMOVDQU %d(R15), Y%d", 32*half, 10+half)
			}
			for r := range rows {
				a.op("VMOVD AX, X14")
				a.op("VPBROADCASTD X14, Y14")
				for half := range 2 {
					a.op("VPCMPGTD Y%d, Y%d, Y15", 8+half, 2*r+half)
					a.op("VPBLENDVB Y15, Y14, Y%d, Y%d", 10+half, 10+half)
					a.op("VPMAXSD Y%d, Y%d, Y%d", 2*r+half, 8+half, 8+half)
				}
				a.op("INCL AX")
			}
			for half := range 2 {
				a.op("VMOVDQU Y%d, %d(R14)", 8+half, 32*half)
				a.op("VMOVDQU Y%d, %d(R15)", 10+half, 32*half)
			}
		},
	},
	{
		name:   "scanRows",
		params: "q, rows *int8, n, eights int, floor *[16]int32, out *int32, above *uint16, blocks int",
		args:   64,
		begin:  func(a *asm, _, _ int) { a.load("floor+32", "R14", "blocks+56", "R8") },
		finish: func(a *asm, _, rows int) {
			a.op("VMOVDQU (R14), Y8")
			a.op("VMOVDQU 32(R14), Y9")
			a.op("MOVQ R10, R12") // results of a row are R8 blocks apart
			a.op("IMULQ R8, R12")
			for r := range rows {
				if r > 0 {
					a.op("ADDQ R8, R12")
				}
				a.load("out+40", "AX", "above+48", "R15")
				a.op("MOVQ R12, BX")
				a.op("SHLQ $6, BX")
				a.op("VMOVDQU Y%d, (AX)(BX*1)", 2*r)
				a.op("VMOVDQU Y%d, 32(AX)(BX*1)", 2*r+1)
				a.op("VPCMPGTD Y8, Y%d, Y14", 2*r)
				a.op("VPCMPGTD Y9, Y%d, Y15", 2*r+1)
				a.op("VMOVMSKPS Y14, AX")
				a.op("VMOVMSKPS Y15, BX")
				a.op("SHLL $8, BX")
				a.op("ORL BX, AX")
				a.op("MOVW AX, (R15)(R12*2)")
			}
		},
	},
}

func rowsAVX2(a *asm) {
	for _, k := range rowKernelsAVX2 {
		a.functionWithFrame(fmt.Sprintf("%sAVX2(%s)", k.name, k.params), frameLanes+frameRows+64, k.args)
		a.load("q+0", "SI", "rows+8", "DI", "n+16", "CX", "eights+24", "DX")
		a.op("XORL R10, R10")
		a.op("LEAQ (DX*8), R11")
		widenLanes(a)
		k.begin(a, 1, 4)
		a.op("CMPQ CX, $4")
		a.op("JGE tile4")
		tileLoops(a, []int{1, 4}, func(rows int) {
			sumsAVX2(a, rows)
			k.finish(a, 1, rows)
		})
		a.done()
	}
}

// widenLanes turns SI from packed lanes to widened ones. A load has four
// dimensions of four lanes; of two loads, the even doublewords are the first
// pairs of dimensions of eight lanes and the odd ones the second.
func widenLanes(a *asm) {
	a.op("LEAQ 63(SP), R12") // in whole lines
	a.op("ANDQ $~63, R12")
	a.op("MOVQ R12, BX")
	a.op("LEAQ (DX*2), AX")
	a.label("lanes")
	for half := range 2 {
		a.op("VPMOVSXBW %d(SI), Y0", 32*half)
		a.op("VPMOVSXBW %d(SI), Y1", 32*half+16)
		for pair, pick := range []string{"$0x88", "$0xDD"} {
			a.op("VSHUFPS %s, Y1, Y0, Y2", pick)
			a.op("VPERMQ $0xD8, Y2, Y2")
			a.op("VMOVDQU Y2, %d(BX)", 64*pair+32*half)
		}
	}
	a.op("ADDQ $64, SI")
	a.op("ADDQ $128, BX")
	a.op("DECQ AX")
	a.op("JNZ lanes")
	a.op("MOVQ R12, SI")
}

// sumsAVX2 scores a tile, eight dimensions a step.
func sumsAVX2(a *asm, rows int) {
	widen, step := fmt.Sprintf("tile%dwiden", rows), fmt.Sprintf("tile%dstep", rows)
	a.op("MOVQ DI, AX")
	a.op("LEAQ %d(SI), BX", frameLanes)
	a.op("LEAQ (DX*%d), R12", rows) // eights of the tile's rows
	a.label(widen)
	a.op("VPMOVSXBW (AX), X0")
	a.op("VMOVDQU X0, (BX)")
	a.op("ADDQ $8, AX")
	a.op("ADDQ $16, BX")
	a.op("DECQ R12")
	a.op("JNZ %s", widen)
	for i := range 2 * rows {
		a.op("VPXOR Y%d, Y%d, Y%d", i, i, i)
	}
	a.op("MOVQ SI, AX")
	a.op("LEAQ %d(SI), BX", frameLanes)
	a.op("LEAQ (R11)(R11*1), R13")
	a.op("LEAQ (BX)(R13*2), R9")
	a.op("ADDQ R13, R9")
	a.op("MOVQ DX, R12")
	a.op("PCALIGN $64")
	a.label(step)
	for pair := range 4 {
		a.op("VMOVDQU %d(AX), Y8", 64*pair)
		a.op("VMOVDQU %d(AX), Y9", 64*pair+32)
		for r := range rows {
			at := [4]string{"(BX)", "(BX)(R13*1)", "(BX)(R13*2)", "(R9)"}[r]
			row, product := 10+r%2, 12+r%2*2
			a.op("VPBROADCASTD %d%s, Y%d", 4*pair, at, row)
			for half := range 2 {
				a.op("VPMADDWD Y%d, Y%d, Y%d", 8+half, row, product+half)
				a.op("VPADDD Y%d, Y%d, Y%d", product+half, 2*r+half, 2*r+half)
			}
		}
	}
	a.op("ADDQ $256, AX")
	a.op("ADDQ $16, BX")
	a.op("ADDQ $16, R9")
	a.op("DECQ R12")
	a.op("JNZ %s", step)
}
