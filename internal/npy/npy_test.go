package npy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	floats, ints := filepath.Join(dir, "f.npy"), filepath.Join(dir, "i.npy")
	w, err := Create(floats, 'f', 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := []float32{1, -2, 0.5, 3, 4, 1e-30}
	if err := w.WriteFloats(want...); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, h, err := ReadFloats(floats)
	if err != nil || !slices.Equal(got, want) || !slices.Equal(h.Shape, []int{2, 3}) {
		t.Fatalf("%v %v %v", got, h, err)
	}
	if w, err = Create(ints, 'i', 4); err != nil {
		t.Fatal(err)
	}
	if err := w.WriteInts(7, 1<<30, 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := ReadInts(ints); err != nil || !slices.Equal(n, []int{7, 1 << 30, 0}) {
		t.Fatalf("%v %v", n, err)
	}
	if _, err := ReadInts(floats); err == nil {
		t.Error("floats were read as integers")
	}
	// A file that is cut off is no array.
	b, err := os.ReadFile(floats)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 9, 50, len(b) - 1} {
		cut := filepath.Join(dir, "cut.npy")
		if err := os.WriteFile(cut, b[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadFloats(cut); err == nil {
			t.Errorf("%d bytes of %d were read", n, len(b))
		}
	}
}

// NumPy itself reads what is written, where it is installed.
func TestNumPyReadsIt(t *testing.T) {
	if err := exec.Command("python3", "-c", "import numpy").Run(); err != nil {
		t.Skip("NumPy is not installed")
	}
	path := filepath.Join(t.TempDir(), "a.npy")
	w, err := Create(path, 'f', 4, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteFloats(1, 2, 3, 4, 5, 6); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("python3", "-c", "import numpy,sys; a=numpy.load(sys.argv[1]); print(a.dtype, a.shape, a.sum())", path).CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "float32 (3, 2) 21.0" {
		t.Fatalf("%s %v", out, err)
	}
}

func FuzzReadHeader(f *testing.F) {
	f.Add([]byte(Magic + "\x01\x00\x46\x00{'descr': '<f2', 'fortran_order': False, 'shape': (3, 4), }           \n"))
	f.Add([]byte(Magic + "\x02\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ReadHeader(bytes.NewReader(b))
		if err == nil && (h.Width < 1 || h.Bytes() < 0) {
			t.Fatalf("%+v", h)
		}
	})
}
