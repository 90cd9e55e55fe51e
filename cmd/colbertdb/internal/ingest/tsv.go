package ingest

import (
	"errors"
	"strings"
)

// readTSV reads one passage a line: id, tab, text. A third column, as the
// collections of MS MARCO documents have it, is a title between the two.
func readTSV(l *lineReader, yield yieldFunc) bool {
	return l.each(yield, func(line []byte) bool {
		id, text, ok := strings.Cut(strings.ToValidUTF8(string(line), "\uFFFD"), "\t")
		id, text = strings.TrimSpace(id), strings.TrimSpace(strings.ReplaceAll(text, "\t", "\n"))
		var err error
		switch {
		case !ok:
			err = errors.New("no tab: a line is id<TAB>text")
		case id == "":
			err = errors.New("the id is empty")
		case text == "":
			err = errors.New("the text is empty")
		}
		if err != nil {
			return yield(Passage{}, l.problem(err))
		}
		return yield(Passage{ID: id, Text: text, Path: l.name, Line: l.line, Record: true}, nil)
	})
}
