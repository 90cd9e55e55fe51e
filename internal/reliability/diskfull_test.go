package reliability

import (
	"errors"
	"fmt"
	"path"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// errNoSpace is what the operating system says of a full disk.
func errNoSpace() error {
	if runtime.GOOS == "windows" {
		return syscall.Errno(112) // ERROR_DISK_FULL
	}
	return syscall.ENOSPC
}

// fullDisk is a disk that is full for some of the files.
type fullDisk struct {
	name  string
	files func(dir, base string) bool
	// mayPoison: a write may fail half-way, so that the store is read-only.
	mayPoison bool
}

var fullDisks = []fullDisk{
	{"log", func(dir, _ string) bool { return dir == "wal" }, false},
	{"log without reservation", func(dir, _ string) bool { return dir == "wal" }, true},
	{"segments being built", func(dir, _ string) bool { return dir == "build" }, false},
	{"sstables", func(dir, base string) bool { return strings.HasSuffix(base, ".sst") }, false},
	{"Pebble's log", func(dir, base string) bool { return dir == "pebble" && strings.HasSuffix(base, ".log") }, true},
	{"MANIFEST", func(_, base string) bool { return strings.HasPrefix(base, "MANIFEST") }, true},
	{"all", func(string, string) bool { return true }, true},
}

// full reports whether an operation needs space that is not there. A write to a
// log file has its space: it was reserved before.
func (d fullDisk) full(op errorfs.Op) bool {
	dir, base := path.Split(strings.ReplaceAll(op.Path, `\`, "/"))
	dir = path.Base(dir)
	if !d.files(dir, base) {
		return false
	}
	switch op.Kind {
	case errorfs.OpFilePreallocate:
		return d.name != "log without reservation"
	case errorfs.OpCreate, errorfs.OpLink, errorfs.OpMkdirAll:
		return d.name != "log without reservation"
	case errorfs.OpFileWrite, errorfs.OpFileWriteAt:
		return dir != "wal" || d.name == "log without reservation"
	}
	return false
}

// R8: a disk that is full for some of the files while a few operations of the
// fixed workload run. What fails says ErrDiskFull and has changed nothing; reads
// go on; with space again every operation succeeds without a reopen. Only where a
// write of the log, or of Pebble's log or MANIFEST, failed half-way is the store
// read-only, and has everything that was acknowledged after a reopen.
func TestR08NoSpace(t *testing.T) {
	ops := fixedWorkload()
	every := Count(5, 1)
	for _, d := range fullDisks {
		t.Run(d.name, func(t *testing.T) {
			runs, hit, poisoned := 0, 0, 0
			for _, length := range []int{1, 6} {
				for from := 1 + runs%every; from < len(ops); from += every {
					runs++
					refused, readOnly, err := within(20*time.Second, func() (int, int, error) { return fillUp(d, from, from+length) })
					if err != nil {
						t.Fatalf("run %d, full during operations %d to %d: %v", runs, from, from+length, err)
					}
					if refused > 0 {
						hit++
					}
					poisoned += readOnly
				}
			}
			t.Logf("%d runs, in %d of them operations were refused, in %d the store became read-only", runs, hit, poisoned)
			if hit < runs/4 || poisoned > 0 && !d.mayPoison {
				t.Errorf("operations refused in %d of %d runs, read-only in %d", hit, runs, poisoned)
			}
		})
	}
}

// fillUp runs the fixed workload on a disk that is full during operations
// from..to-1.
func fillUp(d fullDisk, from, to int) (refused, readOnly int, err error) {
	mem := vfs.NewCrashableMem()
	var full atomic.Bool
	fs := Intercept(mem, func(op errorfs.Op) error {
		if full.Load() && d.full(op) {
			return errNoSpace()
		}
		return nil
	})
	o := fixedOptions()
	o.FS = fs
	db, err := engine.Open(ctx, "db", o)
	if err != nil {
		return 0, 0, err
	}
	states := []State{{}}
	kept := false // a collection whose drop failed
	for i, op := range fixedWorkload() {
		full.Store(i >= from && i < to)
		if states[0][op.Collection] == nil && op.Kind != Create && op.Kind != FlushAll && op.Kind != CompactAll {
			continue // its creation failed
		}
		_, err := op.Run(ctx, db)
		kept = kept || op.Kind == Drop && err != nil
		switch {
		case err == nil && readOnly > 0 && mutates(op):
			return 0, 0, errors.Join(fmt.Errorf("%s succeeds in a store that said it was read-only", op), db.Close())
		case err == nil:
			for _, s := range states {
				s.Apply(op)
			}
		case errors.Is(err, engine.ErrCollectionExists) && kept: // its drop was refused
		case errors.Is(err, engine.ErrCollectionNotFound) && readOnly > 0: // its drop poisoned and has happened
		case errors.Is(err, engine.ErrReadOnly) && d.mayPoison:
			refused++
			if mutates(op) && readOnly == 0 { // it may have reached the disk
				for _, s := range states {
					states = append(states, s.After(op))
				}
			}
			readOnly = 1
		case !errors.Is(err, engine.ErrDiskFull) || i < from || i >= to:
			return 0, 0, errors.Join(fmt.Errorf("%s: %w", op, err), db.Close())
		default:
			refused++
		}
	}
	full.Store(false)
	if _, err := Match(ctx, db, states...); err != nil {
		return 0, 0, errors.Join(fmt.Errorf("reading on: %w", err), db.Close())
	}
	if err := db.Close(); err != nil {
		return 0, 0, fmt.Errorf("close: %w", err)
	}
	if err := reopened(mem.CrashClone(vfs.CrashCloneCfg{}), states); err != nil {
		return 0, 0, fmt.Errorf("after a power loss: %w", err)
	}
	return refused, readOnly, reopened(mem, states)
}
