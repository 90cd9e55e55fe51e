package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

// rebuild writes a new Pebble folder of what scan has found: segments that are
// whole byte for byte, damaged ones anew from their readable documents, ids and
// delete sets from what is live, everything else as it is.
func (r *repair) rebuild(ctx context.Context) (err error) {
	e := &Engine{fs: r.fs, dir: r.path(repairDir), guard: newGuard(r.log), opts: (&Options{FS: r.fs}).withDefaults()}
	db, err := e.openPebble()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	b := db.NewBatch()
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := r.copyRest(b); err != nil {
		return err
	}
	for _, c := range r.collections {
		if err := r.rebuildCollection(ctx, db, b, c); err != nil {
			return fmt.Errorf("collection %q: %w", c.record.Name, err)
		}
	}
	if err := b.Set(segment.ManifestKey(), r.state.encode(), nil); err != nil {
		return err
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return err
	}
	return e.guard.write(db.Flush)
}

// copyRest copies every key that is not rebuilt: codebooks, and whatever belongs
// to the store as a whole.
func (r *repair) copyRest(b *pebble.Batch) error {
	for _, span := range segment.StoreSpans() {
		err := eachKey(r.db, span, func(key, value []byte, bad error) error {
			if r.badKeys[string(key)] {
				return nil
			}
			if bad != nil {
				return bad
			}
			return b.Set(key, value, nil)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *repair) rebuildCollection(ctx context.Context, db *pebble.DB, b *pebble.Batch, c *repairCollection) error {
	rec := c.record.clone()
	rec.Segments = nil
	for _, s := range c.segments {
		if s.reader == nil || s.live.Count() == 0 {
			continue
		}
		paths, id, err := r.rebuildSegment(ctx, c, s)
		if err != nil {
			return err
		}
		if err := db.Ingest(ctx, paths); err != nil {
			return err
		}
		out := segmentRecord{ID: id, Codebook: s.record.Codebook, Routing: s.record.Routing, Indexes: s.record.Indexes}
		if s.whole {
			out.CodedAs, out.PostedAs = s.record.CodedAs, s.record.PostedAs
		} else { // built anew
			out.Indexes = nil
			for _, x := range rec.Indexes {
				out.Indexes = append(out.Indexes, x.ID)
			}
		}
		if s.whole && s.live.Count() < s.reader.Len() {
			out.Deletes = s.record.Deletes + 1
			if err := b.Set(segment.DeletesKey(id, out.Deletes), segment.EncodeDeletes(s.live), nil); err != nil {
				return err
			}
		}
		for ord := range s.reader.Len() {
			if !s.live.Get(ord) {
				continue
			}
			if err := b.Set(segment.DocumentKey(rec.ID, s.reader.ExternalID(ord)), segment.EncodeDocumentRef(s.reader.Num(ord)), nil); err != nil {
				return err
			}
		}
		rec.Segments = append(rec.Segments, out)
	}
	if err := b.Set(segment.CollectionKey(rec.ID), rec.encode(), nil); err != nil {
		return err
	}
	return r.dropVersions(b, &rec)
}

// dropVersions leaves out the codebooks and routings of segments that are lost.
func (r *repair) dropVersions(b *pebble.Batch, rec *collectionRecord) error {
	keep := map[string]bool{string(segment.CollectionKey(rec.ID)): true}
	codebooks, routings := rec.versions()
	for id := range codebooks {
		keep[string(segment.CodebookKey(rec.ID, id))] = true
	}
	for id := range routings {
		keep[string(segment.RoutingKey(rec.ID, id))] = true
	}
	return r.each(segment.CollectionSpans(rec.ID)[0], func(key, _ []byte) error {
		if _, ok := segment.ReindexCollection(key); ok || keep[string(key)] {
			return nil
		}
		return b.Delete(key, nil)
	})
}

// rebuildSegment writes the sstables of a segment. One that lost documents gets a
// new id, as ids are never used for two contents.
func (r *repair) rebuildSegment(ctx context.Context, c *repairCollection, s *repairSegment) (paths []string, id segment.ID, err error) {
	if s.whole {
		path, err := segment.Copy(ctx, r.db, s.record.ID, r.fs, r.path(repairDir))
		return []string{path}, s.record.ID, err
	}
	profile, err := codec.ParseProfile(c.record.Profile)
	if err != nil {
		return nil, 0, err
	}
	id = r.state.NextSegment
	r.state.NextSegment++
	b, err := segment.NewBuilder(r.fs, r.path(repairDir), id, segment.Config{
		Dim: c.record.Dim, Profile: profile, RetainRaw: c.record.RetainRaw,
		Codebook: s.codebook, Routing: s.routing, CollectionID: c.record.ID, Indexes: c.record.Indexes,
	})
	if err != nil {
		return nil, 0, err
	}
	enc := codec.NewEncoder(c.record.Dim, profile, c.record.RetainRaw, s.codebook, s.routing)
	best := codec.Representation(profile, c.record.RetainRaw, s.codebook != nil)
	if err := r.addReadable(ctx, b, s, func(v codec.View) []uint32 { return enc.Assign(v, best) }); err != nil {
		b.Abort()
		return nil, 0, err
	}
	_, paths, err = b.Finish(ctx)
	return paths, id, err
}

// addReadable adds the documents that count. Where the posting lists make no
// sense of one, assign gives its centroids.
func (r *repair) addReadable(ctx context.Context, b *segment.Builder, s *repairSegment, assign func(codec.View) []uint32) error {
	centroids := make([][]uint32, s.reader.Len())
	if p := s.postings; p != nil {
		for c := range p.Centroids() {
			p.List(uint32(c)).Each(func(ord uint16) { centroids[ord] = append(centroids[ord], uint32(c)) })
		}
	}
	var buf segment.Buffer
	for ord := range s.reader.Len() {
		if !s.live.Get(ord) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		v, err := s.reader.Full(ord, &buf)
		if err != nil {
			return err
		}
		d := segment.Document{
			Num: s.reader.Num(ord), ID: s.reader.ExternalID(ord), Seq: s.reader.Seq(ord),
			Encoded: &codec.Encoded{View: v, Centroids: centroids[ord]},
		}
		if n := len(centroids[ord]); s.codebook != nil && (n == 0 || n > v.Tokens) {
			d.Encoded.Centroids = assign(v)
		}
		if d.Text, d.HasText, err = s.reader.Text(ord); err != nil {
			return err
		}
		if d.Attributes, err = s.reader.Attributes(ord); err != nil {
			return err
		}
		if err := b.Add(d); err != nil {
			return err
		}
	}
	return nil
}
