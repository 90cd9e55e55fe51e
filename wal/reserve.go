package wal

import (
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrNoSpace says that the disk has no room for a record. Nothing was written and
// the log goes on: the next Append may find room again.
var ErrNoSpace = errors.New("colbertdb: no space left for the log")

// SetAside keeps room for the record of the next Note, or returns ErrNoSpace. No
// Rotate may come in between.
func (l *Log) SetAside(r Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	n := frameHeader + align8(len(r.Payload))
	if err := l.reserve(n); err != nil {
		return err
	}
	l.aside = int64(n)
	return nil
}

// reserveStep is how much space is reserved at a time.
const reserveStep = 64 << 10

// reserve makes sure that the disk has room for the file's next n bytes, so that
// a full disk fails no write half-way: what a failed write leaves behind is
// unknown and poisons the log. Where the file system cannot reserve (it can on
// Linux), writes go on without.
func (l *Log) reserve(n int) error {
	need := l.end + int64(n) + l.aside
	if need <= l.reserved {
		return nil
	}
	upTo := (need + reserveStep - 1) / reserveStep * reserveStep
	err := l.file.Preallocate(l.reserved, upTo-l.reserved)
	if vfs.IsNoSpaceError(err) {
		upTo = need
		err = l.file.Preallocate(l.reserved, upTo-l.reserved)
	}
	switch {
	case vfs.IsNoSpaceError(err):
		return fmt.Errorf("%w: file %d, %d bytes: %w", ErrNoSpace, l.num, n, err)
	case err != nil:
		l.reserved = math.MaxInt64 // not here
	default:
		l.reserved = upTo
	}
	return nil
}
