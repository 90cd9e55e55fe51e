package query

import (
	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/query/filter"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Source is a set of up to 65,536 documents that a search reads: a segment or
// a memory buffer as one version sees it.
type Source interface {
	// Space is how its documents are encoded. Sources of one search may have
	// different ones, as far as their scores are comparable.
	Space() *Space
	filter.Source
	// ExternalID is the id that the user gave a document.
	ExternalID(ord int) string
	// Tokens is the number of token vectors of a document.
	Tokens(ord int) int
	// Attributes returns those of one document, nil without.
	Attributes(ord int) ([]byte, error)
	// View returns what scoring on plane p needs, of codec.PlaneNone the codes, valid
	// until buf has served segment.BufferedViews more.
	View(ord int, p codec.Plane, buf *segment.Buffer) (codec.View, error)
	// Pinned reports whether View for plane p is of memory, without a read.
	Pinned(p codec.Plane) bool
	// Postings returns the posting lists; nil: every live document is a candidate.
	Postings() Lister
}

// Lister gives the documents with a token at a centroid.
type Lister interface {
	List(centroid uint32) segment.List
}

// Space is how the documents of a source are encoded.
type Space struct {
	Codebook       *codec.Codebook // nil: flat
	Routing        *codec.Routing  // nil: flat
	Representation codec.Plane     // decides the scores
}
