package wal

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// eraseSuffix ends the name of a file that Erase writes.
const eraseSuffix = ".erase"

// Erase rewrites a file that is no longer appended to. f returns the payload that
// a record is to have instead of its own, of the same length, or nil to leave it;
// all else of the file stays where it is, so that offsets and what other files say
// of this one remain true. Bytes of a torn write, which no record accounts for,
// become zeros. The file is replaced in one step: a crash leaves the old or the new
// one, and hard links elsewhere keep the old. It reports whether anything changed;
// damage is a *CorruptionError, and nothing is changed then.
func Erase(fsys vfs.FS, dir string, num FileNum, f func(Record) ([]byte, error)) (changed bool, err error) {
	path := filePath(dir, num)
	b, err := readFile(fsys, path)
	if err != nil {
		return false, err
	}
	if changed, err = erase(b, num, f); err != nil || !changed {
		return false, err
	}
	tmp := path + eraseSuffix
	out, err := fsys.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return false, fmt.Errorf("colbertdb: creating %q: %w", tmp, err)
	}
	_, err = out.Write(b)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return false, fmt.Errorf("colbertdb: writing %q: %w", tmp, err)
	}
	if err := fsys.Rename(tmp, path); err != nil {
		return false, fmt.Errorf("colbertdb: replacing log file %d: %w", num, err)
	}
	return true, syncDir(fsys, dir)
}

// erase changes the content of a file in place.
func erase(b []byte, num FileNum, f func(Record) ([]byte, error)) (changed bool, err error) {
	at := 0
	if _, _, err := parseFileHeader(b, num); err == nil {
		at = fileHeader
	} else if len(b) > fileHeader {
		return false, &CorruptionError{File: num, Err: err}
	}
	for at < len(b) {
		r, durable, size, err := parseFrame(b[at:], num)
		if err != nil {
			if laterEvidence(b, num, int64(at)) >= 0 {
				return false, &CorruptionError{File: num, Offset: int64(at), Err: err}
			}
			for _, x := range b[at:] {
				changed = changed || x != 0
			}
			clear(b[at:])
			return changed, nil
		}
		if r.Type < typeMark {
			payload, err := f(r)
			if err != nil {
				return false, &replayError{num, int64(at), err}
			}
			if payload != nil {
				if len(payload) != len(r.Payload) {
					return false, fmt.Errorf("colbertdb: a record of %d bytes cannot get %d", len(r.Payload), len(payload))
				}
				r.Payload = payload
				copy(b[at:], appendFrame(nil, num, r, durable))
				changed = true
			}
		}
		at += size
	}
	return changed, nil
}

// removeErased removes what a crash in Erase left.
func removeErased(fsys vfs.FS, dir string) {
	names, _ := fsys.List(dir)
	for _, n := range names {
		if len(n) > len(eraseSuffix) && n[len(n)-len(eraseSuffix):] == eraseSuffix {
			_ = fsys.Remove(fsys.PathJoin(dir, n)) // the next Erase overwrites what stays
		}
	}
}
