package segment

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/internal/attribute"
)

// AttributeIndexBuilder collects the values of one attribute over the documents
// of a segment: of a new one, and of one that an index is declared for later.
type AttributeIndexBuilder struct {
	meta  indexMeta
	path  attribute.Path
	lists map[string][]uint16 // by key
	keys  map[string]struct{} // of the document in hand
}

// NewAttributeIndexBuilder returns a builder without documents.
func NewAttributeIndexBuilder(s IndexSpec) (*AttributeIndexBuilder, error) {
	path, err := attribute.ParsePath(s.Path)
	if err != nil {
		return nil, fmt.Errorf("colbertdb: attribute index %d: %w", s.ID, err)
	}
	return &AttributeIndexBuilder{
		meta: indexMeta{ID: s.ID, Path: s.Path}, path: path, lists: map[string][]uint16{}, keys: map[string]struct{}{},
	}, nil
}

// Add adds the next document; one without the attribute, too.
func (b *AttributeIndexBuilder) Add(attrs []byte) {
	clear(b.keys)
	odd := false
	var buf [maxValueBytes + 1]byte
	exists, err := b.path.Each(attrs, func(v attribute.Value) bool {
		if v.Kind == attribute.Object {
			return true
		}
		if odd = len(v.Str) > maxValueBytes; !odd {
			b.keys[string(appendKey(buf[:0], v))] = struct{}{}
			odd = len(b.keys) > maxDocValues
		}
		return !odd
	})
	if err != nil {
		exists, odd = true, true // whoever reads them finds out
	}
	if exists {
		b.put(string([]byte{keyExists}))
	}
	if odd {
		b.put(string([]byte{keyOdd}))
	} else {
		for key := range b.keys {
			b.put(key)
		}
	}
	b.meta.Docs++
}

func (b *AttributeIndexBuilder) put(key string) {
	b.lists[key] = append(b.lists[key], uint16(b.meta.Docs))
	b.meta.Postings++
}

func appendKey(dst []byte, v attribute.Value) []byte {
	switch v.Kind {
	case attribute.Null:
		return append(dst, keyNull)
	case attribute.False:
		return append(dst, keyFalse)
	case attribute.True:
		return append(dst, keyTrue)
	case attribute.Number:
		return appendNumber(append(dst, keyNumber), v.Num)
	}
	return append(append(dst, keyString), v.Str...)
}

// chunks returns the header and the stored form.
func (b *AttributeIndexBuilder) chunks() (*indexMeta, [][]byte) {
	keys := make([]string, 0, len(b.lists))
	for k := range b.lists {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	m := b.meta
	m.Values = len(keys)
	var out [][]byte
	var buf []byte
	last := ""
	for i, k := range keys {
		shared := 0
		for shared < len(k) && shared < len(last) && k[shared] == last[shared] {
			shared++
		}
		buf = binary.AppendUvarint(buf, uint64(shared))
		buf = binary.AppendUvarint(buf, uint64(len(k)-shared))
		buf = append(buf, k[shared:]...)
		list := b.lists[k]
		buf = binary.AppendUvarint(buf, uint64(len(list)))
		buf = appendOrdinals(buf, list)
		last = k
		if len(buf) >= postChunkSize || i == len(keys)-1 {
			out = append(out, buf)
			m.Bytes += int64(len(buf)) + sumSize
			buf, last = nil, ""
		}
	}
	m.Chunks = len(out)
	return &m, out
}

// appendOrdinals appends a list as a roaring container.
func appendOrdinals(dst []byte, list []uint16) []byte {
	if len(list) <= maxArray {
		for _, o := range list {
			dst = binary.LittleEndian.AppendUint16(dst, o)
		}
		return dst
	}
	words := make([]uint64, bitsetWords)
	for _, o := range list {
		words[o>>6] |= 1 << (o & 63)
	}
	for _, w := range words {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	return dst
}

func (b *AttributeIndexBuilder) write(w *columnWriter) error {
	m, chunks := b.chunks()
	if err := w.put(m.ID, 0, m.encode()); err != nil {
		return err
	}
	for i, c := range chunks {
		if err := w.put(m.ID, uint32(i+1), c); err != nil {
			return err
		}
	}
	return nil
}

// BuildAttributeIndexes reads the attributes of the segment's documents and writes
// indexes of them as a synced sstable in a folder, for Pebble to ingest beside what
// the segment has.
func (r *Reader) BuildAttributeIndexes(ctx context.Context, specs []IndexSpec, fs vfs.FS, dir string) (paths []string, err error) {
	builders, err := r.indexBuilders(ctx, specs)
	if err != nil {
		return nil, err
	}
	files := &tableFiles{fs: fs, dir: dir, id: r.meta.ID}
	defer func() {
		if err != nil {
			files.remove()
		}
	}()
	w := &columnWriter{files: files, column: colIndex}
	if w.file, err = files.create(colIndex); err != nil {
		return nil, err
	}
	for _, b := range builders {
		if err == nil {
			err = b.write(w)
		}
	}
	if err == nil {
		err = w.spill()
	}
	if cerr := w.file.close(); err == nil {
		err = cerr
	}
	return files.paths, err
}

// indexBuilders fills builders with the segment's documents. They are written in
// the order of their ids, which is that of their keys.
func (r *Reader) indexBuilders(ctx context.Context, specs []IndexSpec) ([]*AttributeIndexBuilder, error) {
	builders, err := newIndexBuilders(specs)
	if err != nil {
		return nil, err
	}
	err = r.EachAttributes(ctx, nil, func(_ int, attrs []byte) error {
		for _, b := range builders {
			b.Add(attrs)
		}
		return nil
	})
	return builders, err
}

// newIndexBuilders returns builders in the order of their ids.
func newIndexBuilders(specs []IndexSpec) ([]*AttributeIndexBuilder, error) {
	out := make([]*AttributeIndexBuilder, len(specs))
	for i, s := range specs {
		var err error
		if out[i], err = NewAttributeIndexBuilder(s); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b *AttributeIndexBuilder) int { return int(a.meta.ID) - int(b.meta.ID) })
	return out, nil
}

// verifyIndex compares an index with what the documents' attributes call for.
func (r *Reader) verifyIndex(ctx context.Context, x *AttributeIndex) error {
	builders, err := r.indexBuilders(ctx, []IndexSpec{{x.meta.ID, x.meta.Path}})
	if err != nil {
		return err
	}
	m, chunks := builders[0].chunks()
	where := fmt.Sprintf("segment %d, index %d of attribute %q", r.meta.ID, x.meta.ID, x.meta.Path)
	if *m != *x.meta {
		return corrupt(where, 0, "%+v, the attributes call for %+v", *x.meta, *m)
	}
	var buf []byte
	for i, want := range chunks {
		if buf, err = getChunk(r.db, chunkKey(r.meta.ID, colIndex, m.ID, uint32(i+1)), buf[:0]); err != nil {
			return err
		}
		if !bytes.Equal(buf, want) {
			return corrupt(where, 0, "chunk %d is not what the attributes call for", i+1)
		}
	}
	return nil
}
