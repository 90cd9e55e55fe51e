package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Vectors are token vectors in one of their forms, as fields of a larger object.
type Vectors struct {
	// Rows is a list of lists of numbers, one a token.
	Rows Rows `json:"vectors,omitzero"`
	// F16 and F32 are little-endian numbers, row-major, in base64; Shape is
	// [tokens, dimensions].
	F16   []byte    `json:"vectors_f16_b64,omitempty"`
	F32   []byte    `json:"vectors_f32_b64,omitempty"`
	Shape List[int] `json:"shape,omitempty"`
	// NPY is a NumPy file in base64.
	NPY []byte `json:"vectors_npy_b64,omitempty"`
}

// IsZero reports that no form is given.
func (v *Vectors) IsZero() bool {
	return v.Rows.IsZero() && len(v.F16) == 0 && len(v.F32) == 0 && len(v.NPY) == 0
}

// ErrVectors is wrapped by errors about the form of vectors.
var ErrVectors = errors.New("colbertdb: vectors cannot be read")

// Matrix returns the vectors, an empty matrix where none are given. NPY is read by
// npy.
func (v *Vectors) Matrix(npy func([]byte) (engine.Matrix, error)) (engine.Matrix, error) {
	forms := 0
	for _, given := range []bool{!v.Rows.IsZero(), len(v.F16) > 0, len(v.F32) > 0, len(v.NPY) > 0} {
		if given {
			forms++
		}
	}
	switch {
	case forms > 1:
		return engine.Matrix{}, fmt.Errorf("%w: give one of vectors, vectors_f16_b64, vectors_f32_b64 and vectors_npy_b64", ErrVectors)
	case len(v.F16) > 0:
		return Binary("f16", v.Shape, v.F16)
	case len(v.F32) > 0:
		return Binary("f32", v.Shape, v.F32)
	case len(v.NPY) > 0:
		return npy(v.NPY)
	case len(v.Shape) > 0 && forms == 0:
		return engine.Matrix{}, fmt.Errorf("%w: shape without vectors", ErrVectors)
	}
	return v.Rows.Matrix, nil
}

// Binary reads little-endian numbers, "f16" or "f32". Where shape is [0, dim] or
// [-1, dim], the number of tokens follows from the length.
func Binary(dtype string, shape []int, b []byte) (engine.Matrix, error) {
	width := map[string]int{"f16": 2, "f32": 4}[dtype]
	if width == 0 {
		return engine.Matrix{}, fmt.Errorf("%w: numbers of type %.20q: use f16 or f32", ErrVectors, dtype)
	}
	if len(shape) != 2 {
		return engine.Matrix{}, fmt.Errorf("%w: shape must be [tokens, dimensions], have %v", ErrVectors, shape)
	}
	tokens, dim := shape[0], shape[1]
	if dim < 1 || dim > len(b) {
		return engine.Matrix{}, fmt.Errorf("%w: %d dimensions do not fit %d bytes", ErrVectors, dim, len(b))
	}
	row := dim * width
	if tokens <= 0 {
		tokens = len(b) / row
	}
	if tokens > len(b) || tokens*row != len(b) {
		return engine.Matrix{}, fmt.Errorf("%w: %d bytes are not [%d, %d] numbers of %d bytes", ErrVectors, len(b), tokens, dim, width)
	}
	if dtype == "f16" {
		return engine.MatrixFromF16(dim, b), nil
	}
	m := engine.Matrix{Dim: dim, Data: make([]float32, tokens*dim)}
	for i := range m.Data {
		m.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return m, nil
}

// F32Bytes writes a matrix as little-endian float32.
func F32Bytes(m engine.Matrix) []byte {
	out := make([]byte, 0, 4*len(m.Data))
	for _, x := range m.Data {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
	}
	return out
}

// Rows is a matrix whose JSON is a list of lists of numbers.
type Rows struct{ engine.Matrix }

// IsZero reports that there are no rows.
func (r Rows) IsZero() bool { return len(r.Data) == 0 }

// MarshalJSON writes each number as the shortest that is read as the same float32.
func (r Rows) MarshalJSON() ([]byte, error) {
	out := append(make([]byte, 0, 12*len(r.Data)+2), '[')
	for i := range r.Len() {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendNumbers(out, r.Row(i))
	}
	return append(out, ']'), nil
}

func appendNumbers(out []byte, row []float32) []byte {
	out = append(out, '[')
	for i, x := range row {
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendFloat(out, float64(x), 'g', -1, 32)
	}
	return append(out, ']')
}

// UnmarshalJSON reads a list of lists of numbers of equal length straight into one
// array. encoding/json has checked that b is JSON.
func (r *Rows) UnmarshalJSON(b []byte) error {
	*r = Rows{}
	if string(b) == "null" {
		return nil
	}
	r.Data = make([]float32, 0, bytes.Count(b, []byte{','})+1) // what follows never grows it
	p := numbers{b: b}
	if err := p.rows(&r.Matrix); err != nil {
		*r = Rows{}
		return fmt.Errorf("%w: %w", ErrVectors, err)
	}
	return nil
}

// numbers reads lists of numbers.
type numbers struct {
	b  []byte
	at int
}

// next is the next byte that is not white space, 0 at the end.
func (p *numbers) next() byte {
	for ; p.at < len(p.b); p.at++ {
		switch c := p.b[p.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// take passes c where it comes next.
func (p *numbers) take(c byte) bool {
	if p.next() != c {
		return false
	}
	p.at++
	return true
}

func (p *numbers) rows(m *engine.Matrix) error {
	if !p.take('[') {
		return errors.New("want a list of lists of numbers, one list a token")
	}
	if p.take(']') {
		return nil
	}
	for token := 0; ; token++ {
		before := len(m.Data)
		if err := p.row(m, token); err != nil {
			return err
		}
		n := len(m.Data) - before
		switch {
		case n == 0:
			return fmt.Errorf("token %d has no numbers", token)
		case token == 0:
			m.Dim = n
		case n != m.Dim:
			return fmt.Errorf("token %d has %d numbers, the first has %d", token, n, m.Dim)
		}
		if p.take(',') {
			continue
		}
		if p.take(']') && p.next() == 0 {
			return nil
		}
		return errors.New("want a list of lists of numbers, one list a token")
	}
}

func (p *numbers) row(m *engine.Matrix, token int) error {
	if !p.take('[') {
		return fmt.Errorf("token %d is no list of numbers", token)
	}
	if p.take(']') {
		return nil
	}
	for {
		p.next()
		start := p.at
		for p.at < len(p.b) && p.b[p.at] != ',' && p.b[p.at] != ']' && p.b[p.at] > ' ' {
			p.at++
		}
		x, err := strconv.ParseFloat(string(p.b[start:p.at]), 32)
		if err != nil {
			return fmt.Errorf("token %d: %.40q is no number of float32's range", token, p.b[start:p.at])
		}
		m.Data = append(m.Data, float32(x))
		if p.take(',') {
			continue
		}
		if p.take(']') {
			return nil
		}
		return fmt.Errorf("token %d is no list of numbers", token)
	}
}
