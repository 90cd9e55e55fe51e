// Package bundled is the model that ships with colbertdb: a small English
// late-interaction encoder, embedded in the program. docs/model.md tells what it
// is made of and what it can do; export/ makes it.
//
// Two runtimes give the same vectors, to a cosine of 0.999999: package bert, in
// Go, and ONNX Runtime. On a core of an AMD Zen 3 the former encodes 1.5 to 1.9
// times as many tokens a second, answers a short query in less than half the
// time and opens in a quarter of it; Open therefore takes it wherever it has
// kernels. A collection does not record which one encoded it.
package bundled

import (
	"embed"
	"io/fs"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bert"
	"github.com/colbertdb-go/colbertdb/encoder/onnx"
	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// Location is what a collection's record says of a model opened by Open.
const Location = "bundled"

//go:embed model/model_int8.onnx model/tokenizer.json model/onnx_config.json model/query_weights.json
var files embed.FS

// FS is the model's folder.
func FS() fs.FS {
	sub, err := fs.Sub(files, "model")
	if err != nil {
		panic(err) // impossible: the folder is embedded
	}
	return sub
}

// Open opens the model where it runs fastest: in Go where this processor has
// kernels for it, else with ONNX Runtime where its library is found, else in Go
// all the same. OpenGo and OpenONNX choose.
func Open() (encoder.Encoder, error) {
	if simd.Tier() == "generic" {
		if _, err := onnx.Library(""); err == nil {
			if enc, err := OpenONNX(onnx.Options{}); err == nil {
				return enc, nil
			}
		}
	}
	return OpenGo(bert.Options{})
}

// OpenGo opens the model to run in Go, without cgo and shared libraries.
func OpenGo(o bert.Options) (encoder.Encoder, error) {
	return bert.Open(FS(), Location, o)
}

// OpenONNX opens the model to run with ONNX Runtime.
func OpenONNX(o onnx.Options) (encoder.Encoder, error) {
	return onnx.Open(FS(), Location, o)
}
