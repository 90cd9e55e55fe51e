package engine

import (
	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/query"
	"github.com/colbertdb-go/colbertdb/segment"
)

// space is how documents are encoded: a collection's fixed configuration with a
// codec version (codebook) and a routing version. It is immutable. A collection
// has a current space; its buffers are always in it, its segments follow one by
// one. docs/rfcs/0001-codec-and-routing-versions.md.
type space struct {
	collection uint32
	dim        int
	profile    Profile
	retainRaw  bool
	codebook   *codec.Codebook // nil while flat
	routing    *codec.Routing  // nil while flat
	oldest     versions        // that it reads: its own, or what they extend
	forQuery   query.Space
}

// versions are a codec and a routing version.
type versions struct{ codebook, routing uint32 }

// newSpace returns the flat space of a new collection.
func newSpace(collection uint32, dim int, p Profile, retainRaw bool) *space {
	s := &space{collection: collection, dim: dim, profile: p, retainRaw: retainRaw}
	return s.with(nil, nil)
}

// with returns the space of other versions.
func (s *space) with(cb *codec.Codebook, rt *codec.Routing) *space {
	out := *s
	out.codebook, out.routing = cb, rt
	out.oldest = out.versions()
	out.forQuery = query.Space{Codebook: cb, Routing: rt, Representation: out.representation()}
	return &out
}

// extended returns the space of versions that extend its own.
func (s *space) extended(cb *codec.Codebook, rt *codec.Routing) *space {
	out := s.with(cb, rt)
	out.oldest = s.oldest
	return out
}

// reading returns the space to read with what was written in another: s, where
// its versions are the other's or extend them.
func (s *space) reading(o *space) *space {
	if o.codebookID() >= s.oldest.codebook && o.routingID() >= s.oldest.routing {
		return s
	}
	return o
}

func (s *space) versions() versions { return versions{s.codebookID(), s.routingID()} }

func (s *space) coded() bool { return s.codebook != nil }

// codebookID is the codec version, 0 while flat.
func (s *space) codebookID() uint32 {
	if s.codebook == nil {
		return 0
	}
	return s.codebook.ID
}

// routingID is the routing version, 0 while flat.
func (s *space) routingID() uint32 {
	if s.routing == nil {
		return 0
	}
	return s.routing.ID
}

// representation is the plane that decides the collection's scores.
func (s *space) representation() codec.Plane {
	return codec.Representation(s.profile, s.retainRaw, s.coded())
}

func (s *space) encoder() *codec.Encoder {
	return codec.NewEncoder(s.dim, s.profile, s.retainRaw, s.codebook, s.routing)
}

func (s *space) segmentConfig() segment.Config {
	return segment.Config{
		Dim: s.dim, Profile: s.profile, RetainRaw: s.retainRaw,
		Codebook: s.codebook, Routing: s.routing, CollectionID: s.collection,
	}
}
