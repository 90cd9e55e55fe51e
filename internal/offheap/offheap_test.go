package offheap

import (
	"runtime"
	"testing"
)

func TestAlloc(t *testing.T) {
	for _, n := range []int{0, 1, least - 1, least, largePage, largePage + 1, 5 << 20} {
		before := InUse()
		b := Alloc(n)
		if len(b.Data) != n || cap(b.Data) != n {
			t.Fatalf("%d bytes asked for, length %d and capacity %d", n, len(b.Data), cap(b.Data))
		}
		for i, x := range b.Data {
			if x != 0 {
				t.Fatalf("byte %d of %d is %d", i, n, x)
			}
			b.Data[i] = byte(i)
		}
		runtime.GC()
		for i, x := range b.Data {
			if x != byte(i) {
				t.Fatalf("byte %d of %d has become %d", i, n, x)
			}
		}
		if mapped := b.mapped != nil; mapped && (n < least || InUse() != before+int64(n)) || !mapped && InUse() != before {
			t.Errorf("%d bytes: %d in use, %d before", n, InUse(), before)
		}
		b.Free()
		if b.Data != nil || InUse() != before {
			t.Errorf("%d bytes, freed: %d in use, %d before", n, InUse(), before)
		}
	}
}
