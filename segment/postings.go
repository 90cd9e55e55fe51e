package segment

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/cockroachdb/pebble/v2"
)

// Posting lists map a routing centroid to the documents with a token there, as
// a roaring container without its header: a sorted array of 16-bit ordinals up
// to maxArray of them, a bitset of 65,536 bits above. Stored in chunks of whole
// lists: uvarint centroid − previous, uvarint cardinality, payload.
const (
	maxArray      = 4096
	bitsetWords   = 1 << 16 / 64
	postChunkSize = 256 << 10
)

// Postings are a segment's posting lists in memory.
type Postings struct {
	start  []uint32 // [centroids+1] into arrays
	arrays []uint16
	dense  map[uint32][]uint64
	total  int64
}

// List is one posting list: Bits when it is dense, else Array.
type List struct {
	Array []uint16
	Bits  []uint64
}

// Len is the number of documents in the list.
func (l List) Len() int {
	n := len(l.Array)
	for _, w := range l.Bits {
		n += bits.OnesCount64(w)
	}
	return n
}

// Each calls f for every ordinal, ascending.
func (l List) Each(f func(ord uint16)) {
	for _, o := range l.Array {
		f(o)
	}
	for i, w := range l.Bits {
		for ; w != 0; w &= w - 1 {
			f(uint16(i<<6 + bits.TrailingZeros64(w)))
		}
	}
}

// Centroids is the number of centroids that lists are kept for.
func (p *Postings) Centroids() int { return len(p.start) - 1 }

// Total is the number of postings.
func (p *Postings) Total() int64 { return p.total }

// List returns the documents with a token at a centroid.
func (p *Postings) List(centroid uint32) List {
	if int(centroid) >= p.Centroids() {
		return List{}
	}
	if a, b := p.start[centroid], p.start[centroid+1]; a != b {
		return List{Array: p.arrays[a:b:b]}
	}
	return List{Bits: p.dense[centroid]}
}

// Bitmap returns a list as a roaring bitmap, for set algebra.
func (p *Postings) Bitmap(centroid uint32) *roaring.Bitmap {
	b := roaring.New()
	p.List(centroid).Each(func(o uint16) { b.Add(uint32(o)) })
	return b
}

func (p *Postings) bytes() int64 {
	return int64(4*len(p.start) + 2*len(p.arrays) + 8*bitsetWords*len(p.dense))
}

// writePostings sorts the collected pairs into lists and writes them.
func (b *Builder) writePostings() error {
	slices.Sort(b.pairs)
	b.meta.Postings = int64(len(b.pairs))
	w := b.column(colPostings)
	var buf []byte
	last := uint32(0)
	for at := 0; at < len(b.pairs); {
		c := uint32(b.pairs[at] >> 16)
		end := at
		for end < len(b.pairs) && uint32(b.pairs[end]>>16) == c {
			end++
		}
		buf = binary.AppendUvarint(buf, uint64(c-last))
		buf = binary.AppendUvarint(buf, uint64(end-at))
		buf = appendList(buf, b.pairs[at:end])
		last, at = c, end
		if len(buf) >= postChunkSize {
			if err := w.put(uint32(w.chunks), 0, buf); err != nil {
				return err
			}
			buf, last = buf[:0], 0
		}
	}
	b.pairs = nil
	if len(buf) == 0 {
		return nil
	}
	return w.put(uint32(w.chunks), 0, buf)
}

func appendList(dst []byte, pairs []uint64) []byte {
	if len(pairs) <= maxArray {
		for _, p := range pairs {
			dst = binary.LittleEndian.AppendUint16(dst, uint16(p))
		}
		return dst
	}
	var words [bitsetWords]uint64
	for _, p := range pairs {
		words[uint16(p)>>6] |= 1 << (p & 63)
	}
	for _, x := range words {
		dst = binary.LittleEndian.AppendUint64(dst, x)
	}
	return dst
}

func loadPostings(db *pebble.DB, m *Meta) (*Postings, error) {
	p := &Postings{start: make([]uint32, m.Centroids+1), dense: map[uint32][]uint64{}}
	next := 0 // first centroid whose start is not set
	var buf []byte
	for chunk := range m.PostChunks {
		key := chunkKey(m.ID, colPostings, uint32(chunk), 0)
		var err error
		if buf, err = getChunk(db, key, buf[:0]); err != nil {
			return nil, err
		}
		if next, err = p.decode(buf, m.Docs, next); err != nil {
			return nil, corrupt(describe(key), 0, "%w", err)
		}
	}
	for ; next <= m.Centroids; next++ {
		p.start[next] = uint32(len(p.arrays))
	}
	if p.total != m.Postings {
		return nil, corrupt(fmt.Sprintf("segment %d, column postings", m.ID), 0, "%d postings, metadata says %d", p.total, m.Postings)
	}
	return p, nil
}

// decode appends the lists of a chunk; next is the first centroid whose start
// is not set yet.
func (p *Postings) decode(b []byte, docs, next int) (int, error) {
	last := uint64(0)
	for len(b) > 0 {
		delta, n := binary.Uvarint(b)
		if n <= 0 {
			return next, fmt.Errorf("cut short")
		}
		card, m := binary.Uvarint(b[n:])
		if m <= 0 {
			return next, fmt.Errorf("cut short")
		}
		b = b[n+m:]
		c := last + delta
		last = c
		if c >= uint64(p.Centroids()) || int(c) < next-1 || card == 0 || card > uint64(docs) {
			return next, fmt.Errorf("list of %d documents at centroid %d of %d", card, c, p.Centroids())
		}
		for ; next <= int(c); next++ {
			p.start[next] = uint32(len(p.arrays))
		}
		size := 2 * card
		if card > maxArray {
			size = 8 * bitsetWords
		}
		if size > uint64(len(b)) {
			return next, fmt.Errorf("list at centroid %d is cut short", c)
		}
		if err := p.appendList(uint32(c), b[:size], int(card), docs); err != nil {
			return next, err
		}
		b = b[size:]
		p.total += int64(card)
		p.start[next] = uint32(len(p.arrays)) // end of this list
		next++
	}
	return next, nil
}

func (p *Postings) appendList(c uint32, b []byte, card, docs int) error {
	if card <= maxArray {
		last := -1
		for i := range card {
			o := binary.LittleEndian.Uint16(b[2*i:])
			if int(o) <= last || int(o) >= docs {
				return fmt.Errorf("list at centroid %d: document %d of %d after %d", c, o, docs, last)
			}
			last = int(o)
			p.arrays = append(p.arrays, o)
		}
		return nil
	}
	words := make([]uint64, bitsetWords)
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	l := List{Bits: words}
	top := 0
	l.Each(func(o uint16) { top = int(o) })
	if l.Len() != card || top >= docs {
		return fmt.Errorf("list at centroid %d: bitset of %d documents up to %d, directory says %d of %d", c, l.Len(), top, card, docs)
	}
	p.dense[c] = words
	return nil
}
