package wal

import (
	"errors"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Check finds every flipped byte of records that are known to have been good,
// also where Replay has to take them for a torn write, and goes on after each.
func TestCheck(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, Options{FS: fs}, 1)
	for file := range 2 {
		if err := l.Append(group(1+4*file, 4)); err != nil {
			t.Fatal(err)
		}
		if file == 0 {
			if _, err := l.Rotate(); err != nil {
				t.Fatal(err)
			}
		}
	}
	newest, end := l.Durable()
	r, err := Check(fs, "wal", newest, end)
	if err != nil || r.Files != 2 || r.Records != 8 || r.TornBytes != 0 || len(r.Problems) != 0 {
		t.Fatalf("a good log: %+v, %v", r, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for num := FileNum(1); num <= 2; num++ {
		b, err := readFile(fs, filePath("wal", num))
		if err != nil {
			t.Fatal(err)
		}
		good := len(b)
		if num == newest {
			good = int(end)
		}
		for at := range good {
			if at >= fileHeader-4 && at < fileHeader {
				continue // zeros that nothing covers
			}
			bad := slices.Clone(b)
			bad[at] ^= 4
			var r CheckReport
			r.check(bad, num, int64(good))
			var c *CorruptionError
			if len(r.Problems) != 1 || !errors.As(r.Problems[0], &c) || c.File != num || c.Offset > int64(at) {
				t.Fatalf("file %d, byte %d: %v", num, at, r.Problems)
			}
		}
		var r CheckReport
		if r.check(b[:good-1], num, int64(good)); len(r.Problems) == 0 {
			t.Errorf("file %d cut short: nothing found", num)
		}
	}
}
