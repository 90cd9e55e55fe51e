package vectorfile

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"unicode/utf8"
)

// jsonlWriter writes a document a line, as package ingest reads them.
type jsonlWriter struct {
	f   *os.File
	buf *bufio.Writer
	enc *json.Encoder
}

func createJSONL(path string) (*jsonlWriter, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	w := &jsonlWriter{f: f, buf: bufio.NewWriterSize(f, 1<<20)}
	w.enc = json.NewEncoder(w.buf)
	w.enc.SetEscapeHTML(false)
	return w, nil
}

func (w *jsonlWriter) Add(d Document) error {
	if !utf8.ValidString(d.ID) {
		return fmt.Errorf("the id %q is not UTF-8, which JSON cannot hold", d.ID)
	}
	line := struct {
		ID         string          `json:"id"`
		Text       string          `json:"text,omitempty"`
		Attributes json.RawMessage `json:"attributes,omitempty"`
		Vectors    [][]float32     `json:"vectors"`
	}{ID: d.ID, Text: d.Text, Attributes: d.Attributes}
	for i := range d.Vectors.Len() {
		line.Vectors = append(line.Vectors, d.Vectors.Row(i))
	}
	return w.enc.Encode(line)
}

func (w *jsonlWriter) Close() error { return errors.Join(w.buf.Flush(), w.f.Close()) }
