package main

import "fmt"

// The layer of a transformer with AVX-512 VNNI: rows of int16 activations by a
// panel of sixteen columns of int8 weights. VPDPWSSD adds the products of a pair
// of values of one row, broadcast from memory, with all sixteen columns.
//
//	Z0-Z11   sums of a row    Z12 Z13  pairs of weights, widened
//	Z14      columns' scales  Z15      biases
//
// DI out, R8 bytes between its rows, SI R13 R14 R15 rows 0, 3, 6 and 9, R12 bytes
// a row, CX steps of eight values left, DX weights, R9 scales of rows.

var linearRows = []int{4, 8, 12}

func linear(a *asm) {
	for _, rows := range linearRows {
		linearTile(a, rows)
	}
}

func linearTile(a *asm, rows int) {
	a.function(fmt.Sprintf("linear%dAVX512(out *float32, outBytes int, a *int16, eights int, w *int8, scales, columns, bias *float32)", rows), 64)
	a.load("out+0", "DI", "outBytes+8", "R8", "a+16", "SI", "eights+24", "CX", "w+32", "DX", "scales+40", "R9", "columns+48", "R10", "bias+56", "R11")
	a.op("MOVQ CX, R12")
	a.op("SHLQ $4, R12")
	a.op("LEAQ (R12)(R12*2), AX")
	bases := []string{"SI", "R13", "R14", "R15"}[:(rows+2)/3]
	for i := 1; i < len(bases); i++ {
		a.op("LEAQ (%s)(AX*1), %s", bases[i-1], bases[i])
	}
	for r := range rows {
		a.op("VPXORD Z%d, Z%d, Z%d", r, r, r)
	}
	a.label("step")
	for pair := range 4 {
		weights := 12 + pair%2
		a.op("VPMOVSXBW %d(DX), Z%d", 32*pair, weights)
		for r := range rows {
			at := [3]string{"(%s)", "(%s)(R12*1)", "(%s)(R12*2)"}[r%3]
			a.op("VPDPWSSD.BCST %d"+at+", Z%d, Z%d", 4*pair, bases[r/3], weights, r)
		}
	}
	for _, b := range bases {
		a.op("ADDQ $16, %s", b)
	}
	a.op("ADDQ $128, DX")
	a.op("DECQ CX")
	a.op("JNZ step")
	a.op("VMOVUPS (R10), Z14")
	a.op("VMOVUPS (R11), Z15")
	for r := range rows {
		a.op("VCVTDQ2PS Z%d, Z%d", r, r)
		a.op("VMULPS.BCST %d(R9), Z%d, Z%d", 4*r, r, r)
		a.op("VMULPS Z14, Z%d, Z%d", r, r)
		a.op("VADDPS Z15, Z%d, Z%d", r, r)
		a.op("VMOVUPS Z%d, (DI)", r)
		if r < rows-1 {
			a.op("ADDQ R8, DI")
		}
	}
	a.done()
}
