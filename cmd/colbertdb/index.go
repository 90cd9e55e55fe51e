package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
)

type indexCmd struct {
	Inputs    []string `arg:"" name:"input" help:"Files, folders, or - for standard input."`
	Format    string   `placeholder:"FORMAT" help:"text, markdown, html, code, jsonl, tsv, beir or go-doc; of vectors: npy, npz, safetensors or parquet. Default: by file name."`
	GoDoc     bool     `name:"go-doc" help:"The inputs are trees of Go packages, such as GOROOT/src; index their documentation."`
	Prefix    string   `help:"Put this in front of every id."`
	Source    string   `help:"Name of the input for later syncs. Default: its absolute path."`
	DryRun    bool     `short:"n" help:"Show what would change and write nothing."`
	Keep      bool     `help:"Do not delete what has vanished from the input."`
	NoWindows bool     `help:"Cut passages at the model's window instead of splitting them."`
	Profile   string   `enum:"exact,balanced,compact," default:"" help:"What a new collection stores: exact (default), balanced or compact."`
	RetainRaw bool     `help:"A new collection also keeps the float16 vectors."`

	passages bool // every document names its passage, not only windows
}

// trainTokens is the number of tokens at which a collection gets its codebook:
// the engine's default, named here because index waits for the training that
// the engine does in the background.
const trainTokens = 200_000

// indexMemory is the memory budget while indexing, which searches nothing.
const indexMemory = 256 << 20

// Run syncs a collection with the inputs: encodes what is new or changed, and
// deletes what an earlier run brought from the same inputs and they no longer
// have. What is stored stays stored when the run is interrupted, and the next
// run goes on from there.
func (c *indexCmd) Run(a *app) (err error) {
	sources, err := c.open(a)
	if err != nil {
		return err
	}
	start := time.Now()
	r := &report{DryRun: c.DryRun, onProblem: func(p *ingest.Problem) {
		fmt.Fprintf(a.stderr, "colbertdb: %v\n", p)
	}}
	if c.DryRun {
		err = c.dryRun(a, sources, r)
	} else {
		err = c.sync(a, sources, r)
	}
	r.Seconds = time.Since(start).Seconds()
	if a.JSON {
		err = errors.Join(err, a.printJSON(r))
	} else {
		c.summary(a, r, err)
	}
	if err == nil && r.Failed > 0 {
		return statusError(exitPartial)
	}
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted; what was stored stays, and the same command goes on from there")
	}
	return err
}

// open prepares the inputs before anything is written.
func (c *indexCmd) open(a *app) ([]source, error) {
	format, err := ingest.ParseFormat(c.Format)
	if err != nil {
		return nil, usageError{err}
	}
	if c.GoDoc {
		if format != ingest.Auto && format != ingest.GoDoc {
			return nil, usagef("--go-doc and --format %s exclude each other", format)
		}
		format = ingest.GoDoc
	}
	if c.Source != "" && len(c.Inputs) > 1 {
		return nil, usagef("--source names one input, %d were given", len(c.Inputs))
	}
	var out []source
	seen := map[string]bool{}
	for _, name := range c.Inputs {
		in, err := ingest.Open(name, ingest.Options{Format: format, Prefix: c.Prefix}, a.stdin)
		if err != nil {
			return nil, err
		}
		s := source{cmp.Or(c.Source, in.Source()), in}
		if seen[s.name] {
			return nil, usagef("input %s is given twice", name)
		}
		seen[s.name] = true
		if in.Files() == 0 {
			a.note("colbertdb: %s has no files to index (%d skipped)", name, in.Skipped())
		}
		out = append(out, s)
	}
	return out, nil
}

// syncable are the sources from which a missing passage has vanished: an
// unnamed stream is never the whole of anything.
func (c *indexCmd) syncable(clean map[string]bool) map[string]bool {
	out := maps.Clone(clean)
	maps.DeleteFunc(out, func(name string, ok bool) bool { return !ok || name == "stdin" && c.Source == "" })
	if c.Keep {
		clear(out)
	}
	return out
}

// dryRun compares and writes nothing.
func (c *indexCmd) dryRun(a *app, sources []source, r *report) (err error) {
	k := known{}
	db, err := a.readStore()
	if err == nil {
		defer closing(&err, db)
		var col *engine.Collection
		if col, err = db.Collection(a.Collection); err == nil {
			k, _, err = loadKnown(a.ctx, col)
		}
	}
	if err != nil && !errors.Is(err, errNoStore) && !errors.Is(err, engine.ErrCollectionNotFound) {
		return err
	}
	p := &pipeline{known: k, windows: !c.NoWindows, report: r, progress: func() {}}
	jobs := make(chan job)
	var clean map[string]bool
	go func() {
		defer close(jobs)
		clean, err = p.produce(a.ctx, sources, jobs)
	}()
	for j := range jobs {
		r.count(j.change, 1)
		if j.change != unchanged {
			r.Changes = append(r.Changes, changeLine{j.change, j.passage.ID})
		}
	}
	if err != nil {
		return err
	}
	n, _, names := k.vanished(c.syncable(clean))
	r.count(removed, n)
	slices.Sort(names)
	for _, name := range names {
		r.Changes = append(r.Changes, changeLine{removed, name})
	}
	return nil
}

// sync does it.
func (c *indexCmd) sync(a *app, sources []source, r *report) (err error) {
	db, err := a.openStore(engine.Options{TrainTokens: trainTokens, MemoryBudget: indexMemory})
	if err != nil {
		return err
	}
	defer closing(&err, db)
	p := c.pipeline(a, r)
	if err := c.collection(a, db, p, folders(sources)...); err != nil {
		return err
	}
	defer func() {
		if p.encoder != nil {
			closing(&err, p.encoder)
		}
	}()
	if changed, err := c.run(a, p, sources, r); err != nil || !changed {
		return err
	}
	return makeReady(a, p.col.(*engine.Collection))
}

// folders are the names of the sources whose texts come without vectors.
func folders(sources []source) (names []string) {
	for _, s := range sources {
		if s.input.Root() != "" && !s.input.Lines() {
			names = append(names, s.name)
		}
	}
	return names
}

// pipeline returns one that has neither collection nor model yet.
func (c *indexCmd) pipeline(a *app, r *report) *pipeline {
	return &pipeline{known: known{}, windows: !c.NoWindows, passages: c.passages, bulkAfter: bulkAfter, report: r, log: a.logger()}
}

// run takes the sources through a pipeline, deletes what has vanished from them, and
// reports whether the collection has changed.
func (c *indexCmd) run(a *app, p *pipeline, sources []source, r *report) (changed bool, err error) {
	bar := a.bar()
	var drawing sync.Mutex
	p.progress = func() {
		if bar == nil {
			return
		}
		var done, total int64
		for _, s := range sources {
			d, t := s.input.Progress()
			done, total = done+d, total+t
		}
		drawing.Lock()
		defer drawing.Unlock()
		bar.Update(done, total, p.read.Load(), p.stored.Load(), p.tokens.Load())
	}
	report := r.onProblem
	r.onProblem = func(problem *ingest.Problem) {
		drawing.Lock()
		defer drawing.Unlock()
		bar.Close()
		report(problem)
	}
	clean, err := p.run(a.ctx, sources)
	bar.Close()
	r.Documents, r.Tokens = p.stored.Load(), p.tokens.Load()
	if err != nil || p.col == nil {
		return false, err
	}
	n, ids, _ := p.known.vanished(c.syncable(clean))
	if err := p.remove(a.ctx, ids); err != nil {
		return false, err
	}
	r.count(removed, n)
	if !c.Keep {
		all := map[string]bool{}
		for name := range clean {
			all[name] = true
		}
		kept, _, _ := p.known.vanished(c.syncable(all))
		r.Kept = kept - n
	}
	return r.Documents > 0 || n > 0, nil
}

// makeReady makes what was stored ready for searches: with a codebook where there is
// enough for one.
func makeReady(a *app, col *engine.Collection) error {
	if info := col.Info(); info.Cells == 0 && info.Tokens >= trainTokens {
		a.note("training the codebook on %s tokens", render.Count(info.Tokens))
		return col.Compact(a.ctx)
	}
	return col.Flush(a.ctx)
}

// collection opens the collection, or says how the pipeline makes it when the
// first passage shows what vectors it needs. Vectors of texts of the given sources are
// not made again.
func (c *indexCmd) collection(a *app, db *engine.Engine, p *pipeline, texts ...string) error {
	profile, err := engine.ParseProfile(cmp.Or(c.Profile, "exact"))
	if err != nil {
		return usageError{err}
	}
	col, err := db.Collection(a.Collection)
	switch {
	case errors.Is(err, engine.ErrCollectionNotFound):
		p.create = func(enc encoder.Encoder, dim int) (*engine.Collection, error) {
			return db.CreateCollection(a.ctx, a.Collection, engine.CollectionConfig{Dim: dim, Profile: profile, RetainRaw: c.RetainRaw, Encoder: enc})
		}
		p.load = func() (encoder.Encoder, error) { return a.loadModel(cmp.Or(a.Model, modelBundled)) }
		p.explicitModel = a.Model != ""
		return nil
	case err != nil:
		return err
	}
	info := col.Info()
	if c.Profile != "" && profile != info.Profile || c.RetainRaw && !info.RetainRaw {
		return fmt.Errorf("%w: %q has profile %s, retain_raw %t; --profile and --retain-raw are for new collections",
			engine.ErrCollectionExists, a.Collection, info.Profile, info.RetainRaw)
	}
	p.load = func() (encoder.Encoder, error) {
		_, enc, err := a.withModel(db, a.Collection)
		return enc, err
	}
	if a.Model != "" { // a model given by name is checked even when nothing needs encoding
		if _, err := p.model(); err != nil {
			return err
		}
	}
	p.col, p.dim = col, info.Dim
	if !exactVectors(&info) {
		texts = nil
	}
	p.known, p.contents, err = loadKnown(a.ctx, col, texts...)
	return err
}

// summary says what was done, for people.
func (c *indexCmd) summary(a *app, r *report, err error) {
	if c.DryRun {
		s := a.style(a.stdout)
		for _, ch := range r.Changes {
			switch ch.Change {
			case added:
				a.printf("%s\n", s.Good("+ "+ch.ID))
			case changed:
				a.printf("%s\n", s.Bold("~ "+ch.ID))
			case removed:
				a.printf("%s\n", s.Bad("- "+ch.ID))
			}
		}
	}
	if a.Quiet {
		return
	}
	n := func(i int) string { return render.Count(int64(i)) }
	line := fmt.Sprintf("added %s, changed %s, removed %s, unchanged %s", n(r.Added), n(r.Changed), n(r.Removed), n(r.Unchanged))
	if r.Failed > 0 {
		line += ", failed " + n(r.Failed)
	}
	if c.DryRun {
		line = "would be: " + line
	}
	a.printf("%s\n", line)
	var notes []string
	if r.Documents > 0 {
		t := fmt.Sprintf("%s documents stored in %s", render.Count(r.Documents), render.Duration(time.Duration(r.Seconds*1e9)))
		if r.Tokens > 0 {
			t += fmt.Sprintf(", %s tokens, %s a second", render.Count(r.Tokens), render.Count(int64(float64(r.Tokens)/max(r.Seconds, 1e-3))))
		}
		notes = append(notes, t)
	}
	if r.TruncatedDocs > 0 {
		notes = append(notes, fmt.Sprintf("%s tokens of %s documents lie beyond the model's window and were cut", n(r.TruncatedTokens), n(r.TruncatedDocs)))
	}
	for _, from := range slices.Sorted(maps.Keys(r.TakenOver)) {
		notes = append(notes, fmt.Sprintf("%s passages have ids that belonged to %s and replaced them; --prefix keeps inputs apart", n(r.TakenOver[from]), cmp.Or(from, "documents that index did not write")))
	}
	if r.Kept > 0 {
		notes = append(notes, fmt.Sprintf("%s passages that the input no longer shows were kept, because parts of it could not be read", n(r.Kept)))
	}
	if err == nil && r.Failed > 0 {
		notes = append(notes, "exit status 3: some of the input could not be read or stored, see above")
	}
	if len(notes) > 0 {
		a.note("%s", strings.Join(notes, "\n"))
	}
}
