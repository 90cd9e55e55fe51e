package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/watch"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
)

type watchCmd struct {
	Dir       string        `arg:"" help:"Folder to keep in step with."`
	Server    string        `env:"COLBERTDB_SERVER" placeholder:"URL" help:"Write to a collection of this server, which encodes. Default: to the store of --db, which nobody else can open meanwhile."`
	Key       string        `env:"COLBERTDB_KEY" placeholder:"KEY" help:"Key for the server, of scope rw."`
	Prefix    string        `help:"Put this in front of every id."`
	Source    string        `help:"Name of the folder, as for index. Default: its absolute path."`
	NoWindows bool          `help:"Cut passages at the model's window instead of splitting them."`
	Profile   string        `enum:"exact,balanced,compact," default:"" help:"What a new collection stores: exact (default), balanced or compact."`
	RetainRaw bool          `help:"A new collection also keeps the float16 vectors."`
	Settle    time.Duration `default:"100ms" placeholder:"TIME" help:"Wait for so long without changes before writing. Default: ${default}."`
}

// watcher keeps a collection in step with a folder: once as index does, then part by
// part as the system reports changes. What is in the collection it knows by heart.
type watcher struct {
	a      *app
	index  indexCmd // does the work
	folder *watch.Folder
	source string
	base   string // folder's name, with which paths begin
	dir    string
	p      *pipeline
}

// retryWatch is how long a watcher waits at first and at most for a server that does
// not answer.
const retryWatch, retryWatchMost = time.Second, 30 * time.Second

// Run syncs the collection with the folder and then keeps it so until it is told to
// end. Each time that something has changed it prints what was done.
func (c *watchCmd) Run(a *app) (err error) {
	w, err := c.watcher(a)
	if err != nil {
		return err
	}
	defer closing(&err, w)
	if c.Server != "" {
		err = w.useServer(c.Server, c.Key)
	} else {
		var db *engine.Engine
		if db, err = a.openStore(engine.Options{TrainTokens: trainTokens}); err == nil {
			defer closing(&err, db)
			err = w.index.collection(a, db, w.p, w.source)
		}
	}
	if err != nil {
		return err
	}
	if err = w.run(); a.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // told to end
	}
	return err
}

// watcher returns one that has no collection yet.
func (c *watchCmd) watcher(a *app) (*watcher, error) {
	w := &watcher{a: a, dir: c.Dir, index: indexCmd{
		Inputs: []string{c.Dir}, Prefix: c.Prefix, Source: c.Source, NoWindows: c.NoWindows, Profile: c.Profile, RetainRaw: c.RetainRaw,
	}}
	whole, err := w.open(nil)
	if err != nil {
		return nil, err
	}
	if whole.Root() == "" {
		return nil, usagef("%s is no folder of files", c.Dir)
	}
	w.source, w.base = cmp.Or(c.Source, whole.Source()), whole.Base()
	w.p = w.index.pipeline(a, w.report())
	w.folder, err = watch.Open(whole.Root(), c.Settle)
	return w, err
}

// Close ends the watching and closes the model.
func (w *watcher) Close() error {
	err := w.folder.Close()
	if w.p.encoder != nil {
		closing(&err, w.p.encoder)
	}
	return err
}

// useServer makes the pipeline write to a server's collection, made if it is not there.
func (w *watcher) useServer(address, key string) error {
	a, p := w.a, w.p
	db, err := remote.Open(a.ctx, address, &remote.Options{Key: key})
	if err != nil {
		return err
	}
	col, err := db.Collection(a.ctx, a.Collection)
	if errors.Is(err, engine.ErrCollectionNotFound) {
		var profile engine.Profile
		if profile, err = engine.ParseProfile(cmp.Or(w.index.Profile, "exact")); err != nil {
			return usageError{err}
		}
		col, err = db.CreateCollection(a.ctx, a.Collection, engine.CollectionConfig{Profile: profile, RetainRaw: w.index.RetainRaw})
	}
	if err != nil {
		return err
	}
	info, err := col.(*remote.Handle).Info(a.ctx)
	if err != nil {
		return err
	}
	if info.Model == nil {
		return fmt.Errorf("%w: collection %q has no model, so the server cannot encode text", engine.ErrNoEncoder, a.Collection)
	}
	p.col, p.dim, p.serverEncodes, p.bulkAfter = col, info.Dim, true, math.MaxInt64
	p.load = func() (encoder.Encoder, error) { // to split passages as the server's model needs it
		enc, err := a.loadModel(cmp.Or(a.Model, info.Model.Location, modelBundled))
		if err == nil && enc.Info().Name != info.Model.Name {
			err = errors.Join(fmt.Errorf("%w: it is %q, the collection's is %q", engine.ErrModelMismatch, enc.Info().Name, info.Model.Name), enc.Close())
		}
		if err != nil {
			return nil, fmt.Errorf("the model that splits long passages: %w; --model names another place, --no-windows does without", err)
		}
		return enc, nil
	}
	return w.reload()
}

// reload reads what the collection has.
func (w *watcher) reload() error {
	p := w.p
	var info engine.CollectionInfo
	var err error
	switch c := p.col.(type) {
	case nil: // nothing was stored yet
		return nil
	case *engine.Collection:
		info = c.Info()
	case *remote.Handle:
		if info, err = c.Info(w.a.ctx); err != nil {
			return err
		}
	}
	var texts []string
	if exactVectors(&info) {
		texts = []string{w.source}
	}
	p.known, p.contents, err = loadKnown(w.a.ctx, p.col, texts...)
	return err
}

// open lists the folder, or parts of it.
func (w *watcher) open(parts []string) (*ingest.Input, error) {
	return ingest.Open(w.dir, ingest.Options{Prefix: w.index.Prefix, Only: parts}, nil)
}

// list lists parts of the folder once all folders in them are watched: what comes later
// is reported.
func (w *watcher) list(parts []string) (*ingest.Input, error) {
	for {
		in, err := w.open(parts)
		if err != nil {
			return nil, err
		}
		if added, err := w.folder.Watch(in.Folders()); err != nil || !added {
			return in, err
		}
	}
}

func (w *watcher) report() *report {
	return &report{onProblem: func(p *ingest.Problem) { fmt.Fprintf(w.a.stderr, "colbertdb: %v\n", p) }}
}

// run does the first sync and what follows.
func (w *watcher) run() error {
	in, err := w.list(nil)
	if err != nil {
		return err
	}
	start := time.Now()
	r := w.p.report
	changed, err := w.index.run(w.a, w.p, []source{{w.source, in}}, r)
	if err != nil {
		return err
	}
	if col, ok := w.p.col.(*engine.Collection); ok && changed {
		if err := makeReady(w.a, col); err != nil {
			return err
		}
	}
	if err := w.reload(); err != nil {
		return err
	}
	w.p.bulkAfter = math.MaxInt64
	w.print(r, start)
	w.a.note("watching %s: %d files in %d folders", w.dir, in.Files(), len(in.Folders()))
	for {
		parts, err := w.folder.Next(w.a.ctx)
		if err != nil {
			return err
		}
		if err := w.follow(parts); err != nil {
			return err
		}
	}
}

// follow brings the collection in step with parts of the folder. A server that does not
// answer is asked again, later and later.
func (w *watcher) follow(parts []string) error {
	for wait := retryWatch; ; wait = min(2*wait, retryWatchMost) {
		start := time.Now()
		r := w.report()
		err := w.round(parts, r)
		if err == nil {
			w.print(r, start)
			return nil
		}
		var answer *remote.Error
		if !w.p.serverEncodes || w.a.ctx.Err() != nil || errors.As(err, &answer) && answer.Status < 500 && answer.Status != http.StatusTooManyRequests {
			return err
		}
		fmt.Fprintf(w.a.stderr, "colbertdb: %v; again in %v\n", err, wait)
		select {
		case <-w.a.ctx.Done():
			return w.a.ctx.Err()
		case <-time.After(wait):
		}
	}
}

// round is one sync of parts.
func (w *watcher) round(parts []string, r *report) error {
	ctx, p := w.a.ctx, w.p
	in, err := w.list(parts)
	if err != nil {
		return err
	}
	now := map[string]*stored{} // passages that were stored
	p.report = r
	p.done = func(j *encodedJob) {
		if j.change == unchanged {
			return // its leftovers are gone, which need not be known
		}
		s := &stored{source: j.source, path: j.passage.Path, seen: true}
		for i := range j.docs {
			s.docs = append(s.docs, storedDoc{id: j.docs[i].ID, hash: j.hash, text: digestOf(j.docs[i].Text)})
		}
		now[j.passage.ID] = s
	}
	before, had := p.stored.Load(), p.col != nil
	_, err = p.run(ctx, []source{{w.source, in}})
	r.Documents = p.stored.Load() - before
	if !had {
		return errors.Join(err, w.reload())
	}
	for name, s := range now { // what was stored is known even after an error
		w.p.replace(name, s)
	}
	if err != nil {
		return err
	}
	return w.remove(parts, r)
}

// replace notes what the collection has of a passage now.
func (p *pipeline) replace(name string, now *stored) {
	if p.contents != nil {
		if old := p.known[name]; old != nil {
			for _, d := range old.docs {
				p.contents.forget(d)
			}
		}
		for _, d := range now.docs {
			p.contents.ids[d.text] = d.id
		}
	}
	p.known[name] = now
}

// remove deletes the passages of parts that were not seen there. Those of a file that
// could not be read, or in a folder that could not be listed, stay.
func (w *watcher) remove(parts []string, r *report) error {
	unread := func(path string) bool {
		return slices.ContainsFunc(r.unread, func(name string) bool { return ingest.Below(path, name) })
	}
	var ids []string
	var gone []string
	for name, s := range w.p.known {
		if s.source != w.source || !w.within(s.path, parts) {
			continue
		}
		if s.seen || unread(s.path) {
			s.seen = false
			continue
		}
		gone = append(gone, name)
		for _, d := range s.docs {
			ids = append(ids, d.id)
			w.p.contents.remove(w.a.ctx, w.p.col, d)
		}
	}
	if err := w.p.remove(w.a.ctx, ids); err != nil {
		return err
	}
	for _, name := range gone {
		delete(w.p.known, name)
	}
	r.count(removed, len(gone))
	return nil
}

// within reports whether the file of a passage is in one of the parts.
func (w *watcher) within(path string, parts []string) bool {
	rel, ok := strings.CutPrefix(path, w.base+"/")
	if !ok {
		return false
	}
	for _, p := range parts {
		if ingest.Below(rel, p) {
			return true
		}
	}
	return false
}

// print says what a sync has done, unless that is nothing.
func (w *watcher) print(r *report, start time.Time) {
	r.Seconds = time.Since(start).Seconds()
	if r.Added+r.Changed+r.Removed+r.Failed == 0 {
		return
	}
	if w.a.JSON {
		_ = w.a.printJSON(r)
		return
	}
	line := fmt.Sprintf("added %d, changed %d, removed %d; encoded %d texts", r.Added, r.Changed, r.Removed, r.Encoded)
	if r.Reused > 0 {
		line += fmt.Sprintf(", had %d", r.Reused)
	}
	w.a.printf("%s\n", line)
}
