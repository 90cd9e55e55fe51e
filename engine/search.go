package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/query"
	"github.com/colbertdb-go/colbertdb/query/filter"
)

// Types of package query that belong to the API.
type (
	// Filter is a condition on attributes.
	Filter = filter.Filter
	// FilterPlan says how a filter was evaluated.
	FilterPlan = filter.Plan
	// FilterCondition is one comparison of a FilterPlan.
	FilterCondition = filter.ConditionPlan
	// Effort trades time for recall.
	Effort = query.Effort
	// Explain tells which document token matched each query token.
	Explain = query.Explain
	// StageTime is the time that a stage of a search took.
	StageTime = query.StageTime
)

// The efforts.
const (
	EffortFast    = query.EffortFast
	EffortDefault = query.EffortDefault
	EffortHigh    = query.EffortHigh
	EffortFull    = query.EffortFull
)

// MaxK is the greatest K of a search.
const MaxK = query.MaxK

// Stages are the names of a search's stages, in order.
func Stages() []string { return append([]string(nil), query.Stages...) }

// Kernels names the kernels that this processor runs: "avx512", "avx2", "neon" or
// "generic".
func Kernels() string { return codec.Kernels() }

// ParseFilter reads a filter in its text form, such as year >= 2020 and lang = "en",
// or in its JSON form, such as {"gte": {"year": 2020}}. Errors wrap ErrFilter and
// say where they are. Package query/filter has the language.
func ParseFilter(s string) (*Filter, error) { return filter.Parse(s) }

// ErrFilter is wrapped by every error about a filter's form, ErrSearch by those
// about the numbers of a search.
var (
	ErrFilter = filter.ErrInvalid
	ErrSearch = query.ErrInvalid
)

// ParseEffort reads "fast", "default", "high" or "full".
func ParseEffort(s string) (Effort, error) { return query.ParseEffort(s) }

// SearchRequest is one search: a query as text or as token vectors, and how to
// answer it. Zero values are defaults.
type SearchRequest struct {
	// Mode says what the search goes by. All but the default need Text and a text
	// index (CollectionConfig.TextIndex). Default: ModeLateInteraction.
	Mode Mode
	// Text is encoded on the query side by the collection's encoder.
	Text string
	// Vectors are the query's token vectors, [tokens][dim], instead of Text; with
	// ModeRerank and ModeHybrid instead of encoding it.
	Vectors Matrix
	// Weights says how much each of Vectors counts in the score, from 0 on.
	// Default: 1 each. With Text, the encoder gives them.
	Weights []float32
	// K is the number of hits. Default: 10.
	K int
	// Effort says how hard candidates are looked for. Default: EffortDefault.
	Effort Effort
	// Exact scores every document. Default: false.
	Exact bool
	// NProbe is the number of centroids that a query token looks into,
	// NCandidates the number of documents scored on plane A, and NFullScores that
	// of documents scored in the last tier. Default: as Effort says. Who raises
	// NProbe raises NCandidates with it: more probes alone can lower recall.
	//
	// With ModeRerank, NCandidates is the number of documents that are ranked by
	// MaxSim (default: 100, at least K), and with ModeHybrid the number by each of
	// the two scores that are fused (default: 100, at least 3·K).
	NProbe, NCandidates, NFullScores int
	// BM25 has the constants of the formula. Default: DefaultBM25.
	BM25 *BM25
	// Fusion is ModeHybrid's. Default: by weight; see Fusion.
	Fusion Fusion
	// Filter restricts the hits. Default: none.
	Filter *Filter
	// GroupBy names an attribute: one hit for each of its values, with its best
	// GroupSize documents as passages. Default: none; GroupSize 3.
	GroupBy   string
	GroupSize int
	// MinSeq is a sequence number whose change the search must see: it waits for
	// it, or fails with ErrNotVisible when the context ends. Default: none.
	MinSeq uint64
	// Explain fills in Hit.Explain and SearchResult.Filter.
	Explain bool
}

// SearchResult is what a search found, best first.
type SearchResult struct {
	Hits []Hit
	// Stages are the times of the stages that ran; Took is the whole.
	Stages []StageTime
	Took   time.Duration
	// Documents is the number of documents in the version searched, Candidates
	// what the postings led to, Scored what was scored on the deciding plane.
	Documents, Candidates, Scored int
	// Exhaustive: every matching document was scored.
	Exhaustive bool
	// Filter says how the filter was evaluated, which of its conditions an index
	// answered and of how many documents the attributes were read; nil without a
	// filter or without Explain.
	Filter *FilterPlan
	// Seq is the newest change that the search saw.
	Seq uint64
	// QueryTokens are the pieces of a text query, one a token vector, for
	// reading Explain; nil for a query by vectors.
	QueryTokens []string
}

// Hit is one document found.
type Hit struct {
	Rank       int
	ID         string
	Score      float32 // MaxSim: the sum over the query's tokens, weighted; else see Mode
	Text       string
	Attributes json.RawMessage
	Explain    *Explain
	// Group is the group's value as JSON, and Passages its best documents, the
	// hit itself first, where the request groups.
	Group    string
	Passages []Hit
}

// Search finds the documents with the greatest scores for a query, by MaxSim or as
// Mode says, over one version of the collection. Equal scores are in the order of
// their ids. It returns min(K, matching documents) hits or an error; by BM25, the
// documents without a term of the query do not match.
func (h *Collection) Search(ctx context.Context, req SearchRequest) (*SearchResult, error) {
	start := time.Now()
	e := h.c.engine
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.exit()
	q, tokens, err := h.query(ctx, &req)
	if err != nil {
		return nil, err
	}
	encoded := time.Since(start)
	if req.MinSeq > 0 {
		if err := e.WaitVisible(ctx, req.MinSeq); err != nil {
			return nil, err
		}
	}
	e.pace.Enter()
	defer e.pace.Leave()
	v, err := h.c.acquire()
	if err != nil {
		return nil, err
	}
	defer h.c.release(v)
	srcs := v.sources()
	sources, documents := searched(srcs)
	terms, err := h.termQuery(ctx, &req, srcs)
	if err != nil {
		return nil, err
	}
	s := e.searchers.Get().(*query.Searcher)
	defer e.searchers.Put(s)
	var r *query.Result
	if p := req.params(h.c.rung()); terms != nil {
		r, err = s.SearchTerms(ctx, req.Mode, q, terms, sources, p)
	} else {
		r, err = s.Search(ctx, q, sources, p)
	}
	if err != nil {
		return nil, err
	}
	out := &SearchResult{
		Documents: documents, Candidates: r.Candidates, Scored: r.Scored,
		Exhaustive: r.Exhaustive, Filter: r.Filter, Seq: v.seq, QueryTokens: tokens,
	}
	fetching := time.Now()
	if out.Hits, err = fetch(srcs, r.Hits); err != nil {
		return nil, err
	}
	out.Stages = append([]StageTime{{Name: "encode", Duration: encoded}}, r.Stages...)
	if last := len(out.Stages) - 1; out.Stages[last].Name == "fetch" { // grouping has read attributes
		out.Stages[last].Duration += time.Since(fetching)
	} else {
		out.Stages = append(out.Stages, StageTime{Name: "fetch", Duration: time.Since(fetching)})
	}
	out.Took = time.Since(start)
	e.stats.search(out)
	return out, nil
}

// searched returns sources for a search, and the number of their live documents.
func searched(srcs []source) (sources []query.Source, documents int) {
	sources = make([]query.Source, len(srcs))
	for i, s := range srcs {
		sources[i] = s
		documents += s.Len()
		if live := s.Live(); live != nil {
			documents -= s.Len() - live.Count()
		}
	}
	return sources, documents
}

// params are those of a search in a collection with a calibrated rung, 0 without.
func (req *SearchRequest) params(rung int) query.Params {
	return query.Params{
		K: req.K, Effort: req.Effort, Rung: rung, Exact: req.Exact, NProbe: req.NProbe, NA: req.NCandidates, NFullScores: req.NFullScores,
		Filter: req.Filter, Explain: req.Explain, GroupBy: req.GroupBy, GroupSize: req.GroupSize,
		Fusion: req.Fusion,
	}
}

// query prepares the request's query, encoding its text if need be: nil for a search
// by words alone.
func (h *Collection) query(ctx context.Context, req *SearchRequest) (*codec.Query, []string, error) {
	if err := h.checkQuery(req); err != nil {
		return nil, nil, err
	}
	if req.Mode == ModeBM25 {
		return nil, nil, nil
	}
	given := encoder.Query{Vectors: req.Vectors, Weights: req.Weights}
	if req.encodes() {
		encoded, err := encodeQueries(ctx, h.enc, []string{req.Text})
		if err != nil {
			return nil, nil, err
		}
		given = encoded[0]
	}
	q, err := h.newQuery(&given)
	return q, given.Tokens, err
}

// checkQuery checks that a request has a query of one kind.
func (h *Collection) checkQuery(req *SearchRequest) error {
	if err := h.checkMode(req); err != nil {
		return err
	}
	switch {
	case req.Mode == ModeLateInteraction && req.Text != "" && len(req.Vectors.Data) > 0:
		return fmt.Errorf("%w: a search takes Text or Vectors, not both", ErrInvalid)
	case len(req.Vectors.Data) == 0 && len(req.Weights) > 0:
		return fmt.Errorf("%w: Weights belong to Vectors; the encoder weighs Text", ErrInvalid)
	case req.Text == "" && len(req.Vectors.Data) == 0:
		return fmt.Errorf("%w: a search needs Text or Vectors", ErrInvalid)
	case req.encodes() && h.enc == nil:
		return fmt.Errorf("%w: open collection %q with WithEncoder, or search by Vectors", ErrNoEncoder, h.c.name)
	}
	return nil
}

// encodes reports whether the request's text is to be encoded.
func (req *SearchRequest) encodes() bool {
	return req.Text != "" && len(req.Vectors.Data) == 0 && req.Mode != ModeBM25
}

func (h *Collection) newQuery(q *encoder.Query) (*codec.Query, error) {
	if q.Vectors.Dim != h.c.config.Dim {
		return nil, fmt.Errorf("query: %w: vectors have dimension %d, collection %q has %d", ErrDimension, q.Vectors.Dim, h.c.name, h.c.config.Dim)
	}
	return codec.NewQuery(q.Vectors, q.Weights)
}

// fetch adds what the store knows of the hits.
func fetch(srcs []source, hits []query.Hit) ([]Hit, error) {
	out := make([]Hit, len(hits))
	for i, h := range hits {
		text, attrs, err := srcs[h.Source].document(h.Ord)
		if err != nil {
			return nil, err
		}
		out[i] = Hit{Rank: i + 1, ID: h.ID, Score: h.Score, Text: text, Attributes: attrs, Explain: h.Explain, Group: h.Group}
		if len(h.Passages) > 0 {
			if out[i].Passages, err = fetch(srcs, h.Passages); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}
