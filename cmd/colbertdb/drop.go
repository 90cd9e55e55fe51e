package main

import (
	"github.com/colbertdb-go/colbertdb/engine"
)

type dropCmd struct {
	Name string `arg:"" help:"The collection, by its own name."`
}

// Run removes a collection with all its documents.
func (c *dropCmd) Run(a *app) (err error) {
	db, err := a.openStore(engine.Options{MustExist: true})
	if err != nil {
		return err
	}
	defer closing(&err, db)
	if err := db.DropCollection(a.ctx, c.Name); err != nil {
		return err
	}
	a.note("dropped %s", c.Name)
	return nil
}
