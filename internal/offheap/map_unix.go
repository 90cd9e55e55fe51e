//go:build unix

package offheap

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapMemory maps at least n bytes that begin on a large page, nil where the system
// has none to give. What does not fill a large page at the end is on small ones, so that
// no more than n bytes are resident, rounded up to a small page.
func mapMemory(n int) (mapped, data []byte) {
	size := n + largePage
	if size < n { // on 32 bits
		return nil, nil
	}
	mapped, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil
	}
	skip := int(-uintptr(unsafe.Pointer(&mapped[0])) & (largePage - 1))
	data = mapped[skip : skip+n]
	if whole := n / largePage * largePage; whole > 0 {
		adviseLarge(data[:whole])
	}
	return mapped, data
}

func unmapMemory(mapped []byte) {
	// Of a mapping of our own it does not fail.
	_ = unix.Munmap(mapped)
}
