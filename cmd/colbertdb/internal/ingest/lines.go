package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// lineReader hands out the lines of a stream with their numbers, in bounded memory.
type lineReader struct {
	r    *bufio.Reader
	name string
	max  int64
	line int
	// noTitle is Options.NoTitle.
	noTitle bool
	buf     []byte
}

func newLineReader(r io.Reader, name string, max int64) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 256<<10), name: name, max: max}
}

// problem is an error of the current line.
func (l *lineReader) problem(err error) *Problem { return &Problem{l.name, l.line, err} }

// next returns the next line that is not blank, without its end, valid until
// the call after. A line that is too long is skipped and returned as a
// *Problem; io.EOF ends the stream.
func (l *lineReader) next() ([]byte, error) {
	for {
		l.line++
		l.buf = l.buf[:0]
		var err error
		for {
			var part []byte
			part, err = l.r.ReadSlice('\n')
			if int64(len(l.buf)+len(part)) > l.max {
				return nil, l.skipRest(err)
			}
			l.buf = append(l.buf, part...)
			if !errors.Is(err, bufio.ErrBufferFull) {
				break
			}
		}
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("%s:%d: %w", l.name, l.line, plainPathError(err))
		}
		line := bytes.TrimRight(l.buf, "\r\n")
		if l.line == 1 {
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if len(bytes.TrimSpace(line)) > 0 {
			return line, nil
		}
		if err == io.EOF {
			return nil, io.EOF
		}
	}
}

func (l *lineReader) skipRest(err error) error {
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = l.r.ReadSlice('\n')
	}
	if err != nil && err != io.EOF {
		return fmt.Errorf("%s:%d: %w", l.name, l.line, plainPathError(err))
	}
	return l.problem(fmt.Errorf("line longer than %d bytes", l.max))
}

// each calls fn for every line; fn says whether to go on. A line that cannot
// be had is passed to yield as an error.
func (l *lineReader) each(yield yieldFunc, fn func(line []byte) bool) bool {
	for {
		line, err := l.next()
		var p *Problem
		switch {
		case err == io.EOF:
			return true
		case errors.As(err, &p):
			if !yield(Passage{}, err) {
				return false
			}
		case err != nil:
			yield(Passage{}, err)
			return false
		case !fn(line):
			return false
		}
	}
}
