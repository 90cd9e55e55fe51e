package reliability

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// R24: writes, searches, seals, merges, trainings and drops on a store on disk
// that dies every five seconds, in the middle of what it does, and is opened
// again: after each death it holds what was acknowledged. Memory, goroutines and
// open files do not grow, and what the store takes on disk after a compaction is
// at most 1.5 times what a fresh one of the same documents takes. COLBERTDB_SOAK is
// how long it runs, such as 60m.
func TestR24Soak(t *testing.T) {
	d, life := 5*time.Second, 700*time.Millisecond
	if Full() {
		d, life = 3*time.Minute, 5*time.Second
	}
	if s := os.Getenv("COLBERTDB_SOAK"); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			t.Fatalf("COLBERTDB_SOAK: %v", err)
		}
	}
	s := &soak{dir: filepath.Join(t.TempDir(), "db"), g: NewGenerator(rand.New(rand.NewPCG(24, 24))), states: []State{{}}}
	s.g.IDs, s.g.Dim = 600, 64
	start := time.Now()
	for generation := 0; time.Since(start) < d || generation < 6; generation++ {
		if err := s.live(life); err != nil {
			t.Fatalf("generation %d: %v", generation, err)
		}
		s.samples = append(s.samples, sampleProcess(t))
	}
	used, fresh, err := s.compacted(filepath.Join(t.TempDir(), "fresh"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d deaths, %d operations, %d searches; %d bytes on disk, a fresh store %d", len(s.samples), s.ops, s.searches.Load(), used, fresh)
	if float64(used) > 1.5*float64(fresh)+64<<10 { // logs and MANIFEST are some tens of KB, however small the store
		t.Errorf("the store takes %d bytes, a fresh one of the same documents %d", used, fresh)
	}
	s.steady(t)
}

type soak struct {
	dir      string
	g        *Generator
	states   []State // what the store may hold
	ops      int
	searches atomic.Int64
	samples  []sample
}

// live opens the store, checks it, and uses it until it dies.
func (s *soak) live(d time.Duration) error {
	var dead atomic.Bool
	var left atomic.Int64 // writes until it dies
	left.Store(1 << 60)
	fs := Intercept(vfs.Default, func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose {
			return nil
		}
		if left.Add(-1) <= 0 {
			dead.Store(true)
			return errorfs.ErrInjected
		}
		return nil
	})
	o := RandomOptions(s.g.R)
	o.FS = fs
	db, err := engine.Open(ctx, s.dir, o)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	which, err := Match(ctx, db, s.states...)
	if err == nil {
		err = Check(ctx, db, s.states[which])
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	state := s.states[which]
	s.states = []State{state}
	stop := make(chan struct{})
	errs := make(chan error, 2)
	var readers sync.WaitGroup
	for reader := range 2 {
		g := NewGenerator(rand.New(rand.NewPCG(uint64(reader), s.g.R.Uint64())))
		g.Dim = s.g.Dim
		readers.Go(func() { errs <- s.search(db, g, stop) })
	}
	end := time.Now().Add(d)
	for !dead.Load() {
		if left.Load() > 1<<40 && time.Now().After(end) {
			left.Store(1 + int64(s.g.R.IntN(100)))
		}
		op := s.g.Next(state)
		_, err = op.Run(ctx, db)
		s.ops++
		if dead.Load() {
			s.states = append(s.states, state.After(op)) // acknowledged or not, it may be there
			if err == nil && mutates(op) {
				s.states = s.states[1:] // its acknowledgement counts
			}
			break
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", op, err)
			break
		}
		state.Apply(op)
	}
	if dead.Load() {
		err = nil
	}
	close(stop)
	readers.Wait()
	return errors.Join(err, <-errs, <-errs, db.Close())
}

// search searches until stop is closed.
func (s *soak) search(db *engine.Engine, g *Generator, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		case <-time.After(time.Millisecond):
		}
		for _, info := range db.Collections() {
			col, err := db.Collection(info.Name)
			if err == nil {
				_, err = col.Search(ctx, engine.SearchRequest{Vectors: g.Vectors(2), K: 5})
			}
			if err != nil && !errors.Is(err, engine.ErrCollectionNotFound) {
				return fmt.Errorf("search: %w", err)
			}
			s.searches.Add(1)
		}
	}
}

// compacted compacts the store and returns what it takes on disk, and what a
// fresh one of the same documents does.
func (s *soak) compacted(fresh string) (used, want int64, err error) {
	o := &engine.Options{TrainTokens: 1 << 30}
	db, closed, err := openIn(vfs.Default, s.dir, o)
	if err != nil {
		return 0, 0, err
	}
	which, err := Match(ctx, db, s.states...)
	if err == nil {
		err = errors.Join(db.Compact(ctx), Check(ctx, db, s.states[which]))
	}
	if err := errors.Join(err, closed()); err != nil {
		return 0, 0, err
	}
	if db, closed, err = openIn(vfs.Default, fresh, o); err != nil {
		return 0, 0, err
	}
	for name, c := range s.states[which] {
		ops := []Op{{Kind: Create, Collection: name, Config: c.Config}, {Kind: Upsert, Collection: name}, {Kind: Compact, Collection: name}}
		for _, d := range c.Docs {
			ops[1].Docs = append(ops[1].Docs, *d)
		}
		if len(c.Docs) == 0 {
			ops = ops[:1]
		}
		for _, op := range ops {
			if _, err := op.Run(ctx, db); err != nil {
				return 0, 0, errors.Join(err, closed())
			}
		}
	}
	if err := closed(); err != nil {
		return 0, 0, err
	}
	if used, err = treeSize(s.dir); err == nil {
		want, err = treeSize(fresh)
	}
	return used, want, err
}

func treeSize(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}

// sample is what the process holds between two lives of the store.
type sample struct{ heap, resident, files, goroutines int64 }

func sampleProcess(t *testing.T) (s sample) {
	t.Helper()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.heap, s.goroutines = int64(m.HeapAlloc), int64(runtime.NumGoroutine())
	if b, err := os.ReadFile("/proc/self/statm"); err == nil { // Linux
		fields := strings.Fields(string(b))
		pages, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		s.resident = pages * int64(os.Getpagesize())
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		s.files = int64(len(open))
	}
	return s
}

// steady compares the last third of the samples with the second one: the first
// warms up.
func (s *soak) steady(t *testing.T) {
	n := len(s.samples) / 3
	if n == 0 {
		t.Fatalf("%d samples are too few", len(s.samples))
	}
	for _, c := range []struct {
		what  string
		of    func(sample) int64
		slack int64
	}{
		{"heap bytes", func(s sample) int64 { return s.heap }, 4 << 20},
		{"resident bytes", func(s sample) int64 { return s.resident }, 64 << 20}, // the race detector's included
		{"open files", func(s sample) int64 { return s.files }, 2},
		{"goroutines", func(s sample) int64 { return s.goroutines }, 4},
	} {
		median := func(in []sample) int64 {
			var v []int64
			for _, s := range in {
				v = append(v, c.of(s))
			}
			slices.Sort(v)
			return v[len(v)/2]
		}
		before, after := median(s.samples[n:2*n]), median(s.samples[2*n:])
		t.Logf("%s: %d in the second third, %d in the last", c.what, before, after)
		if after > before+c.slack {
			t.Errorf("%s grow from %d to %d", c.what, before, after)
		}
	}
}
