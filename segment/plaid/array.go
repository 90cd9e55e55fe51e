package plaid

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/npy"
)

// dtype is the type of a tensor's numbers, as NumPy names it.
type dtype struct {
	kind  byte // 'f', 'i' or 'u'
	width int
}

var (
	uint8s = dtype{'u', 1}
	int32s = dtype{'i', 4}
	int64s = dtype{'i', 8}
)

func (t dtype) String() string { return fmt.Sprintf("%c%d", t.kind, t.width) }

// array is a tensor in C order in a file, of which no number has been read yet.
type array struct {
	name  string // of the file
	dtype dtype
	shape []int64
	data  *io.SectionReader
}

// count is the number of numbers of a shape; it fails where that is beyond limit
// bytes of the given width.
func count(shape []int64, width int, limit int64) (int64, error) {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > 0 && n > limit/d {
			return 0, fmt.Errorf("shape %v does not fit the file", shape)
		}
		n *= d
	}
	if n > limit/int64(width) {
		return 0, fmt.Errorf("shape %v does not fit the file", shape)
	}
	return n, nil
}

// openNPY finds the array of a .npy file.
func openNPY(f *os.File, name string) (*array, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	h, err := npy.ReadHeader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	if h.Kind == 'U' {
		return nil, fmt.Errorf("%s: want numbers, have strings", name)
	}
	a := &array{name: name, dtype: dtype{h.Kind, h.Width}}
	for _, d := range h.Shape {
		a.shape = append(a.shape, int64(d))
	}
	if h.Bytes() != info.Size()-at {
		return nil, fmt.Errorf("%s: shape %v of %s does not fit %d bytes", name, a.shape, a.dtype, info.Size()-at)
	}
	a.data = io.NewSectionReader(f, at, h.Bytes())
	return a, nil
}

// rows is the length of the first dimension.
func (a *array) rows() int64 {
	if len(a.shape) == 0 {
		return 1
	}
	return a.shape[0]
}

// rowBytes is the size of what one index of the first dimension selects.
func (a *array) rowBytes() int64 {
	n := int64(a.dtype.width)
	for _, d := range a.shape[min(1, len(a.shape)):] {
		n *= d
	}
	return n
}

// slice is the array's rows from first on, n of them.
func (a *array) slice(first, n int64) (*array, error) {
	if first < 0 || n < 0 || first > a.rows() || n > a.rows()-first {
		return nil, fmt.Errorf("%s: rows %d to %d of %d", a.name, first, first+n, a.rows())
	}
	out := *a
	out.shape = append([]int64{n}, a.shape[min(1, len(a.shape)):]...)
	out.data = io.NewSectionReader(a.data, first*a.rowBytes(), n*a.rowBytes())
	return &out, nil
}

// floats reads the whole array, at most limit numbers.
func (a *array) floats(limit int64) (codec.Floats, error) {
	var none codec.Floats
	if a.dtype.kind != 'f' {
		return none, fmt.Errorf("%s: want floats, have %s", a.name, a.dtype)
	}
	if a.data.Size() > limit*int64(a.dtype.width) {
		return none, fmt.Errorf("%s: %v numbers, at most %d are expected", a.name, a.shape, limit)
	}
	b := make([]byte, a.data.Size())
	if _, err := io.ReadFull(a.data, b); err != nil {
		return none, fmt.Errorf("%s: %w", a.name, err)
	}
	return codec.Floats{Type: codec.FloatType(a.dtype.width), Data: b}, nil
}

// integers reads integers of any width one after the other.
type integerReader struct {
	name  string
	dtype dtype
	r     *bufio.Reader
}

func (a *array) integers() (*integerReader, error) {
	if a.dtype.kind == 'f' {
		return nil, fmt.Errorf("%s: want integers, have %s", a.name, a.dtype)
	}
	return &integerReader{a.name, a.dtype, bufio.NewReaderSize(a.data, 64<<10)}, nil
}

func (r *integerReader) next() (int64, error) {
	var b [8]byte
	if _, err := io.ReadFull(r.r, b[:r.dtype.width]); err != nil {
		return 0, fmt.Errorf("%s: %w", r.name, noEOF(err))
	}
	v := int64(binary.LittleEndian.Uint64(b[:]))
	if shift := 64 - 8*r.dtype.width; r.dtype.kind == 'i' {
		v = v << shift >> shift
	} else if v < 0 {
		return 0, fmt.Errorf("%s: the number %d is too large", r.name, uint64(v))
	}
	return v, nil
}

// noEOF tells a file that ends too soon from the end of a loop.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendIntegers appends numbers in the form of a type.
func appendIntegers[T ~uint32 | ~int64 | ~int](dst []byte, t dtype, numbers []T) []byte {
	for _, x := range numbers {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(x))
		dst = append(dst, b[:t.width]...)
	}
	return dst
}

// float32Bytes is a scalar or list in the form of float32s.
func float32Bytes(x ...float32) []byte {
	var b []byte
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}
