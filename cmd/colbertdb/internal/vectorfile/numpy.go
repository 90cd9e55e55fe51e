package vectorfile

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/colbertdb-go/colbertdb/internal/npy"
)

// The files of a folder, those of `colbertdb bench`.
const (
	docsFile    = "docs.npy"
	docLensFile = "doclens.npy"
	docIDsFile  = "docids.txt"
)

// arrayOf describes the array that a .npy file or member holds.
func arrayOf(name string, h npy.Header, open func() (io.ReadCloser, error)) *array {
	a := &array{name: name, kind: h.Kind, width: h.Width, open: open}
	for _, d := range h.Shape {
		a.shape = append(a.shape, int64(d))
	}
	return a
}

// atNumbers opens a .npy and leaves the header behind.
func atNumbers(open func() (io.ReadCloser, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}
		if _, err := npy.ReadHeader(r); err != nil {
			return nil, errors.Join(err, r.Close())
		}
		return r, nil
	}
}

func fileArray(path string) (*array, error) {
	h, err := npy.Stat(path)
	if err != nil {
		return nil, err
	}
	name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	return arrayOf(name, h, atNumbers(func() (io.ReadCloser, error) { return os.Open(path) })), nil
}

// readNPY reads a folder, or one file: of two dimensions one document, of three
// several.
func readNPY(path string, f func(Document) bool) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		a, err := fileArray(path)
		if err != nil {
			return err
		}
		if len(a.shape) != 3 {
			return readApart([]*array{a}, f)
		}
		docs, tokens := a.shape[0], a.shape[1]
		if _, err := a.size(); err != nil || docs > maxWhole/8 {
			return errors.Join(err, fmt.Errorf("shape %v is too large", a.shape))
		}
		a.name, a.shape = "vectors", []int64{docs * tokens, a.shape[2]}
		lens := make([]byte, 0, 8*docs)
		for range docs {
			lens = append(lens, byte(tokens), byte(tokens>>8), byte(tokens>>16), byte(tokens>>24), 0, 0, 0, 0)
		}
		return readArrays([]*array{a, {name: "lengths", kind: 'i', width: 8, shape: []int64{docs}, open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(string(lens))), nil
		}}}, nil, f)
	}
	docs, err := fileArray(filepath.Join(path, docsFile))
	if err != nil {
		return err
	}
	lens, err := fileArray(filepath.Join(path, docLensFile))
	if err != nil {
		return err
	}
	var ids []string
	text, err := os.ReadFile(filepath.Join(path, docIDsFile))
	if err == nil {
		ids = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return readArrays([]*array{docs, lens}, ids, f)
}

func readNPZ(path string, f func(Document) bool) error {
	z, err := zip.OpenReader(path)
	if err != nil {
		return err
	}
	defer z.Close()
	var arrays []*array
	for _, e := range z.File {
		name, ok := strings.CutSuffix(e.Name, ".npy")
		if !ok {
			continue
		}
		r, err := e.Open()
		if err != nil {
			return err
		}
		h, err := npy.ReadHeader(r)
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		arrays = append(arrays, arrayOf(name, h, atNumbers(e.Open)))
	}
	return readArrays(arrays, nil, f)
}

// folderWriter writes a folder.
type folderWriter struct {
	dir        string
	docs, lens *npy.Writer
	ids        strings.Builder
}

func createFolder(dir string, dim int) (*folderWriter, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	docs, err := npy.Create(filepath.Join(dir, docsFile), 'f', 4, dim)
	if err != nil {
		return nil, err
	}
	lens, err := npy.Create(filepath.Join(dir, docLensFile), 'i', 4)
	if err != nil {
		return nil, errors.Join(err, docs.Close())
	}
	return &folderWriter{dir: dir, docs: docs, lens: lens}, nil
}

func (w *folderWriter) Add(d Document) error {
	if strings.ContainsAny(d.ID, "\r\n") {
		return fmt.Errorf("the id %q has a line break, which %s cannot hold", d.ID, docIDsFile)
	}
	w.ids.WriteString(d.ID + "\n")
	return errors.Join(w.docs.WriteFloats(d.Vectors.Data...), w.lens.WriteInts(d.Vectors.Len()))
}

func (w *folderWriter) Close() error {
	return errors.Join(w.docs.Close(), w.lens.Close(), os.WriteFile(filepath.Join(w.dir, docIDsFile), []byte(w.ids.String()), 0o644))
}

// singleWriter writes a file of one document.
type singleWriter struct {
	path string
	done bool
}

func (w *singleWriter) Add(d Document) error {
	if w.done {
		return fmt.Errorf("%s has room for one document; .npz, or the name of a folder, has for more", w.path)
	}
	w.done = true
	f, err := npy.Create(w.path, 'f', 4, d.Vectors.Dim)
	if err != nil {
		return err
	}
	return errors.Join(f.WriteFloats(d.Vectors.Data...), f.Close())
}

func (w *singleWriter) Close() error { return nil }

// npyHeader is what a .npy file begins with.
func npyHeader(descr string, shape ...int64) []byte {
	dims := ""
	for _, d := range shape {
		dims += strconv.FormatInt(d, 10) + ","
	}
	head := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, dims)
	head += strings.Repeat(" ", 63-(10+len(head))%64) + "\n"
	return append([]byte(npy.Magic+"\x01\x00"), append([]byte{byte(len(head)), byte(len(head) >> 8)}, head...)...)
}

// float32Bytes is numbers as a file has them.
func float32Bytes(x []float32) []byte {
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}
