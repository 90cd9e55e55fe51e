package main

import (
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
)

type purgeCmd struct {
	IDs []string `arg:"" name:"id" help:"Document ids. A passage that was split goes with all its windows, as long as it is not deleted yet."`
}

// purgeOutput is the JSON of purge.
type purgeOutput struct {
	Deleted  int           `json:"deleted"` // documents that were there, windows counted
	Seq      uint64        `json:"seq"`
	Segments int           `json:"segments"`
	LogFiles int           `json:"log_files"`
	Copies   []engine.Copy `json:"copies,omitempty"`
	Aside    []string      `json:"aside,omitempty"`
	Previous string        `json:"previous,omitempty"`
	Seconds  float64       `json:"seconds"`
}

// Run erases documents. Those that are not there are purged too, of what their
// deletion has left.
func (c *purgeCmd) Run(a *app) (err error) {
	db, err := a.openStore(engine.Options{MustExist: true})
	if err != nil {
		return err
	}
	defer closing(&err, db)
	col, err := db.Collection(a.Collection)
	if err != nil {
		return err
	}
	ids, missing, err := withWindows(a, col, c.IDs)
	if err != nil {
		return err
	}
	start := time.Now()
	r, err := col.Purge(a.ctx, append(ids, missing...)...)
	if err != nil {
		return err
	}
	took := time.Since(start)
	if a.JSON {
		return a.printJSON(purgeOutput{
			Deleted: r.Deleted, Seq: r.Seq, Segments: r.Segments, LogFiles: r.LogFiles,
			Copies: r.Copies, Aside: r.Aside, Previous: r.Previous, Seconds: took.Seconds(),
		})
	}
	a.printf("purged: %s documents deleted, %d segments and %d log files rewritten, in %s\n", render.Count(int64(r.Deleted)), r.Segments, r.LogFiles, render.Duration(took))
	for _, copied := range r.Copies {
		a.printf("may still hold them: %s\n", copied)
	}
	for _, dir := range r.Aside {
		a.printf("may still hold them: what a repair put aside, %s\n", dir)
	}
	if r.Previous != "" {
		a.printf("may still hold them: collection %s, from before the last reindex\n", r.Previous)
	}
	return nil
}
