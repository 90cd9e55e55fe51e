package main

import (
	"context"
	"crypto/sha256"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
)

// contents finds vectors by the text that they are of, so that none is encoded twice:
// not when a file gets another name, nor when lines before a passage come or go. They
// are those of a stored document, or of one that was deleted a moment ago. A nil one
// finds none.
type contents struct {
	ids   map[digest]string // documents
	gone  map[digest]encoder.Matrix
	order []digest // of gone, oldest first
	bytes int      // of gone
}

// digest identifies a text.
type digest [16]byte

// goneBytes bounds the vectors of deleted documents that are kept: what returns does so
// soon, as when an editor writes a file anew under its name.
const goneBytes = 64 << 20

func newContents() *contents {
	return &contents{ids: map[digest]string{}, gone: map[digest]encoder.Matrix{}}
}

func digestOf(text string) digest {
	h := sha256.Sum256([]byte(text))
	return digest(h[:16])
}

// exactVectors reports whether a collection gives back vectors that are as good as those
// that it was given: its codes do not go through a codebook.
func exactVectors(info *engine.CollectionInfo) bool {
	return info.RetainRaw || info.Profile == engine.Exact
}

// add notes a stored document.
func (c *contents) add(d *engine.Document) digest {
	text := digestOf(d.Text)
	c.ids[text] = d.ID
	return text
}

// find returns the vectors of a text, where there are some.
func (c *contents) find(ctx context.Context, col remote.Collection, text string) (encoder.Matrix, bool) {
	if c == nil {
		return encoder.Matrix{}, false
	}
	of := digestOf(text)
	if m, ok := c.gone[of]; ok {
		return m, true
	}
	id, ok := c.ids[of]
	if !ok || col == nil {
		return encoder.Matrix{}, false
	}
	d, err := col.Get(ctx, id) // an error: it is encoded
	if err != nil || d.Text != text || d.Vectors.Len() == 0 {
		return encoder.Matrix{}, false
	}
	return d.Vectors, true
}

// forget takes out a document that has another text now.
func (c *contents) forget(doc storedDoc) {
	if c.ids[doc.text] == doc.id {
		delete(c.ids, doc.text)
	}
}

// remove takes out a document that is about to be deleted, and keeps its vectors for a
// while.
func (c *contents) remove(ctx context.Context, col remote.Collection, doc storedDoc) {
	if c == nil || c.ids[doc.text] != doc.id {
		return
	}
	delete(c.ids, doc.text)
	d, err := col.Get(ctx, doc.id)
	if err != nil || digestOf(d.Text) != doc.text || d.Vectors.Len() == 0 {
		return
	}
	if _, ok := c.gone[doc.text]; ok {
		return
	}
	c.gone[doc.text] = d.Vectors
	c.order = append(c.order, doc.text)
	for c.bytes += 4 * len(d.Vectors.Data); c.bytes > goneBytes; c.order = c.order[1:] {
		c.bytes -= 4 * len(c.gone[c.order[0]].Data)
		delete(c.gone, c.order[0])
	}
}
