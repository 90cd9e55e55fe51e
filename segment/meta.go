package segment

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/envelope"
)

// Version is the version of the segment format. docs/format/segment.md.
const Version = 1

const metaMagic = "CDBS"

// Meta describes a segment: what it holds and how.
type Meta struct {
	ID         ID                 `json:"id"`
	Collection uint32             `json:"collection"`
	Dim        int                `json:"dim"`
	Docs       int                `json:"docs"`
	Tokens     int64              `json:"tokens"`
	First      DocNum             `json:"first"`
	Last       DocNum             `json:"last"`
	MinSeq     uint64             `json:"min_seq"`
	MaxSeq     uint64             `json:"max_seq"`
	CodebookID uint32             `json:"codebook"` // 0: flat
	Columns    []codec.ColumnSpec `json:"columns"`
	Bytes      int64              `json:"bytes"` // of all values but this one, postings and attribute indexes
	TextBlocks int                `json:"text_blocks"`
	DocChunks  int                `json:"doc_chunks"`
	// Indexes are the attribute indexes that it was built with. Which it has now,
	// the collection's record says.
	Indexes []uint32 `json:"indexes,omitempty"`
	// Residuals says how far the documents lie from the codebook's cells; nil
	// for a flat segment.
	Residuals *codec.ResidualStats `json:"residuals,omitempty"`
}

// stride is the number of bytes a token has in a column, 0 where it is absent.
func (m *Meta) stride(c column) int {
	for _, s := range m.Columns {
		if s.Name == c.String() {
			return s.BytesPerToken
		}
	}
	return 0
}

func (m *Meta) encode() []byte {
	return envelope.Append(nil, metaMagic, Version, func(b []byte) []byte {
		body, err := json.Marshal(m)
		if err != nil {
			panic(fmt.Sprintf("colbertdb: metadata that JSON cannot hold: %v", err)) // impossible: a plain struct
		}
		return append(b, body...)
	})
}

// DecodeMeta reads a segment's metadata.
func DecodeMeta(b []byte) (*Meta, error) {
	_, body, err := envelope.Open(b, metaMagic, Version)
	if errors.Is(err, envelope.ErrTooNew) {
		return nil, fmt.Errorf("colbertdb: segment: %w", err)
	}
	m := new(Meta)
	if err == nil {
		err = json.Unmarshal(body, m)
	}
	if err == nil {
		err = m.validate()
	}
	if err != nil {
		return nil, corrupt("segment metadata", 0, "%w", err)
	}
	return m, nil
}

func (m *Meta) validate() error {
	if err := codec.ValidDim(m.Dim); err != nil {
		return err
	}
	if m.Docs < 1 || m.Docs > MaxDocuments || m.Tokens < int64(m.Docs) || m.Last < m.First {
		return fmt.Errorf("%d documents, %d tokens, numbers %d to %d", m.Docs, m.Tokens, m.First, m.Last)
	}
	if m.DocChunks != (m.Docs+docChunk-1)/docChunk || m.TextBlocks < 1 || m.TextBlocks > m.Docs {
		return fmt.Errorf("%d chunks, %d text blocks", m.DocChunks, m.TextBlocks)
	}
	for _, s := range m.Columns {
		if s.BytesPerToken < 1 || s.BytesPerToken > 4*codec.MaxDim {
			return fmt.Errorf("column %s has %d bytes a token", s.Name, s.BytesPerToken)
		}
	}
	return nil
}
