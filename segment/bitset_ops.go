package segment

import "math/bits"

// Set algebra in place, over sets of the same ordinals.

// Reset makes b an empty set over n ordinals, keeping its memory.
func (b *Bitset) Reset(n int) {
	words := (n + 63) / 64
	if words > cap(b.words) {
		b.words = make([]uint64, words)
	} else {
		b.words = b.words[:words]
		clear(b.words)
	}
	b.n = n
}

// IntersectWith keeps what is in o too.
func (b *Bitset) IntersectWith(o *Bitset) {
	for i, w := range o.words {
		b.words[i] &= w
	}
}

// UnionWith adds what is in o.
func (b *Bitset) UnionWith(o *Bitset) {
	for i, w := range o.words {
		b.words[i] |= w
	}
}

// Subtract removes what is in o.
func (b *Bitset) Subtract(o *Bitset) {
	for i, w := range o.words {
		b.words[i] &^= w
	}
}

// Complement turns the set around.
func (b *Bitset) Complement() {
	for i := range b.words {
		b.words[i] = ^b.words[i]
	}
	if tail := b.n % 64; tail != 0 {
		b.words[len(b.words)-1] &= 1<<tail - 1
	}
}

// CountIn is the number of ordinals that are in o too; nil has them all.
func (b *Bitset) CountIn(o *Bitset) int {
	if o == nil {
		return b.Count()
	}
	n := 0
	for i, w := range b.words {
		n += bits.OnesCount64(w & o.words[i])
	}
	return n
}

// Any reports whether an ordinal of [from, to) is in the set.
func (b *Bitset) Any(from, to int) bool {
	for i := from; i < to; {
		if i%64 == 0 && to-i >= 64 {
			if b.words[i/64] != 0 {
				return true
			}
			i += 64
			continue
		}
		if b.Get(i) {
			return true
		}
		i++
	}
	return false
}

// addList adds the ordinals of a posting list.
func (b *Bitset) addList(l List) {
	for _, o := range l.Array {
		b.words[o>>6] |= 1 << (o & 63)
	}
	for i := range min(len(l.Bits), len(b.words)) {
		b.words[i] |= l.Bits[i]
	}
}
