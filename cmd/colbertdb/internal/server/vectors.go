package server

import (
	"bytes"
	"fmt"
	"net/url"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/npy"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// Media types of bodies that are one matrix.
const (
	typeNPY    = "application/x-npy"
	typeBinary = "application/octet-stream"
)

// readNPY reads a matrix of float16, 32 or 64 from a NumPy file.
func readNPY(b []byte) (engine.Matrix, error) {
	bad := func(format string, args ...any) (engine.Matrix, error) {
		return engine.Matrix{}, fmt.Errorf("%w: %w", wire.ErrVectors, fmt.Errorf(format, args...))
	}
	r := bytes.NewReader(b)
	h, err := npy.ReadHeader(r)
	if err != nil {
		return bad("%w", err)
	}
	rest := b[len(b)-r.Len():]
	if len(h.Shape) != 2 || h.Kind != 'f' || h.Width < 2 {
		return bad("the .npy file must hold floats of shape (tokens, dimensions), it has shape %v of %d-byte %c", h.Shape, h.Width, h.Kind)
	}
	tokens, dim := h.Shape[0], h.Shape[1]
	if tokens < 1 || dim < 1 || tokens > len(rest) || dim > len(rest) || tokens*dim*h.Width != len(rest) {
		return bad("the .npy file says (%d, %d) numbers of %d bytes and has %d bytes", tokens, dim, h.Width, len(rest))
	}
	if h.Width == 2 {
		return engine.MatrixFromF16(dim, rest), nil
	}
	return engine.Matrix{Dim: dim, Data: npy.Floats(rest, h.Width)}, nil
}

// matrixBody reads a body that is one matrix: .npy, or little-endian numbers of
// the type and the dimensions that the parameters dtype and dim name.
func (q *request) matrixBody(v url.Values) (engine.Matrix, error) {
	dim, err := number(v, "dim", 0)
	if err != nil {
		return engine.Matrix{}, err
	}
	b, err := q.body()
	if err != nil {
		return engine.Matrix{}, err
	}
	if mediaType(q.r) == typeNPY {
		return readNPY(b)
	}
	return wire.Binary(v.Get("dtype"), []int{-1, dim}, b)
}

// checkTokens bounds what a request brings as vectors.
func checkTokens(what string, m engine.Matrix, most int) error {
	if n := m.Len(); n > most {
		return tooLarge("%s has %d token vectors, the limit is %d", what, n, most)
	}
	return nil
}
