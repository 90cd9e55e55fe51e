// Package npy reads and writes NumPy's array format
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): C
// order, little-endian numbers.
package npy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Magic begins a file.
const Magic = "\x93NUMPY"

// Header tells what a file holds.
type Header struct {
	Kind  byte  // 'f' float, 'i' integer, 'u' unsigned, 'U' strings of UTF-32
	Width int   // bytes of a number, or of a string
	Shape []int // greatest stride first
}

// Len is the number of numbers.
func (h Header) Len() int {
	n := 1
	for _, d := range h.Shape {
		n *= d
	}
	return n
}

// Bytes is the size of the numbers.
func (h Header) Bytes() int64 { return int64(h.Len()) * int64(h.Width) }

var (
	descr = regexp.MustCompile(`'descr':\s*'([<|=])(?:([fiu])([1248])|(U)(\d{1,5}))'`)
	order = regexp.MustCompile(`'fortran_order':\s*False`)
	shape = regexp.MustCompile(`'shape':\s*\(([\d,\s]*)\)`)
)

// maxHeader bounds the text of a header; that of an array of a few dimensions is
// about a hundred bytes.
const maxHeader = 64 << 10

// ReadHeader reads a header, versions 1 to 3, and leaves r at the numbers.
func ReadHeader(r io.Reader) (Header, error) {
	var none Header
	cut := errors.New("the .npy header is cut off")
	var head [12]byte
	if _, err := io.ReadFull(r, head[:10]); err != nil {
		return none, cut
	}
	if string(head[:6]) != Magic {
		return none, errors.New("this is not a .npy file")
	}
	size := int(binary.LittleEndian.Uint16(head[8:]))
	if head[6] >= 2 {
		if _, err := io.ReadFull(r, head[10:]); err != nil {
			return none, cut
		}
		size = int(binary.LittleEndian.Uint32(head[8:]))
	}
	if size > maxHeader {
		return none, fmt.Errorf("the .npy header has %d bytes, at most %d are read", size, maxHeader)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return none, cut
	}
	d, s := descr.FindSubmatch(text), shape.FindSubmatch(text)
	if d == nil || s == nil || !order.Match(text) || string(d[2]) == "f" && string(d[3]) == "1" {
		return none, fmt.Errorf("want a little-endian array of numbers in C order, have %s", bytes.TrimSpace(text))
	}
	var h Header
	if d[4] != nil {
		length, _ := strconv.Atoi(string(d[5]))
		h = Header{Kind: 'U', Width: 4 * length}
	} else {
		h = Header{Kind: d[2][0], Width: int(d[3][0] - '0')}
	}
	total := int64(max(1, h.Width))
	for f := range strings.SplitSeq(string(s[1]), ",") {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		n, err := strconv.Atoi(f)
		if err != nil || n > 0 && total > math.MaxInt64/int64(n) {
			return none, fmt.Errorf("shape (%s) is too large", s[1])
		}
		total *= int64(n)
		h.Shape = append(h.Shape, n)
	}
	return h, nil
}

// Stat returns the header of a file, whose size must fit it.
func Stat(path string) (h Header, err error) {
	err = open(path, func(_ io.Reader, found Header) error { h = found; return nil })
	return h, err
}

// open reads the header of a file and passes the rest on.
func open(path string, f func(r io.Reader, h Header) error) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	h, err := ReadHeader(file)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	at, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size()-at != h.Bytes() {
		return fmt.Errorf("%s: shape %v of %d-byte numbers does not fit %d bytes", path, h.Shape, h.Width, info.Size()-at)
	}
	return f(file, h)
}

// ReadInts reads a whole array of integers.
func ReadInts(path string) (out []int, err error) {
	err = open(path, func(r io.Reader, h Header) error {
		if h.Kind != 'i' && h.Kind != 'u' {
			return fmt.Errorf("%s: want integers, have %c%d", path, h.Kind, h.Width)
		}
		b := make([]byte, h.Bytes())
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		out = make([]int, h.Len())
		for i := range out {
			switch h.Width {
			case 1:
				out[i] = int(b[i])
			case 2:
				out[i] = int(binary.LittleEndian.Uint16(b[2*i:]))
			case 4:
				out[i] = int(binary.LittleEndian.Uint32(b[4*i:]))
			case 8:
				out[i] = int(binary.LittleEndian.Uint64(b[8*i:]))
			}
		}
		return nil
	})
	return out, err
}

// ReadFloats reads a whole array of float32 or float64.
func ReadFloats(path string) (out []float32, h Header, err error) {
	err = open(path, func(r io.Reader, found Header) error {
		h = found
		if h.Kind != 'f' || h.Width < 4 {
			return fmt.Errorf("%s: want float32 or float64", path)
		}
		b := make([]byte, h.Bytes())
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		out = Floats(b, h.Width)
		return nil
	})
	return out, h, err
}

// Floats converts little-endian float32 or float64, by their width.
func Floats(b []byte, width int) []float32 {
	out := make([]float32, len(b)/width)
	for i := range out {
		if width == 8 {
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		} else {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	}
	return out
}

// Writer writes an array whose first dimension is not known before its end.
type Writer struct {
	f     *os.File
	kind  byte
	width int
	rest  []int
	bytes int64
}

// headerSize is that of every file that Writer writes.
const headerSize = 128

// Create begins a file of numbers of a kind and width, [?][rest...].
func Create(path string, kind byte, width int, rest ...int) (*Writer, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(make([]byte, headerSize)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Writer{f: f, kind: kind, width: width, rest: rest}, nil
}

// Write appends little-endian numbers.
func (w *Writer) Write(b []byte) (int, error) {
	n, err := w.f.Write(b)
	w.bytes += int64(n)
	return n, err
}

// WriteFloats appends float32.
func (w *Writer) WriteFloats(x ...float32) error {
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	_, err := w.Write(b)
	return err
}

// WriteInts appends int32.
func (w *Writer) WriteInts(x ...int) error {
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	_, err := w.Write(b)
	return err
}

// Close writes the header and closes the file.
func (w *Writer) Close() error {
	row := int64(w.width)
	dims := ""
	for _, d := range w.rest {
		row *= int64(d)
		dims += fmt.Sprintf(", %d", d)
	}
	if dims == "" {
		dims = ","
	}
	head := fmt.Sprintf("{'descr': '<%c%d', 'fortran_order': False, 'shape': (%d%s), }", w.kind, w.width, w.bytes/row, dims)
	head += strings.Repeat(" ", headerSize-10-1-len(head)) + "\n"
	b := append([]byte(Magic+"\x01\x00"), byte(len(head)), byte(len(head)>>8))
	_, err := w.f.WriteAt(append(b, head...), 0)
	if w.bytes%row != 0 {
		err = errors.Join(err, fmt.Errorf("%s: %d bytes are no whole number of rows of %d", w.f.Name(), w.bytes, row))
	}
	return errors.Join(err, w.f.Close())
}
