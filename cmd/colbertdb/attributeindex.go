package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
)

type attributesCmd struct {
	Index []string `placeholder:"NAME" help:"Make an index of this attribute, as filters name it; may be repeated."`
	Drop  []string `placeholder:"NAME" help:"Drop the index of this attribute; filters on it scan then."`
}

// attributeOutput is one index in the JSON of attributes.
type attributeOutput struct {
	Attribute string `json:"attribute"`
	Indexed   int    `json:"indexed"` // segments
	Segments  int    `json:"segments"`
	Values    int64  `json:"values"` // different ones, summed over segments
	Bytes     int64  `json:"bytes"`
}

// Run changes the declarations, if asked to, and lists them.
func (c *attributesCmd) Run(a *app) (err error) {
	var db *engine.Engine
	if len(c.Index)+len(c.Drop) > 0 {
		db, err = a.openStore(engine.Options{MustExist: true})
	} else {
		db, err = a.readStore()
	}
	if err != nil {
		return err
	}
	defer closing(&err, db)
	col, err := db.Collection(a.Collection)
	if err != nil {
		return err
	}
	if len(c.Drop) > 0 {
		if err := col.DropAttributeIndexes(a.ctx, c.Drop...); err != nil {
			return err
		}
	}
	if len(c.Index) > 0 {
		if err := col.IndexAttributes(a.ctx, c.Index...); err != nil {
			return err
		}
	}
	all, err := col.AttributeIndexes()
	if err != nil {
		return err
	}
	if a.JSON {
		out := make([]attributeOutput, len(all))
		for i, x := range all {
			out[i] = attributeOutput{x.Path, x.Indexed, x.Segments, x.Values, x.Bytes}
		}
		return a.printJSON(out)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, x := range all {
		fmt.Fprintf(w, "%s\t%d of %d segments\t%s values\t%s\n", render.Clean(x.Path), x.Indexed, x.Segments, render.Count(x.Values), render.Bytes(x.Bytes))
	}
	if len(all) == 0 {
		a.note("no attribute indexes; filters read the attributes of every document")
	}
	return w.Flush()
}
