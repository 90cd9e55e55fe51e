package main

import (
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
)

type compactCmd struct{}

// compactOutput is the JSON of compact.
type compactOutput struct {
	Seconds float64 `json:"seconds"`
}

// Run merges the segments of every collection of the store.
func (compactCmd) Run(a *app) (err error) {
	db, err := a.openStore(engine.Options{MustExist: true})
	if err != nil {
		return err
	}
	defer closing(&err, db)
	start := time.Now()
	if err := db.Compact(a.ctx); err != nil {
		return err
	}
	took := time.Since(start)
	if a.JSON {
		return a.printJSON(compactOutput{took.Seconds()})
	}
	a.printf("compacted in %s\n", render.Duration(took))
	return nil
}
