// Package envelope frames small stored structures: magic, version, length and
// checksum before a body. docs/format/envelope.md has the byte boxes.
package envelope

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// HeaderSize is what a frame adds to its body: magic 4, version 2, length 8,
// crc32c of magic, version, length and body 4.
const HeaderSize = 4 + 2 + 8 + 4

// Errors that Open wraps.
var (
	ErrCorrupt = errors.New("damaged")
	ErrTooNew  = errors.New("written by a newer version")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Append appends a frame; body appends its own bytes to what it is given.
func Append(dst []byte, magic string, version uint16, body func([]byte) []byte) []byte {
	at := len(dst)
	dst = append(dst, magic[:4]...)
	dst = binary.LittleEndian.AppendUint16(dst, version)
	dst = append(dst, make([]byte, HeaderSize-6)...)
	dst = body(dst)
	frame := dst[at:]
	binary.LittleEndian.PutUint64(frame[6:], uint64(len(frame)-HeaderSize))
	binary.LittleEndian.PutUint32(frame[14:], checksum(frame))
	return dst
}

func checksum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[:14], castagnoli), castagnoli, frame[HeaderSize:])
}

// Open checks a frame and returns its body, which aliases b. Versions above
// newest give ErrTooNew, anything unexpected ErrCorrupt.
func Open(b []byte, magic string, newest uint16) (version uint16, body []byte, err error) {
	if len(b) < HeaderSize || string(b[:4]) != magic {
		return 0, nil, fmt.Errorf("%w: does not start with %q", ErrCorrupt, magic)
	}
	if n := binary.LittleEndian.Uint64(b[6:]); n != uint64(len(b)-HeaderSize) {
		return 0, nil, fmt.Errorf("%w: length says %d, there are %d bytes", ErrCorrupt, n, len(b)-HeaderSize)
	}
	if binary.LittleEndian.Uint32(b[14:]) != checksum(b) {
		return 0, nil, fmt.Errorf("%w: checksum mismatch", ErrCorrupt)
	}
	version = binary.LittleEndian.Uint16(b[4:])
	if version > newest {
		return 0, nil, fmt.Errorf("%w: version %d, this program reads up to %d", ErrTooNew, version, newest)
	}
	return version, b[HeaderSize:], nil
}
