package codec

import (
	"errors"
	"fmt"
	"math"
)

// MaxDim is the largest vector dimension a codec accepts.
const MaxDim = 1024

// Errors that Matrix.Validate and ValidDim wrap.
var (
	ErrDimension  = errors.New("colbertdb: dimension must be a multiple of 8 between 8 and 1024")
	ErrBadVector  = errors.New("colbertdb: vector is not usable")
	ErrNoVectors  = errors.New("colbertdb: no token vectors")
	ErrCorruption = errors.New("colbertdb: corrupt codec data")
)

// Matrix holds the token vectors of one query or one document,
// [tokens][Dim]float32, row-major. It is the one type for token vectors in
// colbertdb; package engine aliases it.
type Matrix struct {
	Dim  int
	Data []float32
}

// NewMatrix returns a zeroed matrix of the given number of tokens.
func NewMatrix(tokens, dim int) Matrix {
	return Matrix{Dim: dim, Data: make([]float32, tokens*dim)}
}

// Len returns the number of token vectors.
func (m Matrix) Len() int {
	if m.Dim <= 0 {
		return 0
	}
	return len(m.Data) / m.Dim
}

// Row returns token vector i, aliasing the matrix.
func (m Matrix) Row(i int) []float32 { return m.Data[i*m.Dim : (i+1)*m.Dim : (i+1)*m.Dim] }

// ValidDim reports whether a collection can hold vectors of dimension dim.
func ValidDim(dim int) error {
	if dim < 8 || dim > MaxDim || dim%8 != 0 {
		return fmt.Errorf("%w: got %d", ErrDimension, dim)
	}
	return nil
}

// Validate checks that the matrix has at least one row, that its data is a
// whole number of rows, and that every row is finite and not zero. The error
// names the first offending token and dimension.
func (m Matrix) Validate() error {
	if err := ValidDim(m.Dim); err != nil {
		return err
	}
	if len(m.Data) == 0 {
		return ErrNoVectors
	}
	if len(m.Data)%m.Dim != 0 {
		return fmt.Errorf("%w: %d values are not a whole number of %d-dimensional vectors", ErrBadVector, len(m.Data), m.Dim)
	}
	for t := range m.Len() {
		var norm float64
		for d, x := range m.Row(t) {
			if f := float64(x); math.IsNaN(f) || math.IsInf(f, 0) {
				return fmt.Errorf("%w: token %d, dimension %d is %v", ErrBadVector, t, d, x)
			}
			norm += float64(x) * float64(x)
		}
		if norm == 0 {
			return fmt.Errorf("%w: token %d has norm zero", ErrBadVector, t)
		}
	}
	return nil
}

// Normalized returns a copy whose rows have unit length.
func (m Matrix) Normalized() Matrix {
	out := NewMatrix(m.Len(), m.Dim)
	for t := range m.Len() {
		var s float64
		row, dst := m.Row(t), out.Row(t)
		for _, x := range row {
			s += float64(x) * float64(x)
		}
		inv := 1 / math.Sqrt(s)
		for d, x := range row {
			dst[d] = float32(float64(x) * inv)
		}
	}
	return out
}
