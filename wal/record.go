package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/colbertdb-go/colbertdb/internal/failpoint"
)

// Record is one entry of the log.
type Record struct {
	Seq     uint64 // ascending, given by the caller
	Type    uint8  // meaning of Payload, below 128
	Payload []byte
}

// Types that the log itself writes.
const (
	typeMark   uint8 = 0xfe // carries a newer durable offset, nothing else
	typeFooter uint8 = 0xff // the file was closed in order
)

// The frame of a record: crc32c of all that follows and of the file number,
// payload length, magic, type, zero, sequence number, durable offset, payload,
// zeros up to a multiple of 8.
const (
	frameHeader = 4 + 4 + 2 + 1 + 1 + 4 + 8 + 8
	frameMagic  = 0xc01b
	// MaxPayload bounds a record.
	MaxPayload = 1 << 30
)

// The header of a file: magic, version, zero, file number, number and length
// of the file before (zero for the first), crc32c, zero.
const (
	fileHeader  = 4 + 2 + 2 + 8 + 8 + 8 + 4 + 4
	fileMagic   = "CDBW"
	fileVersion = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func align8(n int) int { return (n + 7) &^ 7 }

// appendFrame appends one framed record.
func appendFrame(dst []byte, file FileNum, r Record, durable int64) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, frameHeader)...)
	dst = append(dst, r.Payload...)
	dst = append(dst, make([]byte, align8(len(r.Payload))-len(r.Payload))...)
	f := dst[at:]
	binary.LittleEndian.PutUint32(f[4:], uint32(len(r.Payload)))
	binary.LittleEndian.PutUint16(f[8:], frameMagic)
	f[10] = r.Type
	binary.LittleEndian.PutUint64(f[16:], r.Seq)
	binary.LittleEndian.PutUint64(f[24:], uint64(durable))
	binary.LittleEndian.PutUint32(f, frameSum(f, file))
	return dst
}

// frameSum covers the whole frame but its checksum, and the file's number, so
// that a block of another file does not pass.
func frameSum(frame []byte, file FileNum) uint32 {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(file))
	return crc32.Update(crc32.Checksum(n[:], castagnoli), castagnoli, frame[4:])
}

// parseFrame reads the record at the start of b. The payload aliases b.
func parseFrame(b []byte, file FileNum) (r Record, durable int64, size int, err error) {
	if len(b) < frameHeader {
		return r, 0, 0, fmt.Errorf("%d bytes, a record has at least %d", len(b), frameHeader)
	}
	if binary.LittleEndian.Uint16(b[8:]) != frameMagic {
		return r, 0, 0, fmt.Errorf("no record magic")
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if n > MaxPayload || align8(int(n)) > len(b)-frameHeader {
		return r, 0, 0, fmt.Errorf("payload of %d bytes, %d are left", n, len(b)-frameHeader)
	}
	size = frameHeader + align8(int(n))
	if binary.LittleEndian.Uint32(b) != frameSum(b[:size], file) && !failpoint.On(failpoint.IgnoreChecksums) {
		return r, 0, 0, fmt.Errorf("checksum mismatch")
	}
	r = Record{Seq: binary.LittleEndian.Uint64(b[16:]), Type: b[10], Payload: b[frameHeader : frameHeader+int(n)]}
	return r, int64(binary.LittleEndian.Uint64(b[24:])), size, nil
}

func appendFileHeader(dst []byte, file, prev FileNum, prevEnd int64) []byte {
	at := len(dst)
	dst = append(dst, fileMagic...)
	dst = binary.LittleEndian.AppendUint16(dst, fileVersion)
	dst = append(dst, 0, 0)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(file))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(prev))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(prevEnd))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
	return append(dst, 0, 0, 0, 0)
}

// parseFileHeader returns the number and length of the file before.
func parseFileHeader(b []byte, file FileNum) (prev FileNum, prevEnd int64, err error) {
	if len(b) < fileHeader || string(b[:4]) != fileMagic ||
		binary.LittleEndian.Uint32(b[32:]) != crc32.Checksum(b[:32], castagnoli) {
		return 0, 0, fmt.Errorf("not a log file header")
	}
	if v := binary.LittleEndian.Uint16(b[4:]); v != fileVersion {
		return 0, 0, fmt.Errorf("log version %d, this program reads %d", v, fileVersion)
	}
	if n := FileNum(binary.LittleEndian.Uint64(b[8:])); n != file {
		return 0, 0, fmt.Errorf("header of file %d", n)
	}
	return FileNum(binary.LittleEndian.Uint64(b[16:])), int64(binary.LittleEndian.Uint64(b[24:])), nil
}
