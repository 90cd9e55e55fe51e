// Package beir reads the texts of a test collection in BEIR layout for the
// scripts: corpus.jsonl and queries.jsonl. Judgments are query/eval's.
package beir

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// Text is a document or a query: a title is put before its text.
type Text struct{ ID, Text string }

// Read reads a file of one JSON object a line, with _id, text and perhaps title.
// Other fields, whatever they hold, are passed over; so is the title in qmsum, where
// it is the judges' own list of topics.
func Read(path string) (out []Text, err error) {
	untitled := filepath.Base(filepath.Dir(path)) == "qmsum"
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		var row struct {
			ID    string `json:"_id"`
			Title string `json:"title"`
			Text  string `json:"text"`
		}
		if err := json.Unmarshal(s.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, len(out)+1, err)
		}
		if row.Title != "" && !untitled {
			row.Text = row.Title + " " + row.Text
		}
		out = append(out, Text{row.ID, row.Text})
	}
	return out, s.Err()
}

// Texts are the texts alone, in order.
func Texts(in []Text) []string {
	out := make([]string, len(in))
	for i, t := range in {
		out[i] = t.Text
	}
	return out
}
