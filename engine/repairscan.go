package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

// What Repair reads of Pebble: every collection, segment and id, as far as they
// can be read.

// repairCollection is a collection with what is left of it.
type repairCollection struct {
	record   collectionRecord
	ids      map[string]segment.DocNum // as stored, where they can be read
	allIDs   bool                      // every one of them can
	segments []*repairSegment
}

// repairSegment is a segment with what is left of it.
type repairSegment struct {
	record   segmentRecord
	reader   *segment.Reader // nil: nothing of it can be read
	codebook *codec.Codebook
	routing  *codec.Routing
	postings *segment.Postings // nil: flat, or they cannot be read
	live     *segment.Bitset   // documents that count; nil with reader nil
	whole    bool              // every chunk of it is good
}

// openPebble opens it to be read and loads the manifest.
func (r *repair) openPebble() error {
	e := &Engine{fs: r.fs, dir: r.dir, guard: newGuard(r.log), opts: (&Options{ReadOnly: true, FS: r.fs}).withDefaults()}
	if !e.exists() {
		return fmt.Errorf("%w: %q has no folder pebble", ErrIncomplete, r.dir)
	}
	noWay := func(what string, err error) error {
		return fmt.Errorf("%w: %s of %q cannot be read, and a repair needs it; restore a backup: %w", ErrCorruption, what, r.dir, err)
	}
	if err := e.checkPebbleManifest(); err != nil {
		return noWay("the MANIFEST", err)
	}
	// Pebble goes on without what its damaged log held. Documents are not in it.
	err := e.checkPebbleLogs()
	if err != nil && !errors.Is(err, ErrCorruption) {
		return err
	}
	if err != nil {
		r.lostPebble = true
		r.lose(Loss{Kind: LostPebbleLog, Where: "Pebble's log", Why: fmt.Sprintf("%v; collections and aliases made or dropped last may be as before", err)})
	}
	if r.db, err = e.openPebble(); err != nil {
		return noWay("Pebble's folder", err)
	}
	if r.state, err = load(r.db, segment.ManifestKey(), decodeState); err != nil {
		return noWay("the manifest", err)
	}
	if r.state.Format > FormatVersion {
		return fmt.Errorf("%w: %q has format %d, this program repairs up to %d", ErrFormatTooNew, r.dir, r.state.Format, FormatVersion)
	}
	err = r.each(segment.CollectionKeys(), func(key, value []byte) error {
		if !segment.IsCollectionKey(key) {
			return nil
		}
		rec, err := decodeCollection(value)
		if err == nil {
			r.collections = append(r.collections, &repairCollection{record: rec})
		}
		return err
	})
	if err != nil {
		return noWay("the list of collections", err)
	}
	return nil
}

// each calls f with a range of keys, valid during the call.
func (r *repair) each(span segment.KeyRange, f func(key, value []byte) error) error {
	return eachGoodKey(r.db, span, f)
}

func (r *repair) scanCollections(ctx context.Context) error {
	for _, c := range r.collections {
		for _, s := range c.record.Segments {
			if err := r.scanSegment(ctx, c, s); err != nil {
				return err
			}
		}
		r.scanIDs(c)
		r.scanLive(c)
	}
	return nil
}

// scanNames looks at what belongs to the store as a whole: aliases, the progress of
// reindexes, remembered writes. What cannot be read or leads nowhere is left out.
func (r *repair) scanNames() error {
	r.badKeys = map[string]bool{}
	there := map[uint32]bool{}
	for _, c := range r.collections {
		there[c.record.ID] = true
	}
	check := func(span segment.KeyRange, f func(key, value []byte) (where string, err error)) error {
		return eachKey(r.db, span, func(key, value []byte, bad error) error {
			where, err := f(key, value)
			if bad == nil {
				bad = err
			}
			if bad != nil {
				r.badKeys[string(key)], r.lostPebble = true, true
				r.lose(Loss{Kind: LostName, Where: where, Why: bad.Error()})
			}
			return nil
		})
	}
	return errors.Join(
		check(segment.AliasKeys(), func(key, value []byte) (string, error) {
			a, err := decodeAlias(value)
			if err == nil && !there[a.Collection] {
				err = fmt.Errorf("it leads to collection %d, which is not there", a.Collection)
			}
			return fmt.Sprintf("alias %q", segment.AliasName(key)), err
		}),
		check(segment.CollectionKeys(), func(key, value []byte) (string, error) {
			id, ok := segment.ReindexCollection(key)
			if !ok {
				return "", nil
			}
			_, err := decodeReindex(value)
			if err == nil && !there[id] {
				err = errors.New("the collection is not there")
			} else if err != nil {
				err = fmt.Errorf("%w; the collection may not be complete: drop it, or reindex into another", err)
			}
			return fmt.Sprintf("progress of the reindex that fills collection %d", id), err
		}),
		check(segment.WriteKeys(), func(key, value []byte) (string, error) {
			id, _, err := decodeWrite(key, value)
			if err == nil && !there[id.collection] {
				err = fmt.Errorf("of collection %d, which is not there", id.collection)
			}
			return "idempotency key", err
		}),
	)
}

// scanSegment reads a segment and everything that hangs on it.
func (r *repair) scanSegment(ctx context.Context, c *repairCollection, rec segmentRecord) (err error) {
	s := &repairSegment{record: rec}
	c.segments = append(c.segments, s)
	where := fmt.Sprintf("segment %d", rec.ID)
	lost := func(err error) error {
		r.lostPebble = true
		r.lose(Loss{Kind: LostSegment, Where: where, Collection: c.record.Name, Why: err.Error()})
		s.reader = nil
		return ctx.Err()
	}
	reader, err := segment.Open(r.db, rec.ID)
	if err != nil {
		return lost(err)
	}
	cells := 0
	if as := rec.written().codebook; as != reader.Meta().CodebookID {
		return lost(fmt.Errorf("it is encoded with codebook %d, the collection's record says %d", reader.Meta().CodebookID, as))
	}
	var broken error
	if rec.Codebook != 0 {
		if s.codebook, err = load(r.db, segment.CodebookKey(c.record.ID, rec.Codebook), codec.DecodeCodebook); err != nil {
			return lost(fmt.Errorf("its codebook %d: %w", rec.Codebook, err))
		}
		if s.routing, err = load(r.db, segment.RoutingKey(c.record.ID, rec.Routing), codec.DecodeRouting); err != nil {
			return lost(fmt.Errorf("its routing %d: %w", rec.Routing, err))
		}
		routing, ok := s.routing.For(s.codebook)
		if !ok {
			return lost(fmt.Errorf("its routing %d is of codebook %d, not %d", rec.Routing, s.routing.CodebookID, rec.Codebook))
		}
		s.routing = routing
		cells = s.codebook.NumCodes()
		s.postings, broken = reader.LoadPostings(rec.written().routing)
	}
	s.reader, s.live = reader, segment.NewBitset(reader.Len(), true)
	if broken == nil {
		want := segment.Contents{Cells: cells, Postings: s.postings, Stale: r.stale(rec)}
		for _, id := range rec.Indexes {
			x, err := reader.LoadIndex(id)
			if err != nil {
				broken = err
				break
			}
			want.Indexes = append(want.Indexes, x)
		}
		if broken == nil {
			broken = reader.Verify(ctx, want)
		}
	}
	if broken != nil {
		r.scanDocuments(c, s, where, broken)
	} else {
		s.whole = true
	}
	return ctx.Err()
}

// stale are the postings and attribute indexes that a segment has and does not use.
func (r *repair) stale(rec segmentRecord) (out []segment.KeyRange) {
	indexes, err := segment.ListIndexes(r.db, rec.ID)
	if err != nil {
		return nil // Verify finds it too
	}
	for _, id := range indexes {
		if !slices.Contains(rec.Indexes, id) {
			out = append(out, segment.IndexSpan(rec.ID, id))
		}
	}
	routings, err := segment.ListPostings(r.db, rec.ID)
	if err != nil {
		return nil // Verify finds it too
	}
	for _, routing := range routings {
		if routing != rec.written().routing {
			out = append(out, segment.PostingsSpan(rec.ID, routing))
		}
	}
	return out
}

// scanDocuments finds the documents of a damaged segment that can be read.
func (r *repair) scanDocuments(c *repairCollection, s *repairSegment, where string, why error) {
	r.lostPebble = true
	l := Loss{Kind: LostDocument, Where: where, Collection: c.record.Name, Why: why.Error()}
	var buf segment.Buffer
	for ord := range s.reader.Len() {
		_, err := s.reader.Full(ord, &buf)
		if err == nil {
			_, _, err = s.reader.Text(ord)
		}
		if err == nil {
			_, err = s.reader.Attributes(ord)
		}
		if err != nil {
			s.live.Clear(ord)
			l.IDs = append(l.IDs, s.reader.ExternalID(ord))
		}
	}
	l.Documents = len(l.IDs)
	r.lose(l)
}

// scanIDs reads the id entries of a collection.
func (r *repair) scanIDs(c *repairCollection) {
	c.ids, c.allIDs = map[string]segment.DocNum{}, true
	bad := 0
	var why error
	err := r.each(segment.DocumentKeys(c.record.ID), func(key, value []byte) error {
		num, err := segment.DecodeDocumentRef(value)
		if err != nil {
			bad, why = bad+1, err
			return nil
		}
		c.ids[segment.DocumentID(key)] = num
		return nil
	})
	if err != nil {
		why = err
	}
	if why != nil {
		c.allIDs = false
		r.lostPebble = true
		r.lose(Loss{Kind: LostIDs, Where: "ids", Collection: c.record.Name, Why: fmt.Sprintf("%v; they are rebuilt from the segments", why)})
	}
}

// scanLive decides which documents count: those that the delete sets leave, and
// of one id the newest alone. Then it compares the ids with them.
func (r *repair) scanLive(c *repairCollection) {
	owner := map[string]segment.DocNum{}
	lostNums := map[segment.DocNum]bool{}
	for i := len(c.segments) - 1; i >= 0; i-- {
		s := c.segments[i]
		if s.reader == nil {
			continue
		}
		set, err := r.deletes(s)
		if err != nil {
			r.lostPebble = true
			r.lose(Loss{Kind: LostDeletes, Where: fmt.Sprintf("segment %d", s.record.ID), Collection: c.record.Name,
				Why: fmt.Sprintf("%v; documents that were deleted and not replaced come back", err)})
		}
		for ord := range s.reader.Len() {
			if !s.live.Get(ord) {
				lostNums[s.reader.Num(ord)] = true
				continue
			}
			id, num := s.reader.ExternalID(ord), s.reader.Num(ord)
			_, newer := owner[id]
			dead := set != nil && !set.Get(ord)
			if set == nil && s.record.Deletes != 0 && c.allIDs { // the set is lost: the ids know what was replaced
				have, ok := c.ids[id]
				dead = !ok || have != num
			}
			if newer || dead {
				s.live.Clear(ord)
				continue
			}
			owner[id] = num
		}
		r.report.Documents += s.live.Count()
	}
	r.compareIDs(c, owner, lostNums)
}

func (r *repair) deletes(s *repairSegment) (*segment.Bitset, error) {
	if s.record.Deletes == 0 {
		return nil, nil
	}
	return load(r.db, segment.DeletesKey(s.record.ID, s.record.Deletes), func(b []byte) (*segment.Bitset, error) {
		return segment.DecodeDeletes(b, s.reader.Len())
	})
}

// compareIDs reports ids that lead to no document, as far as a lost segment does
// not explain them: those are its documents.
func (r *repair) compareIDs(c *repairCollection, owner map[string]segment.DocNum, lostNums map[segment.DocNum]bool) {
	var dangling, wrong []string
	lost := map[int][]string{}
	for id, num := range c.ids {
		if have, ok := owner[id]; ok {
			if have != num {
				wrong = append(wrong, id)
			}
			continue
		}
		if lostNums[num] || c.dead(num) {
			continue
		}
		if i, ok := c.lostSegment(num); ok {
			lost[i] = append(lost[i], id)
			continue
		}
		dangling = append(dangling, id)
	}
	for id := range owner {
		if _, ok := c.ids[id]; !ok && c.allIDs {
			wrong = append(wrong, id)
		}
	}
	for i, ids := range lost {
		sort.Strings(ids)
		where := fmt.Sprintf("segment %d", c.segments[i].record.ID)
		for k := range r.report.Losses {
			if l := &r.report.Losses[k]; l.Kind == LostSegment && l.Where == where && l.Collection == c.record.Name {
				l.IDs, l.Documents = ids, len(ids)
			}
		}
	}
	for _, d := range []struct {
		ids []string
		why string
	}{{dangling, "lead to no document; they are dropped"}, {wrong, "do not lead to their document; they are rebuilt"}} {
		if len(d.ids) > 0 && c.allIDs {
			sort.Strings(d.ids)
			r.lostPebble = true
			r.lose(Loss{Kind: LostIDs, Where: fmt.Sprintf("%d ids", len(d.ids)), Collection: c.record.Name, IDs: d.ids, Why: d.why})
		}
	}
}

// dead reports whether a number is that of a deleted or replaced document, whose
// id entry stays until its segment is merged.
func (c *repairCollection) dead(num segment.DocNum) bool {
	for _, s := range c.segments {
		if s.reader == nil {
			continue
		}
		if ord, ok := s.reader.Find(num); ok {
			return !s.live.Get(ord)
		}
	}
	return false
}

// lostSegment returns the unreadable segment that a number can have been in:
// they ascend, so it lies between its readable neighbours.
func (c *repairCollection) lostSegment(num segment.DocNum) (int, bool) {
	for i, s := range c.segments {
		if s.reader != nil {
			if num < s.reader.Meta().First {
				return 0, false
			}
			continue
		}
		next := i + 1
		for next < len(c.segments) && c.segments[next].reader == nil {
			next++
		}
		after := i > 0 && c.segments[i-1].reader != nil && num <= c.segments[i-1].reader.Meta().Last
		if !after && (next == len(c.segments) || num < c.segments[next].reader.Meta().First) {
			return i, true
		}
	}
	return 0, false
}

// scanTables reads the sstables themselves: damage that none of the losses shows
// would still fail Verify, and a merge of Pebble.
func (r *repair) scanTables(ctx context.Context) error {
	levels, err := r.db.SSTables()
	if err != nil {
		return err
	}
	for _, level := range levels {
		for _, t := range level {
			path := r.path("pebble", fmt.Sprintf("%06d.sst", uint64(t.BackingSSTNum)))
			if _, err := segment.VerifyTable(ctx, r.fs, path); err != nil {
				r.lostPebble = true
				r.lose(Loss{Kind: LostBlock, Where: path, Why: err.Error()})
			}
		}
	}
	return ctx.Err()
}
