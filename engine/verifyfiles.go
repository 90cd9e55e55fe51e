package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"

	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/wal"
)

// What Verify checks of the files themselves, past Pebble's caches and what the
// engine keeps in memory.

// verifyFiles reads every sstable, Pebble's manifest, the log and, of a
// checkpoint, all that its descriptor names.
func (e *Engine) verifyFiles(ctx context.Context, r *VerifyReport) error {
	problem := func(errs ...error) {
		for _, err := range errs {
			if err != nil {
				r.Problems = append(r.Problems, err)
			}
		}
	}
	if err := e.verifyTables(ctx, r, problem); err != nil {
		return err
	}
	if err := e.pub.LockContext(ctx); err != nil {
		return err
	}
	problem(e.verifyPebbleManifest(), e.verifyPebbleLogs()) // small, and written by what publishes
	newest, end := e.logLast, e.logLastEnd
	if e.log != nil {
		newest, end = e.log.Durable()
	}
	keep := e.keepLogs()
	e.pub.Unlock()
	log, err := wal.Check(e.fs, e.walDir(), newest, end)
	keep()
	if err != nil {
		return err
	}
	r.Files += log.Files
	r.FileBytes += log.Bytes
	r.TornBytes += log.TornBytes
	for _, p := range log.Problems {
		problem(corruptLog(p))
	}
	if e.descriptor != nil {
		damaged, err := e.descriptor.verify(ctx, e.fs, e.dir)
		if err != nil {
			return err
		}
		problem(damaged...)
	}
	return ctx.Err()
}

// corruptLog makes damage of the log an ErrCorruption, as all damage is.
func corruptLog(err error) error {
	if errors.Is(err, wal.ErrCorruption) {
		return fmt.Errorf("%w: %w", ErrCorruption, err)
	}
	return err
}

// verifyTables reads the sstables of Pebble's current version. Pebble may
// replace small ones meanwhile: those that are gone need no check.
func (e *Engine) verifyTables(ctx context.Context, r *VerifyReport, problem func(...error)) error {
	levels, err := e.db.SSTables()
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, level := range levels {
		for _, t := range level {
			name := fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum))
			if seen[name] {
				continue
			}
			seen[name] = true
			if err := ctx.Err(); err != nil {
				return err
			}
			n, err := segment.VerifyTable(ctx, e.fs, filepath.Join(e.pebbleDir(), name))
			if errors.Is(err, fs.ErrNotExist) && !e.opts.ReadOnly {
				continue
			}
			r.Files++
			r.FileBytes += n
			problem(err)
		}
	}
	return nil
}

// verifyPebbleManifest reads the file that says which sstables there are.
func (e *Engine) verifyPebbleManifest() (err error) {
	for range 5 { // an edit that is just being written ends the reading early
		if _, err = e.readPebbleManifest(); err == nil {
			return nil
		}
	}
	return err
}

// checkPebbleManifest refuses a MANIFEST with damage before its end. Pebble takes
// the first bad record for the end: it would go back to what was before, and
// remove sstables that came later as leftovers. A bad end cannot be told from
// a write that was torn and is left to Pebble.
func (e *Engine) checkPebbleManifest() error {
	later, err := e.readPebbleManifest()
	if later || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// readPebbleManifest reads the MANIFEST to its end; later says that whole
// records follow the damage that it reports.
func (e *Engine) readPebbleManifest() (later bool, err error) {
	names, err := e.fs.List(e.pebbleDir())
	if err != nil {
		return false, err
	}
	path, err := e.currentPebbleManifest(names)
	if err != nil {
		return false, err
	}
	b, err := readAll(e.fs, path)
	if err != nil {
		return true, &segment.CorruptionError{Where: path, Err: err}
	}
	r := record.NewReader(bytes.NewReader(b), 0)
	for {
		at := r.Offset()
		edit, err := r.Next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err == nil {
			_, err = io.Copy(io.Discard, edit)
		}
		if err != nil {
			return chunkAfter(b, int(at)), &segment.CorruptionError{Where: path, Offset: at, Err: err}
		}
	}
}

// currentPebbleManifest returns the MANIFEST that counts, given what is in
// Pebble's folder: that of the highest marker.
func (e *Engine) currentPebbleManifest(names []string) (path string, err error) {
	slices.Sort(names)
	for _, n := range names {
		if rest, ok := strings.CutPrefix(n, "marker.manifest."); ok {
			if _, target, ok := strings.Cut(rest, "."); ok {
				path = filepath.Join(e.pebbleDir(), target)
			}
		}
	}
	if path == "" {
		return "", &segment.CorruptionError{Where: e.pebbleDir(), Err: errors.New("no marker of a MANIFEST")}
	}
	return path, nil
}

// chunkAfter reports whether another record begins after offset at of a MANIFEST:
// a whole chunk of a type that begins one. Chunks that go on with a record may be
// of the one at the offset, written last and torn. A chunk is crc32c (masked),
// length, type, payload; none crosses a block.
func chunkAfter(b []byte, at int) bool {
	const header, block = 7, 32 << 10
	for o := at + 1; o+header < len(b); o++ {
		size := int(binary.LittleEndian.Uint16(b[o+4:]))
		end := o + header + size
		if kind := b[o+6]; kind < 1 || kind > 2 || size == 0 || end > len(b) || o%block+header+size > block {
			continue
		}
		if binary.LittleEndian.Uint32(b[o:]) == maskedSum(b[o+6:end]) {
			return true
		}
	}
	return false
}

// damage makes what Pebble found to be damaged an ErrCorruption, as all is.
func damage(err error) error {
	if pebble.IsCorruptionError(err) && !errors.Is(err, ErrCorruption) {
		return fmt.Errorf("%w: %w", ErrCorruption, err)
	}
	return err
}
