package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/RoaringBitmap/roaring/v2"
)

// Posting lists map a routing centroid to the documents with a token there, as
// a roaring container without its header: a sorted array of 16-bit ordinals up
// to maxArray of them, a bitset of 65,536 bits above. A segment has them for one
// routing; while it moves to another, for both. Stored as a header and chunks of
// whole lists: uvarint centroid − previous, uvarint cardinality, payload.
const (
	maxArray      = 4096
	bitsetWords   = 1 << 16 / 64
	postChunkSize = 256 << 10
)

// Postings are a segment's posting lists in memory. A routing has many more
// centroids than a small segment has lists, so the directory is a bitset over
// the centroids with ranks, 2 bits a centroid, and only lists have offsets:
//
//	centroid c → directory[c/64]: no bit c%64: no list
//	             list = before + bits below c%64 → start[list] … start[list+1]
type Postings struct {
	meta      *PostingsMeta
	centroids int
	directory []rankedWord // [centroids/64, rounded up]
	start     []uint32     // [lists+1] into arrays
	arrays    []uint16
	dense     map[uint32][]uint64 // by list; nothing in arrays
	total     int64
}

type rankedWord struct {
	bits   uint64
	before uint32 // lists of the words before
}

func newPostings(m *PostingsMeta) *Postings {
	return &Postings{
		meta: m, centroids: m.Centroids, directory: make([]rankedWord, (m.Centroids+63)/64),
		start: []uint32{0}, dense: map[uint32][]uint64{},
	}
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
func (p *Postings) Centroids() int { return p.centroids }

// Total is the number of postings.
func (p *Postings) Total() int64 { return p.total }

// List returns the documents with a token at a centroid. It aliases memory of
// the segment.
func (p *Postings) List(centroid uint32) List {
	if uint64(centroid) >= uint64(p.centroids) {
		return List{}
	}
	w, bit := &p.directory[centroid/64], uint64(1)<<(centroid%64)
	if w.bits&bit == 0 {
		return List{}
	}
	list := w.before + uint32(bits.OnesCount64(w.bits&(bit-1)))
	if a, b := p.start[list], p.start[list+1]; a != b {
		return List{Array: p.arrays[a:b:b]}
	}
	return List{Bits: p.dense[list]}
}

// Bitmap returns a list as a roaring bitmap of its own, for set algebra.
func (p *Postings) Bitmap(centroid uint32) *roaring.Bitmap {
	l := p.List(centroid)
	if l.Bits != nil {
		return roaring.FromDense(l.Bits, true)
	}
	b := roaring.New()
	for _, o := range l.Array {
		b.Add(uint32(o))
	}
	return b
}

// Meta describes the postings as stored.
func (p *Postings) Meta() *PostingsMeta { return p.meta }

// MemoryBytes is what the postings take in memory.
func (p *Postings) MemoryBytes() int64 {
	return int64(16*len(p.directory) + 4*cap(p.start) + 2*cap(p.arrays) + 8*bitsetWords*len(p.dense))
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

// LoadPostings reads the posting lists that a segment has for a routing.
func (r *Reader) LoadPostings(routing uint32) (*Postings, error) {
	key := chunkKey(r.meta.ID, colPostings, routing, 0)
	raw, err := getChunk(r.db, key, nil)
	if err != nil {
		return nil, err
	}
	m, err := decodePostingsMeta(raw)
	if err == nil {
		err = m.validate(routing, r.meta)
	}
	if err != nil {
		return nil, corrupt(describe(key), 0, "%w", err)
	}
	p := newPostings(m)
	p.arrays = make([]uint16, 0, min(m.Postings, maxReserve))
	last := -1
	var buf []byte
	for chunk := range m.Chunks {
		key := chunkKey(r.meta.ID, colPostings, routing, uint32(chunk+1))
		if buf, err = getChunk(r.db, key, buf[:0]); err != nil {
			return nil, err
		}
		if last, err = p.decode(buf, r.meta.Docs, last); err != nil {
			return nil, corrupt(describe(key), 0, "%w", err)
		}
	}
	p.rank()
	if p.total != m.Postings {
		return nil, corrupt(fmt.Sprintf("segment %d, column postings", r.meta.ID), 0, "%d postings, their header says %d", p.total, m.Postings)
	}
	return p, nil
}

// maxReserve is how many postings memory is set aside for on the metadata's word.
const maxReserve = 8 << 20

// rank completes the directory.
func (p *Postings) rank() {
	var lists uint32
	for i := range p.directory {
		p.directory[i].before = lists
		lists += uint32(bits.OnesCount64(p.directory[i].bits))
	}
}

// decode appends the lists of a chunk, whose centroids are above last; it
// returns the last one.
func (p *Postings) decode(b []byte, docs, last int) (int, error) {
	previous := uint64(0)
	for len(b) > 0 {
		delta, n := binary.Uvarint(b)
		if n <= 0 {
			return last, errCutShort
		}
		card, m := binary.Uvarint(b[n:])
		if m <= 0 {
			return last, errCutShort
		}
		b = b[n+m:]
		previous += delta
		c := previous
		if c >= uint64(p.centroids) || int(c) <= last || card == 0 || card > uint64(docs) {
			return last, fmt.Errorf("list of %d documents at centroid %d of %d, after %d", card, c, p.centroids, last)
		}
		size := 2 * card
		if card > maxArray {
			size = 8 * bitsetWords
		}
		if size > uint64(len(b)) {
			return last, fmt.Errorf("list at centroid %d: %w", c, errCutShort)
		}
		if err := p.decodeList(b[:size], int(card), docs); err != nil {
			return last, fmt.Errorf("list at centroid %d: %w", c, err)
		}
		b = b[size:]
		last = int(c)
		p.directory[c/64].bits |= 1 << (c % 64)
		p.start = append(p.start, uint32(len(p.arrays)))
		p.total += int64(card)
	}
	return last, nil
}

var errCutShort = errors.New("cut short")

// decodeList appends the payload of a list.
func (p *Postings) decodeList(b []byte, card, docs int) error {
	if card <= maxArray {
		last := -1
		for i := range card {
			o := binary.LittleEndian.Uint16(b[2*i:])
			if int(o) <= last || int(o) >= docs {
				return fmt.Errorf("document %d of %d after %d", o, docs, last)
			}
			last = int(o)
			p.arrays = append(p.arrays, o)
		}
		return nil
	}
	words := make([]uint64, bitsetWords)
	n, top := 0, 0
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(b[8*i:])
		n += bits.OnesCount64(words[i])
		if words[i] != 0 {
			top = i*64 + bits.Len64(words[i]) - 1
		}
	}
	if n != card || top >= docs {
		return fmt.Errorf("bitset of %d documents up to %d, directory says %d of %d", n, top, card, docs)
	}
	p.dense[uint32(len(p.start)-1)] = words
	return nil
}
