package engine

import (
	"context"
	"fmt"
	"sync"

	"github.com/colbertdb-go/colbertdb/internal/lexical"
	"github.com/colbertdb-go/colbertdb/query"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Types of the modes of search.
type (
	// Mode says what a search by text goes by.
	Mode = query.Mode
	// Fusion says how ModeHybrid makes one score of two.
	Fusion = query.Fusion
	// BM25 has the constants of the formula.
	BM25 = lexical.BM25
	// TermMatch is a term of the query in a document.
	TermMatch = query.TermMatch
)

// The modes.
const (
	// ModeLateInteraction finds documents by MaxSim.
	ModeLateInteraction = query.LateInteraction
	// ModeBM25 finds documents by the terms of the query that they have. It needs no
	// encoder. A score is BM25.
	ModeBM25 = query.BM25
	// ModeRerank ranks the best documents by BM25 by MaxSim: those that have no term
	// of the query are not found.
	ModeRerank = query.Rerank
	// ModeHybrid finds documents by both and fuses the scores.
	ModeHybrid = query.Hybrid
)

// ParseMode reads "late-interaction", "bm25", "rerank" or "hybrid".
func ParseMode(s string) (Mode, error) { return query.ParseMode(s) }

// Defaults of Fusion.
const (
	DefaultFusionWeight = query.DefaultWeight
	DefaultRankConstant = query.DefaultRankConstant
)

// DefaultBM25 are the constants of a search that gives none.
var DefaultBM25 = lexical.Default

// checkMode checks what the request's mode asks of it.
func (h *Collection) checkMode(req *SearchRequest) error {
	switch {
	case req.Mode > ModeHybrid:
		return fmt.Errorf("%w: unknown mode %d", ErrInvalid, req.Mode)
	case req.Mode == ModeLateInteraction:
		return nil
	case req.Text == "":
		return fmt.Errorf("%w: a search by %s needs Text", ErrInvalid, req.Mode)
	case req.Mode == ModeBM25 && len(req.Vectors.Data) > 0:
		return fmt.Errorf("%w: a search by %s takes no Vectors", ErrInvalid, req.Mode)
	}
	if _, ok := textSpec(h.c.declared()); !ok {
		return fmt.Errorf("%w: collection %q has no text index; declare one with IndexText, or search by %s", ErrInvalid, h.c.name, ModeLateInteraction)
	}
	return nil
}

// termQuery is the request's query by words, nil for a search by MaxSim alone.
func (h *Collection) termQuery(ctx context.Context, req *SearchRequest, srcs []source) (*query.TermQuery, error) {
	if req.Mode == ModeLateInteraction {
		return nil, nil
	}
	spec, ok := textSpec(h.c.declared())
	if !ok { // dropped since checkMode
		return nil, h.checkMode(req)
	}
	q := &query.TermQuery{Terms: spec.Analyzer.Query(req.Text), BM25: lexical.Default}
	if req.BM25 != nil {
		q.BM25 = *req.BM25
	}
	for _, src := range srcs {
		x, err := src.termIndex(ctx, spec)
		if err != nil {
			return nil, err
		}
		q.Indexes = append(q.Indexes, x)
	}
	return q, nil
}

// madeTerms is the text index of a segment that has none yet, made when a search
// first needs it and kept until there is one.
type madeTerms struct {
	mu sync.Mutex
	x  *memTerms
}

func (s segView) termIndex(ctx context.Context, spec segment.IndexSpec) (query.TermIndex, error) {
	m := &s.made
	if x := s.lexical(spec); x != nil {
		return x, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.x == nil || m.x.spec != spec {
		x := newMemTerms([]segment.IndexSpec{spec})
		err := s.EachText(ctx, func(_ int, text string) error {
			x.put(countTerms(spec.Analyzer, text))
			return nil
		})
		if err != nil {
			return nil, err
		}
		m.x = x
	}
	return m.x.view(), nil
}

// forget lets go of it. It may be in use.
func (m *madeTerms) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.x = nil
}

// termIndex returns what the buffer keeps, or where the declaration is newer than the
// view, an index made for the search.
func (v *memView) termIndex(ctx context.Context, spec segment.IndexSpec) (query.TermIndex, error) {
	if v.terms != nil && v.terms.of.spec == spec {
		return v.terms, nil
	}
	x := newMemTerms([]segment.IndexSpec{spec})
	for _, d := range v.docs {
		x.put(countTerms(spec.Analyzer, d.op.text))
	}
	return x.view(), ctx.Err()
}
