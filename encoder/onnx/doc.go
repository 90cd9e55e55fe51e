// Package onnx opens late-interaction model folders with ONNX Runtime.
//
// The runtime is a shared library that is looked for when the first model is
// opened (library.go); where it is not found, the error lists every path tried
// and the command that mends it. A build without cgo has the same API and an
// error that says so (session_nocgo.go). Open open.go first.
package onnx
