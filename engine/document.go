package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/encoder"
)

// Matrix holds token vectors, [tokens][Dim]float32 row-major.
type Matrix = codec.Matrix

// MatrixFromF16 widens little-endian IEEE float16 vectors, [tokens][dim] row-major.
func MatrixFromF16(dim int, b []byte) Matrix {
	m := Matrix{Dim: dim, Data: make([]float32, len(b)/2/dim*dim)}
	codec.DecodeF16(m.Data, b)
	return m
}

// Limits of one document. There is no limit on its number of token vectors.
const (
	MaxIDBytes         = 1 << 10
	MaxTextBytes       = 64 << 20
	MaxAttributesBytes = 1 << 20
)

// Document is the unit of storage: everything an Upsert replaces in one step.
type Document struct {
	// ID names the document in its collection: 1 to MaxIDBytes bytes of any kind.
	ID string
	// Text is kept with the document and returned with it. Optional.
	Text string
	// Vectors holds one vector a token, [tokens][dim], of any non-zero length;
	// they are normalised to unit length. Where it is empty and the collection
	// has an encoder, Text is encoded on the document side.
	Vectors Matrix
	// Attributes is a JSON object, for filters, grouping and display. Optional.
	Attributes json.RawMessage
}

// validateFields checks what is not vectors.
func (d *Document) validateFields() error {
	if d.ID == "" || len(d.ID) > MaxIDBytes {
		return fmt.Errorf("%w: document id must have 1 to %d bytes, %.40q has %d", ErrInvalid, MaxIDBytes, d.ID, len(d.ID))
	}
	if len(d.Text) > MaxTextBytes {
		return fmt.Errorf("%w: document %q: text has %d bytes, the limit is %d", ErrInvalid, d.ID, len(d.Text), MaxTextBytes)
	}
	if !utf8.ValidString(d.Text) {
		return fmt.Errorf("%w: document %q: text is not valid UTF-8", ErrInvalid, d.ID)
	}
	if err := validAttributes(d.Attributes); err != nil {
		return fmt.Errorf("%w: document %q: %w", ErrInvalid, d.ID, err)
	}
	return nil
}

// validate checks everything that can be wrong with a document of a
// collection with the given dimension.
func (d *Document) validate(dim int) error {
	if err := d.validateFields(); err != nil {
		return err
	}
	if len(d.Vectors.Data) == 0 {
		return fmt.Errorf("document %q: %w: give Vectors, or Text and a collection with an encoder", d.ID, ErrNoVectors)
	}
	if d.Vectors.Dim != dim {
		return fmt.Errorf("document %q: %w: vectors have dimension %d, the collection %d", d.ID, ErrDimension, d.Vectors.Dim, dim)
	}
	if err := d.Vectors.Validate(); err != nil {
		return fmt.Errorf("document %q: %w", d.ID, err)
	}
	return nil
}

func validAttributes(a json.RawMessage) error {
	if len(a) == 0 {
		return nil
	}
	if len(a) > MaxAttributesBytes {
		return fmt.Errorf("attributes have %d bytes, the limit is %d", len(a), MaxAttributesBytes)
	}
	var obj map[string]json.RawMessage
	if err := json.Unmarshal(a, &obj); err != nil || obj == nil {
		return errors.New("attributes must be a JSON object")
	}
	return nil
}

// Model names the encoder whose vectors a collection holds.
type Model struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"` // over graph, tokenizer and parameters
	Location    string `json:"location"`    // where it was loaded from: a folder, or "bundled"
}

func modelOf(e encoder.Encoder) Model {
	i := e.Info()
	return Model{Name: i.Name, Fingerprint: i.Fingerprint, Location: i.Location}
}
