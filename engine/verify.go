package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

// VerifyReport says what Verify read and what it found wrong.
type VerifyReport struct {
	Collections, Segments int
	Documents, Tokens     int64
	Bytes                 int64 // of the values of segments
	Files                 int   // sstables and log files
	FileBytes             int64
	// TornBytes is what writes that were never acknowledged left at the ends of
	// log files: no damage, as long as a crash explains it.
	TornBytes int64
	Problems  []error
}

// Ok reports whether nothing is wrong.
func (r *VerifyReport) Ok() bool { return len(r.Problems) == 0 }

// Verify reads every byte of the store and checks checksums: of sstables, of
// Pebble's manifest and of the log as they are on disk, and of every value in
// them; that every id leads to its document and every live document has its id,
// that delete sets and codebooks can be read, and that no data belongs to
// nobody. Of a checkpoint it compares every file with the descriptor. Reads, writes,
// seals and merges go on beside it; what they publish while it reads may not be
// checked, and a purge waits for it. The error is about Verify itself; what is wrong
// with the store is in the report.
func (e *Engine) Verify(ctx context.Context) (*VerifyReport, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.exit()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.ctx, cancel)()
	r := &VerifyReport{}
	err := e.verify(ctx, r)
	if e.closed() {
		err = ErrClosed
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (e *Engine) verify(ctx context.Context, r *VerifyReport) error {
	if err := e.verifying.LockContext(ctx); err != nil {
		return err
	}
	defer e.verifying.Unlock()
	if err := e.verifyFiles(ctx, r); err != nil {
		return err
	}
	for _, c := range e.snapshot() {
		if c.dropped.Load() {
			continue
		}
		r.Collections++
		if err := e.verifyCollection(ctx, c, r); err != nil {
			return err
		}
	}
	if err := e.verifyStore(ctx, r); err != nil {
		return err
	}
	return ctx.Err()
}

// verifyStore checks what belongs to the store as a whole: the manifest, names, and
// that all data is some collection's. It is little, so nothing is published meanwhile.
func (e *Engine) verifyStore(ctx context.Context, r *VerifyReport) error {
	if err := e.pub.LockContext(ctx); err != nil {
		return err
	}
	defer e.pub.Unlock()
	r.Problems = append(r.Problems, e.verifyNames()...)
	if _, err := load(e.db, segment.ManifestKey(), decodeState); err != nil {
		r.Problems = append(r.Problems, err)
	}
	named := map[segment.ID]bool{}
	for _, c := range e.snapshot() {
		for _, s := range c.record.Segments {
			named[s.ID] = true
		}
	}
	for _, o := range e.obsolete.items() {
		named[o.id] = true
	}
	ids, err := segment.ListIDs(e.db)
	if err != nil {
		r.Problems = append(r.Problems, err)
	}
	for _, id := range ids {
		if !named[id] {
			r.Problems = append(r.Problems, fmt.Errorf("%w: segment %d belongs to no collection", ErrCorruption, id))
		}
	}
	return nil
}

// pinned is a version of a collection with what Pebble held when it was the current
// one: ids, delete sets, segments and the record are those of the version.
type pinned struct {
	*moment
	v     *version
	stale []obsolete // data in it that the version has no use for
}

// pin pins the current version, nil where the collection has been dropped.
func (e *Engine) pin(ctx context.Context, c *collection) (p *pinned, err error) {
	held, err := c.acquire() // without the lock: opening it may take long
	if err == nil {
		defer c.release(held)
	}
	if err := e.pub.LockContext(ctx); err != nil {
		return nil, err
	}
	defer e.pub.Unlock()
	if c.dropped.Load() {
		return nil, nil
	}
	p = &pinned{stale: e.obsolete.items()}
	if p.v, err = c.acquire(); err != nil {
		return nil, err
	}
	if p.moment, err = e.moment(); err != nil {
		c.release(p.v)
		return nil, err
	}
	return p, nil
}

func (e *Engine) verifyCollection(ctx context.Context, c *collection, r *VerifyReport) (err error) {
	problem := func(err error) {
		if err != nil {
			r.Problems = append(r.Problems, fmt.Errorf("collection %q: %w", c.name, damage(err)))
		}
	}
	p, err := e.pin(ctx, c)
	if err != nil {
		if ctx.Err() == nil {
			r.Problems = append(r.Problems, damage(err))
		}
		return ctx.Err()
	}
	if p == nil {
		return nil
	}
	defer c.release(p.v)
	defer closeInto(&err, p)
	if rec, err := load(p, segment.CollectionKey(c.id), decodeCollection); err != nil {
		problem(err)
	} else {
		problem(verifyRecord(p, &rec))
		problem(verifyVersions(p, &rec))
	}
	for _, s := range p.v.segs {
		r.Segments++
		r.Bytes += s.bytes()
		want := segment.Contents{From: p, Postings: s.postings, Indexes: s.indexes}
		if s.space.coded() {
			want.Cells = s.space.codebook.NumCodes()
		}
		for _, o := range p.stale {
			if o.id == s.Meta().ID {
				want.Stale = append(want.Stale, o.span())
			}
		}
		problem(s.Verify(ctx, want))
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	docs, tokens := p.v.counts()
	r.Documents += docs
	r.Tokens += tokens
	return p.verifyIDs(ctx, c, problem)
}

// verifyRecord checks what hangs on a collection's record.
func verifyRecord(p *pinned, rec *collectionRecord) error {
	var errs []error
	codebooks, routings := rec.versions()
	for id := range codebooks {
		_, err := load(p, segment.CodebookKey(rec.ID, id), codec.DecodeCodebook)
		errs = append(errs, err)
	}
	for id := range routings {
		_, err := load(p, segment.RoutingKey(rec.ID, id), codec.DecodeRouting)
		errs = append(errs, err)
	}
	for _, s := range rec.Segments {
		if s.Deletes != 0 {
			_, err := load(p, segment.DeletesKey(s.ID, s.Deletes), func(b []byte) (*segment.Bitset, error) {
				return segment.DecodeDeletes(b, segment.MaxDocuments)
			})
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// verifyVersions checks that the store has no codebooks and routings that a
// collection's record does not name and that are not obsolete either.
func verifyVersions(p *pinned, rec *collectionRecord) error {
	want := map[string]bool{string(segment.CollectionKey(rec.ID)): true}
	for _, o := range p.stale {
		if o.collection == rec.ID {
			want[string(o.span().Start)] = true
		}
	}
	codebooks, routings := rec.versions()
	for id := range codebooks {
		want[string(segment.CodebookKey(rec.ID, id))] = true
	}
	for id := range routings {
		want[string(segment.RoutingKey(rec.ID, id))] = true
	}
	return eachGoodKey(p, segment.CollectionSpans(rec.ID)[0], func(key, _ []byte) error {
		if _, ok := segment.ReindexCollection(key); ok || want[string(key)] {
			return nil
		}
		return fmt.Errorf("%w: the codebook or routing at key %q belongs to no segment", ErrCorruption, key)
	})
}

// verifyNames checks what belongs to the store as a whole: that aliases and the
// progress of reindexes can be read and are as in memory, and that the records of
// idempotency keys are of collections that there are.
func (e *Engine) verifyNames() (problems []error) {
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("%w: "+format, append([]any{ErrCorruption}, args...)...))
	}
	e.mu.Lock() // names change under Engine.pub alone, which the caller holds
	byID := map[uint32]*collection{}
	for _, c := range e.byName {
		byID[c.id] = c
	}
	inMemory, filling := maps.Clone(e.aliases), maps.Clone(e.reindexes)
	e.mu.Unlock()
	aliases, reindexes := 0, 0
	check := func(span segment.KeyRange, f func(key, value []byte) error) {
		err := eachKey(e.db, span, func(key, value []byte, bad error) error {
			if bad == nil {
				bad = f(key, value)
			}
			if bad != nil {
				problems = append(problems, damage(bad))
			}
			return nil
		})
		if err != nil {
			problems = append(problems, damage(err))
		}
	}
	check(segment.AliasKeys(), func(key, value []byte) error {
		aliases++
		name := segment.AliasName(key)
		r, err := decodeAlias(value)
		if err != nil {
			return fmt.Errorf("alias %q: %w", name, err)
		}
		if a := inMemory[name]; a == nil || a.target.id != r.Collection || byID[r.Collection] != a.target {
			problem("alias %q leads to collection %d, which is not there or not where it leads in memory", name, r.Collection)
		}
		return nil
	})
	check(segment.CollectionKeys(), func(key, value []byte) error {
		id, ok := segment.ReindexCollection(key)
		if !ok {
			return nil
		}
		reindexes++
		r, err := decodeReindex(value)
		if err != nil {
			return fmt.Errorf("collection %d: %w", id, err)
		}
		if have := filling[id]; byID[id] == nil || have == nil || have.Source != r.Source {
			problem("progress of a reindex that fills collection %d, which is not there or not being filled", id)
		}
		return nil
	})
	check(segment.WriteKeys(), func(key, value []byte) error {
		id, _, err := decodeWrite(key, value)
		if err == nil && byID[id.collection] == nil {
			problem("an idempotency key of collection %d, which is not there", id.collection)
		}
		return err
	})
	if aliases != len(inMemory) || reindexes != len(filling) {
		problem("%d aliases and %d unfinished reindexes are stored, %d and %d in memory", aliases, reindexes, len(inMemory), len(filling))
	}
	return problems
}

// verifyIDs checks that every id leads to a document of that id, unless it was
// deleted, and that every live document has its id.
func (p *pinned) verifyIDs(ctx context.Context, c *collection, problem func(error)) (err error) {
	found := make([]*segment.Bitset, len(p.v.segs))
	for i, s := range p.v.segs {
		found[i] = segment.NewBitset(s.Len(), false)
	}
	err = eachKey(p, segment.DocumentKeys(c.id), func(key, value []byte, err error) error {
		id := segment.DocumentID(key)
		var num segment.DocNum
		if err == nil {
			num, err = segment.DecodeDocumentRef(value)
		}
		if err != nil {
			problem(fmt.Errorf("id %q: %w", id, err))
			return ctx.Err()
		}
		switch i, ord, ok := p.v.find(num); {
		case !ok:
			problem(fmt.Errorf("%w: id %q leads to document %d, which is in no segment", ErrCorruption, id, num))
		case p.v.segs[i].ExternalID(ord) != id:
			problem(fmt.Errorf("%w: id %q leads to document %d, which is %q", ErrCorruption, id, num, p.v.segs[i].ExternalID(ord)))
		default:
			found[i].Set(ord)
		}
		return ctx.Err()
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	problem(err)
	for i, s := range p.v.segs {
		for ord := range s.Len() {
			if s.isLive(ord) && !found[i].Get(ord) {
				num, err := load(p, segment.DocumentKey(c.id, s.ExternalID(ord)), segment.DecodeDocumentRef)
				problem(fmt.Errorf("%w: segment %d: id %q of document %d leads to %d (%v)", ErrCorruption, s.Meta().ID, s.ExternalID(ord), s.Num(ord), num, err))
			}
		}
	}
	return nil
}
