package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/encoder"
)

type encodeCmd struct {
	Texts  []string `arg:"" optional:"" help:"Texts, one an argument. Without: documents from --input."`
	Input  string   `default:"-" placeholder:"FILE" help:"File or folder to encode; - is standard input."`
	Format string   `placeholder:"FORMAT" help:"As for index. Default: by file name; standard input needs jsonl, tsv or another."`
	Side   string   `enum:"document,query" default:"document" help:"Which side of the model: document or query."`
}

// encodedLine is a line of encode's output: what index --format jsonl reads.
type encodedLine struct {
	ID        string      `json:"_id,omitempty"`
	Text      string      `json:"text"`
	Vectors   [][]float32 `json:"vectors"`           // [tokens][dim], unit vectors
	Weights   []float32   `json:"weights,omitempty"` // of a query's vectors
	Truncated int         `json:"truncated,omitempty"`
}

// encodeBatch is how many texts are encoded at once.
const encodeBatch = 64

// Run prints one JSON line a text.
func (c *encodeCmd) Run(a *app) (err error) {
	enc, err := loadModel(cmp.Or(a.Model, modelBundled))
	if err != nil {
		return err
	}
	defer closing(&err, enc)
	var lines []encodedLine
	if len(c.Texts) > 0 {
		for _, t := range c.Texts {
			lines = append(lines, encodedLine{Text: t})
		}
		return c.print(a, enc, lines)
	}
	format, err := ingest.ParseFormat(c.Format)
	if err != nil {
		return usageError{err}
	}
	in, err := ingest.Open(c.Input, ingest.Options{Format: format}, a.stdin)
	if err != nil {
		return err
	}
	failed := false
	for p, err := range in.Passages(a.ctx) {
		var problem *ingest.Problem
		if errors.As(err, &problem) {
			fmt.Fprintf(a.stderr, "colbertdb: %v\n", problem)
			failed = true
			continue
		}
		if err != nil {
			return err
		}
		lines = append(lines, encodedLine{ID: p.ID, Text: p.Text})
		if len(lines) == encodeBatch {
			if err := c.print(a, enc, lines); err != nil {
				return err
			}
			lines = lines[:0]
		}
	}
	if err := c.print(a, enc, lines); err != nil {
		return err
	}
	if failed {
		return statusError(exitPartial)
	}
	return nil
}

// print encodes some lines and prints them.
func (c *encodeCmd) print(a *app, enc encoder.Encoder, lines []encodedLine) error {
	texts := make([]string, len(lines))
	for i, l := range lines {
		texts[i] = l.Text
	}
	if c.Side == "query" {
		queries, err := enc.EncodeQueries(a.ctx, texts)
		if err != nil {
			return err
		}
		for i, q := range queries {
			lines[i].Vectors, lines[i].Weights, lines[i].Truncated = rowsOf(q.Vectors), q.Weights, q.Truncated
		}
	} else {
		documents, err := enc.EncodeDocuments(a.ctx, texts)
		if err != nil {
			return err
		}
		for i, d := range documents {
			lines[i].Vectors, lines[i].Truncated = rowsOf(d.Vectors), d.Truncated
		}
	}
	out := json.NewEncoder(a.stdout)
	out.SetEscapeHTML(false)
	for _, l := range lines {
		if err := out.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

func rowsOf(m encoder.Matrix) [][]float32 {
	rows := make([][]float32, m.Len())
	for i := range rows {
		rows[i] = m.Row(i)
	}
	return rows
}
