package main

import (
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/colbertdb-go/colbertdb/engine"
)

type deleteCmd struct {
	IDs    []string `arg:"" optional:"" name:"id" help:"Document ids. A passage that was split goes with all its windows."`
	Source string   `placeholder:"INPUT" help:"Everything that index brought from this input."`
	Filter string   `placeholder:"CONDITION" help:"Every document whose attributes meet the condition, such as lang = \"en\" and year < 2020, or in JSON."`
}

// deleteOutput is the JSON of delete.
type deleteOutput struct {
	Deleted int      `json:"deleted"` // documents, windows counted
	Missing []string `json:"missing,omitempty"`
	Seq     uint64   `json:"seq"`
}

// Run deletes. An id that is not there is reported and no error: the outcome
// is what was asked for.
func (c *deleteCmd) Run(a *app) (err error) {
	given := 0
	for _, is := range []bool{len(c.IDs) > 0, c.Source != "", c.Filter != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		return usagef("give either ids, --source INPUT or --filter CONDITION")
	}
	db, err := a.openStore(engine.Options{MustExist: true})
	if err != nil {
		return err
	}
	defer closing(&err, db)
	col, err := db.Collection(a.Collection)
	if err != nil {
		return err
	}
	var out deleteOutput
	var ids []string
	switch {
	case c.Source != "":
		ids, err = c.fromSource(a, col)
	case c.Filter != "":
		err = c.byFilter(a, col, &out)
	default:
		ids, out.Missing, err = withWindows(a, col, c.IDs)
	}
	if err != nil {
		return err
	}
	for part := range slices.Chunk(ids, 1000) {
		r, err := col.Delete(a.ctx, part...)
		if err != nil {
			return err
		}
		out.Deleted += r.Deleted
		out.Seq = r.Seq
	}
	if a.JSON {
		return a.printJSON(out)
	}
	a.printf("deleted %d\n", out.Deleted)
	if len(out.Missing) > 0 {
		a.note("not there: %s", strings.Join(out.Missing, ", "))
	}
	return nil
}

// byFilter deletes what meets the condition.
func (c *deleteCmd) byFilter(a *app, col *engine.Collection, out *deleteOutput) error {
	f, err := parseFilter(c.Filter)
	if err != nil {
		return usageError{err}
	}
	r, err := col.DeleteWhere(a.ctx, f)
	out.Deleted, out.Seq = r.Deleted, r.Seq
	return err
}

// withWindows adds the windows of passages that were split.
func withWindows(a *app, col *engine.Collection, given []string) (ids, missing []string, err error) {
	for _, id := range given {
		d, err := col.Get(a.ctx, id)
		if errors.Is(err, engine.ErrNotFound) {
			missing = append(missing, id)
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		ids = append(ids, id)
		if at := placeOf(d.Attributes); at.Passage == id {
			for w := 2; w <= at.Windows; w++ {
				ids = append(ids, id+"#"+strconv.Itoa(w))
			}
		}
	}
	return ids, missing, nil
}

// fromSource lists the documents of an input, named as it was given to index
// or as it is stored.
func (c *deleteCmd) fromSource(a *app, col *engine.Collection) (ids []string, err error) {
	names := []string{c.Source}
	if abs, err := filepath.Abs(c.Source); err == nil {
		names = append(names, filepath.ToSlash(abs), "go-doc:"+filepath.ToSlash(abs))
	}
	for d, err := range col.All(a.ctx, engine.WithoutVectors()) {
		if err != nil {
			return nil, err
		}
		if source := placeOf(d.Attributes).Source; source != "" && slices.Contains(names, source) {
			ids = append(ids, d.ID)
		}
	}
	return ids, nil
}
