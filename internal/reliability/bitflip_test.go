package reliability

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/wal"
)

// R6: a flipped bit in a log file or an sstable gives an error that says
// corruption, or the documents as they were written; never others. The last
// batch in the log may be dropped, as one that was torn.
func TestR06BitFlips(t *testing.T) {
	mem := vfs.NewCrashableMem()
	db, closed, err := openTracked(mem, fixedOptions())
	if err != nil {
		t.Fatal(err)
	}
	states := []State{{}}
	for _, op := range append(fixedWorkload(), fixedWorkload()[1:4]...) {
		if _, err := op.Run(ctx, db); err != nil {
			t.Fatal(err)
		}
		states = append(states, states[len(states)-1].After(op))
	}
	r := rand.New(rand.NewPCG(6, 6))
	disk := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: r})
	if err := closed(); err != nil {
		t.Fatal(err)
	}
	refused := 0
	runs := Count(150, 2000)
	Seeds(t, 1, runs, func(seed uint64) error {
		r := rand.New(rand.NewPCG(seed, 66))
		damaged := disk.CrashClone(vfs.CrashCloneCfg{})
		name, err := flip(damaged, r)
		if err != nil {
			return err
		}
		err = readAll(damaged, states[len(states)-2:])
		if errors.Is(err, engine.ErrCorruption) || errors.Is(err, wal.ErrCorruption) {
			refused++
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	t.Logf("%d flips, %d reported", runs, refused)
}

// flip changes one bit of a log file or sstable.
func flip(fs vfs.FS, r *rand.Rand) (name string, err error) {
	var paths []string
	for _, dir := range []string{"db/wal", "db/pebble"} {
		names, err := fs.List(dir)
		if err != nil {
			return "", err
		}
		for _, n := range names {
			if strings.HasSuffix(n, ".wal") || strings.HasSuffix(n, ".sst") {
				paths = append(paths, fs.PathJoin(dir, n))
			}
		}
	}
	name = paths[r.IntN(len(paths))]
	if r.IntN(2) == 0 {
		name = paths[0] // the log
	}
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return name, err
	}
	b, err := io.ReadAll(f)
	if err == nil && len(b) > 0 {
		at := r.IntN(len(b))
		_, err = f.WriteAt([]byte{b[at] ^ 1<<r.IntN(8)}, int64(at))
	}
	return name, errors.Join(err, f.Close())
}

// readAll opens a store and reads everything in it.
func readAll(fs vfs.FS, states []State) error {
	o := fixedOptions()
	o.FS, o.ReadOnly = fs, true
	db, err := engine.Open(ctx, "db", o)
	if err != nil {
		return err
	}
	which, err := Match(ctx, db, states...)
	if err == nil {
		err = Check(ctx, db, states[which])
	}
	return errors.Join(err, db.Close())
}
