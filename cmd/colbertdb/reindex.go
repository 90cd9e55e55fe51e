package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/engine"
)

type reindexCmd struct {
	Into         string `placeholder:"NAME" help:"Name of the new collection. Default: the old one's with a number."`
	Profile      string `enum:"exact,balanced,compact," default:"" help:"What the new collection stores: exact, balanced or compact. Default: as the old one."`
	RetainRaw    bool   `help:"The new collection also keeps the float16 vectors. Default: as the old one."`
	SkipTextless bool   `help:"Leave out documents that have vectors and no text."`
	NoSwitch     bool   `help:"Re-encode and leave the name with the old collection; run again to switch."`
	DryRun       bool   `short:"n" help:"Say what there is to do and write nothing."`
	Batch        int    `default:"64" help:"Documents in one step: the most that is repeated after a crash."`
}

// reindexOutput is the JSON of reindex.
type reindexOutput struct {
	Collection string  `json:"collection"` // the new one
	Old        string  `json:"old"`
	Alias      string  `json:"alias,omitempty"` // the name that leads to the new one
	Model      string  `json:"model"`
	Resumed    bool    `json:"resumed"`
	Documents  int64   `json:"documents"`
	Tokens     int64   `json:"tokens"`
	Skipped    int64   `json:"skipped"`
	Truncated  int64   `json:"truncated"`
	HeldMS     float64 `json:"writes_held_ms"`
	Seconds    float64 `json:"seconds"`
}

// reindexPlan is the JSON of reindex --dry-run.
type reindexPlan struct {
	Source    string   `json:"source"`
	Into      string   `json:"into,omitempty"` // of an unfinished run
	Documents int64    `json:"documents"`      // to encode
	Done      int64    `json:"done"`
	Textless  int64    `json:"textless"` // of documents
	Examples  []string `json:"examples,omitempty"`
}

// Run re-encodes a collection's text with another model and switches its name.
// Interrupted, it goes on from the last batch when it is run again.
func (c *reindexCmd) Run(a *app) (err error) {
	enc, err := a.loadModel(cmp.Or(a.Model, modelBundled))
	if err != nil {
		return err
	}
	defer closing(&err, enc)
	var db *engine.Engine
	if c.DryRun {
		db, err = a.readStore()
	} else {
		db, err = a.openStore(engine.Options{MustExist: true, TrainTokens: trainTokens})
	}
	if err != nil {
		return err
	}
	defer closing(&err, db)
	plan, err := db.PlanReindex(a.ctx, a.Collection, enc)
	if err != nil {
		return err
	}
	if c.DryRun {
		return c.report(a, plan)
	}
	o := &engine.ReindexOptions{Into: c.Into, SkipTextless: c.SkipTextless, NoSwitch: c.NoSwitch, BatchDocuments: c.Batch}
	if c.Profile != "" {
		p, err := engine.ParseProfile(c.Profile)
		if err != nil {
			return usageError{err}
		}
		o.Profile = &p
	}
	if c.RetainRaw {
		o.RetainRaw = &c.RetainRaw
	}
	if plan.Into != "" {
		a.note("going on with %s: %s documents done, %s to go", plan.Into, render.Count(plan.Done), render.Count(plan.Documents))
	}
	start := time.Now()
	progress := c.progress(a, plan)
	o.Progress = progress.update
	r, err := db.Reindex(a.ctx, a.Collection, enc, o)
	progress.bar.Close()
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted; what was encoded stays, and the same command goes on from there")
	}
	if err != nil {
		return err
	}
	if err := settle(a, db, r.Collection); err != nil {
		return err
	}
	out := reindexOutput{
		Collection: r.Collection, Old: r.Old, Alias: r.Alias, Model: enc.Info().Name, Resumed: r.Resumed,
		Documents: r.Documents, Tokens: r.Tokens, Skipped: r.Skipped, Truncated: r.Truncated,
		HeldMS: float64(r.Held.Microseconds()) / 1e3, Seconds: time.Since(start).Seconds(),
	}
	if a.JSON {
		return a.printJSON(out)
	}
	out.print(a)
	return nil
}

// settle seals a collection and trains its codebook if it is due: a command ends
// before the store would do so by itself.
func settle(a *app, db *engine.Engine, name string) error {
	col, err := db.Collection(name)
	if err != nil {
		return err
	}
	if info := col.Info(); info.Cells == 0 && info.Tokens >= trainTokens {
		a.note("training the codebook on %s tokens", render.Count(info.Tokens))
		return col.Compact(a.ctx)
	}
	return col.Flush(a.ctx)
}

// report prints what a reindex would do.
func (c *reindexCmd) report(a *app, p *engine.ReindexPlan) error {
	if a.JSON {
		return a.printJSON(reindexPlan(*p))
	}
	a.printf("%s documents of %s to encode\n", render.Count(p.Documents), p.Source)
	if p.Into != "" {
		a.printf("%s are encoded in %s already\n", render.Count(p.Done), p.Into)
	}
	if p.Textless > 0 {
		a.printf("%s of them have vectors and no text and cannot be encoded, such as %q; --skip-textless leaves them out\n", render.Count(p.Textless), p.Examples)
	}
	return nil
}

// reindexProgress shows how far a reindex is: a bar on a terminal, else a line
// now and then.
type reindexProgress struct {
	a           *app
	bar         *render.Bar
	start, last time.Time
	done        int64 // by earlier runs
	tokens      int64 // at the first update, of earlier runs
}

func (c *reindexCmd) progress(a *app, p *engine.ReindexPlan) *reindexProgress {
	return &reindexProgress{a: a, bar: a.bar(), start: time.Now(), last: time.Now(), done: p.Done, tokens: -1}
}

// noteEvery is the time between two lines of progress.
const noteEvery = 30 * time.Second

func (r *reindexProgress) update(p engine.ReindexProgress) {
	if r.tokens < 0 {
		r.tokens = 0
		if r.done > 0 {
			r.tokens = p.Tokens
		}
	}
	now := p.Documents - r.done
	r.bar.Update(now, now+p.Left, now, now, p.Tokens-r.tokens)
	if r.bar != nil || r.a.JSON || time.Since(r.last) < noteEvery {
		return
	}
	r.last = time.Now()
	took := time.Since(r.start)
	left := time.Duration(float64(took) * float64(p.Left) / float64(max(now, 1)))
	r.a.note("%s of %s documents, %.0f a second, %s left", render.Count(p.Documents), render.Count(p.Documents+p.Left),
		float64(now)/took.Seconds(), render.Duration(left))
}

// print tells people what was done and what they can do next.
func (o *reindexOutput) print(a *app) {
	a.printf("%s documents re-encoded with %s into %s\n", render.Count(o.Documents-o.Skipped), o.Model, o.Collection)
	if o.Skipped > 0 {
		a.printf("%s documents without text were left out\n", render.Count(o.Skipped))
	}
	if o.Truncated > 0 {
		a.printf("%s documents are longer than the model's window and were cut\n", render.Count(o.Truncated))
	}
	if o.Alias == "" {
		a.printf("the name stays with %s; run the command without --no-switch to catch up and switch\n", o.Old)
		return
	}
	a.printf("%s leads to %s now, writes were held for %s\n", o.Alias, o.Collection, render.Duration(time.Duration(o.HeldMS*1e6)))
	a.note("back:       colbertdb alias %s --back\ndrop old:   colbertdb drop %s", o.Alias, o.Old)
}

// otherModel explains a model that is not the collection's, where nobody asked
// for another: the record's location holds a newer one.
func otherModel(name string, recorded *engine.Model, err error) error {
	return fmt.Errorf("%w\nThe model that %s was made with is no longer at %q: this program or the folder has another version of it.\n"+
		"Search by --vectors, get, stats, backup and the like work as before. To search and index text again:\n"+
		"    colbertdb reindex -c %s --model %s", err, name, recorded.Location, name, recorded.Location)
}
