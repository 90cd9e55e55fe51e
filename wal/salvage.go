package wal

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Gap is a stretch of a log file that holds no whole record.
type Gap struct {
	File         FileNum
	Offset, Size int64
	// Torn says that nothing proves that the bytes were ever good: they may be
	// a write that was never acknowledged.
	Torn bool
	Err  error // what is wrong with the first of them
}

// Salvage reads the files from low on and gives every whole record to record and
// every stretch without one to gap, in their order, however damaged a file is. A file that is
// missing is a gap without size.
func Salvage(fsys vfs.FS, dir string, low FileNum, record func(FileNum, Record) error, gap func(Gap)) (last FileNum, err error) {
	nums, err := List(fsys, dir)
	if err != nil {
		return 0, err
	}
	s := salvage{record: record, gap: gap}
	good := map[FileNum]int64{} // how far a file was good, as the next one says
	for _, num := range nums {
		b, err := readHeader(fsys, filePath(dir, num))
		if err != nil {
			return 0, err
		}
		if prev, prevEnd, err := parseFileHeader(b, num); err == nil && prev >= low {
			good[prev] = prevEnd
		}
	}
	for _, num := range nums {
		last = num
		if num < low {
			continue
		}
		b, err := readFile(fsys, filePath(dir, num))
		if err != nil {
			return 0, err
		}
		if err := s.file(b, num, good[num]); err != nil {
			return 0, err
		}
		delete(good, num)
	}
	if gone(nums, low) {
		good[low] = 0
	}
	for num := range good {
		gap(Gap{File: num, Err: errMissing})
	}
	return last, nil
}

type salvage struct {
	record func(FileNum, Record) error
	gap    func(Gap)
}

func (s *salvage) file(b []byte, num FileNum, want int64) error {
	if _, _, err := parseFileHeader(b, num); err != nil {
		torn := want == 0 && len(b) <= fileHeader
		s.gap(Gap{File: num, Size: int64(min(len(b), fileHeader)), Torn: torn, Err: err})
	}
	at := min(fileHeader, len(b))
	for at < len(b) {
		r, _, size, err := parseFrame(b[at:], num)
		if err != nil {
			next := nextFrame(b, num, at)
			torn := int64(at) >= want && laterEvidence(b, num, int64(at)) < 0
			s.gap(Gap{File: num, Offset: int64(at), Size: int64(next - at), Torn: torn, Err: err})
			at = next
			continue
		}
		if r.Type < typeMark {
			if err := s.record(num, r); err != nil {
				return err
			}
		}
		at += size
	}
	if int64(len(b)) < want {
		s.gap(Gap{File: num, Offset: int64(len(b)), Size: want - int64(len(b)), Err: errShort})
	}
	return nil
}

var (
	errMissing = errors.New("the file is missing")
	errShort   = errors.New("the file is cut short")
)

func readHeader(fsys vfs.FS, path string) ([]byte, error) {
	f, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	b := make([]byte, fileHeader)
	n, err := io.ReadFull(f, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return b[:n], errors.Join(err, f.Close())
}
