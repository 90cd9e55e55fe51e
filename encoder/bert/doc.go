// Package bert runs a BERT encoder with int8 weights in Go, without cgo and
// without a shared library: the architecture of the bundled model, and no other.
// It reads the ONNX file that ONNX Runtime runs (weights.go), so that one file
// serves both, and gives the same vectors but for rounding: activations are
// int16 in linear layers, everything else is float32. A text's vectors do not
// depend on the batch, the number of cores or the kernel tier, to the bit.
//
// Every other model needs package onnx.
package bert
