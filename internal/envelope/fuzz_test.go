package envelope

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzOpen: a frame opens to the body that it was made of; anything else is refused.
func FuzzOpen(f *testing.F) {
	f.Add([]byte("body"), uint16(1), 0)
	f.Add([]byte{}, uint16(9), 5)
	f.Fuzz(func(t *testing.T, body []byte, version uint16, at int) {
		frame := Append([]byte("before"), "MAGC", version, func(b []byte) []byte { return append(b, body...) })[len("before"):]
		v, got, err := Open(frame, "MAGC", version)
		if err != nil || v != version || !bytes.Equal(got, body) {
			t.Fatalf("version %d, %q, %v", v, got, err)
		}
		if _, _, err := Open(frame, "MAGX", version); !errors.Is(err, ErrCorrupt) {
			t.Errorf("another magic: %v", err)
		}
		if version > 0 {
			if _, _, err := Open(frame, "MAGC", version-1); !errors.Is(err, ErrTooNew) {
				t.Errorf("a newer version: %v", err)
			}
		}
		at = int(uint(at) % uint(len(frame)))
		frame[at] ^= 0x10
		if _, _, err := Open(frame, "MAGC", version); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d changed: %v", at, err)
		}
		if _, _, err := Open(body, "MAGC", version); err == nil && !bytes.HasPrefix(body, []byte("MAGC")) {
			t.Error("bytes without a frame are accepted")
		}
	})
}
