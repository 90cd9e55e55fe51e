package query

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/colbertdb-go/colbertdb/codec"
)

// Mode says what a search by text goes by.
type Mode uint8

const (
	LateInteraction Mode = iota // MaxSim
	BM25                        // BM25, without vectors
	Rerank                      // MaxSim of the best by BM25
	Hybrid                      // both, fused
)

var modeNames = [...]string{"late-interaction", "bm25", "rerank", "hybrid"}

// String returns the mode's name.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// ParseMode reads "late-interaction", "bm25", "rerank" or "hybrid".
func ParseMode(s string) (Mode, error) {
	if i := slices.Index(modeNames[:], s); i >= 0 {
		return Mode(i), nil
	}
	return 0, fmt.Errorf("%w: unknown mode %q: use late-interaction, bm25, rerank or hybrid", ErrInvalid, s)
}

// Fusion says how Hybrid makes one score of two. The zero value is the default.
type Fusion struct {
	// RRF fuses by reciprocal rank (Cormack, Clarke and Büttcher, SIGIR 2009): the sum
	// of 1/(RankConstant + rank) over the two lists. Default: by weight.
	RRF bool `json:"rrf,omitempty"`
	// RankConstant is k of RRF. Default: DefaultRankConstant.
	RankConstant float64 `json:"rank_constant,omitempty"`
	// Weight is that of MaxSim, from 0 to 1; BM25 has the rest. Default: DefaultWeight.
	// MaxSim is divided by the sum of the query tokens' weights, which is the most that
	// it can be; BM25 by the Euclidean length of the query terms' weights, so that it
	// counts the more the more of the query's rare terms a document has. And it counts
	// the more the less the best document by MaxSim has of the query: BM25 is multiplied
	// by (1 − that document's MaxSim)², divided as above.
	Weight *float64 `json:"weight,omitempty"`
}

// Defaults of Fusion.
const (
	DefaultRankConstant = 60
	DefaultWeight       = 0.45
)

func (f *Fusion) validate() error {
	if f.RankConstant < 0 {
		return fmt.Errorf("%w: Fusion.RankConstant is %v, it must be above 0", ErrInvalid, f.RankConstant)
	}
	if w := f.Weight; w != nil && !(*w >= 0 && *w <= 1) {
		return fmt.Errorf("%w: Fusion.Weight is %v, it must be 0 to 1", ErrInvalid, *w)
	}
	return nil
}

// rerankDepth is the number of documents that Rerank scores, fusionDepth the length of
// the lists that Hybrid fuses, by default and for a small K.
const (
	rerankDepth = 100
	fusionDepth = 100
)

// SearchTerms is Search by words: with Rerank and Hybrid by the query's vectors too,
// which are of the same text; with BM25, q is nil. NA is then the number of documents
// that are reranked, or the depth of the lists that are fused.
func (s *Searcher) SearchTerms(ctx context.Context, mode Mode, q *codec.Query, terms *TermQuery, sources []Source, p Params) (*Result, error) {
	depth := p.NA
	if err := s.begin(sources, q, p); err != nil {
		return nil, err
	}
	defer s.forget()
	if err := cmp.Or(terms.check(sources), p.Fusion.validate()); err != nil {
		return nil, err
	}
	if err := s.allow(ctx); err != nil {
		return nil, err
	}
	s.stage("filter")
	if q != nil {
		s.scorer.Reset(q, nil)
	}
	find := func(want int) ([]candidate, error) {
		found, err := s.bm25(ctx, terms, want, nil)
		s.res.Scored, s.res.Exhaustive = s.res.Candidates, true
		return found, err
	}
	switch mode {
	case Rerank:
		find = func(want int) ([]candidate, error) {
			return s.rerank(ctx, terms, max(want, cmp.Or(depth, rerankDepth)))
		}
	case Hybrid:
		find = func(want int) ([]candidate, error) {
			return s.hybrid(ctx, q, terms, max(want, cmp.Or(depth, max(3*want, fusionDepth))))
		}
	}
	if err := s.answer(find); err != nil {
		return nil, err
	}
	if !p.Explain {
		return s.res, nil
	}
	if q != nil {
		if err := s.explain(q, s.res.Hits); err != nil {
			return nil, err
		}
	}
	return s.res, s.explainTerms(terms, s.res.Hits)
}

// rerank scores the best n documents by BM25 on the deciding plane.
func (s *Searcher) rerank(ctx context.Context, terms *TermQuery, n int) ([]candidate, error) {
	found, err := s.bm25(ctx, terms, n, nil)
	if err != nil {
		return nil, err
	}
	if err := s.score(ctx, tier{plane: s.plane}, found); err != nil {
		return nil, err
	}
	s.stage(s.plane.String())
	s.res.Scored, s.res.Exhaustive = len(found), false
	return s.rank.top(found, len(found)), nil
}

// hybrid fuses the best n documents by MaxSim and by BM25. Every document of the two
// lists gets both scores: what one list ends before is no reason to take it for the
// worst there.
func (s *Searcher) hybrid(ctx context.Context, q *codec.Query, terms *TermQuery, n int) ([]candidate, error) {
	s.p.NFullScores, s.p.NA = max(s.p.NFullScores, n), max(s.p.NA, 2*n)
	found, err := s.find(ctx, q, n)
	if err != nil {
		return nil, err
	}
	late := slices.Clone(found[:min(n, len(found))])
	scored, exhaustive := s.res.Scored, s.res.Exhaustive
	words := slices.Clone(late)
	best, err := s.bm25(ctx, terms, n, words)
	if err != nil {
		return nil, err
	}
	seen := make(map[[2]int]bool, len(late))
	for _, c := range late {
		seen[[2]int{c.source, c.ord}] = true
	}
	var more []candidate
	for _, c := range best {
		if !seen[[2]int{c.source, c.ord}] {
			words = append(words, c)
			more = append(more, c)
		}
	}
	if err := s.score(ctx, tier{plane: s.plane}, more); err != nil {
		return nil, err
	}
	s.res.Candidates, s.res.Scored, s.res.Exhaustive = len(words), scored+len(more), exhaustive
	out := s.fuse(q, append(late, more...), words)
	s.stage("fuse")
	return s.rank.top(out, len(out)), nil
}

// fuse returns the documents of late with fused scores. words are the same documents
// with their scores by BM25, 0 without a term of the query.
func (s *Searcher) fuse(q *codec.Query, late, words []candidate) []candidate {
	f, out := s.p.Fusion, slices.Clone(late)
	var a, b []float64
	if f.RRF {
		k := cmp.Or(f.RankConstant, DefaultRankConstant)
		a, b = s.reciprocalRanks(late, k), s.reciprocalRanks(words, k)
		for i := range words {
			if words[i].score == 0 { // on no list
				b[i] = 0
			}
		}
	} else {
		w := DefaultWeight
		if f.Weight != nil {
			w = *f.Weight
		}
		sum, best := 0., 0.
		for _, x := range q.Weights {
			sum += float64(x)
		}
		for _, c := range late {
			best = max(best, float64(c.score))
		}
		open := 0. // what MaxSim leaves open
		if sum > 0 {
			open = max(0, 1-best/sum)
		}
		a, b = scaled(late, w, sum), scaled(words, (1-w)*float64(open*open), s.terms.length)
	}
	for i := range out {
		out[i].score = float32(a[i] + b[i])
	}
	return out
}

// reciprocalRanks returns 1/(k + rank) of each document in a list.
func (s *Searcher) reciprocalRanks(list []candidate, k float64) []float64 {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return s.rank.compare(list[i], list[j]) })
	out := make([]float64, len(list))
	for rank, i := range order {
		out[i] = 1 / (k + float64(rank+1))
	}
	return out
}

// scaled returns w times the scores over a unit of theirs.
func scaled(list []candidate, w, unit float64) []float64 {
	out := make([]float64, len(list))
	if unit > 0 {
		for i, c := range list {
			out[i] = w * (float64(c.score) / unit)
		}
	}
	return out
}
