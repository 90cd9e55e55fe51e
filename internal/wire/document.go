package wire

import (
	"encoding/json"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Document is a document as a request brings it and as an answer gives it.
type Document struct {
	ID         string          `json:"id,omitempty"`
	Text       string          `json:"text,omitempty"`
	Attributes json.RawMessage `json:"attributes,omitempty"`
	Vectors
	// Tokens is the number of token vectors, in answers.
	Tokens int `json:"tokens,omitempty"`
}

// Engine returns the engine's document.
func (d *Document) Engine(npy func([]byte) (engine.Matrix, error)) (engine.Document, error) {
	m, err := d.Matrix(npy)
	attrs := d.Attributes
	if string(attrs) == "null" {
		attrs = nil
	}
	return engine.Document{ID: d.ID, Text: d.Text, Attributes: attrs, Vectors: m}, err
}

// Upsert is the body of POST …/documents.
type Upsert struct {
	Documents List[Document] `json:"documents"`
}

// UpsertResult answers it.
type UpsertResult struct {
	Seq      uint64 `json:"seq"`
	Upserted int    `json:"upserted"`
	// Truncated are documents whose text is longer than the model's window.
	Truncated []Truncated `json:"truncated,omitempty"`
}

// Truncated is a document of which the last tokens have no vectors.
type Truncated struct {
	ID     string `json:"id"`
	Tokens int    `json:"tokens"` // left out
}

// Delete is the body of POST …/documents:delete: ids or a filter.
type Delete struct {
	IDs    List[string] `json:"ids,omitempty"`
	Filter *Filter      `json:"filter,omitempty"`
}

// DeleteResult answers it.
type DeleteResult struct {
	Deleted int    `json:"deleted"`
	Seq     uint64 `json:"seq"`
}

// PurgeResult answers POST …/documents:purge.
type PurgeResult struct {
	Deleted  int           `json:"deleted"`
	Seq      uint64        `json:"seq"`
	Segments int           `json:"segments"`
	LogFiles int           `json:"log_files"`
	Copies   []engine.Copy `json:"copies,omitempty"` // checkpoints and backups that may still hold them
}

// Page answers GET …/documents.
type Page struct {
	Documents []Document `json:"documents"`
	Next      string     `json:"next_cursor,omitempty"`
	Seq       uint64     `json:"seq"`
}

// Progress is a line of the answer to a bulk load.
type Progress struct {
	Line      int64       `json:"line"` // of the input, read so far
	Upserted  int64       `json:"upserted"`
	Failed    int64       `json:"failed"`
	Seq       uint64      `json:"seq"` // durable and searchable up to here
	Truncated []Truncated `json:"truncated,omitempty"`
	// Error is about the line; with OnError "stop" it is the last but for the end.
	Error *Error `json:"error,omitempty"`
	// Done: the input has ended and all of it that was not refused is stored.
	Done bool `json:"done,omitempty"`
}
