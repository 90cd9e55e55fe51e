package reliability

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// R1 for SyncInterval and SyncNever: a power loss at any write operation leaves
// what the store held at some time since the last Sync, whatever seals, merges and
// trainings went on. Making and dropping a collection are durable at once, and so
// come after a Sync here.
func TestR01PowerLossWithoutSync(t *testing.T) {
	const generations = 8
	for _, mode := range []engine.SyncMode{engine.SyncInterval, engine.SyncNever} {
		var crashes, older atomic.Int64
		Seeds(t, 1, Count(160, 4_000)/generations, func(seed uint64) error {
			if err := unsynced(seed, generations, mode, &crashes, &older); err != nil {
				return fmt.Errorf("%v: %w", mode, err)
			}
			return nil
		})
		t.Logf("%v: %d power losses, %d of them took changes away", mode, crashes.Load(), older.Load())
		if older.Load() == 0 {
			t.Errorf("%v: no change was ever lost: the test has no power", mode)
		}
	}
}

// unsynced runs one store through a number of crashes.
func unsynced(seed uint64, generations int, mode engine.SyncMode, crashes, older *atomic.Int64) error {
	r := rand.New(rand.NewPCG(seed, 9))
	g := NewGenerator(r)
	disk := vfs.NewCrashableMem()
	states := []State{{}} // what the store may hold, in order
	for generation := range generations {
		fs := NewCrashFS(disk)
		o := RandomOptions(r)
		o.Sync, o.SyncInterval = mode, []time.Duration{time.Millisecond, time.Hour}[r.IntN(2)]
		db, closed, err := openTracked(fs, o)
		if err != nil {
			return fmt.Errorf("generation %d: open: %w", generation, err)
		}
		which, err := Match(ctx, db, states...)
		if err == nil {
			err = Check(ctx, db, states[which])
		}
		if err != nil {
			return errors.Join(fmt.Errorf("generation %d, after recovery: %w", generation, err), closed())
		}
		if which < len(states)-2 {
			older.Add(1)
		}
		state := states[which]
		states = []State{state}
		fs.Arm(1+r.IntN([]int{20, 150, 600}[r.IntN(3)]), r.IntN(101), r)
		for range 80 {
			op := g.Next(state)
			if op.Kind == Create || op.Kind == Drop || r.IntN(12) == 0 {
				if err := db.Sync(ctx); err != nil {
					return errors.Join(fmt.Errorf("generation %d: sync: %w", generation, err), closed())
				}
				if fs.Crashed() {
					break
				}
				states = states[len(states)-1:]
			}
			if _, err := op.Run(ctx, db); err != nil {
				return errors.Join(fmt.Errorf("generation %d: %s: %w", generation, op, err), closed())
			}
			state = state.After(op)
			states = append(states, state)
			if fs.Crashed() {
				break
			}
		}
		disk = fs.Disk()
		crashes.Add(1)
		if err := closed(); err != nil {
			return fmt.Errorf("generation %d: close: %w", generation, err)
		}
	}
	return nil
}
