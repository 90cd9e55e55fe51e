package wal

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Scan calls f with the records of a file from an offset on, 0 for its start, up
// to limit, -1 for its end, and returns the offset after the last. It ends at a
// torn write; bytes that were once good and are damaged give a *CorruptionError.
// Payloads are valid during the call.
func Scan(fsys vfs.FS, dir string, num FileNum, offset, limit int64, f func(Record) error) (next int64, err error) {
	path := filePath(dir, num)
	file, err := fsys.Open(path)
	if err != nil {
		return offset, fmt.Errorf("colbertdb: opening log file %q: %w", path, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if limit < 0 {
		info, err := file.Stat()
		if err != nil {
			return offset, err
		}
		limit = info.Size()
	}
	if limit <= offset {
		return offset, nil
	}
	b := make([]byte, limit-offset)
	n, err := file.ReadAt(b, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return offset, fmt.Errorf("colbertdb: reading log file %q: %w", path, err)
	}
	b = b[:n]
	at := 0
	if offset == 0 {
		if _, _, err := parseFileHeader(b, num); err != nil {
			if len(b) > fileHeader {
				return 0, &CorruptionError{File: num, Err: err}
			}
			return 0, nil // it was being created
		}
		at = fileHeader
	}
	for at < len(b) {
		r, _, size, err := parseFrame(b[at:], num)
		if err != nil {
			for o := at + 8; o+frameHeader <= len(b); o += 8 {
				if _, durable, _, ferr := parseFrame(b[o:], num); ferr == nil && durable > offset+int64(at) {
					return offset + int64(at), &CorruptionError{File: num, Offset: offset + int64(at), Err: err}
				}
			}
			break
		}
		if r.Type < typeMark {
			if err := f(r); err != nil {
				return offset + int64(at), err
			}
		}
		at += size
	}
	return offset + int64(at), nil
}

// End returns the newest file and its length.
func (l *Log) End() (FileNum, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.num, l.end
}

// Note appends a record that needs no sync of its own: the next Append brings it
// to stable storage.
func (l *Log) Note(r Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	l.buf = appendFrame(l.buf[:0], l.num, r, l.durable)
	l.aside = 0
	return l.write()
}
