package segment

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/colbertdb-go/colbertdb/internal/attribute"
)

// attributeIndexBuilder collects the values of one attribute over the documents
// of a segment: of a new one, and of one that an index is declared for later.
type attributeIndexBuilder struct {
	meta  indexMeta
	path  attribute.Path
	lists map[string][]uint16 // by key
	keys  map[string]struct{} // of the document in hand
}

// newAttributeIndexBuilder returns a builder without documents.
func newAttributeIndexBuilder(s IndexSpec) (*attributeIndexBuilder, error) {
	path, err := attribute.ParsePath(s.Path)
	if err != nil {
		return nil, fmt.Errorf("colbertdb: attribute index %d: %w", s.ID, err)
	}
	return &attributeIndexBuilder{
		meta: indexMeta{ID: s.ID, Path: s.Path}, path: path, lists: map[string][]uint16{}, keys: map[string]struct{}{},
	}, nil
}

func (b *attributeIndexBuilder) spec() IndexSpec { return IndexSpec{ID: b.meta.ID, Path: b.meta.Path} }

// add adds the next document; one without the attribute, too.
func (b *attributeIndexBuilder) add(_ string, attrs []byte) {
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

func (b *attributeIndexBuilder) put(key string) {
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

func (b *attributeIndexBuilder) stored() (header any, encoded []byte, chunks [][]byte) {
	m, chunks := b.chunks()
	return *m, m.encode(), chunks
}

// chunks returns the header and the stored form.
func (b *attributeIndexBuilder) chunks() (*indexMeta, [][]byte) {
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
		buf = appendKeyAfter(buf, last, k)
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
