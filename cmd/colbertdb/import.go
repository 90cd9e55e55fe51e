package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
)

type importCmd struct {
	Dir       string `arg:"" type:"existingdir" help:"Index folder of ColBERT, PyLate, fast-plaid or next-plaid."`
	Documents string `placeholder:"FILE" help:"JSON lines, TSV or a BEIR folder with texts and attributes, found by the index's ids; a document's number where it has none."`
	InOrder   bool   `help:"--documents has the index's documents in the same order; they get their ids from there."`
}

// Run makes a collection of an index without encoding anything. What is stored stays
// stored when the run is interrupted, and the same command goes on from there.
func (c *importCmd) Run(a *app) (err error) {
	if c.InOrder && c.Documents == "" {
		return usagef("--in-order needs --documents")
	}
	o := &engine.ImportOptions{}
	if a.Model != "" {
		if o.Encoder, err = a.loadModel(a.Model); err != nil {
			return err
		}
		defer closing(&err, o.Encoder)
	}
	if c.Documents != "" {
		texts, err := openTexts(a, c.Documents, c.InOrder)
		if err != nil {
			return err
		}
		defer texts.stop()
		o.Describe = texts.describe
	}
	db, err := a.openStore(engine.Options{MemoryBudget: indexMemory})
	if err != nil {
		return err
	}
	defer closing(&err, db)
	bar := a.bar()
	o.Progress = func(p engine.ImportProgress) { bar.Update(p.Documents, p.Total, p.Documents, p.Stored, 0) }
	res, err := db.ImportPLAID(a.ctx, a.Collection, c.Dir, o)
	bar.Close()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "metadata.db")); err == nil && c.Documents == "" {
		a.note("what the index says of its documents in metadata.db (SQLite) is not read; docs/interop.md has the command that makes it a file for --documents")
	}
	if a.JSON {
		return a.printJSON(res)
	}
	a.printf("%s: %s documents, %s tokens, %s centroids, %d bits a dimension\n",
		res.Form, render.Count(res.Documents), render.Count(res.Tokens), render.Count(int64(res.Centroids)), res.Bits)
	if res.Before > 0 {
		a.note("%s of them were stored before", render.Count(res.Before))
	}
	if res.Empty > 0 {
		a.note("%s documents of the index have no token vectors and were left out", render.Count(int64(res.Empty)))
	}
	return nil
}

// texts give the documents of an index what it does not store.
type texts struct {
	byID map[string]ingest.Passage // nil: in order
	next func() (ingest.Passage, error, bool)
	stop func()
	read int // passages, in order
}

func openTexts(a *app, name string, inOrder bool) (*texts, error) {
	in, err := ingest.Open(name, ingest.Options{}, a.stdin)
	if err != nil {
		return nil, err
	}
	t := &texts{}
	t.next, t.stop = iter.Pull2(in.Passages(a.ctx))
	if inOrder {
		return t, nil
	}
	t.byID = map[string]ingest.Passage{}
	for {
		p, err, ok := t.next()
		if !ok {
			return t, nil
		}
		if err != nil {
			t.stop()
			return nil, err
		}
		t.byID[p.ID] = p
	}
}

// describe is engine.ImportOptions.Describe.
func (t *texts) describe(number int, d *engine.Document) error {
	p, ok := t.byID[d.ID]
	if t.byID == nil {
		for t.read <= number {
			var err error
			if p, err, ok = t.next(); err != nil {
				return fmt.Errorf("document %d of --documents: %w", t.read, err)
			} else if !ok {
				return fmt.Errorf("--documents has %d documents, the index at least %d", t.read, number+1)
			}
			t.read++
		}
		d.ID = p.ID
	}
	if !ok {
		return nil // the index alone knows it
	}
	d.Text = p.Text
	if len(p.Attributes) > 0 {
		b, err := json.Marshal(p.Attributes)
		if err != nil {
			return err
		}
		d.Attributes = b
	}
	return nil
}

// plaid writes the collection that import made as an index folder.
func (c *exportCmd) plaid(a *app, form string) (err error) {
	db, err := a.readStore()
	if err != nil {
		return err
	}
	defer closing(&err, db)
	col, err := db.Collection(a.Collection)
	if err != nil {
		return err
	}
	out, err := col.ExportPLAID(a.ctx, filepath.Clean(c.Path), form)
	if errors.Is(err, engine.ErrInvalid) && col.Info().Profile.PLAIDBits() == 0 {
		return fmt.Errorf("%w: --format npz, safetensors, parquet or jsonl", err)
	}
	if err != nil {
		return err
	}
	if a.JSON {
		return a.printJSON(out)
	}
	a.printf("%s: %s, %s documents, %s tokens\n", c.Path, out.Form, render.Count(out.Documents), render.Count(out.Tokens))
	return nil
}
