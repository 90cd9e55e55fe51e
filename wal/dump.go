package wal

import (
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Dump prints every record of the log files in a folder, a line each, with what
// describe says of it. It goes on after damage, with the next whole record.
func Dump(w io.Writer, fsys vfs.FS, dir string, describe func(Record) string) error {
	nums, err := List(fsys, dir)
	if err != nil {
		return err
	}
	for _, num := range nums {
		b, err := readFile(fsys, filePath(dir, num))
		if err != nil {
			fmt.Fprintf(w, "%012d.wal: %v\n", num, err)
			continue
		}
		dumpFile(w, b, num, describe)
	}
	return nil
}

func dumpFile(w io.Writer, b []byte, num FileNum, describe func(Record) string) {
	fmt.Fprintf(w, "%012d.wal: %d bytes", num, len(b))
	if prev, end, err := parseFileHeader(b, num); err != nil {
		fmt.Fprintf(w, "; BAD HEADER: %v\n", err)
	} else if prev > 0 {
		fmt.Fprintf(w, ", after file %d of %d bytes\n", prev, end)
	} else {
		fmt.Fprintln(w)
	}
	for at := fileHeader; at < len(b); {
		r, durable, size, err := parseFrame(b[at:], num)
		if err != nil {
			next := at + 8
			for next < len(b) {
				if _, _, _, err := parseFrame(b[next:], num); err == nil {
					break
				}
				next += 8
			}
			what := "torn write"
			if laterEvidence(b, num, int64(at)) >= 0 {
				what = "DAMAGE"
			}
			fmt.Fprintf(w, "  %8d  %s: %v; %d bytes up to the next record\n", at, what, err, min(next, len(b))-at)
			at = next
			continue
		}
		text := ""
		switch r.Type {
		case typeMark:
			text = "mark"
		case typeFooter:
			text = "footer"
		default:
			text = fmt.Sprintf("seq %d  %s", r.Seq, describe(r))
		}
		fmt.Fprintf(w, "  %8d  durable %d  %s\n", at, durable, text)
		at += size
	}
}
