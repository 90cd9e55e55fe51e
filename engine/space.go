package engine

import (
	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/query"
	"github.com/colbertdb-go/colbertdb/segment"
)

// space is how a collection encodes and scores at one moment: its fixed
// configuration and, once trained, its codebook and routing. It is immutable;
// training publishes another one.
type space struct {
	collection uint32
	dim        int
	profile    Profile
	retainRaw  bool
	codebook   *codec.Codebook // nil while flat
	routing    *codec.Routing  // nil while flat
}

func (s *space) coded() bool { return s.codebook != nil }

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

func (s *space) query() query.Space {
	return query.Space{Codebook: s.codebook, Routing: s.routing, Representation: s.representation()}
}
