package offheap

import "golang.org/x/sys/unix"

// adviseLarge asks for large pages; a kernel without them says no, and small ones do.
func adviseLarge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
