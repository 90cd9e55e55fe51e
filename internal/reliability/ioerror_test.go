package reliability

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// R7: the i-th operation on the file system fails, once or from then on, for
// every i of a fixed workload. What was acknowledged is there after a restart
// and after a power loss, what failed is there wholly or not at all, reads go
// on, and the store closes.
func TestR07IOErrors(t *testing.T) {
	total, _, err := failOne(0, false)
	if err != nil {
		t.Fatal(err)
	}
	every := Count(9, 1)
	runs, failed := 0, 0
	for _, sticky := range []bool{false, true} {
		for i := 1; i <= total; i += every {
			runs++
			_, reported, err := within(15*time.Second, func() (int, int, error) { return failOne(int64(i), sticky) })
			if err != nil {
				t.Fatalf("run %d, operation %d of %d fails (sticky %t): %v", runs, i, total, sticky, err)
			}
			if reported > 0 {
				failed++
			}
		}
	}
	t.Logf("%d operations on the file system, %d runs, in %d of them a call reported the failure", total, runs, failed)
	if failed < runs/4 {
		t.Errorf("the failure was reported in %d of %d runs: the test has no power", failed, runs)
	}
}

// within runs f and tells where everything hangs if it does not end.
func within(d time.Duration, f func() (int, int, error)) (a, b int, err error) {
	done := make(chan struct{})
	go func() { a, b, err = f(); close(done) }()
	select {
	case <-done:
		return a, b, err
	case <-time.After(d):
		buf := make([]byte, 1<<20)
		return 0, 0, fmt.Errorf("hangs:\n%s", buf[:runtime.Stack(buf, true)])
	}
}

// failOne runs the fixed workload with one failing operation, 0 for none. It
// returns how many there were, and how many calls reported an error.
func failOne(at int64, sticky bool) (total, reported int, err error) {
	mem := vfs.NewCrashableMem()
	var n atomic.Int64
	var off atomic.Bool
	var hit atomic.Pointer[errorfs.Op]
	fs := Intercept(mem, func(op errorfs.Op) error {
		if i := n.Add(1); at > 0 && (i == at || sticky && i > at) && !off.Load() {
			hit.CompareAndSwap(nil, &op)
			return errorfs.ErrInjected
		}
		return nil
	})
	defer func() {
		if op := hit.Load(); op != nil && err != nil {
			err = fmt.Errorf("%s %s: %w", kindName(op.Kind), op.Path, err)
		}
	}()
	states := []State{{}}
	// Pebble leaves files open where looking at one fails: no tracking here.
	o := fixedOptions()
	o.FS = fs
	db, err := engine.Open(ctx, "db", o)
	if err != nil {
		if at == 0 {
			return 0, 0, err
		}
		return 0, 1, errors.Join(reopened(mem, states), reopened(mem.CrashClone(vfs.CrashCloneCfg{}), states))
	}
	readOnly := false
	for _, op := range fixedWorkload() {
		if states[0][op.Collection] == nil && op.Kind != Create && op.Kind != FlushAll && op.Kind != CompactAll {
			continue // its creation failed
		}
		_, err := op.Run(ctx, db)
		switch {
		case err == nil && readOnly && mutates(op):
			return 0, 0, errors.Join(fmt.Errorf("%s succeeds in a store that said it was read-only", op), db.Close())
		case err == nil:
			for _, s := range states {
				s.Apply(op)
			}
		case at == 0:
			return 0, 0, errors.Join(fmt.Errorf("%s: %w", op, err), db.Close())
		default:
			reported++
			// The write that made the store read-only may have reached the disk; what
			// failed otherwise has changed nothing. A drop may fail after its write.
			poisons := errors.Is(err, engine.ErrReadOnly) && !readOnly
			if mutates(op) && (poisons || op.Kind == Drop) {
				for _, s := range states {
					states = append(states, s.After(op))
				}
			}
			readOnly = readOnly || poisons
		}
	}
	off.Store(true)
	// Reads go on.
	if _, err := Match(ctx, db, states...); err != nil {
		return 0, 0, errors.Join(fmt.Errorf("reading on: %w", err), db.Close())
	}
	total = int(n.Load())
	if err := db.Close(); err != nil {
		return 0, 0, fmt.Errorf("close: %w", err)
	}
	if err := reopened(mem.CrashClone(vfs.CrashCloneCfg{}), states); err != nil {
		return 0, 0, fmt.Errorf("after a power loss: %w", err)
	}
	return total, reported, reopened(mem, states)
}

func mutates(op Op) bool {
	return op.Kind == Upsert || op.Kind == Delete || op.Kind == Create || op.Kind == Drop
}

func reopened(disk vfs.FS, states []State) error {
	db, closed, err := openTracked(disk, fixedOptions())
	if err != nil {
		return fmt.Errorf("reopen: %w", err)
	}
	which, err := Match(ctx, db, states...)
	if err == nil {
		err = Check(ctx, db, states[which])
	}
	return errors.Join(err, closed())
}
