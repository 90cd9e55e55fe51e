package main

import (
	"context"
	"iter"
	"slices"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
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
	path   string // of its file
	docs   []storedDoc
	seen   bool // the inputs of this run have it
}

type storedDoc struct {
	id, hash string
	text     digest // where contents know it
}

// everything yields the documents of a collection of either kind, without vectors.
func everything(ctx context.Context, col remote.Collection) iter.Seq2[*engine.Document, error] {
	if h, ok := col.(*remote.Handle); ok {
		return h.All(ctx)
	}
	return col.(*engine.Collection).All(ctx, engine.WithoutVectors())
}

// loadKnown reads the ids and attributes of every document, and of those of the given
// sources the texts. Without sources there are no contents.
func loadKnown(ctx context.Context, col remote.Collection, texts ...string) (known, *contents, error) {
	k := known{}
	var c *contents
	if len(texts) > 0 {
		c = newContents()
	}
	names := map[string]string{} // one copy of each source and path
	once := func(s string) string {
		if _, ok := names[s]; !ok {
			names[s] = s
		}
		return names[s]
	}
	for d, err := range everything(ctx, col) {
		if err != nil {
			return nil, nil, err
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
		s.source, s.path = once(at.Source), once(at.Path)
		doc := storedDoc{id: d.ID, hash: at.Hash}
		if slices.Contains(texts, at.Source) {
			doc.text = c.add(d)
		}
		s.docs = append(s.docs, doc)
	}
	return k, c, nil
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
