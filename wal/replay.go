package wal

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrCorruption is what every CorruptionError is.
var ErrCorruption = errors.New("colbertdb: log is damaged")

// CorruptionError names damaged bytes of the log that were once good.
type CorruptionError struct {
	File   FileNum
	Offset int64
	Err    error
}

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("%v: file %012d.wal at byte %d: %v", ErrCorruption, e.File, e.Offset, e.Err)
}

// Is makes errors.Is(err, ErrCorruption) true.
func (e *CorruptionError) Is(target error) bool { return target == ErrCorruption }

func (e *CorruptionError) Unwrap() error { return e.Err }

// ReplayInfo says what a replay found.
type ReplayInfo struct {
	Records   int
	Files     int
	Last      FileNum // the newest file, 0 without files
	LastEnd   int64   // the good part of it
	TornBytes int64   // dropped at the ends of files
}

// gone reports whether the file that a log begins with, and all after it, are
// missing. The first log of a store may not have been made yet, and one that was
// rewritten begins with a later number; where a file is missing before others,
// these say so.
func gone(nums []FileNum, low FileNum) bool {
	return low > 1 && (len(nums) == 0 || nums[len(nums)-1] < low)
}

// Replay calls f with every record of the files from low on, in order. Payloads
// are valid during the call. An error of f ends the replay.
func Replay(fsys vfs.FS, dir string, low FileNum, f func(FileNum, Record) error) (ReplayInfo, error) {
	var info ReplayInfo
	nums, err := List(fsys, dir)
	if err != nil {
		return info, err
	}
	if gone(nums, low) {
		return info, &CorruptionError{File: low, Err: errMissing}
	}
	for _, num := range nums {
		if num < low {
			info.Last = num // superseded, not yet removed
			continue
		}
		b, err := readFile(fsys, filePath(dir, num))
		if err != nil {
			return info, err
		}
		last, lastEnd, files := info.Last, info.LastEnd, info.Files
		end, err := replayFile(b, num, &info, func(prev FileNum, prevEnd int64) error {
			// The chain of files: what this one knows of its predecessor.
			if prev < low {
				return nil
			}
			if files == 0 || prev != last {
				return &CorruptionError{File: prev, Err: fmt.Errorf("missing, though file %d follows it", num)}
			}
			if lastEnd < prevEnd {
				return &CorruptionError{File: prev, Offset: lastEnd, Err: fmt.Errorf("file %d says that it had %d good bytes", num, prevEnd)}
			}
			return nil
		}, f)
		if err != nil {
			return info, err
		}
		info.Files++
		info.Last, info.LastEnd = num, end
	}
	return info, nil
}

// replayFile reads one file and returns the length of its good part.
func replayFile(b []byte, num FileNum, info *ReplayInfo, header func(FileNum, int64) error, f func(FileNum, Record) error) (int64, error) {
	prev, prevEnd, err := parseFileHeader(b, num)
	if err != nil {
		// The header is synced before the first record: where a record follows,
		// it was good. Otherwise the file was being created.
		if at := laterEvidence(b, num, 0); at >= 0 || len(b) > fileHeader {
			return 0, &CorruptionError{File: num, Err: err}
		}
		info.TornBytes += int64(len(b))
		return 0, nil
	}
	if err := header(prev, prevEnd); err != nil {
		return 0, err
	}
	at := fileHeader
	for at < len(b) {
		r, _, size, err := parseFrame(b[at:], num)
		if err != nil {
			if laterEvidence(b, num, int64(at)) >= 0 {
				return 0, &CorruptionError{File: num, Offset: int64(at), Err: err}
			}
			info.TornBytes += int64(len(b) - at)
			return int64(at), nil
		}
		if r.Type < typeMark {
			if err := f(num, r); err != nil {
				return 0, &replayError{num, int64(at), err}
			}
			info.Records++
		}
		at += size
	}
	return int64(at), nil
}

// laterEvidence looks for a whole record after offset at that says that the
// bytes at it were durable, and returns its offset, -1 without.
func laterEvidence(b []byte, num FileNum, at int64) int {
	for o := int(at) + 8; o+frameHeader <= len(b); o += 8 {
		if _, durable, _, err := parseFrame(b[o:], num); err == nil && durable > at {
			return o
		}
	}
	return -1
}

// replayError adds the place to what the caller of Replay returned.
type replayError struct {
	file   FileNum
	offset int64
	err    error
}

func (e *replayError) Error() string {
	return fmt.Sprintf("colbertdb: log file %012d.wal, record at byte %d: %v", e.file, e.offset, e.err)
}

func (e *replayError) Unwrap() error { return e.err }

func readFile(fsys vfs.FS, path string) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, fmt.Errorf("colbertdb: opening log file %q: %w", path, err)
	}
	b, err := io.ReadAll(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("colbertdb: reading log file %q: %w", path, err)
	}
	return b, nil
}
