package main

import (
	"encoding/json"

	"github.com/colbertdb-go/colbertdb/engine"
)

type changesCmd struct {
	After uint64 `help:"Sequence number after which to begin. Default: 0, everything."`
}

// changeOutput is one line of changes: one document of a change.
type changeOutput struct {
	Seq        uint64          `json:"seq"`
	Collection string          `json:"collection"`
	Op         string          `json:"op"` // upsert or delete
	ID         string          `json:"id"`
	Text       string          `json:"text,omitempty"`
	Attributes json.RawMessage `json:"attributes,omitempty"`
	Tokens     int             `json:"tokens,omitempty"`
}

// Run prints the committed changes of the collection in order, a JSON object a
// line. Those of one batch have the same sequence number.
func (c *changesCmd) Run(a *app) (err error) {
	db, err := a.readStore()
	if err != nil {
		return err
	}
	defer closing(&err, db)
	out := json.NewEncoder(a.stdout)
	out.SetEscapeHTML(false)
	for change, err := range db.Changes(a.ctx, c.After, engine.ChangesOptions{Collection: a.Collection}) {
		if err != nil {
			return err
		}
		for _, o := range change.Operations {
			line := changeOutput{Seq: change.Seq, Collection: change.Collection, Op: "delete", ID: o.ID}
			if d := o.Document; d != nil {
				line.Op, line.Text, line.Attributes, line.Tokens = "upsert", d.Text, d.Attributes, d.Vectors.Len()
			}
			if err := out.Encode(line); err != nil {
				return err
			}
		}
	}
	return nil
}
