// Package simd holds the inner loops of colbertdb: integer row scores and
// maxima, expansion of residual planes, float conversions, dot products, and the
// layers of a transformer encoder (transformer.go).
//
// Every kernel exists in generic Go, which is always compiled and is the
// oracle of the tests, and for some processors in assembly. The best tier is
// chosen when the program starts; the build tag noasm leaves only the generic
// one, and Force picks one for a test. All kernels give the same bits on every
// tier. No kernel allocates, and callers bound the work of a call (MaxWork),
// because assembly cannot be preempted.
//
// # Layouts
//
// Lanes are vectors that are scored at once, sixteen in a block: query tokens in
// MaxSim and probing, points in k-means. A packed block of int8 lanes is
// [dim/4][16][4]int8, for each four dimensions those of every lane, and then
// [16]int32 with -128·Σ of each lane: AVX-512 multiplies unsigned by signed
// bytes, makes rows unsigned by adding 128, and starts its sums there. Lanes are
// in ±127. Rows are [n][dim]int8.
//
// Cells are what residuals are relative to: cells.go has their similarities with
// query tokens, a byte each, by which plane A is read for few tokens only.
//
// Open kernels.go first, then rows.go, expand.go and cells.go. Assembly named in
// gen/main.go is written by that program; the rest is in kernels_amd64.s and
// transformer_amd64.s. On arm64 the layers of a transformer have kernels for
// their products alone.
package simd
