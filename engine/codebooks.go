package engine

import (
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Codebooks and routings in the store: each is ingested, like a segment, before the
// batch with the record that first names it, and excised after the one that takes away
// the last segment naming it. docs/rfcs/0001-codec-and-routing-versions.md.

// newVersions returns the codebook and the routing that the collection moves to and
// does not have yet, nil where there is none.
func (w *mergeWork) newVersions() (cb *codec.Codebook, rt *codec.Routing) {
	if w.trained == nil {
		return nil, nil
	}
	codebooks, routings := w.col.record.versions()
	if !codebooks[w.to.codebookID()] {
		cb = w.to.codebook
	}
	if _, ok := routings[w.to.routingID()]; !ok {
		rt = w.to.routing
	}
	return cb, rt
}

// ingest is C3, with newVersions as an sstable of their own. Another try to move, that
// failed after it had ingested its versions, may have had the same numbers: what it left
// is overwritten.
func (w *mergeWork) ingest(ctx context.Context) error {
	e := w.engine
	cb, rt := w.newVersions()
	versions, err := segment.WriteVersions(e.fs, e.asideDir(), w.col.id, cb, rt)
	if err != nil {
		return err
	}
	if err := e.ingest(ctx, append(versions, w.paths...)); err != nil {
		e.removeFiles(versions)
		return err
	}
	for _, o := range versionsOf(w.col.id, cb, rt) {
		e.obsolete.forget(o)
	}
	return nil
}

// dropVersions gives up the codebooks and routings that a collection's record named
// and that its next one does not.
func (e *Engine) dropVersions(old, next *collectionRecord) {
	codebooks, routings := next.versions()
	oldCodebooks, oldRoutings := old.versions()
	for id := range oldCodebooks {
		if !codebooks[id] {
			e.obsolete.put(obsolete{collection: old.ID, codebook: id})
		}
	}
	for id := range oldRoutings {
		if _, ok := routings[id]; !ok {
			e.obsolete.put(obsolete{collection: old.ID, routing: id})
		}
	}
}

// versionsOf returns what a codebook and a routing of a collection are once they are
// obsolete; either may be nil.
func versionsOf(collection uint32, cb *codec.Codebook, rt *codec.Routing) (out []obsolete) {
	if cb != nil {
		out = append(out, obsolete{collection: collection, codebook: cb.ID})
	}
	if rt != nil {
		out = append(out, obsolete{collection: collection, routing: rt.ID})
	}
	return out
}

// noteVersion notes a codebook or routing that the record of its collection, whose
// key comes before, does not name: what a crash left of a move to it, or was not
// excised yet.
func (e *Engine) noteVersion(key []byte, r *collectionRecord) {
	collection, codebook, routing, ok := segment.ParseVersionKey(key)
	if !ok {
		return
	}
	if collection == r.ID {
		codebooks, routings := r.versions()
		if _, there := routings[routing]; there || codebooks[codebook] {
			return
		}
	}
	e.obsolete.put(obsolete{collection: collection, codebook: codebook, routing: routing})
}

// createWith is create of a collection that has a codebook and a routing from the
// start.
func (e *Engine) createWith(ctx context.Context, r *collectionRecord, cb *codec.Codebook, rt *codec.Routing) error {
	paths, err := segment.WriteVersions(e.fs, e.asideDir(), r.ID, cb, rt)
	if err != nil {
		return err
	}
	if err := e.ingest(ctx, paths); err != nil {
		e.removeFiles(paths)
		return err
	}
	if _, err := e.create(r, func(*pebble.Batch) error { return nil }); err != nil {
		for _, o := range versionsOf(r.ID, cb, rt) {
			e.obsolete.put(o)
		}
		return err
	}
	return nil
}
