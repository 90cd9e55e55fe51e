package main

import (
	"context"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/engine"
)

// Sync: what of an input is already in the collection. A passage is known by
// its id and unchanged when every document stored for it (more than one where
// it was split into windows) has its hash. A passage and its windows are
// upserted in one batch, so an interrupted index leaves no half of one; old
// windows that outlived a replaced passage are found here by their hash.

// known maps the passages of a collection by id.
type known map[string]*stored

// stored is what the collection has of one passage.
type stored struct {
	source string
	docs   []storedDoc
	seen   bool // the inputs of this run have it
}

type storedDoc struct{ id, hash string }

// loadKnown reads the ids and attributes of every document.
func loadKnown(ctx context.Context, col *engine.Collection) (known, error) {
	k := known{}
	sources := map[string]string{} // one copy of each
	for d, err := range col.All(ctx, engine.WithoutVectors()) {
		if err != nil {
			return nil, err
		}
		at := placeOf(d.Attributes)
		id := at.Passage
		if id == "" {
			id = d.ID
		}
		s := k[id]
		if s == nil {
			s = &stored{}
			k[id] = s
		}
		if _, ok := sources[at.Source]; !ok {
			sources[at.Source] = at.Source
		}
		s.source = sources[at.Source]
		s.docs = append(s.docs, storedDoc{d.ID, at.Hash})
	}
	return k, nil
}

// change says what the sync does with a passage.
type change string

const (
	unchanged change = "unchanged"
	added     change = "added"
	changed   change = "changed"
	removed   change = "removed"
)

// job is a passage on its way through the pipeline.
type job struct {
	passage ingest.Passage
	source  string
	hash    string
	change  change
	// old are the ids stored for the passage; those that it does not get again
	// are deleted after it is stored. For an unchanged passage: leftovers.
	old []string
	// from is the source that the passage belonged to, when another.
	from string
}

// compare decides what to do with a passage and marks it seen.
func (k known) compare(p ingest.Passage, source, hash string) job {
	j := job{passage: p, source: source, hash: hash, change: added}
	s := k[p.ID]
	if s == nil {
		return j
	}
	s.seen = true
	if s.source != source {
		j.from = s.source
	}
	same := 0
	for _, d := range s.docs {
		if d.hash == hash {
			same++
		} else {
			j.old = append(j.old, d.id)
		}
	}
	if same > 0 && j.from == "" {
		j.change = unchanged
		return j
	}
	j.change, j.old = changed, nil
	for _, d := range s.docs {
		j.old = append(j.old, d.id)
	}
	return j
}

// vanished lists what the collection has from the given sources and the inputs
// of this run have not: passage ids, and the ids of their documents.
func (k known) vanished(sources map[string]bool) (passages int, ids []string, names []string) {
	for id, s := range k {
		if !s.seen && sources[s.source] {
			passages++
			names = append(names, id)
			for _, d := range s.docs {
				ids = append(ids, d.id)
			}
		}
	}
	return passages, ids, names
}
