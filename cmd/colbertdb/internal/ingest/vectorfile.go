package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/vectorfile"
)

// readVectorFile yields the documents of a file of vectors, each as it is.
func readVectorFile(e *entry, yield yieldFunc) bool {
	for d, err := range vectorfile.Read(e.disk, vectorfile.Format(e.form)) {
		if err != nil {
			return yield(Passage{}, &Problem{e.name, 0, plainPathError(err)})
		}
		p := Passage{ID: d.ID, Text: d.Text, Vectors: d.Vectors, Path: e.name, Record: true}
		problem := func(err error) bool {
			return yield(Passage{}, &Problem{e.name, 0, fmt.Errorf("document %.40q: %w", d.ID, err)})
		}
		switch {
		case d.ID == "" || !utf8.ValidString(d.Text):
			if !problem(fmt.Errorf("the id is empty or the text is not UTF-8")) {
				return false
			}
			continue
		case d.Vectors.Len() == 0 && d.Text == "":
			if !problem(ErrEmpty) {
				return false
			}
			continue
		case d.Vectors.Len() == 0:
			p.Vectors.Dim = 0
		}
		if len(d.Attributes) > 0 {
			dec := json.NewDecoder(bytes.NewReader(d.Attributes))
			dec.UseNumber()
			if err := dec.Decode(&p.Attributes); err != nil {
				if !problem(fmt.Errorf("attributes are no JSON object")) {
					return false
				}
				continue
			}
		}
		if !yield(p, nil) {
			return false
		}
	}
	return true
}
