package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/wal"
)

// Collection is a handle on one collection, with the encoder that this handle
// uses for text, if any.
type Collection struct {
	c       *collection
	enc     encoder.Encoder
	via     string  // the name that it was opened by
	reindex bool    // fills a collection that is not complete
	key     *string // idempotency key of its writes; nil: none
}

// collection is the one state behind all handles of a collection.
type collection struct {
	engine *Engine
	id     uint32
	name   string
	config collectionRecord // as created; never changes
	// indexes are those declared; replaced under Engine.pub.
	indexes atomic.Pointer[[]segment.IndexSpec]

	record collectionRecord // as stored; guarded by Engine.pub, or by opening while at rest

	// Guarded by Engine.mu.
	active  *memtable   // nil at rest
	frozen  []*memtable // oldest first
	nextNum segment.DocNum
	lastSeq uint64
	// unsealedSince is the time of the oldest change that is in the log alone,
	// zero where there is none.
	unsealedSince time.Time
	bulk          *bulkState      // of the open load; changed under Engine.pub too
	alive         context.Context // ends when the collection is dropped or the store closes
	drop          context.CancelFunc
	inRoom        int64                // what Engine.room counts of its buffers
	logFile       wal.FileNum          // the newest file with a record of it; changed under Engine.commitMu
	cloned        map[*segHandle]bool  // live bits copied for the commit group in hand
	refs          map[string]storedRef // what the store has for the ids of that group
	notes         *deleteNotes         // while it is re-encoded

	gate    gate                   // held while its name is switched
	renamed atomic.Pointer[string] // its name, once it is another

	calibration atomic.Pointer[Calibration] // replaced under Engine.pub

	dropped atomic.Bool
	used    atomic.Int64 // Engine.clock at its last use
	changed atomic.Int64 // time of the last write or opening, Unix nanoseconds
	opening sync.Mutex   // taken before Engine.mu

	// replaced leads from ids to the documents that a load is about to replace:
	// the store has the new numbers already, the current version not yet.
	replaced atomic.Pointer[map[string]segment.DocNum]

	vmu     sync.Mutex
	current *version // nil at rest
	users   int      // versions acquired and not yet released, and writes
}

// CollectionOption changes how Engine.Collection opens a collection.
type CollectionOption func(*Collection) error

// WithEncoder attaches an encoder for text. It must be the one that the
// collection was made with: ErrModelMismatch otherwise.
func WithEncoder(enc encoder.Encoder) CollectionOption {
	return func(h *Collection) error {
		info, r := enc.Info(), &h.c.config
		if info.Dim != r.Dim {
			return fmt.Errorf("%w: collection %q has dimension %d, encoder %s %d", ErrModelMismatch, h.c.name, r.Dim, info.Name, info.Dim)
		}
		if r.Model != nil && r.Model.Fingerprint != info.Fingerprint {
			return fmt.Errorf("%w: collection %q was made with %s (fingerprint %.12s), the encoder given is %s (fingerprint %.12s); vectors of the two cannot be compared",
				ErrModelMismatch, h.c.name, r.Model.Name, r.Model.Fingerprint, info.Name, info.Fingerprint)
		}
		h.enc = enc
		return nil
	}
}

// CreateCollection creates a collection, or opens the one of that name when
// its configuration is equal; ErrCollectionExists when it is not.
func (e *Engine) CreateCollection(ctx context.Context, name string, cfg CollectionConfig) (*Collection, error) {
	if err := validName(name); err != nil {
		return nil, err
	}
	if err := validRecallTarget(cfg.RecallTarget); err != nil {
		return nil, err
	}
	r := collectionRecord{Name: name, Dim: cfg.Dim, Profile: cfg.Profile.String(), RetainRaw: cfg.RetainRaw, RecallTarget: cfg.RecallTarget}
	if cfg.Encoder != nil {
		m := modelOf(cfg.Encoder)
		r.Model = &m
		if dim := cfg.Encoder.Info().Dim; r.Dim == 0 {
			r.Dim = dim
		} else if r.Dim != dim {
			return nil, fmt.Errorf("%w: CollectionConfig.Dim is %d, the encoder's %d", ErrDimension, r.Dim, dim)
		}
	}
	if err := codec.ValidDim(r.Dim); err != nil {
		return nil, err
	}
	if _, err := codec.ParseProfile(r.Profile); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	a, err := cfg.analyzer()
	if err != nil {
		return nil, err
	}
	r.indexText(a)
	if cfg.Profile.PLAIDBits() > 0 {
		return nil, fmt.Errorf("%w: a collection of profile %s is made by ImportPLAID", ErrInvalid, r.Profile)
	}
	var c *collection
	create := func(context.Context) (err error) {
		e.mu.Lock()
		c = e.resolve(name)
		e.mu.Unlock()
		if c != nil {
			return nil
		}
		if err := e.disk.grow(0); err != nil {
			return err
		}
		r.ID = e.newCollectionID()
		c, err = e.create(&r, func(*pebble.Batch) error { return nil })
		return err
	}
	if h, err := e.Collection(name); err == nil {
		c = h.c
	} else if err := e.publishing(ctx, create); err != nil {
		return nil, err
	}
	if err := r.sameConfig(&c.config); err != nil {
		return nil, err
	}
	h := &Collection{c: c, via: name}
	if cfg.Encoder != nil {
		return h, WithEncoder(cfg.Encoder)(h)
	}
	return h, nil
}

// newCollectionID returns an id for a collection; one that is not used in the end
// is lost.
func (e *Engine) newCollectionID() (id uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	id = e.nextColl
	e.nextColl++
	return id
}

// create makes the collection of a record, which has a new id, and writes what more
// adds in the same batch. The caller holds Engine.pub, under which alone names
// change, and not Engine.mu: readers do not wait for the disk.
func (e *Engine) create(r *collectionRecord, more func(*pebble.Batch) error) (*collection, error) {
	e.mu.Lock()
	state := e.state()
	e.mu.Unlock()
	err := e.noteCollection(collectionNote{Created: r})
	if err == nil {
		err = e.guard.write(func() error { return e.writeCollection(&state, r, more) })
	}
	if err != nil {
		return nil, err
	}
	c := newCollection(e, *r)
	name := r.Name
	e.mu.Lock()
	e.byName[name] = c
	e.mu.Unlock()
	e.events.emit(func(l *EventListener) { l.CollectionCreated(name) })
	return c, nil
}

func (r *collectionRecord) sameConfig(have *collectionRecord) error {
	if r.Dim != have.Dim || r.Profile != have.Profile || r.RetainRaw != have.RetainRaw {
		return fmt.Errorf("%w: %q has dimension %d, profile %s, retain_raw %t; asked for %d, %s, %t",
			ErrCollectionExists, have.Name, have.Dim, have.Profile, have.RetainRaw, r.Dim, r.Profile, r.RetainRaw)
	}
	return nil
}

func (e *Engine) writeCollection(s *storeState, r *collectionRecord, more func(*pebble.Batch) error) error {
	b := e.db.NewBatch()
	defer b.Close()
	if err := errors.Join(b.Set(segment.ManifestKey(), s.encode(), nil), b.Set(segment.CollectionKey(r.ID), r.encode(), nil), more(b)); err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}

func newCollection(e *Engine, r collectionRecord) *collection {
	config := r
	config.Segments, config.Indexes = nil, nil // those of the record count
	c := &collection{engine: e, id: r.ID, name: r.Name, config: config, record: r, nextNum: r.NextNum}
	c.setDeclared(r.Indexes)
	c.calibration.Store(r.Calibration)
	c.alive, c.drop = context.WithCancel(e.ctx)
	return c
}

// flatSpace is the space of a collection without a codebook.
func (c *collection) flatSpace() *space {
	profile, _ := codec.ParseProfile(c.config.Profile) // checked when it was created or loaded
	return newSpace(c.id, c.config.Dim, profile, c.config.RetainRaw)
}

// Collection opens a collection by its name or an alias; ErrCollectionNotFound
// says which there are.
func (e *Engine) Collection(name string, opts ...CollectionOption) (*Collection, error) {
	e.mu.Lock()
	c, closed := e.resolve(name), e.closed()
	var names []string
	if c == nil {
		names = slices.AppendSeq(slices.Collect(maps.Keys(e.byName)), maps.Keys(e.aliases))
	}
	e.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if c == nil {
		sort.Strings(names)
		have := "the store has none"
		if len(names) > 0 {
			have = "the store has " + strings.Join(names, ", ")
		}
		return nil, fmt.Errorf("%w: %q; %s", ErrCollectionNotFound, name, have)
	}
	h := &Collection{c: c, via: name}
	for _, opt := range opts {
		if err := opt(h); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// DropCollection removes a collection and all its documents.
func (e *Engine) DropCollection(ctx context.Context, name string) error {
	err := e.publishing(ctx, func(ctx context.Context) error {
		h, err := e.Collection(name)
		if err != nil {
			return err
		}
		c := h.c
		e.mu.Lock()
		err = e.mayDrop(name)
		e.mu.Unlock()
		if err != nil {
			return err
		}
		// The note that follows must find room: the log would not tell of the drop.
		if err := e.log.SetAside(collectionNote{Dropped: c.id}.record()); err != nil {
			return e.logFailed(err)
		}
		if err := e.guard.write(func() error { return e.writeDrop(c) }); err != nil {
			return err
		}
		c.drop()         // before a merge can see the empty version
		c.opening.Lock() // whoever is opening it has done so before
		e.commitMu.Lock()
		err = e.noteCollection(collectionNote{Dropped: c.id})
		e.mu.Lock()
		delete(e.byName, name)
		e.keys.forget(c.id)
		e.forget(c)
		if c.logFile >= e.walLow { // also of a write since writeDrop
			e.droppedIDs = append(e.droppedIDs, c.id)
		}
		c.dropped.Store(true)
		if c.current != nil {
			for _, s := range c.current.segs {
				s.leave()
			}
			c.active, c.frozen = newMemtable(c.current.space, nil), nil
			c.publish(&version{space: c.current.space, mems: []*memView{c.active.view()}, seq: e.seq})
			e.noteUnsealed(c)
		} else {
			for _, s := range c.record.Segments {
				e.obsolete.put(obsolete{id: s.ID})
			}
		}
		delete(e.mergeable, c)
		delete(e.restless, c)
		e.mu.Unlock()
		e.commitMu.Unlock()
		c.opening.Unlock()
		e.events.emit(func(l *EventListener) { l.CollectionDropped(name) })
		return err
	})
	if err != nil {
		return err
	}
	if err = e.exciseObsolete(ctx); errors.Is(err, ErrDiskFull) {
		e.wake() // it is dropped all the same; its space comes back a little later
		return nil
	}
	return err
}

// writeDrop removes what belongs to a collection alone. The manifest says that it
// was dropped: until the collection is gone from memory too, a write may still be
// logged. The caller holds Engine.pub.
func (e *Engine) writeDrop(c *collection) error {
	e.mu.Lock()
	state := e.state()
	e.mu.Unlock()
	state.Dropped = append(state.Dropped, c.id)
	b := e.db.NewBatch()
	defer b.Close()
	for _, span := range segment.CollectionSpans(c.id) {
		if err := b.DeleteRange(span.Start, span.End, nil); err != nil {
			return err
		}
	}
	if err := b.Set(segment.ManifestKey(), state.encode(), nil); err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}

// Name returns the collection's own name, also of a handle opened by an alias.
func (h *Collection) Name() string { return h.c.title() }

// Encoder returns the encoder attached to this handle, nil without one.
func (h *Collection) Encoder() encoder.Encoder { return h.enc }

// Model names the model that the collection was made with, nil for one of vectors
// from the caller. Unlike Info it costs nothing.
func (h *Collection) Model() *Model { return h.c.config.Model }

// Upsert stores documents, replacing those of the same id, in one step: all or
// none, durable as Options.Sync says and visible to every search that starts
// after it returns. Where an id occurs twice, the last wins. It returns the
// sequence number of the change.
func (h *Collection) Upsert(ctx context.Context, docs ...Document) (seq uint64, err error) {
	if len(docs) == 0 {
		return 0, fmt.Errorf("%w: no documents", ErrInvalid)
	}
	var b Batch
	b.Upsert(docs...)
	r, err := h.Apply(ctx, &b)
	return r.Seq, err
}

// encodeTexts encodes the documents that have text and no vectors.
func (h *Collection) encodeTexts(ctx context.Context, docs []Document) ([]Document, error) {
	var texts []string
	var which []int
	for i := range docs {
		if len(docs[i].Vectors.Data) == 0 && docs[i].Text != "" {
			texts, which = append(texts, docs[i].Text), append(which, i)
		}
	}
	if len(texts) == 0 {
		return docs, nil
	}
	if h.enc == nil {
		return nil, fmt.Errorf("%w: document %q has text and no vectors; open the collection with WithEncoder", ErrNoEncoder, docs[which[0]].ID)
	}
	encoded, err := encodeDocuments(ctx, h.enc, texts)
	if err != nil {
		return nil, err
	}
	docs = append([]Document(nil), docs...)
	for i, at := range which {
		docs[at].Vectors = encoded[i].Vectors
	}
	return docs, nil
}

// DeleteResult says what a Delete, DeleteWhere or Apply did.
type DeleteResult struct {
	Deleted int    // documents that were there
	Seq     uint64 // sequence number of the change
}

// Delete removes documents in one step; ids that are not there are no error.
func (h *Collection) Delete(ctx context.Context, ids ...string) (DeleteResult, error) {
	if len(ids) == 0 {
		return DeleteResult{}, fmt.Errorf("%w: no ids", ErrInvalid)
	}
	var b Batch
	b.Delete(ids...)
	return h.Apply(ctx, &b)
}

// Get returns a document with its vectors as the collection represents them;
// ErrNotFound where there is none.
func (h *Collection) Get(ctx context.Context, id string) (*Document, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := h.c.engine.enter(); err != nil {
		return nil, err
	}
	defer h.c.engine.exit()
	for {
		d, stale, err := h.c.get(id)
		if err != nil {
			return nil, err
		}
		if d != nil {
			return d, nil
		}
		if !stale {
			return nil, fmt.Errorf("%w: %q in collection %q", ErrNotFound, id, h.c.name)
		}
	}
}

// get reads the live document with an id, nil where there is none. The store's
// id map may be newer than the version in hand: stale says that a seal came in
// between, so that the id leads to a document that only a later version has.
func (c *collection) get(id string) (d *Document, stale bool, err error) {
	v, err := c.acquire()
	if err != nil {
		return nil, false, err
	}
	defer func() { c.release(v) }()
	c.engine.mu.Lock() // the ids of the buffers belong to the current version
	for i, m := range append(c.frozen[:len(c.frozen):len(c.frozen)], c.active) {
		if ord, ok := m.byID[id]; ok {
			old := v
			v = c.hold() // cannot fail: the collection is held open
			c.engine.mu.Unlock()
			c.release(old)
			d, err = v.load(v.mems[i], ord, true)
			return d, false, err
		}
	}
	c.engine.mu.Unlock()
	num, ok, err := c.lookup(id)
	if err != nil || !ok {
		return nil, false, err
	}
	i, ord, found := v.find(num)
	if !found {
		return nil, !c.isCurrent(v), nil
	}
	if !v.segs[i].isLive(ord) {
		return nil, false, nil
	}
	d, err = v.load(v.segs[i], ord, true)
	return d, false, err
}

// isCurrent reports whether no newer version than v has been published.
func (c *collection) isCurrent(v *version) bool {
	c.vmu.Lock()
	defer c.vmu.Unlock()
	return c.current == v
}

// lookup reads the document number that the store has for an id. The document
// may be dead since.
func (c *collection) lookup(id string) (segment.DocNum, bool, error) {
	if m := c.replaced.Load(); m != nil {
		if num, ok := (*m)[id]; ok {
			return num, true, nil
		}
	}
	c.engine.stats.pebbleGets.Add(1)
	val, closer, err := c.engine.db.Get(segment.DocumentKey(c.id, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer closer.Close()
	num, err := segment.DecodeDocumentRef(val)
	return num, err == nil, err
}

// load reads a document.
func (v *version) load(src source, ord int, vectors bool) (*Document, error) {
	text, attrs, err := src.document(ord)
	if err != nil {
		return nil, err
	}
	d := &Document{ID: src.ExternalID(ord), Text: text, Attributes: attrs}
	if vectors {
		sp := src.Space()
		view, err := src.View(ord, sp.Representation, new(segment.Buffer))
		if err != nil {
			return nil, err
		}
		codec.Reconstruct(sp.Codebook, v.space.dim, view, sp.Representation, &d.Vectors)
	}
	return d, nil
}

// ScanOption changes what All returns.
type ScanOption func(*scan)

type scan struct{ vectors bool }

// WithoutVectors leaves Document.Vectors empty.
func WithoutVectors() ScanOption { return func(s *scan) { s.vectors = false } }

// All yields every document of one version of the collection, in the order of
// their last upsert.
func (h *Collection) All(ctx context.Context, opts ...ScanOption) iter.Seq2[*Document, error] {
	s := scan{vectors: true}
	for _, opt := range opts {
		opt(&s)
	}
	return func(yield func(*Document, error) bool) {
		if h.c.engine.closed() {
			yield(nil, ErrClosed)
			return
		}
		v, err := h.c.acquire()
		if err != nil {
			yield(nil, err)
			return
		}
		defer h.c.release(v)
		for _, src := range v.sources() {
			for ord := range src.Len() {
				if !src.isLive(ord) {
					continue
				}
				if err := ctx.Err(); err != nil {
					yield(nil, err)
					return
				}
				d, err := h.c.engine.read(v, src, ord, s.vectors)
				if !yield(d, err) || err != nil {
					return
				}
			}
		}
	}
}

// Flush seals the collection's buffer.
func (h *Collection) Flush(ctx context.Context) error {
	return h.c.engine.flush(ctx, func(c *collection) bool { return c == h.c })
}

// Compact seals the collection's buffer and merges its segments into as few as
// the limits allow, dropping what was deleted.
func (h *Collection) Compact(ctx context.Context) error {
	e := h.c.engine
	return e.background(ctx, func(ctx context.Context) error {
		if err := e.flush(ctx, func(c *collection) bool { return c == h.c }); err != nil {
			return err
		}
		if err := errors.Join(e.compact(ctx, h.c), e.indexDue(ctx, h.c)); err != nil {
			return err
		}
		if _, err := h.calibrate(ctx, CalibrateOptions{}); err != nil {
			return err
		}
		return e.exciseObsolete(ctx)
	})
}

// stored returns the collection's record.
func (c *collection) stored() collectionRecord {
	c.engine.pub.Lock()
	defer c.engine.pub.Unlock()
	return c.record.clone()
}
