package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
)

type exportCmd struct {
	Dir string `arg:"" help:"Folder for the files, one a segment."`
}

// segmentOutput is the JSON of export and attach: one segment.
type segmentOutput struct {
	File      string `json:"file"`
	ID        string `json:"id"` // hash of the content
	Documents int    `json:"documents"`
	Tokens    int64  `json:"tokens"`
	Bytes     int64  `json:"bytes,omitempty"`
}

// Run writes every sealed segment of the collection to a file of its own, named
// by a hash of the content. Documents that are not in a segment yet are sealed.
func (c *exportCmd) Run(a *app) (err error) {
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
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	out := []segmentOutput{}
	for _, s := range segments {
		if s.Documents == 0 {
			continue
		}
		tmp := filepath.Join(c.Dir, fmt.Sprintf("segment-%d", s.ID))
		var f *engine.SegmentFile
		n, err := writeWhole(tmp, a.stdout, func(w io.Writer) (err error) {
			f, err = col.ExportSegment(a.ctx, s.ID, w)
			return err
		})
		if err != nil {
			return err
		}
		path := filepath.Join(c.Dir, f.ID[:16]+".cdbs")
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
