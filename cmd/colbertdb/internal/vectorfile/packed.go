package vectorfile

import (
	"archive/zip"
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"unicode/utf8"
)

// packedWriter writes the packed layout to one file. The vectors wait in a file
// beside it, since what comes before them says how many there are.
type packedWriter struct {
	path   string
	format Format
	dim    int
	tmp    *os.File
	buf    *bufio.Writer
	lens   []byte // int64 each
	ids    []string
	tokens int64
}

func createPacked(path string, f Format, dim int) (*packedWriter, error) {
	tmp, err := os.Create(path + ".tmp")
	if err != nil {
		return nil, err
	}
	return &packedWriter{path: path, format: f, dim: dim, tmp: tmp, buf: bufio.NewWriterSize(tmp, 1<<20)}, nil
}

func (w *packedWriter) Add(d Document) error {
	if d.Vectors.Dim != w.dim {
		return fmt.Errorf("document %q has %d dimensions, the file %d", d.ID, d.Vectors.Dim, w.dim)
	}
	if !utf8.ValidString(d.ID) {
		return fmt.Errorf("the id %q is not UTF-8, which %s cannot hold", d.ID, w.format)
	}
	w.lens = binary.LittleEndian.AppendUint64(w.lens, uint64(d.Vectors.Len()))
	w.ids = append(w.ids, d.ID)
	w.tokens += int64(d.Vectors.Len())
	_, err := w.buf.Write(float32Bytes(d.Vectors.Data))
	return err
}

// Close puts the file together.
func (w *packedWriter) Close() (err error) {
	defer func() { err = errors.Join(err, w.tmp.Close(), os.Remove(w.tmp.Name())) }()
	if err := w.buf.Flush(); err != nil {
		return err
	}
	if _, err := w.tmp.Seek(0, io.SeekStart); err != nil {
		return err
	}
	out, err := os.Create(w.path)
	if err != nil {
		return err
	}
	buf := bufio.NewWriterSize(out, 1<<20)
	if w.format == NPZ {
		err = w.npz(buf)
	} else {
		err = w.safetensors(buf)
	}
	return errors.Join(err, buf.Flush(), out.Close())
}

func (w *packedWriter) npz(out io.Writer) error {
	z := zip.NewWriter(out)
	begin := func(name string, head []byte) (io.Writer, error) {
		e, err := z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: zip.Store})
		if err == nil {
			_, err = e.Write(head)
		}
		return e, err
	}
	longest, n := 1, int64(len(w.ids))
	for _, id := range w.ids {
		longest = max(longest, utf8.RuneCountInString(id))
	}
	e, err := begin("ids", npyHeader(fmt.Sprintf("<U%d", longest), n))
	if err != nil {
		return err
	}
	padded := make([]byte, 0, 4*longest)
	for _, id := range w.ids {
		padded = padded[:0]
		for _, r := range id {
			padded = binary.LittleEndian.AppendUint32(padded, uint32(r))
		}
		at := len(padded)
		padded = padded[:4*longest]
		clear(padded[at:])
		if _, err := e.Write(padded); err != nil {
			return err
		}
	}
	if e, err = begin("lengths", npyHeader("<i8", n)); err != nil {
		return err
	}
	if _, err := e.Write(w.lens); err != nil {
		return err
	}
	if e, err = begin("vectors", npyHeader("<f4", w.tokens, int64(w.dim))); err != nil {
		return err
	}
	_, err = io.Copy(e, w.tmp)
	return errors.Join(err, z.Close())
}

// safetensorsEntry is a tensor in the header of a safetensors file.
type safetensorsEntry struct {
	Type    string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// maxHeader is the longest header that the format allows.
const maxHeader = 100_000_000

func (w *packedWriter) safetensors(out io.Writer) error {
	ids, err := json.Marshal(w.ids)
	if err != nil {
		return err
	}
	size := 4 * w.tokens * int64(w.dim)
	head, err := json.Marshal(map[string]any{
		"__metadata__": map[string]string{"ids": string(ids)},
		"vectors":      safetensorsEntry{"F32", []int64{w.tokens, int64(w.dim)}, [2]int64{0, size}},
		"lengths":      safetensorsEntry{"I64", []int64{int64(len(w.ids))}, [2]int64{size, size + int64(len(w.lens))}},
	})
	if err != nil {
		return err
	}
	if len(head) > maxHeader {
		return fmt.Errorf("the ids of %d documents do not fit the header of a safetensors file; Parquet has no such bound", len(w.ids))
	}
	for len(head)%8 != 0 {
		head = append(head, ' ')
	}
	if _, err := out.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...)); err != nil {
		return err
	}
	if _, err := io.Copy(out, w.tmp); err != nil {
		return err
	}
	_, err = out.Write(w.lens)
	return err
}
