package wal

import (
	"bytes"
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Erase replaces payloads in place: every other record, offset and durable mark
// stays, a torn end becomes zeros, damage is refused.
func TestErase(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, Options{FS: fs}, 1)
	for i := range 3 {
		if err := l.Append(group(1+4*i, 4)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Rotate(); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(group(13, 2)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := readFile(fs, filePath("wal", 1))
	if err != nil {
		t.Fatal(err)
	}
	wipe := func(seq uint64) func(Record) ([]byte, error) {
		return func(r Record) ([]byte, error) {
			if r.Seq != seq {
				return nil, nil
			}
			return make([]byte, len(r.Payload)), nil
		}
	}
	if changed, err := Erase(fs, "wal", 1, wipe(99)); changed || err != nil {
		t.Errorf("nothing to erase: %t, %v", changed, err)
	}
	if changed, err := Erase(fs, "wal", 1, wipe(6)); !changed || err != nil {
		t.Fatal(changed, err)
	}
	after, err := readFile(fs, filePath("wal", 1))
	if err != nil {
		t.Fatal(err)
	}
	if len(after) != len(before) || bytes.Contains(after, record(6).Payload) {
		t.Errorf("%d bytes, were %d", len(after), len(before))
	}
	n := 0
	info, err := Replay(fs, "wal", 1, func(_ FileNum, r Record) error {
		n++
		want := record(n).Payload
		if n == 6 {
			want = make([]byte, len(want))
		}
		if r.Seq != uint64(n) || !bytes.Equal(r.Payload, want) {
			t.Errorf("record %d: %+v", n, r)
		}
		return nil
	})
	if err != nil || info.TornBytes != 0 || n != 14 {
		t.Fatalf("%d records, %+v, %v", n, info, err)
	}
	if r, err := Check(fs, "wal", info.Last, info.LastEnd); err != nil || len(r.Problems) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Erase(fs, "wal", 1, func(Record) ([]byte, error) { return []byte{}, nil }); err == nil {
		t.Error("a shorter payload was taken")
	}
	// What is left of a torn write goes; what was once good is not touched.
	torn := append(bytes.Clone(after), record(15).Payload...)
	if changed, err := erase(torn, 1, wipe(0)); !changed || err != nil || !bytes.Equal(torn[:len(after)], after) || bytes.Contains(torn, record(15).Payload) {
		t.Errorf("a torn end: %t, %v", changed, err)
	}
	bad := bytes.Clone(after)
	bad[fileHeader+40] ^= 1
	if _, err := erase(bad, 1, wipe(6)); !errors.Is(err, ErrCorruption) {
		t.Errorf("damage: %v", err)
	}
}

// What a crash in Erase leaves beside the log goes when it is opened.
func TestEraseLeavesNothing(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, Options{FS: fs}, 1)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(filePath("wal", 1)+eraseSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if l = mustOpen(t, Options{FS: fs}, 2); l.Close() != nil {
		t.Fatal("close")
	}
	if names, err := fs.List("wal"); err != nil || len(names) != 2 {
		t.Errorf("%v, %v", names, err)
	}
}
