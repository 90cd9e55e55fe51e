package query

import (
	"context"
	"math"

	"github.com/colbertdb-go/colbertdb/codec"
)

// group is the sources of one codebook and routing. A collection has more than
// one while it moves from one version of them to the next.
type group struct {
	space     *Space
	sources   []int // indexes
	documents int
	end       int // of its candidates in generator.found
	cells     codec.CellTable
}

// formGroups sorts the sources into groups, in the order of their first ones.
func (s *Searcher) formGroups() {
	s.spaces, s.groupOf, s.groups, s.plane = s.spaces[:0], s.groupOf[:0], s.groups[:0], codec.PlaneNone
	for i, src := range s.sources {
		sp := src.Space()
		s.spaces = append(s.spaces, sp)
		if s.plane == codec.PlaneNone || sp.Codebook != nil {
			s.plane = sp.Representation
		}
		at := s.findGroup(sp)
		s.groupOf = append(s.groupOf, at)
		g := &s.groups[at]
		g.sources = append(g.sources, i)
		g.documents += src.Len()
	}
}

// findGroup returns the index of a space's group, a new one where there is none.
func (s *Searcher) findGroup(sp *Space) int {
	for i := range s.groups {
		if g := &s.groups[i]; g.space.Codebook == sp.Codebook && g.space.Routing == sp.Routing {
			return i
		}
	}
	if len(s.groups) < cap(s.groups) {
		s.groups = s.groups[:len(s.groups)+1] // with the memory of its sources
	} else {
		s.groups = append(s.groups, group{})
	}
	g := &s.groups[len(s.groups)-1]
	g.space, g.sources, g.documents, g.end = sp, g.sources[:0], 0, 0 // the table keeps its memory
	return len(s.groups) - 1
}

// coded reports whether there are postings to find candidates by.
func (s *Searcher) coded() bool {
	for _, g := range s.groups {
		if g.space.Codebook != nil {
			return true
		}
	}
	return false
}

func (s *Searcher) maxCentroids() (n int) {
	for _, g := range s.groups {
		if g.space.Routing != nil {
			n = max(n, g.space.Routing.NumCentroids())
		}
	}
	return n
}

// generateGroup appends the candidates of one group to those found.
func (s *Searcher) generateGroup(ctx context.Context, q *codec.Query, g *group, p *Params, limit int) error {
	if g.space.Routing != nil {
		s.gen.probe(q, g, p)
		s.stage("centroids")
	}
	return s.accumulateGroup(ctx, g, limit)
}

// accumulateGroup is generateGroup after the probing. The posting budget is shared
// by the groups' documents.
func (s *Searcher) accumulateGroup(ctx context.Context, g *group, limit int) error {
	defer func() { g.end = len(s.gen.found) }()
	if g.space.Routing != nil {
		all := 0
		for i := range s.groups {
			all += s.groups[i].documents
		}
		s.res.Postings += s.gen.budget(s.sources, g.sources, max(1, int(float64(limit)*float64(g.documents)/float64(max(1, all)))))
	}
	for _, i := range g.sources {
		src := s.sources[i]
		if src.Postings() != nil {
			if err := s.gen.accumulate(ctx, i, src, s.allowed[i]); err != nil {
				return err
			}
			continue
		}
		for ord := range src.Len() {
			if a := s.allowed[i]; a == nil || a.Get(ord) {
				s.gen.found = append(s.gen.found, candidate{i, ord, math.MaxFloat32})
			}
		}
	}
	s.stage("postings")
	return nil
}

// selectCandidates returns the keep candidates with the best estimates, in any
// order. Estimates of different groups are not quite comparable, since finer
// centroids lie nearer to their tokens: with n groups, each is sure of the
// places of its best keep/2n candidates.
func (s *Searcher) selectCandidates(found []candidate, keep int) []candidate {
	if len(s.groups) == 1 {
		s.rank.selectTop(found, keep)
		return found[:keep]
	}
	sure, from := keep/(2*len(s.groups)), 0
	front := 0 // found[:front] are sure of their places
	for _, g := range s.groups {
		n := min(sure, g.end-from)
		s.rank.selectTop(found[from:g.end], n)
		for i := from; i < from+n; i++ {
			found[front], found[i] = found[i], found[front]
			front++
		}
		from = g.end
	}
	s.rank.selectTop(found[front:], keep-front)
	return found[:keep]
}
