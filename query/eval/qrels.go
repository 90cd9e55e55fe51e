package eval

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// ErrFormat is wrapped by errors about files that cannot be read as what they
// should be. The message names the line.
var ErrFormat = errors.New("colbertdb: not a file of judgments or of rankings")

// Qrels are relevance judgments: query id to document id to grade. Grades above
// zero are relevant.
type Qrels map[string]map[string]int

// ReadQrelsFile reads the judgments of a file: see ReadQrels.
func ReadQrelsFile(path string) (Qrels, error) {
	return readFile(path, ReadQrels)
}

// ReadQrels reads judgments, one a line, in either of two forms: BEIR's, three
// columns with a tab between them and mostly a line of headings, and TREC's,
// four columns:
//
//	query-id	corpus-id	score
//	query-id iteration document-id score
func ReadQrels(r io.Reader) (Qrels, error) {
	out := Qrels{}
	columns := 0
	err := eachLine(r, func(line string) error {
		f := strings.Split(line, "\t")
		if len(f) != 3 {
			f = strings.Fields(line)
		}
		if columns == 0 {
			columns = len(f)
			if heading(f) {
				return nil
			}
		}
		if len(f) != columns || columns != 3 && columns != 4 {
			return fmt.Errorf("%d columns, judgments have 3 (query, document, grade) or 4 (query, iteration, document, grade), the same on every line", len(f))
		}
		query, doc := strings.TrimSpace(f[0]), strings.TrimSpace(f[columns-2])
		grade, err := strconv.Atoi(strings.TrimSpace(f[columns-1]))
		if err != nil {
			return fmt.Errorf("grade %.40q is not a whole number", f[columns-1])
		}
		if query == "" || doc == "" {
			return errors.New("an id is empty")
		}
		if out[query] == nil {
			out[query] = map[string]int{}
		}
		if old, ok := out[query][doc]; ok && old != grade {
			return fmt.Errorf("document %q of query %q is judged %d here and %d above", doc, query, grade, old)
		}
		out[query][doc] = grade
		return nil
	})
	return out, err
}

// heading reports whether the first line has the name of the grade's column.
func heading(f []string) bool {
	return len(f) == 3 && strings.EqualFold(strings.TrimSpace(f[2]), "score")
}

// eachLine calls f with every line that is not blank; errors name the line.
func eachLine(r io.Reader, f func(line string) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	n := 0
	for s.Scan() {
		n++
		line := strings.TrimPrefix(s.Text(), "\ufeff")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if err := f(line); err != nil {
			return fmt.Errorf("%w: line %d: %w", ErrFormat, n, err)
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("%w: line %d: %w", ErrFormat, n+1, err)
	}
	return nil
}

func readFile[T any](path string, read func(io.Reader) (T, error)) (out T, err error) {
	f, err := os.Open(path)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if out, err = read(f); err != nil {
		return out, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}
