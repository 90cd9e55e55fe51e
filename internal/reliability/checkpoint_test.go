package reliability

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// R13: checkpoints and backups are taken while two writers, seals and merges go
// on. Each opens, verifies, and holds a prefix of the changes: all that were
// acknowledged before the call, none that began after it returned.
func TestR13Backups(t *testing.T) {
	const perStore = 10
	backups := 0
	Seeds(t, 1, Count(1, 20), func(seed uint64) error {
		n, err := backupsDuringLoad(seed, perStore)
		backups += n
		return err
	})
	t.Logf("%d checkpoints and backups", backups)
}

func backupsDuringLoad(seed uint64, n int) (done int, err error) {
	r := rand.New(rand.NewPCG(seed, 13))
	disk := vfs.NewMem()
	o := RandomOptions(r)
	o.DisableAutoCompaction = false
	db, closed, err := openTracked(disk, o)
	if err != nil {
		return 0, err
	}
	cfg := engine.CollectionConfig{Dim: 8, Profile: []engine.Profile{engine.Exact, engine.Balanced, engine.Compact}[seed%3]}
	col, err := db.CreateCollection(ctx, "a", cfg)
	if err != nil {
		return 0, errors.Join(err, closed())
	}
	h := newHistory()
	stop := make(chan struct{})
	errs := make(chan error, 2)
	var writers sync.WaitGroup
	for writer := range 2 {
		g := NewGenerator(rand.New(rand.NewPCG(seed, 130+uint64(writer))))
		g.version = writer * 1_000_000_000
		writers.Go(func() { errs <- h.write(db, g, stop) })
	}
	type taken struct {
		dir         string
		seq         uint64
		least, most uint64
	}
	var all []taken
	for i := range n {
		b := taken{dir: fmt.Sprint("backup", i), least: h.acked()}
		var d *engine.Descriptor
		if i%5 == 4 {
			var stream bytes.Buffer
			if d, err = db.Backup(ctx, &stream, engine.BackupOptions{}); err == nil {
				_, err = engine.Restore(ctx, b.dir, []io.Reader{&stream}, engine.RestoreOptions{FS: disk})
			}
		} else {
			d, err = db.Checkpoint(ctx, b.dir)
		}
		if err != nil {
			break
		}
		// A change under way now began before the call returned.
		b.most, b.seq = h.acked()+2, d.Seq
		all = append(all, b)
		if i%3 == 2 {
			if err = col.Flush(ctx); err != nil {
				break
			}
		}
	}
	close(stop)
	writers.Wait()
	if err := errors.Join(err, <-errs, <-errs, Verify(ctx, db), closed()); err != nil {
		return 0, err
	}
	for _, b := range all {
		if b.seq < b.least || b.seq > b.most {
			return 0, fmt.Errorf("%s holds %d changes, %d were acknowledged before it, at most %d began before its end", b.dir, b.seq, b.least, b.most)
		}
		s, err := h.at(b.seq, cfg)
		if err != nil {
			return 0, err
		}
		copied, closed, err := openIn(disk, b.dir, RandomOptions(r))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", b.dir, err)
		}
		if err := errors.Join(Check(ctx, copied, s), closed()); err != nil {
			return 0, fmt.Errorf("%s, %d changes: %w", b.dir, b.seq, err)
		}
	}
	return len(all), nil
}

// The power goes during a checkpoint or a restore: what there is of the folder is
// refused, or is whole. The store itself has lost nothing.
func TestR13CrashInBackup(t *testing.T) {
	whole, refused := 0, 0
	Seeds(t, 1, Count(16, 400), func(seed uint64) error {
		r := rand.New(rand.NewPCG(seed, 131))
		fs := NewCrashFS(vfs.NewCrashableMem())
		db, closed, err := openTracked(fs, RandomOptions(r))
		if err != nil {
			return err
		}
		g := NewGenerator(r)
		state := State{}
		for range 25 {
			op := g.Next(state)
			if _, err := op.Run(ctx, db); err != nil {
				return errors.Join(err, closed())
			}
			state.Apply(op)
		}
		fs.Arm(1+r.IntN(160), r.IntN(101), r)
		if seed%2 == 0 {
			_, err = db.Checkpoint(ctx, "copy")
		} else {
			var stream bytes.Buffer
			if _, err = db.Backup(ctx, &stream, engine.BackupOptions{}); err == nil {
				_, err = engine.Restore(ctx, "copy", []io.Reader{&stream}, engine.RestoreOptions{FS: fs})
			}
		}
		done := err == nil && !fs.Crashed()
		disk := fs.Disk()
		if err := errors.Join(err, closed()); err != nil {
			return err
		}
		if err := recovered(disk, []State{state}); err != nil {
			return fmt.Errorf("the store: %w", err)
		}
		copied, closed, err := openIn(disk, "copy", &engine.Options{MustExist: true})
		if err != nil {
			refused++
			if done || !isRefused(err) {
				return fmt.Errorf("the copy (finished %t): %w", done, err)
			}
			return nil
		}
		whole++
		if err := errors.Join(Check(ctx, copied, state), closed()); err != nil {
			return fmt.Errorf("the copy opens (finished %t): %w", done, err)
		}
		return nil
	})
	t.Logf("%d copies were whole, %d refused", whole, refused)
	if whole == 0 || refused == 0 {
		t.Errorf("%d copies were whole, %d refused: the test has no power", whole, refused)
	}
}

// isRefused reports whether an open says that there is no whole store.
func isRefused(err error) bool {
	return errors.Is(err, engine.ErrIncomplete) || errors.Is(err, fs.ErrNotExist)
}
