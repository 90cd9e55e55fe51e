package wal

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// A disk without room for a record refuses it and nothing else: the log takes the
// next one that finds room, rotates once it can, closes, and replays exactly what
// it acknowledged.
func TestNoSpace(t *testing.T) {
	mem := vfs.NewMem()
	var full atomic.Bool
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpFilePreallocate {
			return noSpace
		}
		return nil
	}))
	l := mustOpen(t, Options{FS: fs}, 1)
	next := 1
	put := func(n int) error {
		err := l.Append(group(next, n))
		if err == nil {
			next += n
		}
		return err
	}
	for range 20 {
		full.Store(false)
		if err := put(3); err != nil {
			t.Fatal(err)
		}
		full.Store(true)
		for put(1) == nil { // what is reserved already
		}
		if err := put(400); !errors.Is(err, ErrNoSpace) {
			t.Fatalf("a full disk: %v", err)
		}
		if _, err := l.Rotate(); !errors.Is(err, ErrNoSpace) {
			t.Fatalf("rotating on a full disk: %v", err)
		}
		if err := l.SetAside(record(1)); !errors.Is(err, ErrNoSpace) {
			t.Fatalf("setting aside on a full disk: %v", err)
		}
		if nums, err := List(fs, "wal"); err != nil || FileNum(len(nums)) != l.Metrics().File {
			t.Fatalf("files %v, %v", nums, err)
		}
		full.Store(false)
		if err := l.SetAside(Record{Payload: make([]byte, 300)}); err != nil {
			t.Fatal(err)
		}
		full.Store(true)
		for put(1) == nil {
		}
		if err := l.Note(record(next)); err != nil {
			t.Fatalf("a note whose room was set aside: %v", err)
		}
		next++
		full.Store(false)
		if _, err := l.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
	full.Store(true)
	for put(1) == nil {
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got, _, err := replayed(t, mem, 1)
	if err != nil {
		t.Fatal(err)
	}
	wantPrefix(t, got, next-1, next-1)
}

// noSpace is what the operating system says of a full disk.
var noSpace = func() error {
	if vfs.IsNoSpaceError(syscall.ENOSPC) {
		return syscall.ENOSPC
	}
	return syscall.Errno(112) // Windows
}()
