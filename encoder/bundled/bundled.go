// Package bundled is the model that ships with colbertdb: a small English
// late-interaction encoder, embedded in the program. docs/model.md tells what it
// is made of and what it can do; export/ makes it.
package bundled

import (
	"embed"
	"io/fs"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/onnx"
)

// Location is what a collection's record says of a model opened by Open.
const Location = "bundled"

//go:embed model/model_int8.onnx model/tokenizer.json model/onnx_config.json
var files embed.FS

// FS is the model's folder.
func FS() fs.FS {
	sub, err := fs.Sub(files, "model")
	if err != nil {
		panic(err) // impossible: the folder is embedded
	}
	return sub
}

// Open opens the model with ONNX Runtime.
func Open(o onnx.Options) (encoder.Encoder, error) {
	return onnx.Open(FS(), Location, o)
}
