package main

import (
	"cmp"

	"github.com/colbertdb-go/colbertdb/engine"
)

type dumpCmd struct {
	What string   `arg:"" help:"manifest, collections, aliases, segments, segment, documents, document, deletes, postings, attributes, codebook, ids, keys, copies, checkpoint or log."`
	Args []string `arg:"" optional:"" name:"number" help:"Of the segment (and ordinal of the document), or of the collection for codebook and ids."`
}

// Run prints one structure of a store that nobody has open, damaged or not.
func (c *dumpCmd) Run(a *app) error {
	return engine.Dump(a.ctx, a.stdout, nil, cmp.Or(a.DB, defaultDB), c.What, c.Args...)
}
