package segment

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"sort"

	"github.com/colbertdb-go/colbertdb/internal/envelope"
	"github.com/colbertdb-go/colbertdb/internal/lexical"
)

// A lexical index maps the terms of a segment's texts to the documents that have
// them and how often, and says how many terms each document has. Like posting lists
// it is in memory while the segment is open, the lists as they are stored: a search
// reads those of its terms, whole.
//
//	lengths of all documents │ terms, ascending bytewise, each with its list

// TermPosting is a document that has a term N times.
type TermPosting struct {
	Ord uint16
	N   uint32
}

// lexicalMeta is the header of a stored lexical index.
type lexicalMeta struct {
	ID       uint32           `json:"id"`
	Analyzer lexical.Analyzer `json:"analyzer"`
	Docs     int              `json:"docs"`
	Terms    int              `json:"terms"`
	Postings int64            `json:"postings"` // over all lists
	Length   int64            `json:"length"`   // of all documents, in terms
	Chunks   int              `json:"chunks"`   // without this one
	Bytes    int64            `json:"bytes"`    // of them
}

const lexicalMagic = "CDBT"

// maxTermBytes bounds a term: words are shorter, and stems and lower case forms
// hardly longer than they.
const maxTermBytes = 1 << 10

func (m *lexicalMeta) encode() []byte {
	return envelope.Append(nil, lexicalMagic, Version, func(b []byte) []byte {
		body, err := json.Marshal(m)
		if err != nil {
			panic(fmt.Sprintf("colbertdb: a header that JSON cannot hold: %v", err)) // impossible: a plain struct
		}
		return append(b, body...)
	})
}

func decodeLexicalMeta(b []byte) (*lexicalMeta, error) {
	_, body, err := envelope.Open(b, lexicalMagic, Version)
	if err != nil {
		return nil, err
	}
	m := new(lexicalMeta)
	if err := json.Unmarshal(body, m); err != nil {
		return nil, err
	}
	if err := m.Analyzer.Validate(); err != nil {
		return nil, err
	}
	if m.Docs < 0 || m.Docs > MaxDocuments || m.Terms < 0 || m.Postings < int64(m.Terms) || m.Length < m.Postings || m.Chunks < 1 || m.Chunks > m.Terms+1 {
		return nil, fmt.Errorf("%d terms, %d postings, %d occurrences in %d documents, %d chunks", m.Terms, m.Postings, m.Length, m.Docs, m.Chunks)
	}
	return m, nil
}

// LexicalIndex is a lexical index in memory.
type LexicalIndex struct {
	meta    *lexicalMeta
	lengths []uint32
	terms   []byte // one after the other
	ends    []uint32
	counts  []uint32 // documents, by term
	lists   []byte   // one after the other
	start   []uint32 // [terms+1] into lists
}

// ID is the index's id in its collection, Analyzer what has made its terms.
func (x *LexicalIndex) ID() uint32                 { return x.meta.ID }
func (x *LexicalIndex) Analyzer() lexical.Analyzer { return x.meta.Analyzer }

// Terms is the number of different terms, Bytes the size as stored.
func (x *LexicalIndex) Terms() int   { return len(x.ends) }
func (x *LexicalIndex) Bytes() int64 { return x.meta.Bytes }

// MemoryBytes is about what the index occupies.
func (x *LexicalIndex) MemoryBytes() int64 {
	return int64(cap(x.terms)+cap(x.lists)) + 4*int64(cap(x.lengths)+cap(x.ends)+cap(x.counts)+cap(x.start))
}

func (x *LexicalIndex) spec() IndexSpec { return IndexSpec{ID: x.meta.ID, Analyzer: x.meta.Analyzer} }
func (x *LexicalIndex) header() any     { return *x.meta }
func (x *LexicalIndex) chunks() int     { return x.meta.Chunks }

// Lengths are the documents' lengths in terms, Length their sum.
func (x *LexicalIndex) Lengths() []uint32 { return x.lengths }
func (x *LexicalIndex) Length() int64     { return x.meta.Length }

func (x *LexicalIndex) bytesOf(i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = x.ends[i-1]
	}
	return x.terms[from:x.ends[i]]
}

func (x *LexicalIndex) term(i int) string { return string(x.bytesOf(i)) }

// find is the place of a term, -1 where no document has it.
func (x *LexicalIndex) find(term string) int {
	i := sort.Search(len(x.ends), func(i int) bool { return string(x.bytesOf(i)) >= term })
	if i < len(x.ends) && string(x.bytesOf(i)) == term {
		return i
	}
	return -1
}

// Count is the number of documents with a term, dead ones included.
func (x *LexicalIndex) Count(term string) int {
	if i := x.find(term); i >= 0 {
		return int(x.counts[i])
	}
	return 0
}

// Postings appends the documents with a term, ascending.
func (x *LexicalIndex) Postings(term string, dst []TermPosting) []TermPosting {
	if i := x.find(term); i >= 0 {
		dst = x.list(i, dst)
	}
	return dst
}

// list appends the documents of a term. What lists holds was checked when it was
// loaded.
func (x *LexicalIndex) list(i int, dst []TermPosting) []TermPosting {
	b, ord := x.lists[x.start[i]:x.start[i+1]], -1
	for at := 0; at < len(b); {
		v := uint32(b[at])
		if at++; v >= 0x80 {
			v = v&0x7f | uint32(b[at])<<7
			if at++; v >= 1<<14 {
				v = v&(1<<14-1) | uint32(b[at])<<14
				at++
			}
		}
		ord += int(v>>1) + 1
		n := uint32(1)
		if v&1 != 0 {
			more, size := binary.Uvarint(b[at:])
			n = uint32(more)
			at += size
		}
		dst = append(dst, TermPosting{uint16(ord), n})
	}
	return dst
}

// loadLexicalIndex reads an index whose header is raw.
func (r *Reader) loadLexicalIndex(id uint32, raw []byte) (*LexicalIndex, error) {
	m, err := decodeLexicalMeta(raw)
	if err == nil && (m.ID != id || m.Docs != r.Len()) {
		err = fmt.Errorf("index %d of %d documents, want %d of %d", m.ID, m.Docs, id, r.Len())
	}
	if err != nil {
		return nil, corrupt(describe(chunkKey(r.meta.ID, colIndex, id, 0)), 0, "%w", err)
	}
	d := newLexicalDecoder(m)
	if err := r.indexChunks(id, m.Chunks, d.chunk, d.finish); err != nil {
		return nil, err
	}
	return d.x, nil
}

// lexicalDecoder reads the chunks of a lexical index and checks them.
type lexicalDecoder struct {
	x        *LexicalIndex
	sums     []uint64 // occurrences, by document
	last     []byte   // term
	postings int64
}

func newLexicalDecoder(m *lexicalMeta) *lexicalDecoder {
	return &lexicalDecoder{x: &LexicalIndex{meta: m, start: []uint32{0}}}
}

func (d *lexicalDecoder) chunk(b []byte) error {
	if d.x.lengths == nil {
		return d.lengths(b)
	}
	var term []byte
	for len(b) > 0 {
		var err error
		if term, b, err = keyAfter(b, term, maxTermBytes); err != nil {
			return fmt.Errorf("term %d: %w", len(d.x.ends), err)
		}
		if bytes.Compare(term, d.last) <= 0 { // the first one is not empty either
			return fmt.Errorf("term %d: %q after %q", len(d.x.ends), term, d.last)
		}
		d.last = append(d.last[:0], term...)
		d.x.terms = append(d.x.terms, term...)
		d.x.ends = append(d.x.ends, uint32(len(d.x.terms)))
		if b, err = d.list(b); err != nil {
			return fmt.Errorf("term %q: %w", term, err)
		}
	}
	return nil
}

// lengths reads the first chunk.
func (d *lexicalDecoder) lengths(b []byte) error {
	m := d.x.meta
	if len(b) < m.Docs { // each has a byte
		return errCutShort
	}
	d.x.lengths = make([]uint32, m.Docs)
	d.sums = make([]uint64, m.Docs)
	var sum int64
	for i := range d.x.lengths {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > math.MaxUint32 {
			return fmt.Errorf("document %d: its length is cut short, or %d", i, n)
		}
		d.x.lengths[i] = uint32(n)
		sum += int64(n)
		b = b[size:]
	}
	if len(b) > 0 || sum != m.Length {
		return fmt.Errorf("documents of %d terms, the header says %d; %d bytes left over", sum, m.Length, len(b))
	}
	return nil
}

// list reads one list.
func (d *lexicalDecoder) list(b []byte) (rest []byte, err error) {
	count, size := binary.Uvarint(b)
	if size <= 0 || count == 0 || count > uint64(d.x.meta.Docs) {
		return nil, fmt.Errorf("%d of %d documents", count, d.x.meta.Docs)
	}
	b = b[size:]
	from, ord := b, uint64(0)
	for i := range count {
		v, size := binary.Uvarint(b)
		if ord += v >> 1; size <= 0 || size > 3 || ord >= uint64(d.x.meta.Docs) || size > 1 && b[size-1] == 0 {
			return nil, fmt.Errorf("document %d of %d is %d of %d", i, count, ord, d.x.meta.Docs)
		}
		b = b[size:]
		n := uint64(1)
		if v&1 != 0 {
			if n, size = binary.Uvarint(b); size <= 0 || n < 2 || n > math.MaxUint32 || size > 1 && b[size-1] == 0 {
				return nil, fmt.Errorf("document %d has it %d times", ord, n)
			}
			b = b[size:]
		}
		d.sums[ord] += n
		ord++
	}
	d.postings += int64(count)
	d.x.counts = append(d.x.counts, uint32(count))
	d.x.lists = append(d.x.lists, from[:len(from)-len(b)]...)
	d.x.start = append(d.x.start, uint32(len(d.x.lists)))
	return b, nil
}

func (d *lexicalDecoder) finish() error {
	m := d.x.meta
	if d.x.lengths == nil || len(d.x.ends) != m.Terms || d.postings != m.Postings {
		return fmt.Errorf("%d terms and %d postings, the header says %d and %d", len(d.x.ends), d.postings, m.Terms, m.Postings)
	}
	for ord, n := range d.sums {
		if n != uint64(d.x.lengths[ord]) {
			return fmt.Errorf("document %d has %d terms in lists, its length is %d", ord, n, d.x.lengths[ord])
		}
	}
	return nil
}

// Dump prints the terms with their documents and how often each has it.
func (x *LexicalIndex) Dump(w io.Writer) error {
	fmt.Fprintf(w, "index %d of %s terms: %d terms, %d postings, %d documents of %d terms, %d bytes\n",
		x.meta.ID, x.meta.Analyzer, x.Terms(), x.meta.Postings, x.meta.Docs, x.meta.Length, x.meta.Bytes)
	var list []TermPosting
	for i := range x.Terms() {
		list = x.list(i, list[:0])
		fmt.Fprintf(w, "%q  %d:", x.bytesOf(i), len(list))
		for _, p := range list {
			fmt.Fprintf(w, " %d", p.Ord)
			if p.N > 1 {
				fmt.Fprintf(w, "×%d", p.N)
			}
		}
		fmt.Fprintln(w)
	}
	return nil
}
