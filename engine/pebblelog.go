package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/segment"
)

// Pebble's own log holds what seals, merges, creations and drops have written
// since Pebble's last flush. Pebble takes a bad chunk of it for the end, unless a
// later 32-KB block says that it was synced; ours are mostly smaller than that. A
// chunk of the log is
//
//	crc32c (masked) u32 | size u16 | type u8: 9..12 | log number u32 | synced u64 | payload
//
// and `synced` is how much of the file was on stable storage when it was written:
// so a bad chunk before a later chunk's `synced` was once good.

// markPebbleLog writes a chunk without meaning after a synced one, which its
// `synced` covers. It needs no sync: as long as it is not durable itself, damage to
// the chunk before cannot be told from a torn write.
func (e *Engine) markPebbleLog() {
	_ = e.db.LogData([]byte{0}, pebble.NoSync) // a failed write of the log poisons by itself
}

const (
	logBlock  = 32 << 10
	logHeader = 4 + 2 + 1 + 4 + 8
)

// checkPebbleLogs reports the first bytes of Pebble's logs that were once synced
// and are damaged.
func (e *Engine) checkPebbleLogs() error {
	names, err := e.fs.List(e.pebbleDir())
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, n := range names {
		digits, ok := strings.CutSuffix(n, ".log")
		if !ok {
			continue
		}
		// A log that was handed on under another number has two.
		num, err := strconv.ParseUint(digits, 10, 32)
		if err != nil {
			continue
		}
		path := filepath.Join(e.pebbleDir(), n)
		b, err := readAll(e.fs, path)
		if errors.Is(err, fs.ErrNotExist) && e.db != nil {
			continue // superseded meanwhile
		}
		if err != nil {
			return fmt.Errorf("colbertdb: reading %q: %w", path, err)
		}
		if at := logDamage(b, uint32(num)); at >= 0 {
			return &segment.CorruptionError{Where: path, Offset: int64(at), Err: errors.New("bad chunk, though a later one says that it was synced")}
		}
	}
	return nil
}

// verifyPebbleLogs is checkPebbleLogs beside Pebble, which may overwrite a
// recycled log while it is read.
func (e *Engine) verifyPebbleLogs() (err error) {
	for range 5 {
		if err = e.checkPebbleLogs(); err == nil {
			return nil
		}
	}
	return err
}

// logDamage returns the offset of a chunk that was once good, -1 without.
func logDamage(b []byte, num uint32) int {
	at := 0
	for at < len(b) {
		if left := logBlock - at%logBlock; left < logHeader {
			at += left
			continue
		}
		_, size, ok := logChunk(b, at, num)
		if !ok {
			break
		}
		at += size
	}
	for o := at + 1; o+logHeader <= len(b); o++ {
		if synced, _, ok := logChunk(b, o, num); ok && synced > uint64(at) {
			return at
		}
	}
	return -1
}

// logChunk reads the chunk at an offset.
func logChunk(b []byte, at int, num uint32) (synced uint64, size int, ok bool) {
	if len(b)-at < logHeader {
		return 0, 0, false
	}
	h := b[at:]
	size = logHeader + int(binary.LittleEndian.Uint16(h[4:]))
	if kind := h[6]; kind < 9 || kind > 12 || binary.LittleEndian.Uint32(h[7:]) != num || size > len(h) || at%logBlock+size > logBlock {
		return 0, 0, false
	}
	if binary.LittleEndian.Uint32(h) != maskedSum(h[6:size]) {
		return 0, 0, false
	}
	return binary.LittleEndian.Uint64(h[11:]), size, true
}

// maskedSum is the crc32c that Pebble's logs and MANIFEST have.
func maskedSum(b []byte) uint32 {
	sum := crc32.Checksum(b, castagnoli)
	return (sum>>15 | sum<<17) + 0xa282ead8
}
