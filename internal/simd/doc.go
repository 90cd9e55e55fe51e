// Package simd holds the inner loops of colbertdb: integer row scores and
// maxima, expansion of residual planes, float conversions, dot products, and the
// layers of a transformer encoder (transformer.go).
//
// Every kernel exists in generic Go, which is always compiled and is the
// oracle of the tests, and for some processors in assembly. The best tier is
// chosen when the program starts; the build tag noasm leaves only the generic
// one, and Force picks one for a test. All integer kernels give the same
// integers on every tier. No kernel allocates, and callers bound the work of a
// call (Rows), because assembly cannot be preempted.
//
// # Layouts
//
// Lanes are the 16 vectors that are scored at once: query tokens in MaxSim and
// probing, points in k-means. Packed lanes are [dim/2][16][2]int16: for each
// pair of dimensions, the pair of every lane. Rows are [n][dim]int16. All
// values lie in ±127 for lanes; rows may use the range of int16 as long as a
// dot product stays within int32.
//
// Open kernels.go first; the assembly is in kernels_amd64.s.
package simd
