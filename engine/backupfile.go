package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/colbertdb-go/colbertdb/internal/envelope"
	"github.com/colbertdb-go/colbertdb/segment"
)

// A backup is one stream: a header with the descriptor, the files that are not
// Elsewhere as blocks of up to blockSize bytes, and an end. docs/format/backup.md
// has the byte boxes.
const (
	backupMagic   = "CDBB"
	backupVersion = 1
	backupHeader  = 4 + 2 + 2 + 8

	blockMagic  = "BLK1"
	blockHeader = 4 + 4 + 4 + 4 + 8 + 4
	blockSize   = 1 << 20
	endOfBlocks = 0xffffffff // in place of a file's number

	maxDescriptor = 1 << 30
)

// backupWriter writes a backup.
type backupWriter struct {
	w      io.Writer
	id     string
	blocks uint64
	buf    []byte
	packed []byte
}

func newBackupWriter(w io.Writer, d *Descriptor) (*backupWriter, error) {
	frame := d.encode()
	b := append([]byte(nil), backupMagic...)
	b = binary.LittleEndian.AppendUint16(b, backupVersion)
	b = append(b, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(frame)))
	_, err := w.Write(append(b, frame...))
	return &backupWriter{w: w, id: d.ID}, err
}

// block writes one piece of a file. What does not compress is stored as it is.
func (b *backupWriter) block(file uint32, offset int64, raw []byte) error {
	enc, _ := backupZstd()
	b.packed = enc.EncodeAll(raw, b.packed[:0])
	body := b.packed
	if len(body) >= len(raw) {
		body = raw
	}
	b.blocks++
	return b.write(file, len(raw), offset, body)
}

// end says how many blocks there were.
func (b *backupWriter) end() error { return b.write(endOfBlocks, 0, int64(b.blocks), nil) }

func (b *backupWriter) write(file uint32, raw int, offset int64, body []byte) error {
	h := append(b.buf[:0], blockMagic...)
	h = binary.LittleEndian.AppendUint32(h, file)
	h = binary.LittleEndian.AppendUint32(h, uint32(raw))
	h = binary.LittleEndian.AppendUint32(h, uint32(len(body)))
	h = binary.LittleEndian.AppendUint64(h, uint64(offset))
	h = binary.LittleEndian.AppendUint32(h, blockSum(b.id, h, body))
	b.buf = append(h, body...)
	_, err := b.w.Write(b.buf)
	return err
}

// blockSum covers the backup's id, so that a block of another does not pass.
func blockSum(id string, header, body []byte) uint32 {
	sum := crc32.Checksum([]byte(id), castagnoli)
	return crc32.Update(crc32.Update(sum, castagnoli, header[:blockHeader-4]), castagnoli, body)
}

// blockWriter cuts a file of a backup into blocks.
type blockWriter struct {
	out    *backupWriter
	file   uint32
	offset int64
	buf    []byte
}

func (b *blockWriter) Write(p []byte) (int, error) {
	b.buf = append(b.buf, p...)
	for len(b.buf) >= blockSize {
		if err := b.block(blockSize); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (b *blockWriter) block(n int) error {
	err := b.out.block(b.file, b.offset, b.buf[:n])
	b.offset += int64(n)
	b.buf = append(b.buf[:0], b.buf[n:]...)
	return err
}

func (b *blockWriter) flush() error {
	if len(b.buf) == 0 {
		return nil
	}
	return b.block(len(b.buf))
}

var backupZstd = sync.OnceValues(func() (*zstd.Encoder, *zstd.Decoder) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		panic(err) // impossible: constant options
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(4*blockSize))
	if err != nil {
		panic(err) // impossible: constant options
	}
	return enc, dec
})

// backupReader reads a backup.
type backupReader struct {
	r      io.Reader
	at     int64 // offset in the stream
	d      *Descriptor
	blocks uint64
	body   []byte
	raw    []byte
}

// newBackupReader reads the header.
func newBackupReader(r io.Reader) (*backupReader, error) {
	b := &backupReader{r: r}
	var head [backupHeader]byte
	if err := b.read(head[:]); err != nil {
		return nil, b.damaged(0, "header", err)
	}
	if string(head[:4]) != backupMagic {
		return nil, b.damaged(0, "header", fmt.Errorf("does not start with %q: not a backup", backupMagic))
	}
	switch v := binary.LittleEndian.Uint16(head[4:]); {
	case v == 0: // there has never been one
		return nil, b.damaged(4, "header", errors.New("version 0"))
	case v > backupVersion:
		return nil, fmt.Errorf("%w: backup of version %d, this program reads up to %d", ErrFormatTooNew, v, backupVersion)
	}
	n := binary.LittleEndian.Uint64(head[8:])
	if n < envelope.HeaderSize || n > maxDescriptor || head[6]|head[7] != 0 {
		return nil, b.damaged(8, "header", fmt.Errorf("descriptor of %d bytes", n))
	}
	var frame bytes.Buffer // grows with what is there, whatever the length says
	m, err := io.CopyN(&frame, r, int64(n))
	b.at += m
	if err != nil {
		return nil, b.damaged(b.at, "descriptor", cutShort(err))
	}
	if b.d, err = decodeDescriptor(frame.Bytes(), "descriptor of the backup"); err != nil {
		return nil, err
	}
	return b, nil
}

// next returns the next block, valid until the one after it; io.EOF after the last.
func (b *backupReader) next() (file int, offset int64, raw []byte, err error) {
	start := b.at
	fail := func(format string, args ...any) (int, int64, []byte, error) {
		return 0, 0, nil, b.damaged(start, b.place(file, offset), fmt.Errorf(format, args...))
	}
	file = -1
	var h [blockHeader]byte
	if err := b.read(h[:]); err != nil {
		return 0, 0, nil, b.damaged(b.at, "block", err)
	}
	number, size, packed := binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint32(h[8:]), binary.LittleEndian.Uint32(h[12:])
	if string(h[:4]) != blockMagic || size > blockSize || packed > size {
		return fail("no block of a backup")
	}
	b.body = append(b.body[:0], make([]byte, packed)...)
	if err := b.read(b.body); err != nil {
		return 0, 0, nil, b.damaged(b.at, "block", err)
	}
	if binary.LittleEndian.Uint32(h[24:]) != blockSum(b.d.ID, h[:], b.body) {
		return fail("checksum mismatch")
	}
	offset = int64(binary.LittleEndian.Uint64(h[16:]))
	if number == endOfBlocks {
		if uint64(offset) != b.blocks {
			return fail("%d blocks, there should be %d", b.blocks, offset)
		}
		if n, _ := io.ReadFull(b.r, h[:1]); n > 0 {
			return fail("more bytes after the end")
		}
		return 0, 0, nil, io.EOF
	}
	if int(number) >= len(b.d.Files) {
		return fail("file %d of %d", number, len(b.d.Files))
	}
	file, b.blocks = int(number), b.blocks+1
	if packed == size {
		return file, offset, b.body, nil
	}
	_, dec := backupZstd()
	if b.raw, err = dec.DecodeAll(b.body, b.raw[:0]); err != nil {
		return fail("%w", err)
	}
	if len(b.raw) != int(size) {
		return fail("%d bytes, the block says %d", len(b.raw), size)
	}
	return file, offset, b.raw, nil
}

func (b *backupReader) read(p []byte) error {
	n, err := io.ReadFull(b.r, p)
	b.at += int64(n)
	return cutShort(err)
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("cut short")
	}
	return err
}

func (b *backupReader) place(file int, offset int64) string {
	if file < 0 || file >= len(b.d.Files) {
		return "block"
	}
	return fmt.Sprintf("file %s at %d", b.d.Files[file].Path, offset)
}

func (b *backupReader) damaged(at int64, what string, err error) error {
	id := ""
	if b.d != nil {
		id = " " + b.d.ID
	}
	return &segment.CorruptionError{Where: fmt.Sprintf("backup%s, %s", id, what), Offset: at, Err: err}
}

// extraction reads the files of a backup one after the other.
type extraction struct {
	*backupReader
	open func(File) (fileSink, error) // nil: the content is checked and passed over
	left []int                        // files that are still to come
	file int                          // the one in hand, -1: none
	sum  *summer
	sink fileSink
}

// extract calls open for every file that the backup stores, in order, gives the
// content to what it returned, and checks it against the descriptor.
func (b *backupReader) extract(ctx context.Context, progress func(int64), open func(File) (fileSink, error)) error {
	x := &extraction{backupReader: b, open: open, file: -1}
	for i, f := range b.d.Files {
		if !f.Elsewhere {
			x.left = append(x.left, i)
		}
	}
	err := x.run(ctx, progress)
	if err != nil && x.sink != nil {
		x.sink.abort()
	}
	return err
}

func (x *extraction) run(ctx context.Context, progress func(int64)) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		file, offset, raw, err := x.next()
		if errors.Is(err, io.EOF) {
			return x.rest()
		}
		if err != nil {
			return err
		}
		for x.file != file { // what comes before it is empty
			if len(x.left) == 0 {
				return x.damaged(x.at, x.place(file, offset), errors.New("out of order"))
			}
			if err := x.finish(); err != nil {
				return err
			}
			if err := x.begin(); err != nil {
				return err
			}
		}
		if offset != x.sum.size {
			return x.damaged(x.at, x.place(file, offset), fmt.Errorf("follows byte %d", x.sum.size))
		}
		x.sum.Write(raw)
		if x.sink != nil {
			if _, err := x.sink.Write(raw); err != nil {
				return err
			}
		}
		if progress != nil {
			progress(int64(len(raw)))
		}
	}
}

// rest ends the file in hand and the empty ones after it.
func (x *extraction) rest() error {
	for {
		if err := x.finish(); err != nil || len(x.left) == 0 {
			return err
		}
		if err := x.begin(); err != nil {
			return err
		}
	}
}

func (x *extraction) begin() (err error) {
	x.file, x.left, x.sum = x.left[0], x.left[1:], newSummer()
	x.sink, err = x.open(x.d.Files[x.file])
	return err
}

func (x *extraction) finish() error {
	if x.file < 0 {
		return nil
	}
	want := x.d.Files[x.file]
	if got := x.sum.file(want.Path); got != want {
		return x.damaged(x.at, "file "+want.Path, fmt.Errorf("%d bytes with crc32c %08x, the descriptor says %d with %08x", got.Size, got.CRC32C, want.Size, want.CRC32C))
	}
	x.file = -1
	sink := x.sink
	x.sink = nil
	if sink == nil {
		return nil
	}
	return sink.done()
}

// fileSink takes the content of one file.
type fileSink interface {
	io.Writer
	done() error // the content was whole
	abort()      // it was not
}
