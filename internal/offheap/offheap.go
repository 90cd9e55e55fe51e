// Package offheap has memory for large, long-lived data without pointers, outside of
// the garbage collector's heap: there it would let garbage grow to its own size before
// a collection. Where the system has large pages the memory asks for them, since random
// reads of hundreds of megabytes on small ones wait for the translation of addresses.
package offheap

import "sync/atomic"

// Block is such memory. Free gives it back; nothing may read it after that.
type Block struct {
	Data   []byte
	mapped []byte // what Data is a part of; nil: it is on the heap
}

// least is the size below which a block is on the heap: a process has only so many
// mappings.
const least = 1 << 20

const largePage = 2 << 20

var inUse atomic.Int64

// InUse is the number of bytes of blocks that have not been freed, those on the heap
// not counted.
func InUse() int64 { return inUse.Load() }

// Alloc returns n zero bytes.
func Alloc(n int) *Block {
	if n >= least {
		if mapped, data := mapMemory(n); mapped != nil {
			inUse.Add(int64(n))
			return &Block{Data: data[:n:n], mapped: mapped}
		}
	}
	return &Block{Data: make([]byte, n)}
}

// Free gives the memory back. It is called once.
func (b *Block) Free() {
	if b.mapped != nil {
		inUse.Add(-int64(len(b.Data)))
		unmapMemory(b.mapped)
		b.mapped = nil
	}
	b.Data = nil
}
