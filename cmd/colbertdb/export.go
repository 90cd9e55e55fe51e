package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/vectorfile"
	"github.com/colbertdb-go/colbertdb/engine"
)

type exportCmd struct {
	Path   string `arg:"" help:"Folder for the files, one a segment; with --format the file or folder to write."`
	Format string `placeholder:"FORMAT" help:"Vectors instead of segments: npy (a folder), npz, safetensors, parquet or jsonl. Of an imported index: plaid (the form that it came in), stanford, pylate-stanford, fast-plaid, pylate or next-plaid (a folder). Default: by the name's ending, else segments."`
}

// segmentOutput is the JSON of export and attach: one segment.
type segmentOutput struct {
	File      string `json:"file"`
	ID        string `json:"id"` // hash of the content
	Documents int    `json:"documents"`
	Tokens    int64  `json:"tokens"`
	Bytes     int64  `json:"bytes,omitempty"`
}

// Run writes the collection in the form asked for.
func (c *exportCmd) Run(a *app) error {
	format := vectorfile.Format(c.Format)
	switch {
	case c.Format == "":
		if format = vectorfile.FormatOf(c.Path); format == "" || filepath.Ext(c.Path) == "" {
			return c.segments(a)
		}
	case c.Format == "plaid":
		return c.plaid(a, "")
	case slices.Contains(engine.PLAIDForms(), c.Format):
		return c.plaid(a, c.Format)
	case !slices.Contains(vectorfile.Formats, format):
		return usagef("--format %s: use one of %v, plaid or one of %v", c.Format, vectorfile.Formats, engine.PLAIDForms())
	}
	return c.vectors(a, format)
}

// vectors writes every document with its vectors, as the collection represents them.
func (c *exportCmd) vectors(a *app, format vectorfile.Format) (err error) {
	db, err := a.readStore()
	if err != nil {
		return err
	}
	defer closing(&err, db)
	col, err := db.Collection(a.Collection)
	if err != nil {
		return err
	}
	out, err := vectorfile.Create(c.Path, format, col.Info().Dim)
	if err != nil {
		return err
	}
	closed := false
	defer func() {
		if !closed {
			err = errors.Join(err, out.Close())
		}
	}()
	var n struct {
		File      string `json:"file"`
		Documents int64  `json:"documents"`
		Tokens    int64  `json:"tokens"`
	}
	n.File = c.Path
	for d, err := range col.All(a.ctx) {
		if err != nil {
			return err
		}
		attributes, err := withoutSync(d.Attributes)
		if err != nil {
			return err
		}
		if err := out.Add(vectorfile.Document{ID: d.ID, Text: d.Text, Attributes: attributes, Vectors: d.Vectors}); err != nil {
			return err
		}
		n.Documents++
		n.Tokens += int64(d.Vectors.Len())
	}
	closed = true
	if err := out.Close(); err != nil {
		return err
	}
	if a.JSON {
		return a.printJSON(n)
	}
	a.printf("%s: %s documents, %s tokens\n", n.File, render.Count(n.Documents), render.Count(n.Tokens))
	return nil
}

// segments writes every sealed segment of the collection to a file of its own, named
// by a hash of the content. Documents that are not in a segment yet are sealed.
func (c *exportCmd) segments(a *app) (err error) {
	db, err := a.openStore(engine.Options{MustExist: true, DisableAutoCompaction: true})
	if err != nil {
		return err
	}
	defer closing(&err, db)
	col, err := db.Collection(a.Collection)
	if err != nil {
		return err
	}
	if err := col.Flush(a.ctx); err != nil {
		return err
	}
	segments, err := col.Segments()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Path, 0o755); err != nil {
		return err
	}
	out := []segmentOutput{}
	for _, s := range segments {
		if s.Documents == 0 {
			continue
		}
		tmp := filepath.Join(c.Path, fmt.Sprintf("segment-%d", s.ID))
		var f *engine.SegmentFile
		n, err := writeWhole(tmp, a.stdout, func(w io.Writer) (err error) {
			f, err = col.ExportSegment(a.ctx, s.ID, w)
			return err
		})
		if err != nil {
			return err
		}
		path := filepath.Join(c.Path, f.ID[:16]+".cdbs")
		if err := os.Rename(tmp, path); err != nil {
			return err
		}
		out = append(out, segmentOutput{File: path, ID: f.ID, Documents: f.Documents, Tokens: f.Tokens, Bytes: n})
	}
	if a.JSON {
		return a.printJSON(out)
	}
	for _, s := range out {
		a.printf("%s: %s documents, %s tokens, %s\n", s.File, render.Count(int64(s.Documents)), render.Count(s.Tokens), render.Bytes(s.Bytes))
	}
	return nil
}

type attachCmd struct {
	Files []string `arg:"" help:"Files that export wrote."`
}

// Run stores exported segments in the collection, each in one step. Their
// documents replace those of the same ids.
func (c *attachCmd) Run(a *app) (err error) {
	db, err := a.openStore(engine.Options{MustExist: true})
	if err != nil {
		return err
	}
	defer closing(&err, db)
	col, err := db.Collection(a.Collection)
	if err != nil {
		return err
	}
	out := []segmentOutput{}
	for _, path := range c.Files {
		f, err := attachFile(a, col, path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, segmentOutput{File: path, ID: f.ID, Documents: f.Documents, Tokens: f.Tokens})
	}
	if a.JSON {
		return a.printJSON(out)
	}
	for _, s := range out {
		a.printf("%s: %s documents, %s tokens attached\n", s.File, render.Count(int64(s.Documents)), render.Count(s.Tokens))
	}
	return nil
}

func attachFile(a *app, col *engine.Collection, path string) (_ *engine.SegmentFile, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer closing(&err, f)
	return col.AttachSegment(a.ctx, bufio.NewReaderSize(f, 1<<20))
}
