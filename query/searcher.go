package query

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/query/filter"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Stage names, in the order of a search. Every table and metric uses them.
var Stages = []string{"encode", "filter", "bm25", "centroids", "postings", "select", "plane_a", "plane_b", "plane_c", "raw", "plaid", "fuse", "fetch"}

// StageTime is the time that a stage took.
type StageTime struct {
	Name     string        `json:"name"`
	Duration time.Duration `json:"duration"`
}

// Result is what a search found.
type Result struct {
	Hits   []Hit
	Stages []StageTime
	// Exhaustive: every matching document was scored on the deciding plane.
	Exhaustive bool
	// Postings were read, Candidates found by them, Scored on the deciding plane.
	Postings, Candidates, Scored int
	// Filter says how the filter was evaluated; nil without one, or without
	// Params.Explain.
	Filter *filter.Plan
	// Params are the parameters in force.
	Params Params
}

// Hit is one document, or with GroupBy the best document of one group.
type Hit struct {
	Source, Ord int
	ID          string
	Score       float32
	Explain     *Explain
	Group       string // value of the attribute, as JSON; empty without
	Passages    []Hit  // the best documents of the group, the hit itself first
}

// Explain tells for each query token which document token matched it best,
// their similarity, and its weight. The score is the sum of similarity times
// weight. Of a search by words, it tells which terms the document has; the BM25 score
// is the sum of theirs.
type Explain struct {
	Tokens  []int32     `json:"tokens"`
	Sims    []float32   `json:"sims"`
	Weights []float32   `json:"weights"`
	Terms   []TermMatch `json:"terms,omitempty"`
}

// Searcher holds the scratch memory of searches. It is used by one goroutine at
// a time; once warm, a search allocates its result and little else.
type Searcher struct {
	gen     generator
	scorer  *codec.Scorer
	buf     segment.Buffer
	allowed []*segment.Bitset
	filters filter.Evaluator
	matches int // documents allowed, over all sources
	clock   time.Time
	res     *Result
	sources []Source
	groups  []group
	spaces  []*Space // of the sources
	groupOf []int    // the same

	selected [segment.BufferedViews][]uint32 // tokens of documents in hand
	plane    codec.Plane                     // decides the scores
	terms    termScorer
	rank     ranking
	p        Params
}

// NewSearcher returns a Searcher.
func NewSearcher() *Searcher {
	return &Searcher{gen: generator{prober: codec.NewProber()}, scorer: codec.NewScorer()}
}

// Search finds the documents of the sources with the greatest MaxSim.
func (s *Searcher) Search(ctx context.Context, q *codec.Query, sources []Source, p Params) (*Result, error) {
	if err := s.begin(sources, q, p); err != nil {
		return nil, err
	}
	defer s.forget()
	if err := s.allow(ctx); err != nil {
		return nil, err
	}
	s.stage("filter")
	s.scorer.Reset(q, nil)
	if err := s.answer(func(want int) ([]candidate, error) { return s.find(ctx, q, want) }); err != nil {
		return nil, err
	}
	if p.Explain {
		if err := s.explain(q, s.res.Hits); err != nil {
			return nil, err
		}
	}
	return s.res, nil
}

// answer makes hits of what find returns: at least so many of the best documents, in
// order, where there are that many.
func (s *Searcher) answer(find func(want int) ([]candidate, error)) error {
	want := s.p.K
	for {
		found, err := find(want)
		if err != nil {
			return err
		}
		if s.p.GroupBy == "" {
			s.hits(found[:min(s.p.K, len(found))])
			return nil
		}
		groups, err := s.group(found)
		if err != nil {
			return err
		}
		// Fewer groups than asked for, and there are more documents: look deeper.
		if len(groups) >= s.p.K || len(found) < want || len(found) >= s.matches {
			s.res.Hits = groups
			return nil
		}
		want *= 4
		s.p.NFullScores, s.p.NA = max(s.p.NFullScores, want), max(s.p.NA, 2*want)
	}
}

// begin prepares for a search, q is nil for one by words alone; forget ends it.
func (s *Searcher) begin(sources []Source, q *codec.Query, p Params) error {
	tokens := 0
	if q != nil {
		tokens = q.Tokens
	}
	p = p.withDefaults(tokens)
	if err := p.validate(); err != nil {
		return err
	}
	s.res, s.sources, s.rank, s.p = &Result{Params: p, Stages: make([]StageTime, 0, len(Stages)+1)}, sources, ranking{sources}, p
	s.formGroups()
	s.clock = time.Now()
	return nil
}

// forget lets go of what belongs to the caller.
func (s *Searcher) forget() {
	s.res, s.sources, s.rank, s.p.Filter = nil, nil, ranking{}, nil
	clear(s.spaces)
	for i := range s.groups {
		s.groups[i].space = nil
	}
}

// stage ends a stage: its time is added to what it took before.
func (s *Searcher) stage(name string) {
	now := time.Now()
	d := now.Sub(s.clock)
	s.clock = now
	for i := range s.res.Stages {
		if s.res.Stages[i].Name == name {
			s.res.Stages[i].Duration += d
			return
		}
	}
	s.res.Stages = append(s.res.Stages, StageTime{name, d})
}

// allow finds the documents that may be hits, and counts them.
func (s *Searcher) allow(ctx context.Context) error {
	s.allowed, s.matches = s.allowed[:0], 0
	s.filters.Reset()
	if s.p.Explain && s.p.Filter != nil {
		s.res.Filter = new(filter.Plan)
	}
	for _, src := range s.sources {
		bits := src.Live()
		if s.p.Filter != nil {
			var err error
			if bits, err = s.filters.Select(ctx, s.p.Filter, src, s.res.Filter); err != nil {
				return err
			}
		}
		s.allowed = append(s.allowed, bits)
		if bits == nil {
			s.matches += src.Len()
		} else {
			s.matches += bits.Count()
		}
	}
	return nil
}

// MaxScan is the number of documents above which finding candidates always costs
// less than scoring all.
const MaxScan = 2048

// find returns the best documents, at least want of them where there are that
// many, in order, with their deciding scores.
func (s *Searcher) find(ctx context.Context, q *codec.Query, want int) ([]candidate, error) {
	if !s.exhaustive(want) {
		found, err := s.generate(ctx, q, want)
		if err != nil || found != nil {
			return found, err
		}
	}
	return s.scan(ctx, want)
}

// exhaustive reports whether every allowed document is scored on the deciding plane.
func (s *Searcher) exhaustive(want int) bool {
	return s.p.Exact || !s.coded() || s.matches <= min(2*s.p.NA, MaxScan) || want >= s.matches
}

// scan scores every allowed document and returns the best want of them, or all
// where groups may need them.
func (s *Searcher) scan(ctx context.Context, want int) ([]candidate, error) {
	all := s.everyAllowed()
	if err := s.score(ctx, tier{plane: s.plane}, all); err != nil {
		return nil, err
	}
	s.stage(s.plane.String())
	s.res.Exhaustive, s.res.Scored, s.res.Candidates = true, len(all), len(all)
	if s.p.GroupBy != "" {
		want = len(all)
	}
	return s.rank.top(all, want), nil
}

// everyAllowed makes candidates of all allowed documents.
func (s *Searcher) everyAllowed() []candidate {
	all := s.gen.found[:0]
	for i, src := range s.sources {
		for ord := range src.Len() {
			if a := s.allowed[i]; a == nil || a.Get(ord) {
				all = append(all, candidate{source: i, ord: ord})
			}
		}
	}
	s.gen.found = all
	return all
}

// cellRank is the number of candidates, in times of those that plane A scores, that
// are ranked by the cells of their tokens: for a twentieth of the work a document,
// that knows every query token's best cell, where postings know those probed.
const cellRank = 4

// takesAllowed reports whether all documents that a filter leaves are candidates. To
// look for NA of them among the postings of all documents would take longer, and miss
// those far from the query.
func (s *Searcher) takesAllowed() bool { return s.p.Filter != nil && s.matches <= cellRank*s.p.NA }

// ranksByCells reports whether candidates can be ranked by their cells: scores of two
// codebooks do not compare, and who has to read the codes had better read plane A.
func (s *Searcher) ranksByCells() bool {
	coded := 0
	for i := range s.groups {
		g := &s.groups[i]
		if g.space.Codebook == nil {
			continue
		}
		if coded++; coded > 1 || g.space.Representation == codec.PlanePLAID || !g.cells.Known() {
			return false
		}
		for _, at := range g.sources {
			if !s.sources[at].Pinned(codec.PlaneNone) {
				return false
			}
		}
	}
	return coded == 1
}

// scoreCells replaces the scores of candidates that have cells by MaxSim over them.
func (s *Searcher) scoreCells(ctx context.Context, c []candidate) error {
	const ahead = segment.BufferedViews - 1
	var views [segment.BufferedViews]codec.View
	for i := range len(c) + ahead {
		if i < len(c) {
			src := s.sources[c[i].source]
			v := codec.View{}
			if s.spaces[c[i].source].Codebook != nil {
				var err error
				if v, err = src.View(c[i].ord, codec.PlaneNone, &s.buf); err != nil {
					return fmt.Errorf("document %q: %w", src.ExternalID(c[i].ord), err)
				}
				v.PrefetchCodes()
			}
			views[i%len(views)] = v
		}
		if i < ahead {
			continue
		}
		if i%1024 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		c := &c[i-ahead]
		if v := views[(i-ahead)%len(views)]; v.Codes != nil {
			c.score = s.groups[s.groupOf[c.source]].cells.MaxSim(v.Codes)
		} else {
			c.score = math.MaxFloat32 // flat documents are few
		}
	}
	return nil
}

// generate finds candidates and scores them tier by tier. It returns nil when
// the postings do not lead to enough documents.
func (s *Searcher) generate(ctx context.Context, q *codec.Query, want int) ([]candidate, error) {
	tiers := s.tiers(want)
	if s.takesAllowed() {
		for i := range s.groups {
			s.gen.cells(q, &s.groups[i])
		}
		s.everyAllowed()
		s.stage("centroids")
	} else if enough, err := s.lookUp(ctx, q, want); err != nil || !enough {
		return nil, err
	}
	s.res.Candidates = len(s.gen.found)
	found := s.gen.found
	for i, t := range tiers {
		var err error
		if found, err = s.keep(ctx, found, i, t); err != nil {
			return nil, err
		}
		if i == 0 {
			s.stage("select")
		}
		if err := s.score(ctx, t, found); err != nil {
			return nil, err
		}
		s.stage(t.plane.String())
	}
	s.res.Scored = len(found)
	return s.rank.top(found, len(found)), nil
}

// keep returns the candidates that tier i scores: the first tier's are chosen by their
// cells, among the best by postings.
func (s *Searcher) keep(ctx context.Context, found []candidate, i int, t tier) ([]candidate, error) {
	if len(found) <= t.keep {
		return found, nil
	}
	if i == 0 {
		byCells := s.ranksByCells()
		switch {
		case s.takesAllowed(): // without estimates
			if !byCells {
				return found, nil
			}
		case !byCells:
			return s.selectCandidates(found, t.keep), nil
		case len(found) > cellRank*t.keep:
			found = s.selectCandidates(found, cellRank*t.keep)
		}
		if err := s.scoreCells(ctx, found); err != nil {
			return nil, err
		}
	}
	s.rank.selectTop(found, t.keep)
	return found[:t.keep], nil
}

// lookUp finds candidates by the postings, at least n_A of those that a filter
// allows where there are that many. It reports whether they are enough.
func (s *Searcher) lookUp(ctx context.Context, q *codec.Query, want int) (enough bool, err error) {
	s.gen.found, s.res.Postings = s.gen.found[:0], 0
	for i := range s.groups {
		if err := s.generateGroup(ctx, q, &s.groups[i], &s.p, postingBudget); err != nil {
			return false, err
		}
	}
	return s.widen(ctx, q, want)
}

// widen goes on from the first candidates: where they are too few, it probes more.
func (s *Searcher) widen(ctx context.Context, q *codec.Query, want int) (enough bool, err error) {
	p := s.p
	limit := postingBudget
	for {
		// A filter, or deletes, can leave few of the documents in the lists.
		found, need := len(s.gen.found), min(max(p.NA, want), s.matches)
		if found >= need || s.p.Filter == nil && found >= max(want, p.NFullScores) {
			return true, nil
		}
		if p.NProbe >= min(MaxNProbe, s.maxCentroids()) {
			return found >= want, nil
		}
		more := 2
		for more*found < need && more*p.NProbe < MaxNProbe {
			more *= 2
		}
		p.NProbe = min(more*p.NProbe, MaxNProbe)
		p.Cells = max(p.Cells, p.NProbe)
		limit *= more
		s.gen.found, s.res.Postings = s.gen.found[:0], 0
		for i := range s.groups {
			if err := s.generateGroup(ctx, q, &s.groups[i], &p, limit); err != nil {
				return false, err
			}
		}
	}
}

// tier scores the best keep candidates on a plane, or on those of their tokens
// that may matter.
type tier struct {
	plane  codec.Plane
	keep   int
	pruned bool // codec.CellTable selects them
}

// prunes reports whether only some tokens of a view are scored: those of flat
// sources have no plane A, and all are.
func (t tier) prunes(v codec.View) bool { return t.pruned && v.A != nil }

func (s *Searcher) tiers(want int) []tier {
	full := max(s.p.NFullScores, want)
	if s.plane == codec.PlanePLAID { // there is no cheaper one
		return []tier{{s.plane, max(s.p.NA, full), false}, {s.plane, full, false}}
	}
	return []tier{{codec.PlaneA, max(s.p.NA, full), true}, {s.plane, full, false}}
}

// score replaces the candidates' scores by MaxSim on a tier's plane. Views are
// taken a few documents ahead, so that their bytes are on the way from memory
// while those before them are scored; where a tier is pruned, a document's codes
// are asked for first, and the records of its selected tokens a step later.
func (s *Searcher) score(ctx context.Context, t tier, c []candidate) error {
	const ahead = segment.BufferedViews - 1
	var views [segment.BufferedViews]codec.View
	tokens := 0
	for i := range len(c) + ahead {
		if i < len(c) {
			src := s.sources[c[i].source]
			v, err := src.View(c[i].ord, s.planeOf(c[i], t.plane), &s.buf)
			if err != nil {
				return fmt.Errorf("document %q: %w", src.ExternalID(c[i].ord), err)
			}
			if t.prunes(v) {
				v.PrefetchCodes()
			} else {
				v.Prefetch()
			}
			views[i%len(views)] = v
		}
		if at := i - 1; at >= 0 && at < len(c) && t.prunes(views[at%len(views)]) {
			s.selectTokens(c[at], views[at%len(views)], at%len(views))
		}
		if i < ahead {
			continue
		}
		if tokens > 4096 { // about every half millisecond
			if err := ctx.Err(); err != nil {
				return err
			}
			tokens = 0
		}
		slot := (i - ahead) % len(views)
		scored, v := &c[i-ahead], views[slot]
		s.scorer.SetCodebook(s.spaces[scored.source].Codebook)
		if t.prunes(v) {
			scored.score = s.scorer.MaxSimOf(v, s.selected[slot])
		} else {
			scored.score = s.scorer.MaxSim(s.planeOf(*scored, t.plane), v)
		}
		tokens += v.Tokens
	}
	return nil
}

// selectTokens chooses the tokens of a document that are scored.
func (s *Searcher) selectTokens(c candidate, v codec.View, slot int) {
	s.selected[slot] = s.groups[s.groupOf[c.source]].cells.Select(v.Codes, s.selected[slot])
	v.PrefetchA(s.selected[slot], s.spaces[c.source].Codebook.Dim)
}

// planeOf is plane p where the candidate's source has it.
func (s *Searcher) planeOf(c candidate, p codec.Plane) codec.Plane {
	if sp := s.spaces[c.source]; sp.Codebook == nil || sp.Representation == codec.PlanePLAID {
		return sp.Representation // has no other
	}
	return p
}

func (s *Searcher) hit(c candidate) Hit {
	return Hit{Source: c.source, Ord: c.ord, ID: s.sources[c.source].ExternalID(c.ord), Score: c.score}
}

func (s *Searcher) hits(found []candidate) {
	s.res.Hits = make([]Hit, len(found))
	for i, c := range found {
		s.res.Hits[i] = s.hit(c)
	}
}

// group turns ranked candidates into at most K groups, ranked by their best
// documents. Passages come from the best 4·K·GroupSize documents: reading
// attributes further down would cost more than the search.
func (s *Searcher) group(found []candidate) ([]Hit, error) {
	var groups []Hit
	at := map[string]int{}
	for rank, c := range found {
		if len(groups) >= s.p.K && rank >= 4*s.p.K*s.p.GroupSize {
			break
		}
		attrs, err := s.sources[c.source].Attributes(c.ord)
		if err != nil {
			return nil, err
		}
		h := s.hit(c)
		h.Group = groupOf(attrs, s.p.GroupBy)
		i, ok := at[h.Group]
		if !ok || h.Group == "" {
			if len(groups) >= s.p.K {
				continue
			}
			i = len(groups)
			groups = append(groups, h)
			at[h.Group] = i
		}
		if g := &groups[i]; len(g.Passages) < s.p.GroupSize {
			h.Group = ""
			g.Passages = append(g.Passages, h)
		}
	}
	s.stage("fetch")
	return groups, nil
}

// explain fills in the matching tokens of hits and their passages.
func (s *Searcher) explain(q *codec.Query, hits []Hit) error {
	for i := range hits {
		h := &hits[i]
		sp := s.spaces[h.Source]
		v, err := s.sources[h.Source].View(h.Ord, sp.Representation, &s.buf)
		if err != nil {
			return err
		}
		h.Explain = &Explain{Tokens: make([]int32, q.Tokens), Sims: make([]float32, q.Tokens), Weights: q.Weights}
		s.scorer.SetCodebook(sp.Codebook)
		s.scorer.Explain(sp.Representation, v, h.Explain.Tokens, h.Explain.Sims)
		if err := s.explain(q, h.Passages); err != nil {
			return err
		}
	}
	return nil
}
