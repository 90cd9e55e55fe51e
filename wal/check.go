package wal

import (
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// CheckReport says what Check read and found.
type CheckReport struct {
	Files, Records int
	Bytes          int64
	TornBytes      int64   // at the ends of files, of writes that were never acknowledged
	Problems       []error // each a *CorruptionError
}

// Check reads every log file of a folder and reports all bytes that were once
// good and are damaged. The newest file is known to be good up to end; how far
// another one was, the file after it says. Files after the newest, which have come
// since, are passed over. None may be removed meanwhile.
func Check(fsys vfs.FS, dir string, newest FileNum, end int64) (CheckReport, error) {
	var r CheckReport
	nums, err := List(fsys, dir)
	if err != nil {
		return r, err
	}
	if newest > 0 && !slices.Contains(nums, newest) {
		r.Problems = append(r.Problems, &CorruptionError{File: newest, Err: errMissing})
	}
	good := map[FileNum]int64{newest: end}
	// From the newest file on, so that each is known before it is read.
	for i := len(nums) - 1; i >= 0; i-- {
		if newest > 0 && nums[i] > newest {
			continue
		}
		b, err := readFile(fsys, filePath(dir, nums[i]))
		if err != nil {
			return r, err
		}
		r.Files++
		r.Bytes += int64(len(b))
		prev, prevEnd := r.check(b, nums[i], good[nums[i]])
		if prev > 0 {
			good[prev] = prevEnd
		}
	}
	return r, nil
}

// check reads one file, of which want bytes are known to have been good.
func (r *CheckReport) check(b []byte, num FileNum, want int64) (prev FileNum, prevEnd int64) {
	bad := func(at int64, err error) {
		r.Problems = append(r.Problems, &CorruptionError{File: num, Offset: at, Err: err})
	}
	if int64(len(b)) < want {
		bad(int64(len(b)), fmt.Errorf("cut short: it had %d good bytes", want))
	}
	prev, prevEnd, err := parseFileHeader(b, num)
	if err != nil {
		if want == 0 && len(b) <= fileHeader {
			r.TornBytes += int64(len(b))
			return 0, 0
		}
		bad(0, err)
	}
	for at := min(fileHeader, len(b)); at < len(b); {
		rec, _, size, err := parseFrame(b[at:], num)
		if err == nil {
			if rec.Type < typeMark {
				r.Records++
			}
			at += size
			continue
		}
		next := nextFrame(b, num, at)
		if int64(at) < want || laterEvidence(b, num, int64(at)) >= 0 {
			bad(int64(at), err)
		} else {
			r.TornBytes += int64(next - at)
		}
		at = next
	}
	return prev, prevEnd
}

// nextFrame returns the offset of the first whole record after at, or the
// length of the file.
func nextFrame(b []byte, num FileNum, at int) int {
	for o := at + 8; o+frameHeader <= len(b); o += 8 {
		if _, _, _, err := parseFrame(b[o:], num); err == nil {
			return o
		}
	}
	return len(b)
}

// Durable returns the newest file and how much of it is on stable storage.
func (l *Log) Durable() (FileNum, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.num, l.durable
}
