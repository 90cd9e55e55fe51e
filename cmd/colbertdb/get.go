package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
)

type getCmd struct {
	IDs     []string `arg:"" name:"id" help:"Document ids."`
	Vectors bool     `help:"Also the token vectors, as the collection represents them."`
}

// documentOutput is the JSON of get: a list of these. It is also what index
// reads from JSONL.
type documentOutput struct {
	ID         string          `json:"id"`
	Text       string          `json:"text,omitempty"`
	Attributes json.RawMessage `json:"attributes,omitempty"`
	Tokens     int             `json:"tokens"`
	Vectors    [][]float32     `json:"vectors,omitempty"`
}

func (c *getCmd) Run(a *app) (err error) {
	db, err := a.readStore()
	if err != nil {
		return err
	}
	defer closing(&err, db)
	col, err := db.Collection(a.Collection)
	if err != nil {
		return err
	}
	docs := []documentOutput{}
	var missing []error
	for _, id := range c.IDs {
		d, err := col.Get(a.ctx, id)
		if errors.Is(err, engine.ErrNotFound) {
			missing = append(missing, err)
			continue
		}
		if err != nil {
			return err
		}
		o := documentOutput{ID: d.ID, Text: d.Text, Attributes: d.Attributes, Tokens: d.Vectors.Len()}
		if c.Vectors {
			for i := range d.Vectors.Len() {
				o.Vectors = append(o.Vectors, d.Vectors.Row(i))
			}
		}
		docs = append(docs, o)
	}
	if a.JSON {
		return errors.Join(append(missing, a.printJSON(docs))...)
	}
	s := a.style(a.stdout)
	for i, d := range docs {
		if i > 0 {
			a.printf("\n")
		}
		a.printf("%s\n", s.Bold(render.Clean(d.ID)))
		if len(d.Attributes) > 0 {
			a.printf("%s\n", s.Dim(render.Clean(string(d.Attributes))))
		}
		a.printf("%s\n", s.Dim(fmt.Sprintf("%d tokens", d.Tokens)))
		for _, v := range d.Vectors {
			a.printf("%v\n", v)
		}
		if d.Text != "" {
			a.printf("\n")
			for line := range strings.Lines(d.Text) {
				a.printf("%s\n", render.Clean(strings.TrimRight(line, "\n")))
			}
		}
	}
	return errors.Join(missing...)
}
