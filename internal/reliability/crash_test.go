package reliability

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/cockroachdb/pebble/v2/vfs/vfstest"

	"github.com/colbertdb-go/colbertdb/engine"
)

// R1, R2: an acknowledged write survives power loss at any write operation,
// also when the recovery itself loses power, up to three times in a row. A
// batch that was not acknowledged is there wholly or not at all. A write with an
// idempotency key may be sent again, at once after a crash or much later: it is
// made once.
func TestR01PowerLoss(t *testing.T) {
	const generations = 10
	var total crashStats
	Seeds(t, 1, Count(500, 10_000)/generations, func(seed uint64) error { return life(seed, generations, &total) })
	t.Logf("%d power losses, %d of them in a recovery, %d in the middle of a call; %d operations, %d writes sent again", total.crashes.Load(), total.inOpen.Load(), total.inCall.Load(), total.ops.Load(), total.repeats.Load())
}

type crashStats struct{ crashes, inOpen, inCall, ops, repeats atomic.Int64 }

// life runs one store through a number of crashes.
func life(seed uint64, generations int, total *crashStats) error {
	r := rand.New(rand.NewPCG(seed, 1))
	g := NewGenerator(r)
	disk := vfs.NewCrashableMem()
	states := []State{{}} // what the store may hold
	var lastSeq uint64
	keys := newKeyed(seed)
	for generation := range generations {
		for depth := 0; depth < 3 && r.IntN(4) == 0; depth++ {
			var err error
			if disk, err = crashInOpen(disk, r); err != nil {
				return fmt.Errorf("generation %d, %d crashes deep in Open: %w", generation, depth, err)
			}
			total.crashes.Add(1)
			total.inOpen.Add(1)
		}
		fs := NewCrashFS(disk)
		db, closed, err := openTracked(fs, RandomOptions(r))
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
		state := states[which]
		if lastSeq, err = keys.resend(db, state, lastSeq); err != nil {
			return errors.Join(fmt.Errorf("generation %d: %w", generation, err), closed())
		}
		states = []State{state}
		fs.Arm(1+r.IntN([]int{20, 150, 600}[r.IntN(3)]), r.IntN(101), r)
		for range 80 {
			if repeated, err := keys.repeat(db); err != nil {
				return errors.Join(fmt.Errorf("generation %d: %w", generation, err), closed())
			} else if repeated {
				total.repeats.Add(1)
			}
			op := keys.give(g.Next(state))
			seq, err := op.Run(ctx, db)
			if err != nil {
				return errors.Join(fmt.Errorf("generation %d: %s: %w", generation, op, err), closed())
			}
			total.ops.Add(1)
			if fs.Crashed() { // before the acknowledgement: it may be lost
				states = append(states, state.After(op))
				keys.unanswered(op)
				total.inCall.Add(1)
				break
			}
			if seq != 0 && seq <= lastSeq {
				return errors.Join(fmt.Errorf("generation %d: %s: sequence number %d after %d", generation, op, seq, lastSeq), closed())
			}
			lastSeq = max(lastSeq, seq)
			state.Apply(op)
			keys.made(op, seq)
		}
		disk = fs.Disk()
		total.crashes.Add(1)
		if err := closed(); err != nil {
			return fmt.Errorf("generation %d: close: %w", generation, err)
		}
	}
	return nil
}

// crashInOpen opens a store, loses power on the way and returns the disk.
func crashInOpen(disk *vfs.MemFS, r *rand.Rand) (*vfs.MemFS, error) {
	fs := NewCrashFS(disk)
	fs.Arm(1+r.IntN(40), r.IntN(101), r)
	_, closed, err := openTracked(fs, RandomOptions(r))
	if err != nil {
		return nil, err
	}
	disk = fs.Disk()
	return disk, closed()
}

// openTracked opens a store and returns how to close it: which must leave no
// file open (R10).
func openTracked(fs vfs.FS, o *engine.Options) (*engine.Engine, func() error, error) {
	return openIn(fs, "db", o)
}

func openIn(fs vfs.FS, dir string, o *engine.Options) (*engine.Engine, func() error, error) {
	tracked, open := vfstest.WithOpenFileTracking(fs)
	o.FS = tracked
	db, err := engine.Open(ctx, dir, o)
	if err != nil {
		return nil, nil, err
	}
	return db, func() error {
		if err := db.Close(); err != nil {
			return err
		}
		var left bytes.Buffer
		if open(&left); left.Len() > 0 {
			return fmt.Errorf("files left open: %s", left.String())
		}
		return nil
	}, nil
}

// R3: power loss before every single write operation of a fixed workload that
// goes through all of seal, merge, training and drop, with nothing, half and
// all of what was not synced.
func TestR03EveryWindow(t *testing.T) {
	Seeds(t, 1, Count(1, 10), func(seed uint64) error {
		windows, err := everyWindow(seed, sweep{ops: fixedWorkload(), percents: []int{0, 50, 100}})
		if err != nil {
			return err
		}
		t.Logf("%d write operations, %d recoveries", windows, windows*3)
		if windows < 150 {
			return fmt.Errorf("only %d windows: the workload is too short", windows)
		}
		return nil
	})
}

// R0: a log file or an input of a merge goes only after the manifest that
// supersedes it is in an sstable. So whenever Pebble's own log is lost, what is
// left holds everything that was written, but for collections made or dropped
// since.
func TestR03WithoutPebblesLog(t *testing.T) {
	start := slices.IndexFunc(fixedWorkload(), func(op Op) bool { return op.Kind == FlushAll }) + 1
	ops := fixedWorkload()
	end := slices.IndexFunc(ops, func(op Op) bool { return op.Kind == Drop })
	Seeds(t, 1, Count(1, 3), func(seed uint64) error {
		windows, err := everyWindow(seed, sweep{ops: ops[:end], from: start, percents: []int{100}, damage: removePebblesLog})
		t.Logf("%d recoveries", windows)
		return err
	})
}

func removePebblesLog(disk *vfs.MemFS) error {
	const dir = "db/pebble"
	names, err := disk.List(dir)
	for _, n := range names {
		if strings.HasSuffix(n, ".log") {
			err = errors.Join(err, disk.Remove(disk.PathJoin(dir, n)))
		}
	}
	return err
}

// fixedWorkload are the operations of R3 and R7.
func fixedWorkload() []Op {
	g := NewGenerator(rand.New(rand.NewPCG(3, 3)))
	ids := func(n ...int) []string {
		out := make([]string, len(n))
		for i := range n {
			out[i] = fmt.Sprintf("d%03d", n[i])
		}
		return out
	}
	batch := func(name string, n ...int) Op {
		op := Op{Kind: Upsert, Collection: name}
		for _, id := range ids(n...) {
			op.Docs = append(op.Docs, g.Document(id))
		}
		return op
	}
	del := func(name string, n ...int) Op { return Op{Kind: Delete, Collection: name, IDs: ids(n...)} }
	exact := engine.CollectionConfig{Dim: g.Dim}
	balanced := engine.CollectionConfig{Dim: g.Dim, Profile: engine.Balanced}
	return []Op{
		{Kind: Create, Collection: "a", Config: exact},
		batch("a", 1, 2, 3), batch("a", 4), del("a", 2),
		{Kind: Create, Collection: "b", Config: balanced},
		batch("b", 1, 2), // small: copied forward by the seal of a
		{Kind: Flush, Collection: "a"},
		batch("a", 5, 6, 1), del("a", 3), batch("b", 3, 4, 5),
		{Kind: FlushAll},
		batch("a", 7, 8, 9, 10), batch("a", 11, 5), del("b", 1, 4),
		{Kind: Compact, Collection: "a"}, // merges and trains
		batch("a", 12, 13), del("a", 7, 12),
		{Kind: Flush, Collection: "b"},
		batch("b", 6, 7, 8, 9, 10, 11, 12),
		{Kind: CompactAll},
		{Kind: Drop, Collection: "b"},
		batch("a", 14), del("a", 1, 8, 14),
		{Kind: Create, Collection: "b", Config: exact},
		batch("b", 20), {Kind: CompactAll}, batch("a", 15),
	}
}

func fixedOptions() *engine.Options {
	return &engine.Options{TrainTokens: 30, TrainSample: 256, MaxSegmentDocuments: 64, DisableAutoCompaction: true}
}

// sweep says what everyWindow does.
type sweep struct {
	ops      []Op
	from     int   // the first operation before whose writes the power goes
	percents []int // of what was not synced survives
	damage   func(*vfs.MemFS) error
}

// everyWindow returns the number of write operations.
func everyWindow(seed uint64, s sweep) (int, error) {
	type window struct {
		disk *vfs.MemFS
		op   errorfs.Op
		done int // operations acknowledged before
	}
	var windows []window
	var done atomic.Int64
	r := rand.New(rand.NewPCG(seed, 2))
	fs := NewCrashFS(vfs.NewCrashableMem())
	found := make(chan window, 1)
	found <- window{} // a mutex that OnWrite, from any goroutine, holds
	fs.OnWrite = func(_ int64, op errorfs.Op) error {
		w := <-found
		if n := int(done.Load()); n >= s.from {
			for _, percent := range s.percents {
				windows = append(windows, window{fs.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: r}), op, n})
			}
		}
		found <- w
		return nil
	}
	db, closed, err := openTracked(fs, fixedOptions())
	if err != nil {
		return 0, err
	}
	states := []State{{}}
	for _, op := range s.ops {
		if _, err := op.Run(ctx, db); err != nil {
			return 0, errors.Join(fmt.Errorf("%s: %w", op, err), closed())
		}
		states = append(states, states[len(states)-1].After(op))
		done.Add(1)
	}
	if err := closed(); err != nil {
		return 0, err
	}
	for i, w := range windows {
		if s.damage != nil {
			if err := s.damage(w.disk); err != nil {
				return 0, err
			}
		}
		if err := recovered(w.disk, states[w.done:min(w.done+2, len(states))]); err != nil {
			return 0, fmt.Errorf("run %d, write %d with %d %% of what was not synced (%s %s, %d operations done): %w",
				i+1, i/len(s.percents)+1, s.percents[i%len(s.percents)], kindName(w.op.Kind), w.op.Path, w.done, err)
		}
	}
	return len(windows) / len(s.percents), nil
}

// recovered opens a disk after a crash and checks that it holds one of the states.
func recovered(disk *vfs.MemFS, states []State) error {
	db, closed, err := openTracked(disk, fixedOptions())
	if err != nil {
		return err
	}
	which, err := Match(ctx, db, states...)
	if err == nil {
		err = Check(ctx, db, states[which])
	}
	return errors.Join(err, closed())
}

func kindName(k errorfs.OpKind) string {
	names := map[errorfs.OpKind]string{
		errorfs.OpCreate: "create", errorfs.OpLink: "link", errorfs.OpRemove: "remove", errorfs.OpRemoveAll: "remove all",
		errorfs.OpRename: "rename", errorfs.OpReuseForWrite: "reuse", errorfs.OpMkdirAll: "mkdir", errorfs.OpLock: "lock",
		errorfs.OpFileClose: "close", errorfs.OpFileWrite: "write", errorfs.OpFileWriteAt: "write at",
		errorfs.OpFileSync: "sync", errorfs.OpFileSyncData: "sync data", errorfs.OpFileSyncTo: "sync to",
		errorfs.OpFilePreallocate: "preallocate", errorfs.OpOpen: "open", errorfs.OpOpenDir: "open dir", errorfs.OpList: "list",
		errorfs.OpFileRead: "read", errorfs.OpFileReadAt: "read at", errorfs.OpStat: "stat", errorfs.OpFileStat: "file stat",
	}
	if n, ok := names[k]; ok {
		return n
	}
	return fmt.Sprintf("operation %d", int(k))
}
