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
	Text  string   `enum:",english,plain,none" default:"" help:"Make an index of the documents' text for search --mode bm25, rerank and hybrid: english (stems, no stop words) or plain; none drops it."`
}

// attributeOutput is one index in the JSON of attributes.
type attributeOutput struct {
	Attribute string `json:"attribute,omitempty"`
	Text      string `json:"text,omitempty"` // analyzer of the text index
	Indexed   int    `json:"indexed"`        // segments
	Segments  int    `json:"segments"`
	Values    int64  `json:"values"` // different ones, or terms, summed over segments
	Bytes     int64  `json:"bytes"`
}

// Run changes the declarations, if asked to, and lists them.
func (c *attributesCmd) Run(a *app) (err error) {
	var db *engine.Engine
	if len(c.Index)+len(c.Drop) > 0 || c.Text != "" {
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
	switch {
	case c.Text == string(engine.AnalyzerNone):
		err = col.DropTextIndex(a.ctx)
	case c.Text != "":
		err = col.IndexText(a.ctx, engine.Analyzer(c.Text))
	}
	if err != nil {
		return err
	}
	all, err := col.AttributeIndexes()
	if err != nil {
		return err
	}
	text, err := col.TextIndex()
	if err != nil {
		return err
	}
	if a.JSON {
		out := make([]attributeOutput, len(all))
		for i, x := range all {
			out[i] = attributeOutput{Attribute: x.Path, Indexed: x.Indexed, Segments: x.Segments, Values: x.Values, Bytes: x.Bytes}
		}
		if text != nil {
			out = append(out, attributeOutput{Text: string(text.Analyzer), Indexed: text.Indexed, Segments: text.Segments, Values: text.Terms, Bytes: text.Bytes})
		}
		return a.printJSON(out)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, x := range all {
		fmt.Fprintf(w, "%s\t%d of %d segments\t%s values\t%s\n", render.Clean(x.Path), x.Indexed, x.Segments, render.Count(x.Values), render.Bytes(x.Bytes))
	}
	if text != nil {
		fmt.Fprintf(w, "text (%s)\t%d of %d segments\t%s terms\t%s\n", text.Analyzer, text.Indexed, text.Segments, render.Count(text.Terms), render.Bytes(text.Bytes))
	}
	if len(all) == 0 {
		a.note("no attribute indexes; filters read the attributes of every document")
	}
	return w.Flush()
}
