package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/colbertdb-go/colbertdb/engine"
)

type aliasCmd struct {
	Name string `arg:"" optional:"" help:"The alias. Without: list them all."`
	To   string `arg:"" optional:"" help:"The collection that it is to lead to."`
	Back bool   `help:"Switch it back to where it led before."`
	Drop bool   `help:"Remove the alias; the collection stays."`
}

// aliasOutput is one alias in the JSON of alias.
type aliasOutput struct {
	Name       string `json:"name"`
	Collection string `json:"collection"`
	Previous   string `json:"previous,omitempty"`
}

// Run lists aliases, or changes one, in one durable step.
func (c *aliasCmd) Run(a *app) (err error) {
	if c.Name == "" {
		db, err := a.readStore()
		if err != nil {
			return err
		}
		defer closing(&err, db)
		return c.list(a, db)
	}
	if n := boolCount(c.To != "", c.Back, c.Drop); n != 1 {
		return usagef("alias %s: give a collection, --back or --drop", c.Name)
	}
	db, err := a.openStore(engine.Options{MustExist: true})
	if err != nil {
		return err
	}
	defer closing(&err, db)
	if c.Drop {
		return db.DropAlias(a.ctx, c.Name)
	}
	if c.Back {
		if c.To, err = previous(db, c.Name); err != nil {
			return err
		}
	}
	if err := db.SetAlias(a.ctx, c.Name, c.To); err != nil {
		return err
	}
	a.note("%s leads to %s now", c.Name, c.To)
	return nil
}

// previous is the collection that an alias led to before.
func previous(db *engine.Engine, name string) (string, error) {
	for _, v := range db.Aliases() {
		if v.Name != name {
			continue
		}
		if v.Previous == "" {
			return "", fmt.Errorf("alias %q leads to %q; what it led to before is gone, or never was", name, v.Collection)
		}
		return v.Previous, nil
	}
	return "", fmt.Errorf("%w: no alias %q", engine.ErrCollectionNotFound, name)
}

func boolCount(values ...bool) (n int) {
	for _, v := range values {
		if v {
			n++
		}
	}
	return n
}

func (c *aliasCmd) list(a *app, db *engine.Engine) error {
	aliases := db.Aliases()
	if a.JSON {
		out := make([]aliasOutput, len(aliases))
		for i, v := range aliases {
			out[i] = aliasOutput(v)
		}
		return a.printJSON(out)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, v := range aliases {
		before := ""
		if v.Previous != "" {
			before = "before: " + v.Previous
		}
		fmt.Fprintf(w, "%s\t→ %s\t%s\n", v.Name, v.Collection, before)
	}
	return w.Flush()
}
