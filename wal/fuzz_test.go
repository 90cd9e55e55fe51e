package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
)

// FuzzFrame: bytes with a checksum that is right read as one record that is within
// them, and that writes as they are; or are refused.
func FuzzFrame(f *testing.F) {
	for i := range 3 {
		f.Add(appendFrame(nil, 1, record(i), int64(i)), uint64(1))
	}
	f.Add(appendFrame(nil, 9, Record{Type: typeFooter}, 1<<40), uint64(9))
	f.Add([]byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, file uint64) {
		num := FileNum(file)
		if len(b) >= frameHeader {
			binary.LittleEndian.PutUint16(b[8:], frameMagic)
			size := frameHeader + align8(int(binary.LittleEndian.Uint32(b[4:])))
			if size > 0 && size <= len(b) {
				binary.LittleEndian.PutUint32(b, frameSum(b[:size], num))
			}
		}
		r, durable, size, err := parseFrame(b, num)
		if err != nil {
			return
		}
		if size > len(b) || size%8 != 0 || len(r.Payload) > size-frameHeader {
			t.Fatalf("%d bytes with a payload of %d, of %d", size, len(r.Payload), len(b))
		}
		again := appendFrame(nil, num, r, durable)
		back, backDurable, _, err := parseFrame(again, num)
		if err != nil || back.Seq != r.Seq || back.Type != r.Type || backDurable != durable || !bytes.Equal(back.Payload, r.Payload) {
			t.Errorf("%+v, %d reads as %+v, %d: %v", r, durable, back, backDurable, err)
		}
		if _, _, _, err := parseFrame(b, num+1); err == nil {
			t.Error("a frame of another file is accepted")
		}
	})
}

// FuzzFile: every reader of log files takes any bytes, and all of them find the
// same records in a file that Replay accepts.
func FuzzFile(f *testing.F) {
	file := appendFrame(appendFrame(appendFileHeader(nil, 1, 0, 0), 1, record(1), 0), 1, record(2), 40)
	f.Add(file)
	f.Add(file[:len(file)-9])
	f.Add(append(bytes.Clone(file), 0, 0, 0, 0, 0, 0, 0, 0))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		fs := store(t, b)
		var replay, scan, salvage int
		info, err := Replay(fs, "wal", 1, func(FileNum, Record) error { replay++; return nil })
		if err != nil && !errors.Is(err, ErrCorruption) {
			t.Error(err)
		}
		_, scanErr := Scan(fs, "wal", 1, 0, -1, func(Record) error { scan++; return nil })
		if scanErr != nil && !errors.Is(scanErr, ErrCorruption) {
			t.Error(scanErr)
		}
		if _, err := Salvage(fs, "wal", 1, func(FileNum, Record) error { salvage++; return nil }, func(Gap) {}); err != nil {
			t.Error(err)
		}
		report, cerr := Check(fs, "wal", 1, info.LastEnd)
		if cerr != nil {
			t.Error(cerr)
		}
		if derr := Dump(io.Discard, fs, "wal", func(Record) string { return "" }); derr != nil {
			t.Error(derr)
		}
		if err != nil {
			return
		}
		if scanErr != nil || scan != replay || salvage < replay || report.Records < replay || len(report.Problems) > 0 {
			t.Errorf("replay finds %d records, scan %d (%v), salvage %d, check %d (%v)", replay, scan, scanErr, salvage, report.Records, report.Problems)
		}
	})
}

// FuzzFileHeader: a header reads as what it was written from, or is refused.
func FuzzFileHeader(f *testing.F) {
	f.Add(appendFileHeader(nil, 3, 2, 1000), uint64(3))
	f.Add([]byte(fileMagic), uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, file uint64) {
		prev, end, err := parseFileHeader(b, FileNum(file))
		if err != nil {
			return
		}
		if again := appendFileHeader(nil, FileNum(file), prev, end); !bytes.Equal(again[:36], b[:36]) && b[6] == 0 && b[7] == 0 {
			t.Errorf("%x reads as file %d after %d of %d", b[:fileHeader], file, prev, end)
		}
	})
}
