package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/segment"
)

// Scrubbing erases keys from Pebble's files. A delete of a key is a mark above it:
// key and mark go when a compaction has them both in hand and nothing is below.
// What Pebble replaces it removes when it likes. So scrub writes marks, compacts,
// looks into the sstables themselves, and waits until obsolete files are gone; a
// MANIFEST that names one of the keys, as the first or last of a table, is replaced.

// scrub returns once no file of Pebble's holds one of the keys, which are sorted
// and have no value that counts. The caller holds Engine.pub.
func (e *Engine) scrub(ctx context.Context, keys [][]byte) error {
	const tries = 8 // a compaction may move a table instead of rewriting it, or miss one that just came
	for try := 0; len(keys) > 0; try++ {
		if try == tries {
			return fmt.Errorf("colbertdb: %d ids are still in sstables of %q after %d compactions", len(keys), e.pebbleDir(), tries)
		}
		// Twice, so that there are two tables: one alone could be moved as it is.
		for range 2 {
			if err := e.deleteKeys(keys); err != nil {
				return err
			}
			if err := e.guard.flush(ctx, e.db); err != nil {
				return err
			}
		}
		if err := e.compactKeys(ctx, keys); err != nil {
			return err
		}
		has, err := e.tablesHave(ctx, keys)
		if err != nil {
			return err
		}
		if !has {
			break
		}
	}
	if err := e.renewPebbleManifest(ctx, keys); err != nil {
		return err
	}
	// The log that is open now was begun by this flush.
	if err := e.guard.flush(ctx, e.db); err != nil {
		return err
	}
	return e.waitForRemovals(ctx)
}

// compactKeys compacts the tables that hold keys: for a few, only these.
func (e *Engine) compactKeys(ctx context.Context, keys [][]byte) error {
	ranges := [][2][]byte{{keys[0], keys[len(keys)-1]}}
	if len(keys) <= 16 {
		ranges = ranges[:0]
		for _, k := range keys {
			ranges = append(ranges, [2][]byte{k, k})
		}
	}
	for _, r := range ranges {
		err := e.guard.write(func() error { return e.compactRange(ctx, r[0], append(bytes.Clone(r[1]), 0)) })
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// compactRange is a manual compaction. That it failed says nothing of the store:
// Pebble tries again by itself, and poisons the guard where it must not.
func (e *Engine) compactRange(ctx context.Context, start, end []byte) error {
	if err := e.db.Compact(ctx, start, end, false); err != nil && ctx.Err() == nil {
		e.guard.background(err)
	}
	return nil
}

// tablesHave reports whether a table of Pebble's current version holds one of the
// keys. Bounds are those of the tables, so that only few are read.
func (e *Engine) tablesHave(ctx context.Context, keys [][]byte) (bool, error) {
	levels, err := e.db.SSTables()
	if err != nil {
		return false, err
	}
	for _, level := range levels {
		for _, t := range level {
			if bytes.Compare(t.Largest.UserKey, keys[0]) < 0 || bytes.Compare(t.Smallest.UserKey, keys[len(keys)-1]) > 0 {
				continue
			}
			path := filepath.Join(e.pebbleDir(), fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum)))
			has, err := segment.TableHas(ctx, e.fs, path, keys)
			if errors.Is(err, fs.ErrNotExist) {
				continue // replaced meanwhile
			}
			if has || err != nil {
				return has, err
			}
		}
	}
	return false, nil
}

// renewPebbleManifest makes Pebble begin a new MANIFEST where one names a key, and
// removes the old ones, which nobody needs.
func (e *Engine) renewPebbleManifest(ctx context.Context, keys [][]byte) error {
	for try := 0; ; try++ {
		current, old, err := e.pebbleManifests()
		if err != nil {
			return err
		}
		b, err := pebbleEdits(ctx, e.fs, current)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Contains(b, k) }) {
			for _, path := range old {
				if err := e.fs.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("colbertdb: removing %q: %w", path, err)
				}
			}
			return nil
		}
		if try == 4 {
			return fmt.Errorf("colbertdb: %q still names a key that was purged", current)
		}
		if err := e.churnTables(ctx); err != nil {
			return err
		}
	}
}

// churnTables lets more tables come and go than there are.
func (e *Engine) churnTables(ctx context.Context) error {
	e.metricsMu.RLock()
	tables := int(e.db.Metrics().Total().TablesCount)
	e.metricsMu.RUnlock()
	paths, err := segment.ScratchTables(e.fs, e.asideDir(), tables+1)
	if err == nil {
		err = e.ingest(ctx, paths)
	}
	if err != nil {
		e.removeFiles(paths)
		return err
	}
	return e.excise(ctx, segment.ScratchSpan())
}

// exciseScratch removes what an interrupted churnTables left.
func (e *Engine) exciseScratch(ctx context.Context) error {
	span := segment.ScratchSpan()
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return err
	}
	some := it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil || !some {
		return err
	}
	return e.excise(ctx, span)
}

// pebbleManifests returns the MANIFEST that counts, and the others.
func (e *Engine) pebbleManifests() (current string, old []string, err error) {
	names, err := e.fs.List(e.pebbleDir())
	if err != nil {
		return "", nil, err
	}
	if current, err = e.currentPebbleManifest(names); err != nil {
		return "", nil, err
	}
	for _, n := range names {
		if path := filepath.Join(e.pebbleDir(), n); strings.HasPrefix(n, "MANIFEST-") && path != current {
			old = append(old, path)
		}
	}
	return current, old, nil
}

// pebbleEdits returns the content of a MANIFEST without the framing of its records,
// which may cut a key. An edit that is just being written looks damaged for a
// moment.
func pebbleEdits(ctx context.Context, fsys vfs.FS, path string) (out []byte, err error) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 100 {
		if out, err = readPebbleEdits(fsys, path); err == nil {
			return out, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, err
}

func readPebbleEdits(fsys vfs.FS, path string) (out []byte, err error) {
	b, err := readAll(fsys, path)
	if err != nil {
		return nil, err
	}
	r := record.NewReader(bytes.NewReader(b), 0)
	for {
		edit, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		var text []byte
		if err == nil {
			text, err = io.ReadAll(edit)
		}
		if err != nil {
			return nil, &segment.CorruptionError{Where: path, Offset: r.Offset(), Err: err}
		}
		out = append(out, text...)
	}
}

// waitForRemovals waits until Pebble has removed what it does not need: sstables
// that no version holds, which a read may hold up, and all files of its log but
// the newest.
func (e *Engine) waitForRemovals(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := e.nothingObsolete()
		if done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (e *Engine) nothingObsolete() (bool, error) {
	names, err := e.fs.List(e.pebbleDir())
	if err != nil {
		return false, err
	}
	levels, err := e.db.SSTables() // after the list: what came since is not in it
	if err != nil {
		return false, err
	}
	needed := map[string]bool{}
	for _, level := range levels {
		for _, t := range level {
			needed[fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum))] = true
		}
	}
	logs := 0
	for _, n := range names {
		base, kind, _ := strings.Cut(n, ".")
		if _, err := strconv.ParseUint(base, 10, 64); err != nil {
			continue
		}
		switch kind {
		case "log":
			logs++
		case "sst":
			if !needed[n] {
				return false, nil
			}
		}
	}
	return logs <= 1, nil
}
