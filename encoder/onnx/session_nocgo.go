//go:build !cgo

package onnx

import (
	"fmt"

	"github.com/colbertdb-go/colbertdb/encoder"
)

func newSession(*encoder.Folder, *Options) (encoder.Session, error) {
	return nil, fmt.Errorf("%w: this program was built without cgo; build it with CGO_ENABLED=1 and a C compiler, or use the bundled model, which needs neither", ErrRuntime)
}
