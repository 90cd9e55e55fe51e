package main

import (
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
)

type checkpointCmd struct {
	Dir string `arg:"" help:"Folder to make. It opens as a store: --db DIR."`
}

// checkpointOutput is the JSON of checkpoint.
type checkpointOutput struct {
	Dir     string  `json:"dir"`
	ID      string  `json:"id"`
	Seq     uint64  `json:"seq"`
	Files   int     `json:"files"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

// Run makes a checkpoint of the store. Nothing of the store changes.
func (c *checkpointCmd) Run(a *app) (err error) {
	db, err := a.readStore()
	if err != nil {
		return err
	}
	defer closing(&err, db)
	start := time.Now()
	var d *engine.Descriptor
	if d, err = db.Checkpoint(a.ctx, c.Dir); err != nil {
		return err
	}
	took := time.Since(start)
	if a.JSON {
		return a.printJSON(checkpointOutput{Dir: c.Dir, ID: d.ID, Seq: d.Seq, Files: len(d.Files), Bytes: d.Bytes(), Seconds: took.Seconds()})
	}
	a.printf("%s: %d files, %s, everything up to change %d, in %s\n", c.Dir, len(d.Files), render.Bytes(d.Bytes()), d.Seq, render.Duration(took))
	return nil
}
