package segment

import (
	"fmt"
	"sort"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Text and attributes are stored in zstd blocks of up to textDocs documents or
// textBytes bytes: for each document its text, then its attributes. Lengths are
// in the document table, so the blocks' bounds follow from it.
const (
	textDocs  = 32
	textBytes = 64 << 10
)

// textFull is the rule that writer and reader share.
func textFull(docs, bytes, size int) bool {
	return docs == textDocs || docs > 0 && bytes+size > textBytes
}

var zstdCodec = sync.OnceValues(func() (*zstd.Encoder, *zstd.Decoder) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err) // impossible: constant options
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxFields))
	if err != nil {
		panic(err) // impossible: constant options
	}
	return enc, dec
})

type textWriter struct {
	w     *columnWriter
	buf   []byte
	first uint32
	docs  int
}

func (t *textWriter) add(ordinal uint32, text string, attrs []byte) error {
	if textFull(t.docs, len(t.buf), len(text)+len(attrs)) {
		if err := t.finish(); err != nil {
			return err
		}
	}
	if t.docs == 0 {
		t.first = ordinal
	}
	t.docs++
	t.buf = append(append(t.buf, text...), attrs...)
	return nil
}

func (t *textWriter) finish() error {
	if t.docs == 0 {
		return nil
	}
	enc, _ := zstdCodec()
	err := t.w.put(t.first, 0, enc.EncodeAll(t.buf, nil))
	t.buf, t.docs = t.buf[:0], 0
	return err
}

// textBlocks returns the first ordinal of every block.
func (t *docTable) textBlocks() []uint32 {
	var out []uint32
	docs, bytes := textDocs, 0
	for ord := range t.nums {
		size := int(t.textLen[ord]) + int(t.attrLen[ord])
		if textFull(docs, bytes, size) {
			out = append(out, uint32(ord))
			docs, bytes = 0, 0
		}
		docs++
		bytes += size
	}
	return out
}

// fields returns the text and attributes of a document, which are not to be
// changed.
func (r *Reader) fields(ord int) (text, attrs []byte, err error) {
	if r.docs.textLen[ord]+r.docs.attrLen[ord] == 0 {
		return nil, nil, nil
	}
	block := sort.Search(len(r.textStart), func(i int) bool { return int(r.textStart[i]) > ord }) - 1
	raw, err := r.cachedTextBlock(block)
	if err != nil {
		return nil, nil, err
	}
	for o := int(r.textStart[block]); o < ord; o++ {
		raw = raw[r.docs.textLen[o]+r.docs.attrLen[o]:]
	}
	n, m := r.docs.textLen[ord], r.docs.attrLen[ord]
	return raw[:n:n], raw[n : n+m : n+m], nil
}

// decodedText is a decompressed block.
type decodedText struct {
	block int
	raw   []byte
}

// cachedTextBlock is textBlock with the last block kept: whoever reads documents
// in order, such as a merge, decompresses each block once, not once a document.
func (r *Reader) cachedTextBlock(block int) ([]byte, error) {
	if d := r.lastText.Load(); d != nil && d.block == block {
		return d.raw, nil
	}
	raw, err := r.textBlock(block)
	if err == nil && len(raw) <= textBytes {
		r.lastText.Store(&decodedText{block: block, raw: raw})
	}
	return raw, err
}

// textBlock reads one block.
func (r *Reader) textBlock(block int) ([]byte, error) {
	key := chunkKey(r.meta.ID, colText, r.textStart[block], 0)
	packed, err := getChunk(r.db, key, nil)
	if err != nil {
		return nil, err
	}
	return r.decodeText(block, key, packed)
}

// blockEnd is the ordinal after the last document of a text block.
func (r *Reader) blockEnd(block int) int {
	if block+1 < len(r.textStart) {
		return int(r.textStart[block+1])
	}
	return r.Len()
}

// decodeText decompresses a block and checks its length.
func (r *Reader) decodeText(block int, key, packed []byte) ([]byte, error) {
	want := 0
	for o := int(r.textStart[block]); o < r.blockEnd(block); o++ {
		want += int(r.docs.textLen[o]) + int(r.docs.attrLen[o])
	}
	raw, err := unpack(packed, want)
	if err != nil {
		return nil, corrupt(describe(key), 0, "%w", err)
	}
	return raw, nil
}

// unpack decompresses a block of want bytes. What the block and the document table
// say is believed, with memory, only as far as the other does too.
func unpack(packed []byte, want int) ([]byte, error) {
	var h zstd.Header
	if err := h.Decode(packed); err != nil {
		return nil, err
	}
	if h.HasFCS && h.FrameContentSize != uint64(want) {
		return nil, fmt.Errorf("%d bytes, the document table says %d", h.FrameContentSize, want)
	}
	_, dec := zstdCodec()
	raw, err := dec.DecodeAll(packed, make([]byte, 0, min(want, textBytes+64*len(packed))))
	if err == nil && len(raw) != want {
		err = fmt.Errorf("%d bytes, the document table says %d", len(raw), want)
	}
	return raw, err
}
