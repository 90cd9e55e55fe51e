package segment

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"sort"

	"github.com/colbertdb-go/colbertdb/internal/attribute"
	"github.com/colbertdb-go/colbertdb/internal/envelope"
)

// An attribute index maps the values of one attribute to the documents that have
// them, for one segment, and like the segment never changes. Values of all kinds
// are in it, sorted, each with its documents as a roaring container without its
// header, like posting lists:
//
//	exists │ odd │ null │ false │ true │ numbers, ascending │ strings, bytewise
//
// A comparison is a range of neighbouring values, found by binary search; its
// answer is their lists put into a set. Documents that an index is not made for,
// with more than maxDocValues values or a string longer than maxValueBytes, are
// odd: they are in the lists exists and odd only, and whoever asks looks at their
// attributes.
const (
	maxDocValues  = 256
	maxValueBytes = 256
)

// indexMeta is the header of a stored index.
type indexMeta struct {
	ID       uint32 `json:"id"`
	Path     string `json:"path"`
	Docs     int    `json:"docs"`
	Values   int    `json:"values"`   // lists
	Postings int64  `json:"postings"` // over all lists
	Chunks   int    `json:"chunks"`   // without this one
	Bytes    int64  `json:"bytes"`    // of them
}

const indexMagic = "CDBF"

func (m *indexMeta) encode() []byte {
	return envelope.Append(nil, indexMagic, Version, func(b []byte) []byte {
		body, err := json.Marshal(m)
		if err != nil {
			panic(fmt.Sprintf("colbertdb: a header that JSON cannot hold: %v", err)) // impossible: a plain struct
		}
		return append(b, body...)
	})
}

func decodeIndexMeta(b []byte) (*indexMeta, error) {
	_, body, err := envelope.Open(b, indexMagic, Version)
	if err != nil {
		return nil, err
	}
	m := new(indexMeta)
	if err := json.Unmarshal(body, m); err != nil {
		return nil, err
	}
	if _, err := attribute.ParsePath(m.Path); err != nil {
		return nil, err
	}
	if m.Values < 0 || int64(m.Values) > m.Postings || m.Postings > int64(m.Docs)*(maxDocValues+2) || m.Chunks < 0 || m.Chunks > m.Values {
		return nil, fmt.Errorf("%d values, %d postings of %d documents in %d chunks", m.Values, m.Postings, m.Docs, m.Chunks)
	}
	return m, nil
}

// The kinds of keys, in their order. A key is its kind, and for a number its
// order-preserving eight bytes, for a string the string.
const (
	keyExists byte = iota
	keyOdd
	keyNull
	keyFalse
	keyTrue
	keyNumber
	keyString
)

// appendNumber appends a float64 so that bytes sort as numbers do.
func appendNumber(dst []byte, f float64) []byte {
	bits := math.Float64bits(f)
	if bits>>63 != 0 {
		bits = ^bits
	} else {
		bits |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(dst, bits)
}

func decodeNumber(b []byte) float64 {
	bits := binary.BigEndian.Uint64(b)
	if bits>>63 != 0 {
		bits &^= 1 << 63
	} else {
		bits = ^bits
	}
	return math.Float64frombits(bits)
}

// AttributeIndex is an index in memory.
type AttributeIndex struct {
	meta    *indexMeta
	special [keyNumber]int // of the kinds before numbers: their list + 1, 0: none
	first   int            // list of the first number; those of strings follow
	numbers []float64
	strings []byte // one after the other
	ends    []uint32

	start  []uint32 // [lists+1] into arrays
	arrays []uint16
	dense  map[int][]uint64 // by list; nothing in arrays
}

// ID is the index's id in its collection, Path the attribute that it is of.
func (x *AttributeIndex) ID() uint32   { return x.meta.ID }
func (x *AttributeIndex) Path() string { return x.meta.Path }

// Values is the number of different values, Bytes the size as stored.
func (x *AttributeIndex) Values() int {
	return len(x.numbers) + len(x.ends) + min(x.special[keyNull], 1) + min(x.special[keyFalse], 1) + min(x.special[keyTrue], 1)
}
func (x *AttributeIndex) Bytes() int64 { return x.meta.Bytes }

func (x *AttributeIndex) spec() IndexSpec { return IndexSpec{ID: x.meta.ID, Path: x.meta.Path} }
func (x *AttributeIndex) header() any     { return *x.meta }
func (x *AttributeIndex) chunks() int     { return x.meta.Chunks }

// MemoryBytes is about what the index occupies.
func (x *AttributeIndex) MemoryBytes() int64 {
	return int64(8*len(x.numbers)+len(x.strings)+4*len(x.ends)+4*len(x.start)+2*len(x.arrays)) + int64(len(x.dense))*(8*bitsetWords+64)
}

func (x *AttributeIndex) list(i int) List {
	if bits, ok := x.dense[i]; ok {
		return List{Bits: bits}
	}
	return List{Array: x.arrays[x.start[i]:x.start[i+1]]}
}

func (x *AttributeIndex) text(i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = x.ends[i-1]
	}
	return x.strings[from:x.ends[i]]
}

// Select adds to must the documents with a value that meets a test, and the odd
// ones to may.
func (x *AttributeIndex) Select(t *attribute.Test, must, may *Bitset) {
	if t.Op == attribute.Exists {
		x.add(must, keyExists)
		return
	}
	x.add(may, keyOdd)
	for i := range t.Values {
		x.selectValue(t.Op, &t.Values[i], must)
	}
}

func (x *AttributeIndex) add(to *Bitset, kind byte) {
	if i := x.special[kind]; i > 0 {
		to.addList(x.list(i - 1))
	}
}

func (x *AttributeIndex) selectValue(op attribute.Op, v *attribute.Value, out *Bitset) {
	switch v.Kind {
	case attribute.Null:
		x.add(out, keyNull)
	case attribute.False:
		x.add(out, keyFalse)
	case attribute.True:
		x.add(out, keyTrue)
	case attribute.Number:
		at := sort.SearchFloat64s(x.numbers, v.Num)
		after := at
		if at < len(x.numbers) && x.numbers[at] == v.Num {
			after++
		}
		x.addRange(op, x.first, at, after, len(x.numbers), out)
	case attribute.String:
		at := sort.Search(len(x.ends), func(i int) bool { return bytes.Compare(x.text(i), v.Str) >= 0 })
		after := at
		if op == attribute.Prefix {
			after += sort.Search(len(x.ends)-at, func(i int) bool { return !bytes.HasPrefix(x.text(at+i), v.Str) })
		} else if at < len(x.ends) && bytes.Equal(x.text(at), v.Str) {
			after++
		}
		x.addRange(op, x.first+len(x.numbers), at, after, len(x.ends), out)
	}
}

// addRange adds the lists of the values that a comparison chooses among n of one
// kind: [at, after) are those equal, or with the prefix.
func (x *AttributeIndex) addRange(op attribute.Op, first, at, after, n int, out *Bitset) {
	from, to := at, after
	switch op {
	case attribute.Lt:
		from, to = 0, at
	case attribute.Lte:
		from = 0
	case attribute.Gt:
		from, to = after, n
	case attribute.Gte:
		to = n
	}
	if from >= to {
		return
	}
	from, to = first+from, first+to
	out.addList(List{Array: x.arrays[x.start[from]:x.start[to]]}) // neighbours lie together
	for i, bits := range x.dense {
		if i >= from && i < to {
			out.addList(List{Bits: bits})
		}
	}
}

// loadAttributeIndex reads an index whose header is raw.
func (r *Reader) loadAttributeIndex(id uint32, raw []byte) (*AttributeIndex, error) {
	m, err := decodeIndexMeta(raw)
	if err == nil && (m.ID != id || m.Docs != r.Len()) {
		err = fmt.Errorf("index %d of %d documents, want %d of %d", m.ID, m.Docs, id, r.Len())
	}
	if err != nil {
		return nil, corrupt(describe(chunkKey(r.meta.ID, colIndex, id, 0)), 0, "%w", err)
	}
	d := &indexDecoder{x: &AttributeIndex{meta: m, start: []uint32{0}, dense: map[int][]uint64{}}}
	if err := r.indexChunks(id, m.Chunks, d.chunk, d.finish); err != nil {
		return nil, err
	}
	return d.x, nil
}

// indexDecoder reads the chunks of an index.
type indexDecoder struct {
	x        *AttributeIndex
	last     []byte // key
	lists    int
	postings int64
}

// chunk reads whole entries: the bytes that the key shares with the one before
// in the chunk, the number of the others, they, the cardinality, the list.
func (d *indexDecoder) chunk(b []byte) error {
	var key []byte
	for len(b) > 0 {
		var err error
		if key, b, err = keyAfter(b, key, maxValueBytes+1); err != nil {
			return fmt.Errorf("list %d: %w", d.lists, err)
		}
		card, n := binary.Uvarint(b)
		if n <= 0 || card == 0 || card > uint64(d.x.meta.Docs) {
			return fmt.Errorf("list %d has %d of %d documents", d.lists, card, d.x.meta.Docs)
		}
		if b, err = d.list(b[n:], int(card)); err != nil {
			return err
		}
		if err := d.key(key); err != nil {
			return err
		}
	}
	return nil
}

func (d *indexDecoder) key(key []byte) error {
	x := d.x
	if d.lists > 0 && bytes.Compare(key, d.last) <= 0 || len(key) == 0 {
		return fmt.Errorf("key %q after %q", key, d.last)
	}
	d.last = append(d.last[:0], key...)
	switch kind := key[0]; {
	case kind < keyNumber && len(key) == 1:
		x.special[kind] = d.lists + 1
		x.first = d.lists + 1
	case kind == keyNumber && len(key) == 9:
		f := decodeNumber(key[1:])
		if math.IsNaN(f) || f == 0 && math.Signbit(f) {
			return fmt.Errorf("number %v", f)
		}
		x.numbers = append(x.numbers, f)
	case kind == keyString:
		x.strings = append(x.strings, key[1:]...)
		x.ends = append(x.ends, uint32(len(x.strings)))
	default:
		return fmt.Errorf("key %q", key)
	}
	d.lists++
	return nil
}

func (d *indexDecoder) list(b []byte, card int) (rest []byte, err error) {
	x := d.x
	d.postings += int64(card)
	if card <= maxArray {
		if len(b) < 2*card {
			return nil, fmt.Errorf("list %d is cut short", d.lists)
		}
		last := -1
		for i := range card {
			o := binary.LittleEndian.Uint16(b[2*i:])
			if int(o) <= last || int(o) >= x.meta.Docs {
				return nil, fmt.Errorf("list %d: document %d after %d of %d", d.lists, o, last, x.meta.Docs)
			}
			last = int(o)
			x.arrays = append(x.arrays, o)
		}
		x.start = append(x.start, uint32(len(x.arrays)))
		return b[2*card:], nil
	}
	if len(b) < 8*bitsetWords {
		return nil, fmt.Errorf("list %d is cut short", d.lists)
	}
	words := make([]uint64, bitsetWords)
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	l := List{Bits: words}
	over := false
	l.Each(func(o uint16) { over = over || int(o) >= x.meta.Docs })
	if over || l.Len() != card {
		return nil, fmt.Errorf("list %d: %d documents, %d in its bits, of %d", d.lists, card, l.Len(), x.meta.Docs)
	}
	x.dense[d.lists] = words
	x.start = append(x.start, uint32(len(x.arrays)))
	return b[8*bitsetWords:], nil
}

func (d *indexDecoder) finish() error {
	m := d.x.meta
	if d.lists != m.Values || d.postings != m.Postings {
		return fmt.Errorf("%d values and %d postings, the header says %d and %d", d.lists, d.postings, m.Values, m.Postings)
	}
	return nil
}
