package main

import "fmt"

// Row scores with AVX2. VPMADDUBSW multiplies unsigned by signed bytes and adds
// pairs in int16: with the magnitude of a row's byte, at most 128, and a lane's
// byte in ±127 with the row's sign, a pair is within ±32512 and never saturates.
//
// Sixteen lanes are two registers of eight sums; four or one rows at once:
//
//	Y0-Y7    sums: of row r, lanes 0-7 in Y(2r) and 8-15 in Y(2r+1)
//	Y8 Y9    four dimensions of the lanes, between tiles maxima or floors
//	Y10      of a row, broadcast    Y11 their magnitudes    Y12 products
//	Y13      ones                   Y14 Y15 scratch
//
// The other registers are those of the AVX-512 kernels.

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
		a.function(fmt.Sprintf("%sAVX2(%s)", k.name, k.params), k.args)
		a.load("q+0", "SI", "rows+8", "DI", "n+16", "CX", "eights+24", "DX")
		a.op("XORL R10, R10")
		a.op("LEAQ (DX*8), R11")
		a.op("VPCMPEQW Y13, Y13, Y13")
		a.op("VPSRLW $15, Y13, Y13")
		k.begin(a, 1, 4)
		tilesUpTo4(a, func(rows int) {
			sumsAVX2(a, rows)
			k.finish(a, 1, rows)
		})
		a.done()
	}
}

// sumsAVX2 scores a tile, eight dimensions a step.
func sumsAVX2(a *asm, rows int) {
	for i := range 2 * rows {
		a.op("VPXOR Y%d, Y%d, Y%d", i, i, i)
	}
	pointers(a, rows)
	loop := fmt.Sprintf("tile%dstep", rows)
	a.label(loop)
	for step := range 2 {
		a.op("VMOVDQU %d(AX), Y8", 64*step)
		a.op("VMOVDQU %d(AX), Y9", 64*step+32)
		for r := range rows {
			a.op("VPBROADCASTD %s, Y10", rowAt(r, 4*step))
			a.op("VPABSB Y10, Y11")
			for half := range 2 {
				product := 12 + 2*half // Y12 and Y14
				a.op("VPSIGNB Y10, Y%d, Y%d", 8+half, product)
				a.op("VPMADDUBSW Y%d, Y11, Y%d", product, product)
				a.op("VPMADDWD Y13, Y%d, Y%d", product, product)
				a.op("VPADDD Y%d, Y%d, Y%d", product, 2*r+half, 2*r+half)
			}
		}
	}
	advance(a, rows, 128, 8, loop)
}

// tilesUpTo4 is tiles without those of eight rows.
func tilesUpTo4(a *asm, tile func(rows int)) {
	a.op("CMPQ CX, $4")
	a.op("JGE tile4")
	tileLoops(a, []int{1, 4}, tile)
}
