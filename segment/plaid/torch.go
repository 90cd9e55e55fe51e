package plaid

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
)

// A .pt file is a zip archive of stored files below one folder: data.pkl, the
// pickle of the saved value, whose tensors name their storages; data/KEY for each
// storage; byteorder; version. Only archives are read: PyTorch before 1.6 wrote
// another form.

// maxPickle bounds data.pkl; that of a few tensors has some hundred bytes.
const maxPickle = 1 << 20

// openTorch finds the tensors of a .pt file: the saved value is one, or a tuple or
// list of some.
func openTorch(f *os.File, name string) ([]*array, error) {
	fail := func(err error) ([]*array, error) { return nil, fmt.Errorf("%s: %w", name, err) }
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := f.ReadAt(head[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if string(head[:]) != "PK\x03\x04" {
		return fail(errors.New("this is not a PyTorch zip file; load and save it with PyTorch 1.6 or newer"))
	}
	z, err := zip.NewReader(f, info.Size())
	if err != nil {
		return fail(err)
	}
	files := map[string]*zip.File{}
	for _, e := range z.File {
		if _, path, ok := strings.Cut(e.Name, "/"); ok {
			files[path] = e
		}
	}
	if e := files["byteorder"]; e != nil {
		if order, err := readEntry(f, e, 16); err != nil || string(order) != "little" {
			return fail(fmt.Errorf("byte order %.16q, only little is read", order))
		}
	}
	e := files["data.pkl"]
	if e == nil {
		return fail(errors.New("no data.pkl in it"))
	}
	pickle, err := readEntry(f, e, maxPickle)
	if err != nil {
		return fail(err)
	}
	v, err := unpickle(pickle)
	if err != nil {
		return fail(fmt.Errorf("data.pkl: %w", err))
	}
	var values []any
	switch v := v.(type) {
	case tuple:
		values = v
	case *list:
		values = v.items
	default:
		values = []any{v}
	}
	if len(values) == 0 || len(values) > 16 {
		return fail(fmt.Errorf("%d values, want a tensor or a few", len(values)))
	}
	var out []*array
	for _, v := range values {
		t, ok := v.(tensor)
		if !ok {
			return fail(errors.New("want a tensor or a tuple of tensors"))
		}
		a, err := t.open(f, name, files)
		if err != nil {
			return fail(err)
		}
		out = append(out, a)
	}
	return out, nil
}

// entry finds the bytes of a stored file.
func entry(f *os.File, e *zip.File) (*io.SectionReader, error) {
	if e.Method != zip.Store {
		return nil, fmt.Errorf("%s is compressed, PyTorch stores its files as they are", e.Name)
	}
	at, err := e.DataOffset()
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	size := int64(e.UncompressedSize64)
	if size < 0 || size > info.Size() || at > info.Size()-size {
		return nil, fmt.Errorf("%s reaches beyond the file", e.Name)
	}
	return io.NewSectionReader(f, at, size), nil
}

func readEntry(f *os.File, e *zip.File, limit int64) ([]byte, error) {
	r, err := entry(f, e)
	if err != nil {
		return nil, err
	}
	if r.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", e.Name, r.Size(), limit)
	}
	b, err := io.ReadAll(r)
	if err == nil && crc32.ChecksumIEEE(b) != e.CRC32 {
		err = fmt.Errorf("%s: %w", e.Name, zip.ErrChecksum)
	}
	return b, err
}

// storageTypes are the types of storages.
var storageTypes = map[global]dtype{
	"torch.HalfStorage":   {'f', 2},
	"torch.FloatStorage":  {'f', 4},
	"torch.DoubleStorage": {'f', 8},
	"torch.ByteStorage":   uint8s,
	"torch.ShortStorage":  {'i', 2},
	"torch.IntStorage":    int32s,
	"torch.LongStorage":   int64s,
}

func storageName(t dtype) global {
	for name, have := range storageTypes {
		if have == t {
			return name
		}
	}
	return ""
}

// open finds a tensor's numbers.
func (t tensor) open(f *os.File, name string, files map[string]*zip.File) (*array, error) {
	kind, ok := storageTypes[t.storage.kind]
	if !ok {
		return nil, fmt.Errorf("a tensor of %s is not read", t.storage.kind)
	}
	e := files["data/"+t.storage.key]
	if e == nil {
		return nil, fmt.Errorf("the tensor's storage data/%.20s is missing", t.storage.key)
	}
	r, err := entry(f, e)
	if err != nil {
		return nil, err
	}
	n, err := count(t.shape, kind.width, r.Size())
	if err != nil {
		return nil, err
	}
	step := int64(1)
	for i := len(t.shape) - 1; i >= 0; i-- {
		if t.shape[i] > 1 && t.stride[i] != step {
			return nil, fmt.Errorf("the tensor is not contiguous: shape %v, stride %v", t.shape, t.stride)
		}
		step *= max(1, t.shape[i])
	}
	w := int64(kind.width)
	if t.offset > r.Size()/w || n*w > r.Size()-t.offset*w {
		return nil, fmt.Errorf("the tensor of shape %v at %d reaches beyond its storage of %d bytes", t.shape, t.offset, r.Size())
	}
	return &array{name: name, dtype: kind, shape: t.shape, data: io.NewSectionReader(r, t.offset*w, n*w)}, nil
}

// torchTensor is a tensor to be written.
type torchTensor struct {
	dtype dtype
	shape []int64
	data  []byte
}

// writeTorch writes a .pt file that holds one tensor, or a tuple of several.
func writeTorch(path string, tensors ...torchTensor) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	z := &torchZip{w: f, z: zip.NewWriter(f), folder: strings.TrimSuffix(path[strings.LastIndexAny(path, `/\`)+1:], ".pt") + "/"}
	z.z.SetOffset(0)
	z.add("data.pkl", pickleTensors(tensors))
	z.add("byteorder", []byte("little"))
	for i, t := range tensors {
		z.add(fmt.Sprintf("data/%d", i), t.data)
	}
	z.add("version", []byte("3\n"))
	return errors.Join(z.err, z.z.Close(), f.Close())
}

// torchZip writes stored files whose bytes begin at multiples of 64, where PyTorch
// puts them for mapping.
type torchZip struct {
	w      *os.File
	z      *zip.Writer
	folder string
	err    error
}

func (z *torchZip) add(name string, data []byte) {
	if z.err != nil {
		return
	}
	const align, header = 64, 30
	if z.err = z.z.Flush(); z.err != nil {
		return
	}
	at, err := z.w.Seek(0, io.SeekCurrent)
	if err != nil {
		z.err = err
		return
	}
	h := &zip.FileHeader{Name: z.folder + name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(data),
		CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data))}
	start := at + header + int64(len(h.Name)) + 4
	pad := int((align - start%align) % align)
	h.Extra = binary.LittleEndian.AppendUint16([]byte("FB"), uint16(pad))
	h.Extra = append(h.Extra, bytes.Repeat([]byte("Z"), pad)...)
	w, err := z.z.CreateRaw(h)
	if err == nil {
		_, err = w.Write(data)
	}
	z.err = err
}

// pickleTensors writes what torch.save makes of one tensor, or of a tuple.
func pickleTensors(tensors []torchTensor) []byte {
	b := []byte{0x80, 2}
	text := func(s string) {
		b = append(binary.LittleEndian.AppendUint32(append(b, 'X'), uint32(len(s))), s...)
	}
	integer := func(n int64) {
		switch {
		case n < 256:
			b = append(b, 'K', byte(n))
		case n < 1<<31:
			b = binary.LittleEndian.AppendUint32(append(b, 'J'), uint32(n))
		default:
			b = binary.LittleEndian.AppendUint64(append(b, 0x8a, 8), uint64(n))
		}
	}
	integers := func(list []int64) {
		b = append(b, '(')
		for _, n := range list {
			integer(n)
		}
		b = append(b, 't')
	}
	if len(tensors) > 1 {
		b = append(b, '(')
	}
	for i, t := range tensors {
		stride, step := make([]int64, len(t.shape)), int64(1)
		for d := len(t.shape) - 1; d >= 0; d-- {
			stride[d] = step
			step *= t.shape[d]
		}
		b = append(b, "ctorch._utils\n_rebuild_tensor_v2\n(("...)
		text("storage")
		b = append(b, "ctorch\n"+strings.TrimPrefix(string(storageName(t.dtype)), "torch.")+"\n"...)
		text(fmt.Sprint(i))
		text("cpu")
		integer(step)
		b = append(b, 't', 'Q')
		integer(0)
		integers(t.shape)
		integers(stride)
		b = append(b, 0x89) // requires no gradient
		b = append(b, "ccollections\nOrderedDict\n)R"...)
		b = append(b, 't', 'R')
	}
	if len(tensors) > 1 {
		b = append(b, 't')
	}
	return append(b, '.')
}
