package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/cockroachdb/pebble/v2"

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
// nobody. Of a checkpoint it compares every file with the descriptor. It may run
// beside reads and writes, but nothing is sealed or merged while it reads: writes wait
// once Options.WriteMemory is full. The error is about Verify itself; what is wrong
// with the store is in the report.
func (e *Engine) Verify(ctx context.Context) (*VerifyReport, error) {
	if err := e.pub.LockContext(ctx); err != nil { // no seal or merge moves documents meanwhile
		return nil, err
	}
	defer e.pub.Unlock()
	if e.closed() {
		return nil, ErrClosed
	}
	r := &VerifyReport{}
	if err := e.verifyFiles(ctx, r); err != nil {
		return nil, err
	}
	if _, err := load(e.db, segment.ManifestKey(), decodeState); err != nil {
		r.Problems = append(r.Problems, err)
	}
	r.Problems = append(r.Problems, e.verifyNames()...)
	named := map[segment.ID]bool{}
	for _, c := range e.snapshot() {
		r.Collections++
		if err := e.verifyCollection(ctx, c, r, named); err != nil {
			return nil, err
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
	return r, ctx.Err()
}

func (e *Engine) verifyCollection(ctx context.Context, c *collection, r *VerifyReport, named map[segment.ID]bool) error {
	problem := func(err error) {
		if err != nil {
			r.Problems = append(r.Problems, fmt.Errorf("collection %q: %w", c.name, damage(err)))
		}
	}
	v, err := c.acquire()
	if err != nil {
		r.Problems = append(r.Problems, damage(err))
		for _, s := range c.record.Segments {
			named[s.ID] = true
		}
		return nil
	}
	defer c.release(v)
	if rec, err := load(e.db, segment.CollectionKey(c.id), decodeCollection); err != nil {
		problem(err)
	} else {
		problem(e.verifyRecord(&rec))
		problem(e.verifyVersions(&rec))
	}
	for _, s := range v.segs {
		named[s.Meta().ID] = true
		r.Segments++
		r.Bytes += s.bytes()
		cells := 0
		if s.space.coded() {
			cells = s.space.codebook.NumCodes()
		}
		want := segment.Contents{Cells: cells, Postings: s.postings, Indexes: s.indexes}
		for _, o := range e.obsolete.items() {
			if o.id == s.Meta().ID {
				want.Stale = append(want.Stale, o.span())
			}
		}
		problem(s.Verify(ctx, want))
		if err := ctx.Err(); err != nil {
			return err
		}
		for ord := range s.Len() {
			if s.isLive(ord) {
				num, ok, err := c.lookup(s.ExternalID(ord))
				if err != nil || !ok || num != s.Num(ord) {
					problem(fmt.Errorf("%w: segment %d: id %q of document %d leads to %d (%t, %v)",
						ErrCorruption, s.Meta().ID, s.ExternalID(ord), s.Num(ord), num, ok, err))
				}
			}
		}
	}
	docs, tokens := v.counts()
	r.Documents += docs
	r.Tokens += tokens
	problem(e.verifyIDs(ctx, c, v))
	return nil
}

// verifyRecord checks what hangs on a collection's record.
func (e *Engine) verifyRecord(rec *collectionRecord) error {
	var errs []error
	codebooks, routings := rec.versions()
	for id := range codebooks {
		_, err := load(e.db, segment.CodebookKey(rec.ID, id), codec.DecodeCodebook)
		errs = append(errs, err)
	}
	for id := range routings {
		_, err := load(e.db, segment.RoutingKey(rec.ID, id), codec.DecodeRouting)
		errs = append(errs, err)
	}
	for _, s := range rec.Segments {
		if s.Deletes != 0 {
			_, err := load(e.db, segment.DeletesKey(s.ID, s.Deletes), func(b []byte) (*segment.Bitset, error) {
				return segment.DecodeDeletes(b, segment.MaxDocuments)
			})
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// verifyVersions checks that the store has no codebooks and routings that a
// collection's record does not name.
func (e *Engine) verifyVersions(rec *collectionRecord) error {
	want := map[string]bool{string(segment.CollectionKey(rec.ID)): true}
	codebooks, routings := rec.versions()
	for id := range codebooks {
		want[string(segment.CodebookKey(rec.ID, id))] = true
	}
	for id := range routings {
		want[string(segment.RoutingKey(rec.ID, id))] = true
	}
	return eachGoodKey(e.db, segment.CollectionSpans(rec.ID)[0], func(key, _ []byte) error {
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

// verifyIDs checks that every id of the store leads to a document of that id,
// unless it was deleted.
func (e *Engine) verifyIDs(ctx context.Context, c *collection, v *version) (err error) {
	span := segment.DocumentKeys(c.id)
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for it.First(); it.Valid(); it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		id := segment.DocumentID(it.Key())
		num, err := segment.DecodeDocumentRef(it.Value())
		if err != nil {
			return fmt.Errorf("id %q: %w", id, err)
		}
		i, ord, ok := v.find(num)
		if ok && v.segs[i].ExternalID(ord) != id {
			return fmt.Errorf("%w: id %q leads to document %d, which is %q", ErrCorruption, id, num, v.segs[i].ExternalID(ord))
		}
		if !ok {
			return fmt.Errorf("%w: id %q leads to document %d, which is in no segment", ErrCorruption, id, num)
		}
	}
	return it.Error()
}
