package main

import "fmt"

// Row scores with AVX-512 VNNI. VPDPBUSD multiplies unsigned by signed bytes:
// a row's bytes are made unsigned by flipping their top bits, which adds 128 to
// each, and sums begin at -128·Σ of the lane, which packed lanes end in.
//
// One or two blocks of sixteen lanes are scored with eight, four or one rows at
// once:
//
//	Z0-Z15   sums: of row r and block b, Z(r·blocks + b)
//	Z16 Z17  four dimensions of the lanes    Z18-Z21  of rows, broadcast
//	Z22 Z23  maxima or floors    Z24 Z25  where sums begin    Z26 Z27  row numbers
//	Z28      scratch             Z31      the top bits
//
// SI lanes, R8 bytes a block, DI rows, R11 bytes a row, CX rows left, R10 rows
// done, DX dimensions ÷ 8. In a tile: AX lanes, BX rows 0-2, R13 rows 3-5 and 7,
// R12 row 6, R9 steps left. Where rows are no multiple of the tile, the last
// tile goes over some rows twice, which changes neither maxima nor results.

// rowKernel is what is done with the sums of a tile.
type rowKernel struct {
	name   string // of the function without its tier and blocks
	params string
	args   int // bytes
	// begin loads what the kernel needs; finish takes the sums of row r, at the
	// row number in R10 plus r. It may use AX, BX, R9, R12, R13 and Z16 to Z21.
	begin, finish func(a *asm, blocks, rows int)
	end           func(a *asm, blocks int)
}

func perBlock(blocks int, f func(b int)) {
	for b := range blocks {
		f(b)
	}
}

var loadBest = func(a *asm, blocks, _ int) {
	a.load("best+40", "R14")
	perBlock(blocks, func(b int) { a.op("VMOVDQU32 %d(R14), Z%d", 64*b, 22+b) })
}

var storeBest = func(a *asm, blocks int) {
	perBlock(blocks, func(b int) { a.op("VMOVDQU32 Z%d, %d(R14)", 22+b, 64*b) })
}

var rowKernels = []rowKernel{
	{
		name:   "maxRows",
		params: "q *int8, blockBytes int, rows *int8, n, eights int, best *[16]int32",
		args:   48,
		begin:  loadBest,
		finish: func(a *asm, blocks, rows int) {
			for r := range rows {
				perBlock(blocks, func(b int) { a.op("VPMAXSD Z%d, Z%d, Z%d", r*blocks+b, 22+b, 22+b) })
			}
		},
		end: storeBest,
	},
	{
		name:   "maxScaledRows",
		params: "q *int8, blockBytes int, rows *int8, n, eights int, best *[16]int32, factors *int32",
		args:   56,
		begin: func(a *asm, blocks, rows int) {
			loadBest(a, blocks, rows)
			a.load("factors+48", "R15")
		},
		finish: func(a *asm, blocks, rows int) {
			a.op("LEAQ (R15)(R10*4), AX")
			for r := range rows {
				perBlock(blocks, func(b int) {
					a.op("VPMULLD.BCST %d(AX), Z%d, Z%d", 4*r, r*blocks+b, r*blocks+b)
				})
			}
			for r := range rows {
				perBlock(blocks, func(b int) { a.op("VPMAXSD Z%d, Z%d, Z%d", r*blocks+b, 22+b, 22+b) })
			}
		},
		end: storeBest,
	},
	{
		name:   "argmaxRows",
		params: "q *int8, blockBytes int, rows *int8, n, eights int, best, ids *[16]int32, base int32",
		args:   60,
		begin: func(a *asm, blocks, rows int) {
			loadBest(a, blocks, rows)
			a.load("ids+48", "R15")
			perBlock(blocks, func(b int) { a.op("VMOVDQU32 %d(R15), Z%d", 64*b, 26+b) })
		},
		finish: func(a *asm, blocks, rows int) {
			a.op("MOVL base+56(FP), AX")
			a.op("ADDL R10, AX")
			for r := range rows {
				a.op("VPBROADCASTD AX, Z28")
				perBlock(blocks, func(b int) {
					a.op("VPCMPGTD Z%d, Z%d, K1", 22+b, r*blocks+b)
					a.op("VMOVDQA32 Z28, K1, Z%d", 26+b)
					a.op("VPMAXSD Z%d, Z%d, Z%d", r*blocks+b, 22+b, 22+b)
				})
				a.op("INCL AX")
			}
		},
		end: func(a *asm, blocks int) {
			storeBest(a, blocks)
			perBlock(blocks, func(b int) { a.op("VMOVDQU32 Z%d, %d(R15)", 26+b, 64*b) })
		},
	},
	{
		name:   "scanRows",
		params: "q *int8, blockBytes int, rows *int8, n, eights int, floor *[16]int32, out *int32, above *uint16",
		args:   64,
		begin: func(a *asm, blocks, _ int) {
			a.load("floor+40", "R14")
			perBlock(blocks, func(b int) { a.op("VMOVDQU32 %d(R14), Z%d", 64*b, 22+b) })
			a.load("out+48", "R14", "above+56", "R15")
		},
		finish: func(a *asm, blocks, rows int) {
			a.op("MOVQ R10, AX")
			a.op("SHLQ $%d, AX", 5+blocks)
			a.op("ADDQ R14, AX")
			a.op("LEAQ (R15)(R10*%d), BX", 2*blocks)
			for r := range rows {
				perBlock(blocks, func(b int) {
					at := r*blocks + b
					a.op("VMOVDQU32 Z%d, %d(AX)", at, 64*at)
					a.op("VPCMPGTD Z%d, Z%d, K1", 22+b, at)
					a.op("KMOVW K1, R9")
					a.op("MOVW R9, %d(BX)", 2*at)
				})
			}
		},
		end: func(*asm, int) {},
	},
}

func rowsAVX512(a *asm) {
	for _, k := range rowKernels {
		for blocks := 1; blocks <= 2; blocks++ {
			k.write(a, blocks)
		}
	}
	for blocks := 1; blocks <= 2; blocks++ {
		argmaxF32AVX512(a, blocks)
	}
}

func (k rowKernel) write(a *asm, blocks int) {
	name := fmt.Sprintf("%s%dAVX512", k.name, blocks)
	a.function(fmt.Sprintf("%s(%s)", name, k.params), k.args)
	a.load("q+0", "SI", "blockBytes+8", "R8", "rows+16", "DI", "n+24", "CX", "eights+32", "DX")
	a.op("XORL R10, R10")
	a.op("LEAQ (DX*8), R11")
	a.op("MOVL $0x80808080, AX")
	a.op("VPBROADCASTD AX, Z31")
	a.op("LEAQ (SI)(R8*1), AX") // the sums of a block are its last 64 bytes
	a.op("VMOVDQU32 -64(AX), Z24")
	if blocks == 2 {
		a.op("VMOVDQU32 -64(AX)(R8*1), Z25")
	}
	k.begin(a, blocks, 8)
	tiles(a, func(rows int) {
		k.sums(a, blocks, rows)
		k.finish(a, blocks, rows)
	})
	k.end(a, blocks)
	a.done()
}

// tiles writes the loops over tiles of eight, four and one rows: one of them
// runs, the greatest that there are rows for.
func tiles(a *asm, tile func(rows int)) {
	a.op("CMPQ CX, $8")
	a.op("JGE tile8")
	a.op("CMPQ CX, $4")
	a.op("JGE tile4")
	tileLoops(a, []int{1, 4, 8}, tile)
}

func tileLoops(a *asm, sizes []int, tile func(rows int)) {
	for _, rows := range sizes {
		a.label(fmt.Sprintf("tile%d", rows))
		tile(rows)
		// The next tile begins as many rows on as are left, a tile at most.
		a.op("SUBQ $%d, CX", rows)
		a.op("JZ done")
		a.op("MOVQ $%d, AX", rows)
		a.op("CMPQ CX, AX")
		a.op("CMOVQLT CX, AX")
		a.op("ADDQ AX, R10")
		a.op("CMPQ CX, $%d", rows)
		a.op("MOVQ $%d, BX", rows)
		a.op("CMOVQLT BX, CX")
		a.op("IMULQ R11, AX")
		a.op("ADDQ AX, DI")
		a.op("JMP tile%d", rows)
	}
	a.label("done")
}

// rowAt addresses a row of a tile.
func rowAt(r, offset int) string {
	at := [8]string{"(BX)", "(BX)(R11*1)", "(BX)(R11*2)", "(R13)", "(BX)(R11*4)", "(R13)(R11*2)", "(R12)", "(R13)(R11*4)"}[r]
	return fmt.Sprintf("%d%s", offset, at)
}

// pointers sets the registers of a tile.
func pointers(a *asm, rows int) {
	a.op("MOVQ SI, AX")
	a.op("MOVQ DI, BX")
	if rows > 3 {
		a.op("LEAQ (DI)(R11*2), R13")
		a.op("ADDQ R11, R13")
	}
	if rows > 6 {
		a.op("LEAQ (R13)(R11*2), R12")
		a.op("ADDQ R11, R12")
	}
	a.op("MOVQ DX, R9")
}

// advance moves the registers of a tile on, and loops.
func advance(a *asm, rows, laneBytes, rowBytes int, loop string) {
	a.op("ADDQ $%d, AX", laneBytes)
	a.op("ADDQ $%d, BX", rowBytes)
	if rows > 3 {
		a.op("ADDQ $%d, R13", rowBytes)
	}
	if rows > 6 {
		a.op("ADDQ $%d, R12", rowBytes)
	}
	a.op("DECQ R9")
	a.op("JNZ %s", loop)
}

// laneAt addresses lanes of a block of a tile.
func laneAt(b, offset int) string {
	return fmt.Sprintf("%d%s", offset, [2]string{"(AX)", "(AX)(R8*1)"}[b])
}

// sums scores a tile, eight dimensions a step.
func (k rowKernel) sums(a *asm, blocks, rows int) {
	for i := range rows * blocks {
		a.op("VMOVDQA32 Z%d, Z%d", 24+i%blocks, i)
	}
	pointers(a, rows)
	loop := fmt.Sprintf("tile%dstep", rows)
	a.label(loop)
	for step := range 2 {
		perBlock(blocks, func(b int) { a.op("VMOVDQU32 %s, Z%d", laneAt(b, 64*step), 16+b) })
		for r := range rows {
			row := 18 + (step*rows+r)%4
			a.op("VPXORD.BCST %s, Z31, Z%d", rowAt(r, 4*step), row)
			perBlock(blocks, func(b int) { a.op("VPDPBUSD Z%d, Z%d, Z%d", 16+b, row, r*blocks+b) })
		}
	}
	advance(a, rows, 128, 8, loop)
}

// argmaxF32AVX512 is argmaxRows for float32 rows and lanes. Products are
// rounded before they are added, so that every tier gives the same sums; on
// processors that multiply and add in different pipes that costs nothing. The
// registers are those of the integer kernels, and Z18 to Z21 hold products.
func argmaxF32AVX512(a *asm, blocks int) {
	a.function(fmt.Sprintf("argmaxF32Rows%dAVX512(q *float32, blockBytes int, rows *float32, n, eights int, best *[16]float32, ids *[16]int32, base int32)", blocks), 60)
	a.load("q+0", "SI", "blockBytes+8", "R8", "rows+16", "DI", "n+24", "CX", "eights+32", "DX", "best+40", "R14", "ids+48", "R15")
	a.op("XORL R10, R10")
	a.op("MOVQ DX, R11")
	a.op("SHLQ $5, R11")
	perBlock(blocks, func(b int) {
		a.op("VMOVUPS %d(R14), Z%d", 64*b, 22+b)
		a.op("VMOVDQU32 %d(R15), Z%d", 64*b, 26+b)
	})
	tiles(a, func(rows int) {
		for i := range rows * blocks {
			a.op("VPXORD Z%d, Z%d, Z%d", i, i, i)
		}
		pointers(a, rows)
		loop := fmt.Sprintf("tile%dstep", rows)
		a.label(loop)
		for step := range 8 {
			perBlock(blocks, func(b int) { a.op("VMOVUPS %s, Z%d", laneAt(b, 64*step), 16+b) })
			for r := range rows {
				perBlock(blocks, func(b int) {
					product := 18 + (r*blocks+b)%4
					a.op("VMULPS.BCST %s, Z%d, Z%d", rowAt(r, 4*step), 16+b, product)
					a.op("VADDPS Z%d, Z%d, Z%d", product, r*blocks+b, r*blocks+b)
				})
			}
		}
		advance(a, rows, 512, 32, loop)
		a.op("MOVL base+56(FP), AX")
		a.op("ADDL R10, AX")
		for r := range rows {
			a.op("VPBROADCASTD AX, Z28")
			perBlock(blocks, func(b int) {
				a.op("VCMPPS $0x1e, Z%d, Z%d, K1", 22+b, r*blocks+b) // greater than, false for NaN
				a.op("VMOVDQA32 Z28, K1, Z%d", 26+b)
				a.op("VMOVAPS Z%d, K1, Z%d", r*blocks+b, 22+b)
			})
			a.op("INCL AX")
		}
	})
	perBlock(blocks, func(b int) {
		a.op("VMOVUPS Z%d, %d(R14)", 22+b, 64*b)
		a.op("VMOVDQU32 Z%d, %d(R15)", 26+b, 64*b)
	})
	a.done()
}
