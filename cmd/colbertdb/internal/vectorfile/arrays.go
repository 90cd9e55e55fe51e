package vectorfile

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/colbertdb-go/colbertdb/engine"
)

// array is a named array in a file.
type array struct {
	name  string
	kind  byte // 'f' float, 'b' bfloat16, 'i' and 'u' integers, 'U' strings of UTF-32
	width int  // bytes of a number
	shape []int64
	open  func() (io.ReadCloser, error)
}

// maxWhole bounds what is read of a file in one piece: lengths and ids.
const maxWhole = 1 << 30

// size is the number of numbers, an error where it and their bytes exceed int64.
func (a *array) size() (int64, error) {
	n := int64(1)
	for _, d := range a.shape {
		if d < 0 || d > 0 && n > math.MaxInt64/d/16 {
			return 0, fmt.Errorf("%s: shape %v is too large", a.name, a.shape)
		}
		n *= d
	}
	return n, nil
}

// bytes reads the whole array.
func (a *array) bytes() ([]byte, error) {
	n, err := a.size()
	if err != nil {
		return nil, err
	}
	if n > maxWhole/int64(max(1, a.width)) {
		return nil, fmt.Errorf("%s: shape %v is too large", a.name, a.shape)
	}
	r, err := a.open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readN(r, n*int64(a.width))
}

// readN reads n bytes without trusting that there are as many.
func readN(r io.Reader, n int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(min(n, 1<<20)))
	got, err := io.CopyN(&b, r, n)
	if err != nil {
		return nil, fmt.Errorf("%d bytes, want %d: %w", got, n, io.ErrUnexpectedEOF)
	}
	return b.Bytes(), nil
}

func (a *array) integers() ([]int64, error) {
	if a.kind != 'i' && a.kind != 'u' || len(a.shape) != 1 {
		return nil, fmt.Errorf("%s: want integers of one dimension, have %c%d of shape %v", a.name, a.kind, a.width, a.shape)
	}
	b, err := a.bytes()
	if err != nil {
		return nil, err
	}
	out := make([]int64, 0, len(b)/a.width)
	for part := range slices.Chunk(b, a.width) {
		var full [8]byte
		copy(full[:], part)
		v := int64(binary.LittleEndian.Uint64(full[:]))
		if shift := 64 - 8*a.width; a.kind == 'i' {
			v = v << shift >> shift
		}
		out = append(out, v)
	}
	return out, nil
}

// strings reads ids: NumPy's strings, or integers in decimal.
func (a *array) strings() ([]string, error) {
	if a.kind != 'U' {
		numbers, err := a.integers()
		var out []string
		for _, n := range numbers {
			out = append(out, strconv.FormatInt(n, 10))
		}
		return out, err
	}
	if len(a.shape) != 1 || a.width%4 != 0 || a.width == 0 {
		return nil, fmt.Errorf("%s: want strings of one dimension, have shape %v", a.name, a.shape)
	}
	b, err := a.bytes()
	if err != nil {
		return nil, err
	}
	var out []string
	for part := range slices.Chunk(b, a.width) {
		var s []byte
		for i := 0; i < len(part); i += 4 {
			if r := rune(binary.LittleEndian.Uint32(part[i:])); r != 0 {
				s = utf8.AppendRune(s, r)
			}
		}
		out = append(out, string(s))
	}
	return out, nil
}

// rows reads n vectors of a matrix.
func (a *array) rows(r io.Reader, n int64) (engine.Matrix, error) {
	dim := a.shape[len(a.shape)-1]
	b, err := readN(r, n*dim*int64(a.width))
	if err != nil {
		return engine.Matrix{}, fmt.Errorf("%s: %w", a.name, err)
	}
	if a.kind == 'f' && a.width == 2 {
		return engine.MatrixFromF16(int(dim), b), nil
	}
	m := engine.Matrix{Dim: int(dim), Data: make([]float32, len(b)/a.width)}
	for i := range m.Data {
		switch {
		case a.kind == 'b':
			m.Data[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
		case a.width == 8:
			m.Data[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		default:
			m.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	return m, nil
}

// isMatrix reports whether an array is vectors that can be stored.
func (a *array) isMatrix() error {
	if a.kind != 'f' && a.kind != 'b' || len(a.shape) != 2 {
		return fmt.Errorf("%s: want floats of shape (tokens, dim), have %c%d of shape %v", a.name, a.kind, a.width, a.shape)
	}
	if _, err := a.size(); err != nil {
		return err
	}
	return engine.ValidDim(int(min(a.shape[1], math.MaxInt32)))
}

// named finds an array by any of its names, nil where there is none.
func named(arrays []*array, names ...string) *array {
	for _, a := range arrays {
		if slices.Contains(names, a.name) {
			return a
		}
	}
	return nil
}

// readArrays yields the documents of a file of arrays, packed or apart. ids may be
// given; else they are an array or numbers from 0.
func readArrays(arrays []*array, ids []string, f func(Document) bool) error {
	vectors := named(arrays, "vectors", "embeddings", "docs")
	lengths := named(arrays, "lengths", "doclens", "lens")
	if vectors == nil || lengths == nil {
		return readApart(arrays, f)
	}
	if err := vectors.isMatrix(); err != nil {
		return err
	}
	lens, err := lengths.integers()
	if err != nil {
		return err
	}
	if a := named(arrays, "ids", "docids"); a != nil && ids == nil {
		if ids, err = a.strings(); err != nil {
			return err
		}
	}
	if ids != nil && len(ids) != len(lens) {
		return fmt.Errorf("%d ids for %d lengths", len(ids), len(lens))
	}
	left := vectors.shape[0]
	for _, n := range lens {
		if n < 0 || n > left {
			return fmt.Errorf("%s add up to more than the %d vectors", lengths.name, vectors.shape[0])
		}
		left -= n
	}
	if left != 0 {
		return fmt.Errorf("%s add up to %d of the %d vectors", lengths.name, vectors.shape[0]-left, vectors.shape[0])
	}
	r, err := vectors.open()
	if err != nil {
		return err
	}
	defer r.Close()
	buffered := bufio.NewReaderSize(r, 1<<20)
	for i, n := range lens {
		d := Document{ID: strconv.Itoa(i)}
		if ids != nil {
			d.ID = ids[i]
		}
		if d.Vectors, err = vectors.rows(buffered, n); err != nil {
			return err
		}
		if !f(d) {
			return nil
		}
	}
	return nil
}

// readApart yields a document an array.
func readApart(arrays []*array, f func(Document) bool) error {
	if len(arrays) == 0 {
		return errors.New("no arrays in it")
	}
	for _, a := range arrays {
		if err := a.isMatrix(); err != nil {
			return fmt.Errorf(`%w; want arrays "vectors" and "lengths", or one of vectors for each document`, err)
		}
		r, err := a.open()
		if err != nil {
			return err
		}
		m, err := a.rows(r, a.shape[0])
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
		if !f(Document{ID: a.name, Vectors: m}) {
			return nil
		}
	}
	return nil
}
