package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/vectorfile"
	"github.com/colbertdb-go/colbertdb/encoder"
)

type encodeCmd struct {
	Texts  []string `arg:"" optional:"" help:"Texts, one an argument. Without: documents from --input."`
	Input  string   `default:"-" placeholder:"FILE" help:"File or folder to encode; - is standard input."`
	Format string   `placeholder:"FORMAT" help:"As for index. Default: by file name; standard input needs jsonl, tsv or another."`
	Output string   `short:"o" placeholder:"FILE" help:"Write to a file: .npy (of one text; else a folder), .npz, .safetensors, .parquet or .jsonl. Default: JSON lines on standard output."`
	Pool   int      `name:"pool-factor" default:"1" placeholder:"N" help:"Pool a document's vectors into one for N of them."`
	Spans  bool     `help:"Also print the bytes of the text that each vector of a document stands for."`
	Side   string   `enum:"document,query" default:"document" help:"Which side of the model: document or query."`

	out     vectorfile.Writer // nil: standard output
	written int
}

// encodedLine is a line of encode's output: what index --format jsonl reads.
type encodedLine struct {
	ID        string      `json:"_id,omitempty"`
	Text      string      `json:"text"`
	Vectors   [][]float32 `json:"vectors"`           // [tokens][dim], unit vectors
	Weights   []float32   `json:"weights,omitempty"` // of a query's vectors
	Truncated int         `json:"truncated,omitempty"`
	Spans     [][2]int    `json:"spans,omitempty"` // bytes [start, end) of text, one a vector
}

// encodeBatch is how many texts are encoded at once.
const encodeBatch = 64

// Run prints one JSON line a text, or writes a file.
func (c *encodeCmd) Run(a *app) (err error) {
	format := vectorfile.FormatOf(c.Output)
	if c.Output != "" && format == "" {
		if filepath.Ext(c.Output) != "" {
			return usagef("--output %s: want a file .npy, .npz, .safetensors, .parquet or .jsonl, or a folder", c.Output)
		}
		format = vectorfile.NPY
	}
	enc, err := a.loadModel(cmp.Or(a.Model, modelBundled))
	if err != nil {
		return err
	}
	defer closing(&err, enc)
	switch {
	case c.Pool < 1:
		return usagef("--pool-factor must be 1 or more")
	case c.Pool > 1 && (c.Spans || c.Side == "query"):
		return usagef("--pool-factor is for documents, and pooled vectors have no spans")
	}
	enc = encoder.Pooling(enc, c.Pool)
	if c.Output != "" {
		if c.out, err = vectorfile.Create(c.Output, format, enc.Info().Dim); err != nil {
			return err
		}
		defer closing(&err, c.out)
	}
	return c.encode(a, enc)
}

func (c *encodeCmd) encode(a *app, enc encoder.Encoder) error {
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
			if c.Spans {
				lines[i].Spans = nil
				for _, s := range d.Spans {
					lines[i].Spans = append(lines[i].Spans, [2]int{s.Start, s.End})
				}
			}
		}
	}
	if c.out != nil {
		return c.write(lines)
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

// write adds encoded lines to the file.
func (c *encodeCmd) write(lines []encodedLine) error {
	for _, l := range lines {
		id := cmp.Or(l.ID, strconv.Itoa(c.written))
		m, err := ingest.MatrixOf(l.Vectors)
		if err != nil {
			return fmt.Errorf("text %s: %w", id, err)
		}
		if err := c.out.Add(vectorfile.Document{ID: id, Text: l.Text, Vectors: m}); err != nil {
			return err
		}
		c.written++
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
