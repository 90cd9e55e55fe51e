package main

import (
	"cmp"
	"strings"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
)

type repairCmd struct {
	Apply bool `help:"Change the store. Without it nothing is written."`
}

// Run lists what damage has cost. With --apply it makes a store of the rest.
// Losses without --apply give exit status 3.
func (c *repairCmd) Run(a *app) error {
	r, err := engine.Repair(a.ctx, cmp.Or(a.DB, defaultDB), engine.RepairOptions{Apply: c.Apply, Logger: a.logger()})
	if err != nil {
		return err
	}
	if a.JSON {
		err = a.printJSON(r)
	} else {
		c.print(a, r)
	}
	if err == nil && len(r.Losses) > 0 && !c.Apply {
		return statusError(exitPartial)
	}
	return err
}

func (c *repairCmd) print(a *app, r *engine.RepairReport) {
	for _, l := range r.Losses {
		a.printf("%s\n", l)
		if len(l.IDs) > 0 {
			a.printf("  %s\n", strings.Join(l.IDs, " "))
		}
	}
	left := render.Count(int64(r.Documents)) + " documents in segments and " + render.Count(int64(r.Records)) + " changes in the log"
	switch {
	case len(r.Losses) == 0:
		a.printf("nothing to repair: %s\n", left)
	case r.Applied:
		a.printf("repaired: %s are left; the old parts are in %s\n", left, r.Aside)
	case c.Apply:
		a.printf("nothing was acknowledged of this: the next open drops it; %s\n", left)
	default:
		a.printf("nothing was changed: %s are left; colbertdb repair --apply makes a store of them\n", left)
	}
}
