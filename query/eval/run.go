package eval

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode"
)

// Run is what a system found: query id to documents, in any order; their scores
// rank them.
type Run map[string][]Scored

// Scored is a document of a ranking.
type Scored struct {
	ID    string
	Score float64
}

// ReadRunFile reads the rankings of a file: see ReadRun.
func ReadRunFile(path string) (Run, error) {
	return readFile(path, ReadRun)
}

// ReadRun reads rankings in TREC's form, one document a line:
//
//	query-id Q0 document-id rank score tag
//
// As in trec_eval the ranks are passed over: scores rank the documents.
func ReadRun(r io.Reader) (Run, error) {
	out := Run{}
	seen := map[[2]string]bool{}
	err := eachLine(r, func(line string) error {
		f := strings.Fields(line)
		if len(f) != 6 {
			return fmt.Errorf("%d columns, rankings have 6: query Q0 document rank score tag", len(f))
		}
		score, err := strconv.ParseFloat(f[4], 64)
		if err != nil || math.IsNaN(score) {
			return fmt.Errorf("score %.40q is not a number", f[4])
		}
		key := [2]string{f[0], f[2]}
		if seen[key] {
			return fmt.Errorf("document %q is in the ranking of query %q twice", f[2], f[0])
		}
		seen[key] = true
		out[f[0]] = append(out[f[0]], Scored{ID: f[2], Score: score})
		return nil
	})
	return out, err
}

// WriteRun writes rankings in TREC's form, queries in order of their ids. Ids
// and tag must be words: TREC's form has no quotes.
func WriteRun(w io.Writer, r Run, tag string) error {
	word := func(what, s string) error {
		if s == "" || strings.ContainsFunc(s, unicode.IsSpace) {
			return fmt.Errorf("%w: %s %.40q cannot be written: it must be a word without spaces", ErrFormat, what, s)
		}
		return nil
	}
	if err := word("tag", tag); err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	for _, query := range sortedKeys(r) {
		if err := word("query id", query); err != nil {
			return err
		}
		for i, d := range Ranked(r[query]) {
			if err := word("document id", d.ID); err != nil {
				return err
			}
			fmt.Fprintf(b, "%s Q0 %s %d %s %s\n", query, d.ID, i+1, strconv.FormatFloat(d.Score, 'g', -1, 64), tag)
		}
	}
	return b.Flush()
}
