package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Reindexing re-encodes a collection's text with another model into a new
// collection, while the old one serves and is written to, and then makes the
// name lead to the new one. docs/rfcs/0002-reindex-and-aliases.md has the
// protocol, N1 to N8, and why no write is lost.

// ReindexOptions configure a reindex. The zero value is ready to use.
type ReindexOptions struct {
	// Into names the new collection. Default: the name with a number, such as
	// docs-2.
	Into string
	// Profile and RetainRaw configure it. Default: those of the old one.
	Profile   *Profile
	RetainRaw *bool
	// SkipTextless leaves out documents that have vectors and no text. Default:
	// they are an error, before anything is encoded.
	SkipTextless bool
	// NoSwitch stops when the new collection has caught up and leaves the name
	// alone. The new collection can be searched by its own name; another call
	// goes on from there.
	NoSwitch bool
	// BatchDocuments is the number of documents encoded and stored in one step,
	// the most that a crash repeats. Default: 64.
	BatchDocuments int
	// Progress is called after every batch, by the goroutine that runs the
	// reindex.
	Progress func(ReindexProgress)
}

// ReindexPlan says what a reindex has before it.
type ReindexPlan struct {
	Source    string   // the collection, by its own name
	Into      string   // of an unfinished reindex that a call would resume; else ""
	Documents int64    // to encode
	Done      int64    // encoded by the unfinished reindex
	Textless  int64    // of Documents, without text
	Examples  []string // ids of the first of these
}

// ReindexProgress says how far a reindex is.
type ReindexProgress struct {
	Documents int64 // looked at, since the first call
	Left      int64 // that the plan counted and that are still to come
	Tokens    int64 // of all documents encoded since the first call
	Skipped   int64 // without text
	Truncated int64 // longer than the model's window
	Deleted   int64 // carried over
}

// ReindexResult says what a reindex did.
type ReindexResult struct {
	ReindexProgress
	Collection string        // the new one
	Old        string        // the old one, by the name that it has now
	Alias      string        // the name that leads to the new one; "" with NoSwitch
	Resumed    bool          // an earlier call had begun
	Held       time.Duration // the time that writes waited for the switch
}

// Reindex re-encodes the text of a collection, named by itself or by an alias,
// with another model into a new collection, and then switches the name to it,
// atomically. Meanwhile the old collection answers searches and takes writes,
// which are carried over; only for the last few documents do writes wait. A call
// that ended early is resumed by the next with the same name and model, also
// after a crash, and repeats at most a batch.
//
// Where name is a collection's own, the collection is renamed in the same step,
// to the name with a number, and name becomes an alias. The old collection stays
// until it is dropped; SetAlias switches back. Writes through handles opened
// before the switch return ErrMoved, reads go on.
//
// ErrNoText: documents have no text, and SkipTextless is not set.
func (e *Engine) Reindex(ctx context.Context, name string, enc encoder.Encoder, o *ReindexOptions) (*ReindexResult, error) {
	if e.opts.ReadOnly {
		return nil, fmt.Errorf("%w: opened with Options.ReadOnly", ErrReadOnly)
	}
	var opts ReindexOptions
	if o != nil {
		opts = *o
	}
	if opts.BatchDocuments <= 0 {
		opts.BatchDocuments = 64
	}
	r, err := e.beginReindex(name, enc, opts)
	if err != nil {
		return nil, err
	}
	defer r.end()
	if err := r.run(ctx); err != nil {
		return nil, fmt.Errorf("re-encoding collection %q: %w", r.source.title(), err)
	}
	return r.result(), nil
}

// PlanReindex says what Reindex would have to do, and whether it can.
func (e *Engine) PlanReindex(ctx context.Context, name string, enc encoder.Encoder) (*ReindexPlan, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.exit()
	e.mu.Lock()
	c := e.resolve(name)
	var into *collection
	var state *reindexRecord
	if c != nil {
		into, state = e.unfinished(c)
	}
	e.mu.Unlock()
	if c == nil {
		_, err := e.Collection(name)
		return nil, err
	}
	p := &ReindexPlan{Source: c.title()}
	if into != nil {
		if err := into.madeBy(enc); err != nil {
			return nil, err
		}
		p.Into, p.Done = into.title(), state.Documents
	}
	return p, p.count(ctx, c, state)
}

// count looks at the documents that are still to be encoded.
func (p *ReindexPlan) count(ctx context.Context, c *collection, state *reindexRecord) error {
	v, err := c.acquire()
	if err != nil {
		return err
	}
	defer c.release(v)
	from := segment.DocNum(0)
	if state != nil {
		from = state.Next
	}
	const examples = 3
	return v.from(ctx, from, func(src source, ord int) (bool, error) {
		p.Documents++
		if src.textBytes(ord) == 0 {
			if p.Textless++; len(p.Examples) < examples {
				p.Examples = append(p.Examples, src.ExternalID(ord))
			}
		}
		return true, nil
	})
}

// noText is the refusal of a plan with documents that have no text.
func (p *ReindexPlan) noText() error {
	return fmt.Errorf("%w: %d of %d documents of collection %q have vectors and no text, such as %s; delete them or skip them",
		ErrNoText, p.Textless, p.Documents, p.Source, quoted(p.Examples))
}

func quoted(ids []string) string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = fmt.Sprintf("%.60q", id)
	}
	return strings.Join(out, ", ")
}

// madeBy reports whether a collection holds the vectors of an encoder.
func (c *collection) madeBy(enc encoder.Encoder) error {
	if m, info := c.config.Model, enc.Info(); m == nil || m.Fingerprint != info.Fingerprint {
		was := "vectors from the caller"
		if m != nil {
			was = fmt.Sprintf("%s (fingerprint %.12s)", m.Name, m.Fingerprint)
		}
		return fmt.Errorf("%w: collection %q is being made with %s, the encoder given is %s (fingerprint %.12s); finish it, or drop collection %q first",
			ErrModelMismatch, c.title(), was, info.Name, info.Fingerprint, c.title())
	}
	return nil
}

// reindexRun is one call of Reindex.
type reindexRun struct {
	e       *Engine
	name    string // that the caller gave
	opts    ReindexOptions
	enc     encoder.Encoder
	source  *collection
	target  *Collection
	state   reindexRecord
	left    int64
	resumed bool
	last    bool // finish runs: Engine.pub is held
	held    time.Duration
	alias   string
}

// beginReindex finds the source, and the target of an unfinished run, and starts
// to note deletes (N1). end must follow.
func (e *Engine) beginReindex(name string, enc encoder.Encoder, opts ReindexOptions) (*reindexRun, error) {
	e.mu.Lock()
	c := e.resolve(name)
	e.mu.Unlock()
	if e.closed() {
		return nil, ErrClosed
	}
	if c == nil {
		_, err := e.Collection(name)
		return nil, err
	}
	if _, err := c.use(); err != nil {
		return nil, err
	}
	r, err := e.noteDeletes(c, name, enc, opts)
	if err != nil {
		c.unuse()
		return nil, err
	}
	return r, nil
}

// noteDeletes is beginReindex, once the source is kept open.
func (e *Engine) noteDeletes(c *collection, name string, enc encoder.Encoder, opts ReindexOptions) (*reindexRun, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if by := e.aliasOf(c); e.byName[name] != nil && by != "" && !opts.NoSwitch {
		return nil, fmt.Errorf("%w: alias %q leads to collection %q: reindex %q, so that it is the alias that is switched", ErrInvalid, by, name, by)
	}
	if e.reindexes[c.id] != nil {
		return nil, fmt.Errorf("%w: collection %q is itself being made by a reindex", ErrInvalid, c.title())
	}
	if c.notes != nil {
		return nil, fmt.Errorf("%w: collection %q is being re-encoded already", ErrInUse, c.title())
	}
	if c.bulk != nil {
		return nil, fmt.Errorf("%w: %q; finish it before the reindex", ErrBulkOpen, c.title())
	}
	if m := c.config.Model; m != nil && m.Fingerprint == enc.Info().Fingerprint {
		return nil, fmt.Errorf("%w: collection %q was made with %s (fingerprint %.12s) already", ErrInvalid, c.title(), m.Name, m.Fingerprint)
	}
	r := &reindexRun{e: e, name: name, opts: opts, enc: enc, source: c}
	if into, state := e.unfinished(c); into != nil {
		if err := into.madeBy(enc); err != nil {
			return nil, err
		}
		r.target, r.state, r.resumed = &Collection{c: into, enc: enc, reindex: true}, *state, true
	}
	c.notes = &deleteNotes{}
	return r, nil
}

// unfinished returns the collection that an unfinished reindex of c fills. The
// caller holds Engine.mu.
func (e *Engine) unfinished(c *collection) (*collection, *reindexRecord) {
	for _, into := range e.byName {
		if state := e.reindexes[into.id]; state != nil && state.Source == c.id {
			return into, state
		}
	}
	return nil, nil
}

// reindexOf names the source of the unfinished reindex that fills c, "" without.
func (e *Engine) reindexOf(c *collection) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	state := e.reindexes[c.id]
	if state == nil {
		return ""
	}
	for _, s := range e.byName {
		if s.id == state.Source {
			return s.title()
		}
	}
	return "(dropped)"
}

// end stops noting deletes.
func (r *reindexRun) end() {
	r.e.mu.Lock()
	r.source.notes = nil
	r.e.mu.Unlock()
	r.source.unuse()
}

func (r *reindexRun) run(ctx context.Context) error {
	plan := &ReindexPlan{Source: r.source.title()}
	var from *reindexRecord
	if r.resumed {
		from = &r.state
	}
	if err := plan.count(ctx, r.source, from); err != nil {
		return err
	}
	if plan.Textless > 0 && !r.opts.SkipTextless {
		return plan.noText()
	}
	r.left = plan.Documents
	if r.target == nil {
		if err := r.create(ctx); err != nil {
			return err
		}
	} else if err := r.compare(ctx); err != nil { // N2
		return err
	}
	const rounds, few = 10, 16
	for range rounds { // N3 to N5
		n, err := r.copyRound(ctx)
		if err != nil {
			return err
		}
		if err := r.drain(ctx); err != nil {
			return err
		}
		if n < few {
			break
		}
	}
	if r.opts.NoSwitch {
		return nil
	}
	return r.finish(ctx)
}

// finish is N6 to N8.
func (r *reindexRun) finish(ctx context.Context) error {
	return r.e.publishing(ctx, func(ctx context.Context) error {
		r.last = true
		start := time.Now()
		if err := r.source.gate.pause(ctx); err != nil {
			return err
		}
		defer func() {
			r.source.gate.resume()
			r.held = time.Since(start)
		}()
		if _, err := r.copyRound(ctx); err != nil {
			return err
		}
		if err := r.drain(ctx); err != nil {
			return err
		}
		return r.switchName()
	})
}

// create makes the target, together with the record that says that it is not
// complete.
func (r *reindexRun) create(ctx context.Context) error {
	c := r.source.config
	record := collectionRecord{Name: r.opts.Into, Dim: r.enc.Info().Dim, Profile: c.Profile, RetainRaw: c.RetainRaw}
	record.Indexes = r.source.declared()
	for _, x := range record.Indexes {
		record.NextIndex = max(record.NextIndex, x.ID)
	}
	if p, _ := codec.ParseProfile(c.Profile); p.PLAIDBits() > 0 { // its codebook is of the old model's vectors
		record.Profile = Exact.String()
	}
	if r.opts.Profile != nil {
		record.Profile = r.opts.Profile.String()
	}
	if r.opts.RetainRaw != nil {
		record.RetainRaw = *r.opts.RetainRaw
	}
	m := modelOf(r.enc)
	record.Model = &m
	r.state = reindexRecord{Source: r.source.id, Started: time.Now().UTC().Truncate(time.Second)}
	var made *collection
	err := r.e.publishing(ctx, func(context.Context) (err error) {
		e := r.e
		if record.Name, err = r.nameTarget(record.Name); err != nil {
			return err
		}
		record.ID = e.newCollectionID()
		made, err = e.create(&record, func(b *pebble.Batch) error {
			return b.Set(segment.ReindexKey(record.ID), r.state.encode(), nil)
		})
		if err != nil {
			return err
		}
		state := r.state
		e.mu.Lock()
		defer e.mu.Unlock()
		e.reindexes[made.id] = &state
		return nil
	})
	if err != nil {
		return err
	}
	r.target = &Collection{c: made, enc: r.enc, reindex: true}
	return nil
}

// nameTarget is the name of the collection to be made, given the one that was asked
// for, "" for any. The caller holds Engine.pub, under which alone names change.
func (r *reindexRun) nameTarget(asked string) (string, error) {
	e := r.e
	e.mu.Lock()
	defer e.mu.Unlock()
	if asked == "" {
		return e.freeName(r.name, 2), nil
	}
	if err := validName(asked); err != nil {
		return "", err
	}
	if e.resolve(asked) != nil {
		return "", fmt.Errorf("%w: the name %q is taken", ErrInvalid, asked)
	}
	return asked, nil
}

// switchName is N7 and N8. The caller holds Engine.pub, and writes to the source
// are held; readers do not wait for the disk.
func (r *reindexRun) switchName() error {
	e := r.e
	if r.source.dropped.Load() || r.target.c.dropped.Load() {
		return fmt.Errorf("%w: dropped meanwhile", ErrCollectionNotFound)
	}
	a := &alias{target: r.target.c, previous: r.source}
	ar := a.record()
	renamed := ""
	record := r.source.record.clone()
	e.mu.Lock()
	if e.byName[r.name] == r.source {
		renamed = e.freeName(r.name, 1)
		record.Name = renamed
	}
	keys := e.keys.inherited(r.source.id, r.target.c.id)
	e.mu.Unlock()
	err := e.guard.write(func() error {
		b := e.db.NewBatch()
		defer b.Close()
		errs := []error{keys.write(b), b.Set(segment.AliasKey(r.name), ar.encode(), nil), b.Delete(segment.ReindexKey(r.target.c.id), nil)}
		if renamed != "" {
			errs = append(errs, b.Set(segment.CollectionKey(record.ID), record.encode(), nil))
		}
		return errors.Join(append(errs, b.Commit(pebble.Sync))...)
	})
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if renamed != "" {
		r.source.record = record
		r.source.renamed.Store(&renamed)
		delete(e.byName, r.name)
		e.byName[renamed] = r.source
	}
	e.keys.addAll(keys)
	e.aliases[r.name] = a
	delete(e.reindexes, r.target.c.id)
	r.alias = r.name
	return nil
}

func (r *reindexRun) result() *ReindexResult {
	return &ReindexResult{
		ReindexProgress: r.progress(), Collection: r.target.c.title(), Old: r.source.title(),
		Alias: r.alias, Resumed: r.resumed, Held: r.held,
	}
}

func (r *reindexRun) progress() ReindexProgress {
	return ReindexProgress{
		Documents: r.state.Documents, Left: r.left, Tokens: r.state.Tokens,
		Skipped: r.state.Skipped, Truncated: r.state.Truncated, Deleted: r.state.Deleted,
	}
}
