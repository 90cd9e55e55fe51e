package segment

import (
	"bytes"
	"fmt"
	"math/bits"
	"slices"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/colbertdb-go/colbertdb/internal/envelope"
)

// Bitset is a dense set of ordinals, at most 8 KB. A Bitset that is part of a
// published version is never changed; writers clone it.
type Bitset struct {
	words []uint64
	n     int
}

// NewBitset returns a set over n ordinals, all in it or none.
func NewBitset(n int, all bool) *Bitset {
	b := &Bitset{words: make([]uint64, (n+63)/64), n: n}
	if all {
		for i := range b.words {
			b.words[i] = ^uint64(0)
		}
		if tail := n % 64; tail != 0 {
			b.words[len(b.words)-1] = 1<<tail - 1
		}
	}
	return b
}

// Len is the number of ordinals that the set ranges over.
func (b *Bitset) Len() int { return b.n }

// Get reports whether ordinal i is in the set.
func (b *Bitset) Get(i int) bool { return b.words[i>>6]>>(i&63)&1 != 0 }

// Set puts ordinal i into the set.
func (b *Bitset) Set(i int) { b.words[i>>6] |= 1 << (i & 63) }

// Clear takes ordinal i out of the set.
func (b *Bitset) Clear(i int) { b.words[i>>6] &^= 1 << (i & 63) }

// Count returns the size of the set.
func (b *Bitset) Count() int {
	n := 0
	for _, w := range b.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// Clone returns a copy that may be changed.
func (b *Bitset) Clone() *Bitset {
	return &Bitset{words: append([]uint64(nil), b.words...), n: b.n}
}

// Equal reports whether two sets over the same ordinals are the same.
func (b *Bitset) Equal(o *Bitset) bool { return slices.Equal(b.words, o.words) }

// EachChange calls f for every ordinal of n that is in one of two sets and not in
// the other, and says whether it is in the second. A nil set has them all. It
// costs a step for each word of the sets and each difference.
func EachChange(n int, from, to *Bitset, f func(ord int, in bool)) {
	word := func(b *Bitset, i int) uint64 {
		switch {
		case b != nil:
			return b.words[i]
		case i == n/64:
			return 1<<(n%64) - 1
		}
		return ^uint64(0)
	}
	for i := range (n + 63) / 64 {
		a, b := word(from, i), word(to, i)
		for x := a ^ b; x != 0; x &= x - 1 {
			bit := bits.TrailingZeros64(x)
			f(i<<6+bit, b>>bit&1 != 0)
		}
	}
}

const deletesMagic = "CDBD"

// EncodeDeletes is the stored form of a segment's live bits: the dead ordinals
// as a portable roaring bitmap in an envelope. Nil stands for all live.
func EncodeDeletes(live *Bitset) []byte {
	dead := roaring.New()
	if live != nil {
		for i := range live.n {
			if !live.Get(i) {
				dead.Add(uint32(i))
			}
		}
	}
	dead.RunOptimize()
	return envelope.Append(nil, deletesMagic, 1, func(b []byte) []byte {
		body, err := dead.ToBytes()
		if err != nil {
			panic(fmt.Sprintf("colbertdb: a bitmap that cannot be written to memory: %v", err)) // impossible
		}
		return append(b, body...)
	})
}

// DecodeDeletes returns the live bits of a segment of n documents.
func DecodeDeletes(b []byte, n int) (*Bitset, error) {
	_, body, err := envelope.Open(b, deletesMagic, 1)
	if err != nil {
		return nil, corrupt("delete set", 0, "%w", err)
	}
	dead := roaring.New()
	if read, err := dead.ReadFrom(bytes.NewReader(body)); err != nil || read != int64(len(body)) {
		return nil, corrupt("delete set", 0, "not a roaring bitmap of %d bytes: %v", len(body), err)
	}
	if err := dead.Validate(); err != nil { // its iterators trust what they read
		return nil, corrupt("delete set", 0, "%w", err)
	}
	if !dead.IsEmpty() && int(dead.Maximum()) >= n {
		return nil, corrupt("delete set", 0, "names document %d of %d", dead.Maximum(), n)
	}
	live := NewBitset(n, true)
	for it := dead.Iterator(); it.HasNext(); {
		live.Clear(int(it.Next()))
	}
	return live, nil
}
