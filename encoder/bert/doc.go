// Package bert runs a BERT encoder with int8 weights in Go, without cgo and
// without a shared library: the architecture of the bundled model, and no other.
// It reads the ONNX file that ONNX Runtime runs, so that one file serves both,
// and gives the same vectors but for rounding: activations are int16 in linear
// layers, everything else is float32.
//
// Invariants:
//
//   - a text's vectors do not depend on the batch, the number of goroutines or
//     the kernel tier, to the bit;
//   - padding, which is what follows a row's length in a batch, costs nothing;
//     tokens within the length have vectors even where their mask is 0;
//   - a graph whose metadata does not say that it is this architecture, or whose
//     tensors have other names, types or shapes, is an error that names them.
//     What the graph's nodes do is not read: export.py writes both.
//
// Widths of layers are multiples of 16. Every other model needs package onnx.
//
// Open session.go first, then forward.go; weights.go reads the file.
package bert
