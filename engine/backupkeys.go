package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/segment"
)

// A backup has what is in Pebble as keys and values, and not as the sstables that
// they happen to be in, so that what has not changed is equal to what an earlier
// backup has, whatever Pebble has done to its files meanwhile:
//
//	segments/12, segments/12-postings-3   a part of a segment (segment.Part)
//	records/0, records/1, …               everything else, but document numbers,
//	                                      which Restore makes of the segments
//
// docs/format/backup.md has the byte boxes.
const (
	keysMagic   = "CDBK"
	keysVersion = 1
	keysHeader  = 4 + 2 + 2

	partFolder   = "segments/"
	recordFolder = "records/"

	// Records are cut where the checksum of a key says so, one in recordCut, and
	// around every value of recordApart bytes or more, as codebooks are: what comes
	// or goes leaves the pieces before and after as they were.
	recordCut   = 512
	recordApart = 4 << 10

	maxKeysEntry = 1<<30 + 1<<20
)

// appendKey appends a key and its value to what is in hand of a file of keys.
func appendKey(dst, key, value []byte) []byte {
	return appendBytes(appendBytes(dst, key), value)
}

// keysFile returns the content of a file of the keys that each yields.
func keysFile(path string, each func(context.Context, func(key, value []byte) error) error) content {
	return content{path, func(ctx context.Context, w io.Writer) error {
		head := append([]byte(keysMagic), make([]byte, keysHeader-len(keysMagic))...)
		binary.LittleEndian.PutUint16(head[4:], keysVersion)
		if _, err := w.Write(head); err != nil {
			return err
		}
		var buf []byte
		return each(ctx, func(key, value []byte) error {
			buf = appendKey(buf[:0], key, value)
			_, err := w.Write(buf)
			return err
		})
	}}
}

// keyContents lists the files that have what is in db: of segments those that the
// records of collections name.
func keyContents(ctx context.Context, db *pebble.DB) (out []content, err error) {
	pieces, named, err := recordPieces(ctx, db)
	if err != nil {
		return nil, err
	}
	for i, span := range pieces {
		out = append(out, keysFile(fmt.Sprint(recordFolder, i), func(ctx context.Context, f func(key, value []byte) error) error {
			return eachGoodKey(db, span, func(key, value []byte) error { return errors.Join(ctx.Err(), f(key, value)) })
		}))
	}
	for _, id := range named {
		parts, err := segment.Parts(db, id)
		if err != nil {
			return nil, err
		}
		for _, p := range parts {
			out = append(out, keysFile(partFolder+p.String(), func(ctx context.Context, f func(key, value []byte) error) error {
				return p.Each(ctx, db, f)
			}))
		}
	}
	return out, ctx.Err()
}

// recordPieces cuts the records into ranges, and lists the segments that they name.
func recordPieces(ctx context.Context, db *pebble.DB) (pieces []segment.KeyRange, named []segment.ID, err error) {
	for _, span := range segment.RecordSpans() {
		start, apart, any := span.Start, false, false
		cut := func(at []byte) {
			if any {
				pieces = append(pieces, segment.KeyRange{Start: start, End: at})
			}
			start, any = at, false
		}
		err := eachGoodKey(db, span, func(key, value []byte) error {
			if apart || len(value) >= recordApart || crc32.Checksum(key, castagnoli)%recordCut == 0 {
				cut(bytes.Clone(key))
			}
			apart, any = len(value) >= recordApart, true
			if !segment.IsCollectionKey(key) {
				return ctx.Err()
			}
			r, err := decodeCollection(value)
			for _, s := range r.Segments {
				named = append(named, s.ID)
			}
			return errors.Join(err, ctx.Err())
		})
		if err != nil {
			return nil, nil, damage(err)
		}
		cut(span.End)
	}
	slices.Sort(named)
	return pieces, named, nil
}

// isKeys reports whether a file of a backup is one of keys.
func isKeys(path string) bool {
	return strings.HasPrefix(path, partFolder) || strings.HasPrefix(path, recordFolder)
}

// keysReader takes the content of a file of keys apart.
type keysReader struct {
	where string
	add   func(key, value []byte) error // in the order of keys
	end   func() error
	drop  func()
	buf   []byte
	last  []byte
	begun bool
}

var _ fileSink = (*keysReader)(nil)

func (r *keysReader) damaged(format string, args ...any) error {
	return &segment.CorruptionError{Where: r.where, Err: fmt.Errorf(format, args...)}
}

// Write takes what is complete.
func (r *keysReader) Write(b []byte) (int, error) {
	r.buf = append(r.buf, b...)
	used := 0
	if !r.begun && len(r.buf) >= keysHeader {
		switch v := binary.LittleEndian.Uint16(r.buf[4:]); {
		case string(r.buf[:4]) != keysMagic || v == 0 || r.buf[6]|r.buf[7] != 0:
			return 0, r.damaged("does not start with %q: not a file of keys", keysMagic)
		case v > keysVersion:
			return 0, fmt.Errorf("%w: %s is of version %d, this program reads up to %d", ErrFormatTooNew, r.where, v, keysVersion)
		}
		r.begun, used = true, keysHeader
	}
	for r.begun {
		in := decoder{b: r.buf[used:]}
		key, value := in.bytes(), in.bytes()
		if in.err != nil { // the rest is still to come, or never will
			if len(r.buf)-used > maxKeysEntry {
				return 0, r.damaged("a key and value of impossible length")
			}
			break
		}
		if bytes.Compare(key, r.last) <= 0 {
			return 0, r.damaged("key %q after %q", key, r.last)
		}
		if err := r.add(key, value); err != nil {
			return 0, err
		}
		r.last = append(r.last[:0], key...)
		used = len(r.buf) - len(in.b)
	}
	r.buf = append(r.buf[:0], r.buf[used:]...)
	return len(b), nil
}

func (r *keysReader) done() error {
	if !r.begun || len(r.buf) > 0 {
		return r.damaged("the last key is cut short")
	}
	return r.end()
}

func (r *keysReader) abort() { r.drop() }
