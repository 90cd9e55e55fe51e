package reliability

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/wal"
)

// R6, R23: a flipped bit, a zeroed block or two blocks that changed places, in any
// file of a store, give an error that says corruption, or the documents as they
// were written; never others. The last batch in the log may be dropped, as one
// that was torn. And Verify, or Open before it, reports every change of a byte
// that a checksum covers.
func TestR06Damage(t *testing.T) {
	small, large := smallStore(t), largeStore(t)
	for _, s := range []*storeToDamage{small, large} {
		if reported, err := s.verify(s.disk.CrashClone(vfs.CrashCloneCfg{})); err != nil || reported != nil {
			t.Fatalf("the store is not clean: %v, %v", reported, err)
		}
	}
	for _, d := range []struct {
		what        string
		store       *storeToDamage
		damage      func(b []byte, r *rand.Rand) (at, end int)
		short, full int
	}{
		{"flipped bits", small, flipBit, 210, 2000},
		{"zeroed blocks", large, zeroBlock, 20, 100},
		{"swapped blocks", large, swapBlocks, 20, 100},
	} {
		counts := map[string]*damageCount{}
		runs := Count(d.short, d.full)
		Seeds(t, 1, runs, func(seed uint64) error {
			r := rand.New(rand.NewPCG(seed, 66))
			kinds := slices.Sorted(maps.Keys(d.store.files))
			kind := kinds[int(seed)%len(kinds)]
			name := d.store.files[kind][r.IntN(len(d.store.files[kind]))]
			if counts[kind] == nil {
				counts[kind] = &damageCount{}
			}
			if err := d.store.try(name, kind, counts[kind], func(b []byte) (int, int) { return d.damage(b, r) }); err != nil {
				return fmt.Errorf("%s, %s: %w", d.what, name, err)
			}
			return nil
		})
		for _, kind := range slices.Sorted(maps.Keys(counts)) {
			c := counts[kind]
			t.Logf("%s, %s: %d, of them %d reported by reads, %d of %d that a checksum covers by Verify; %d took the end of a log away", d.what, kind, c.runs, c.refused, c.reported, c.covered, c.ends)
		}
	}
}

// isLog reports whether files of a kind grow by records, the last of which may be
// a write that was torn.
func isLog(kind string) bool { return kind == "log" || kind == "Pebble's log" || kind == "MANIFEST" }

type damageCount struct{ runs, refused, covered, reported, ends int }

// storeToDamage is a store that was closed in order.
type storeToDamage struct {
	disk   *vfs.MemFS
	states []State             // that reads may find
	files  map[string][]string // paths by kind
}

// smallStore is the fixed workload's, most of it twice.
func smallStore(t *testing.T) *storeToDamage {
	ops := append(fixedWorkload(), fixedWorkload()[1:4]...)
	for _, name := range []string{"c", "d", "e"} { // in Pebble's log, which nothing flushes any more
		ops = append(ops, Op{Kind: Create, Collection: name, Config: engine.CollectionConfig{Dim: 8}})
	}
	return newStoreToDamage(t, append(ops, fixedWorkload()[1]))
}

// largeStore has files of many blocks.
func largeStore(t *testing.T) *storeToDamage {
	g := NewGenerator(rand.New(rand.NewPCG(6, 7)))
	g.IDs = 400
	ops := []Op{
		{Kind: Create, Collection: "a", Config: engine.CollectionConfig{Dim: 8, Profile: engine.Balanced, RetainRaw: true}},
		{Kind: Create, Collection: "b", Config: engine.CollectionConfig{Dim: 8}},
	}
	for _, name := range []string{"a", "b", "a"} {
		for range 3 {
			ops = append(ops, Op{Kind: Upsert, Collection: name, Docs: g.Batch(150)}, Op{Kind: Flush, Collection: name})
		}
		ops = append(ops, Op{Kind: Compact, Collection: name})
	}
	for range 40 {
		g.Names = append(g.Names, fmt.Sprint("n", len(g.Names)))
		ops = append(ops, Op{Kind: Create, Collection: g.Names[len(g.Names)-1], Config: engine.CollectionConfig{Dim: 8}})
	}
	for range 10 {
		ops = append(ops, Op{Kind: Upsert, Collection: "a", Docs: g.Batch(20)}, Op{Kind: Delete, Collection: "a", IDs: []string{g.ID(), g.ID()}})
	}
	return newStoreToDamage(t, ops)
}

func newStoreToDamage(t *testing.T, ops []Op) *storeToDamage {
	t.Helper()
	s := &storeToDamage{disk: vfs.NewCrashableMem(), files: map[string][]string{}}
	db, closed, err := openTracked(s.disk, fixedOptions())
	if err != nil {
		t.Fatal(err)
	}
	states := []State{{}}
	for _, op := range ops {
		if _, err := op.Run(ctx, db); err != nil {
			t.Fatalf("%s: %v", op, err)
		}
		states = append(states, states[len(states)-1].After(op))
	}
	if err := closed(); err != nil {
		t.Fatal(err)
	}
	s.states = states[len(states)-2:]
	s.disk = s.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(6, 6))})
	for _, dir := range []string{"db", "db/wal", "db/pebble"} {
		names, err := s.disk.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			p := s.disk.PathJoin(dir, n)
			info, err := s.disk.Stat(p)
			if err != nil {
				t.Fatal(err)
			}
			kind := fileKind(p)
			if !info.IsDir() && info.Size() > 0 && (kind != "sstable" || s.needs(p)) {
				s.files[kind] = append(s.files[kind], p)
			}
		}
	}
	for _, kind := range []string{"log", "sstable", "MANIFEST", "Pebble's log", "OPTIONS"} {
		if len(s.files[kind]) == 0 {
			t.Fatalf("the store has no file of kind %q: %v", kind, s.files)
		}
	}
	return s
}

// needs reports whether the store is damaged without a file: one that Pebble had
// no time to remove is not part of it.
func (s *storeToDamage) needs(name string) bool {
	disk := s.disk.CrashClone(vfs.CrashCloneCfg{})
	if err := disk.Remove(name); err != nil {
		return true
	}
	reported, err := s.verify(disk)
	return reported != nil || err != nil || readAll(disk, s.states) != nil
}

func fileKind(p string) string {
	base := path.Base(p)
	switch {
	case strings.HasSuffix(base, ".wal"):
		return "log"
	case strings.HasSuffix(base, ".sst"):
		return "sstable"
	case strings.HasSuffix(base, ".log"):
		return "Pebble's log"
	}
	name, _, _ := strings.Cut(base, "-")
	name, _, _ = strings.Cut(name, ".")
	return name
}

// covered reports whether a checksum covers a byte in [at, end), and nothing may
// explain the change as a write that was torn. OPTIONS is text that Pebble parses.
func covered(kind string, before, after []byte, at, end int) bool {
	if bytes.Equal(before, after) {
		return false
	}
	switch kind {
	case "sstable":
		return true
	case "log": // but for zeros in the header; the footer proves the rest, nothing the footer
		const header, headerSum, footer = 40, 36, 32
		return at < headerSum || end > header && end <= len(before)-footer
	case "MANIFEST": // what an edit follows
		r, last := record.NewReader(bytes.NewReader(before), 0), 0
		for {
			from := int(r.Offset())
			edit, err := r.Next()
			if err == nil {
				_, err = io.Copy(io.Discard, edit)
			}
			if err != nil {
				return end <= last
			}
			last = from
		}
	case "Pebble's log": // what a later chunk says was synced; in one block there is no padding
		const header = 19
		for o := 0; o+header <= len(before) && before[o+6] >= 9; {
			if o >= end && int(binary.LittleEndian.Uint64(before[o+11:])) > at {
				return true
			}
			o += header + int(binary.LittleEndian.Uint16(before[o+4:]))
		}
	}
	return false
}

// try damages one file and reads everything.
func (s *storeToDamage) try(name, kind string, n *damageCount, damage func([]byte) (at, end int)) error {
	disk := s.disk.CrashClone(vfs.CrashCloneCfg{})
	f, err := disk.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	before, err := io.ReadAll(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	after := slices.Clone(before)
	at, end := damage(after)
	_, err = f.WriteAt(after, 0)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	n.runs++
	place := func(err error) error { return fmt.Errorf("bytes %d to %d of %d: %w", at, end, len(before), err) }
	err = readAll(disk, s.states)
	switch {
	case isCorruption(err):
		n.refused++
	case err != nil && end-at > 1 && isLog(kind) && !covered(kind, before, after, at, end):
		// The end of a log with all that proves it: as if it had never been written.
		n.ends++
	case err != nil && kind != "OPTIONS":
		return place(err)
	}
	reported, err := s.verify(disk)
	if err != nil && kind != "OPTIONS" {
		return place(fmt.Errorf("verify: %w", err))
	}
	if covered(kind, before, after, at, end) {
		n.covered++
		if reported == nil {
			return place(errors.New("Verify finds nothing"))
		}
		n.reported++
	}
	return nil
}

func isCorruption(err error) bool {
	return errors.Is(err, engine.ErrCorruption) || errors.Is(err, wal.ErrCorruption)
}

// verify returns the damage that Open or Verify reports.
func (s *storeToDamage) verify(disk *vfs.MemFS) (reported, err error) {
	o := fixedOptions()
	o.FS, o.ReadOnly = disk, true
	db, err := engine.Open(ctx, "db", o)
	if isCorruption(err) {
		return err, nil
	}
	if err != nil {
		return nil, err
	}
	r, err := db.Verify(ctx)
	if isCorruption(err) {
		return err, db.Close()
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	reported = errors.Join(r.Problems...)
	if reported != nil && !isCorruption(reported) {
		return nil, errors.Join(fmt.Errorf("a problem that is no corruption: %w", reported), db.Close())
	}
	return reported, db.Close()
}

func flipBit(b []byte, r *rand.Rand) (at, end int) {
	at = r.IntN(len(b))
	b[at] ^= 1 << r.IntN(8)
	return at, at + 1
}

// block is what a disk writes at once.
const block = 4096

// aBlock draws a block of a file; the last one may be shorter.
func aBlock(b []byte, r *rand.Rand) (at, end int) {
	at = r.IntN((len(b)+block-1)/block) * block
	return at, min(at+block, len(b))
}

func zeroBlock(b []byte, r *rand.Rand) (at, end int) {
	at, end = aBlock(b, r)
	clear(b[at:end])
	return at, end
}

// swapBlocks exchanges two blocks, of a file of one block its halves.
func swapBlocks(b []byte, r *rand.Rand) (at, end int) {
	at, end = aBlock(b, r)
	to, toEnd := aBlock(b, r)
	if len(b) <= block {
		at, end, to, toEnd = 0, len(b)/2, len(b)/2, len(b)/2*2
	}
	if to < at {
		at, end, to, toEnd = to, toEnd, at, end
	}
	n := min(end-at, toEnd-to)
	first := slices.Clone(b[at : at+n])
	copy(b[at:], b[to:to+n])
	copy(b[to:], first)
	return at, to + n
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
