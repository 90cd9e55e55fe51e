package engine

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files of the current format version anew")

// goldenBackup is what testdata/backup-v1.golden holds.
func goldenBackup() (*Descriptor, []string) {
	contents := []string{"", "short", strings.Repeat("compresses well. ", 500)}
	d := &Descriptor{
		Format: 1, StoreID: "000102030405060708090a0b0c0d0e0f", ID: "101112131415161718191a1b1c1d1e1f",
		Parent: "202122232425262728292a2b2c2d2e2f", Created: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Seq: 77,
	}
	for i, path := range []string{"pebble/000004.log", "pebble/MANIFEST-000001", "wal/000000000001.wal"} {
		s := newSummer()
		s.Write([]byte(contents[i]))
		d.Files = append(d.Files, s.file(path))
	}
	d.Files = append(d.Files, File{Path: "pebble/000005.sst", Size: 5, CRC32C: 1, SHA256: "ff", Elsewhere: true})
	return d, contents
}

// Version 1 of the format reads as it did when it was written, and this program
// writes the same bytes but for compressed ones.
func TestGoldenBackup(t *testing.T) {
	const path = "testdata/backup-v1.golden"
	d, contents := goldenBackup()
	var out bytes.Buffer
	w, err := newBackupWriter(&out, d)
	if err != nil {
		t.Fatal(err)
	}
	upTo := 0
	for i, c := range contents {
		for at := 0; at < len(c); at += 5000 {
			if err := w.block(uint32(i), int64(at), []byte(c[at:min(at+5000, len(c))])); err != nil {
				t.Fatal(err)
			}
			if i == 1 {
				upTo = out.Len()
			}
		}
	}
	if err := w.end(); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(golden[:upTo], out.Bytes()[:upTo]) || len(out.Bytes()) > len(contents[2]) {
		t.Error("this program writes other bytes")
	}
	for _, b := range [][]byte{golden, out.Bytes()} {
		r, err := newBackupReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if string(r.d.encode()) != string(d.encode()) {
			t.Errorf("descriptor %+v", r.d)
		}
		var got []string
		err = r.extract(context.Background(), nil, func(f File) (fileSink, error) {
			got = append(got, "")
			return &stringSink{to: &got[len(got)-1]}, nil
		})
		if err != nil || strings.Join(got, "|") != strings.Join(contents, "|") {
			t.Errorf("contents %.100q, %v", got, err)
		}
	}
}

type stringSink struct {
	to *string
	b  bytes.Buffer
}

func (s *stringSink) Write(b []byte) (int, error) { return s.b.Write(b) }
func (s *stringSink) done() error                 { *s.to = s.b.String(); return nil }
func (s *stringSink) abort()                      {}

// FuzzBackup: whatever the bytes, a backup reads as whole files or is refused.
func FuzzBackup(f *testing.F) {
	golden, err := os.ReadFile("testdata/backup-v1.golden")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add(golden[:len(golden)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := VerifyBackup(context.Background(), bytes.NewReader(b), nil)
		if err == nil && d == nil {
			t.Error("no descriptor and no error")
		}
	})
}

// readKeys reads a file of keys that comes in two pieces.
func readKeys(b []byte, at int) (keys, values [][]byte, err error) {
	r := &keysReader{where: "keys", end: func() error { return nil }, add: func(key, value []byte) error {
		keys, values = append(keys, bytes.Clone(key)), append(values, bytes.Clone(value))
		return nil
	}}
	for _, piece := range [][]byte{b[:at], b[at:]} {
		if _, err := r.Write(piece); err != nil {
			return nil, nil, err
		}
	}
	return keys, values, r.done()
}

func writeKeys(keys, values [][]byte) []byte {
	var out bytes.Buffer
	c := keysFile("", func(_ context.Context, f func(key, value []byte) error) error {
		for i := range keys {
			if err := f(keys[i], values[i]); err != nil {
				return err
			}
		}
		return nil
	})
	_ = c.write(context.Background(), &out) // a buffer takes everything
	return out.Bytes()
}

// Version 1 of a file of keys reads as it did, wherever it is cut into pieces, and
// this program writes the same bytes; one that is cut short is damaged.
func TestGoldenKeysFile(t *testing.T) {
	const path = "testdata/keys-v1.golden"
	keys := [][]byte{[]byte("a/name"), []byte("c/\x00\x00\x00\x01"), []byte("m/")}
	values := [][]byte{[]byte("leads somewhere"), nil, bytes.Repeat([]byte("long "), 100)}
	out := writeKeys(keys, values)
	if *update {
		if err := os.WriteFile(path, out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(golden, out) {
		t.Error("this program writes other bytes")
	}
	ends := map[int]int{keysHeader: 0} // lengths at which a file is whole
	for i := range keys {
		ends[len(writeKeys(keys[:i+1], values[:i+1]))] = i + 1
	}
	for at := range len(golden) + 1 {
		gotKeys, gotValues, err := readKeys(golden, at)
		if err != nil || !slices.EqualFunc(gotKeys, keys, bytes.Equal) || !slices.EqualFunc(gotValues, values, bytes.Equal) {
			t.Fatalf("cut at %d: %q, %q, %v", at, gotKeys, gotValues, err)
		}
		gotKeys, _, err = readKeys(golden[:at], 0)
		if n, whole := ends[at]; whole && (err != nil || len(gotKeys) != n) || !whole && !errors.Is(err, ErrCorruption) {
			t.Errorf("%d bytes: %q, %v", at, gotKeys, err)
		}
	}
}

// FuzzKeysFile: whatever the bytes, a file of keys reads as keys in order that are
// written again as the same, or is refused.
func FuzzKeysFile(f *testing.F) {
	golden, err := os.ReadFile("testdata/keys-v1.golden")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden, 30)
	f.Add(golden[:40], 3)
	f.Add(append(slices.Clone(golden), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01), 0)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		keys, values, err := readKeys(b, max(0, min(at, len(b))))
		if err != nil {
			if !errors.Is(err, ErrCorruption) && !errors.Is(err, ErrFormatTooNew) {
				t.Error(err)
			}
			return
		}
		if !slices.IsSortedFunc(keys, bytes.Compare) {
			t.Errorf("keys %q", keys)
		}
		again, _, err := readKeys(writeKeys(keys, values), 0)
		if err != nil || !slices.EqualFunc(again, keys, bytes.Equal) {
			t.Errorf("%q reads as %q, %v", keys, again, err)
		}
	})
}
