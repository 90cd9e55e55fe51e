package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// plan is a search that was read and checked.
type plan struct {
	req     engine.SearchRequest
	offset  int
	without string // id of the document that is the query
	include map[string]bool
	explain bool
	timeout time.Duration
	effort  string  // that a recall target led to
	weight  float32 // sum over the query's tokens; 0: one each
}

// plan checks a search of a body. A document that is to be the query is read here.
func (q *request) plan(ctx context.Context, col *engine.Collection, s *wire.Search) (*plan, error) {
	l := &q.s.limits
	p := &plan{offset: s.Offset, without: s.DocumentID, explain: s.Explain, timeout: l.QueryTimeout}
	m, err := s.Matrix(readNPY)
	if err != nil {
		return nil, err
	}
	queries := 0
	for _, given := range []bool{s.Text != "", m.Len() > 0, s.DocumentID != ""} {
		if given {
			queries++
		}
	}
	k := cmp.Or(s.K, 10)
	mode, err := engine.ParseMode(cmp.Or(s.Mode, engine.ModeLateInteraction.String()))
	if err != nil {
		return nil, err
	}
	both := (mode == engine.ModeRerank || mode == engine.ModeHybrid) && s.Text != "" && s.DocumentID == ""
	switch {
	case queries != 1 && !both:
		return nil, unprocessable("a search takes one of text, vectors and document_id; by rerank and hybrid, text and perhaps its vectors")
	case len(s.Text) > int(l.QueryText):
		return nil, tooLarge("the text has %d bytes, the limit of a query is %d", len(s.Text), l.QueryText)
	case k < 1 || k > l.K:
		return nil, badSearch("k is %d, it must be 1 to %d", k, l.K)
	case s.Offset < 0 || s.Offset > l.Window-k:
		return nil, badSearch("offset is %d, and offset + k must be at most %d", s.Offset, l.Window)
	case s.NProbe < 0 || s.NProbe > l.NProbe:
		return nil, badSearch("n_probe is %d, it must be 0 to %d", s.NProbe, l.NProbe)
	case s.NCandidates < 0 || s.NCandidates > l.Scored || s.NFullScores < 0 || s.NFullScores > l.Scored:
		return nil, badSearch("n_candidates and n_full_scores must be 0 to %d", l.Scored)
	case s.GroupSize < 0 || s.GroupSize > l.K:
		return nil, badSearch("group_size is %d, it must be 0 to %d", s.GroupSize, l.K)
	case s.TimeoutMS < 0:
		return nil, unprocessable("timeout_ms is negative")
	}
	if err := checkTokens("the query", m, l.QueryTokens); err != nil {
		return nil, err
	}
	names := []string{"text", "attributes"}
	if s.Include != nil {
		names = *s.Include
	}
	if p.include, err = included(slices.Clip(append(names, "")), "text", "attributes", "highlights"); err != nil {
		return nil, err
	}
	if s.TimeoutMS > 0 {
		p.timeout = min(time.Duration(s.TimeoutMS)*time.Millisecond, l.MaxTimeout)
	}
	p.req = engine.SearchRequest{
		Mode: mode, BM25: s.BM25, Text: s.Text, Vectors: m, Weights: s.Weights, K: k + s.Offset, Exact: s.Exact, NProbe: s.NProbe, NCandidates: s.NCandidates,
		NFullScores: s.NFullScores, Filter: s.Filter.Get(), GroupBy: s.GroupBy, GroupSize: s.GroupSize, MinSeq: s.MinSeq,
		Explain: s.Explain || p.include["highlights"],
	}
	if p.req.Effort, err = engine.ParseEffort(cmp.Or(s.Effort, "default")); err != nil {
		return nil, err
	}
	if s.RecallTarget != 0 {
		if p.req.Effort, err = effortFor(col.Calibration(), s); err != nil {
			return nil, err
		}
		p.effort = p.req.Effort.String()
	}
	if s.Fusion != nil {
		p.req.Fusion = *s.Fusion
	}
	if s.DocumentID != "" {
		d, err := col.Get(ctx, s.DocumentID)
		if err != nil {
			return nil, err
		}
		p.req.Vectors = d.Vectors
		if d.Vectors.Len() > l.QueryTokens { // the beginning stands for the whole
			p.req.Vectors.Data = d.Vectors.Data[:l.QueryTokens*d.Vectors.Dim]
		}
		p.req.K++
	}
	for _, w := range p.req.Weights {
		p.weight += w
	}
	return p, nil
}

// effortFor is the cheapest effort that was measured to find what a search asks for,
// full where none is. Without a measurement every search of the collection is exact,
// or none was made yet: then it is the default one, which collections aim at their own
// target with.
func effortFor(c *engine.Calibration, s *wire.Search) (engine.Effort, error) {
	switch {
	case !(s.RecallTarget > 0 && s.RecallTarget <= 1):
		return 0, badSearch("recall_target is %v, it must be more than 0 and at most 1", s.RecallTarget)
	case s.Effort != "" || s.Exact || s.NProbe != 0 || s.NCandidates != 0 || s.NFullScores != 0:
		return 0, badSearch("a recall_target chooses the effort: give no effort, exact, n_probe, n_candidates or n_full_scores with it")
	case c == nil:
		return engine.EffortDefault, nil
	}
	for _, e := range c.Efforts { // cheapest first
		if e.CandidateRecall >= s.RecallTarget {
			return engine.ParseEffort(e.Effort)
		}
	}
	return engine.EffortFull, nil
}

// search answers one search.
func search(q *request) error {
	body, err := q.readSearch()
	if err != nil {
		return err
	}
	col, err := q.open()
	if err != nil {
		return err
	}
	p, err := q.plan(q.r.Context(), col, body)
	if err != nil {
		return err
	}
	return q.admitted(q.s.searches, p.timeout, func(ctx context.Context) error {
		res, err := col.Search(ctx, p.req)
		if err != nil {
			return err
		}
		q.s.recall.offer(col, p)
		traceSearch(ctx, res)
		out := p.result(col.Encoder(), res)
		for _, st := range res.Stages {
			q.stages = append(q.stages, slog.Duration(st.Name, st.Duration))
		}
		q.stages = append(q.stages, "candidates", res.Candidates, "scored", res.Scored, "documents", res.Documents)
		q.json(http.StatusOK, out)
		return nil
	})
}

// readSearch reads a search from JSON, or from a matrix with the rest as
// parameters.
func (q *request) readSearch() (*wire.Search, error) {
	body := &wire.Search{}
	if t := mediaType(q.r); t != typeNPY && t != typeBinary {
		return body, q.readJSON(body, true)
	}
	v, err := q.parameters("dtype", "dim", "k", "offset", "effort", "filter", "include", "n_probe", "n_full_scores", "exact")
	if err != nil {
		return nil, err
	}
	if body.Rows.Matrix, err = q.matrixBody(v); err != nil {
		return nil, err
	}
	for name, to := range map[string]*int{"k": &body.K, "offset": &body.Offset, "n_probe": &body.NProbe, "n_full_scores": &body.NFullScores} {
		if *to, err = number(v, name, 0); err != nil {
			return nil, err
		}
	}
	if body.Exact, err = boolean(v, "exact"); err != nil {
		return nil, err
	}
	body.Effort = v.Get("effort")
	if f := v.Get("filter"); f != "" {
		parsed, err := engine.ParseFilter(f)
		if err != nil {
			return nil, err
		}
		body.Filter = &wire.Filter{Filter: parsed}
	}
	if inc, ok := v["include"]; ok {
		body.Include = (*wire.List[string])(&inc)
	}
	return body, nil
}

// searchBatch answers several searches over one version of the collection.
func searchBatch(q *request) error {
	var body wire.SearchBatch
	if err := q.readJSON(&body, true); err != nil {
		return err
	}
	if n := len(body.Searches); n == 0 || n > q.s.limits.Searches {
		return tooLarge("give 1 to %d searches, not %d", q.s.limits.Searches, n)
	}
	col, err := q.open()
	if err != nil {
		return err
	}
	plans := make([]*plan, len(body.Searches))
	reqs := make([]engine.SearchRequest, len(plans))
	same := map[string]*engine.Filter{} // equal filters are evaluated once
	timeout := q.s.limits.QueryTimeout
	for i := range body.Searches {
		p, err := q.plan(q.r.Context(), col, &body.Searches[i])
		if err != nil {
			return fmt.Errorf("search %d: %w", i, err)
		}
		if f := p.req.Filter; f != nil {
			text := f.String()
			if same[text] == nil {
				same[text] = f
			}
			p.req.Filter = same[text]
		}
		timeout = max(timeout, p.timeout)
		plans[i], reqs[i] = p, p.req
	}
	return q.admitted(q.s.searches, timeout, func(ctx context.Context) error {
		start := time.Now()
		var results []*engine.SearchResult
		err := spanning(ctx, "search:batch", func(ctx context.Context) (err error) {
			results, err = col.SearchBatch(ctx, reqs)
			return err
		})
		if err != nil {
			return err
		}
		out := wire.SearchBatchResult{Results: make([]wire.SearchResult, len(results))}
		for i, r := range results {
			q.s.recall.offer(col, plans[i])
			out.Results[i] = plans[i].result(col.Encoder(), r)
		}
		out.TookUS = time.Since(start).Microseconds()
		q.stages = []any{"searches", len(reqs)}
		q.json(http.StatusOK, out)
		return nil
	})
}

// result is what the client gets of a result.
func (p *plan) result(enc encoder.Encoder, res *engine.SearchResult) wire.SearchResult {
	out := wire.SearchResult{
		Hits: []wire.Hit{}, Documents: res.Documents, Candidates: res.Candidates, Scored: res.Scored,
		Exhaustive: res.Exhaustive, Effort: p.effort, TookUS: res.Took.Microseconds(), Seq: res.Seq, Took: []wire.Stage{},
	}
	for _, st := range res.Stages {
		out.Took = append(out.Took, wire.Stage{Stage: st.Name, US: st.Duration.Microseconds()})
	}
	if out.Query = res.QueryTokens; p.explain {
		out.Filter = res.Filter
	}
	norm := p.weight
	if p.req.Mode == engine.ModeBM25 || p.req.Mode == engine.ModeHybrid {
		norm = float32(math.Inf(1)) // no mean similarity
	} else if norm == 0 { // an encoder's weights are 1 on the mean
		norm = float32(max(len(res.QueryTokens), p.req.Vectors.Len()))
	}
	hits := res.Hits
	if p.without != "" {
		hits = slices.DeleteFunc(slices.Clone(hits), func(h engine.Hit) bool { return h.ID == p.without })
		hits = hits[:min(len(hits), p.req.K-1)]
	}
	for i := range hits {
		if i < p.offset {
			continue
		}
		h := p.hit(enc, res.QueryTokens, norm, &hits[i])
		h.Rank = i + 1
		out.Hits = append(out.Hits, h)
	}
	return out
}

func (p *plan) hit(enc encoder.Encoder, tokens []string, norm float32, h *engine.Hit) wire.Hit {
	out := wire.Hit{ID: h.ID, Rank: h.Rank, Score: h.Score, ScoreNorm: h.Score / norm}
	if h.Group != "" {
		out.Group = json.RawMessage(h.Group)
	}
	if p.include["text"] {
		out.Text = h.Text
	}
	if p.include["attributes"] {
		out.Attributes = h.Attributes
	}
	if h.Explain != nil {
		matches := wireMatches(enc, tokens, h)
		if p.include["highlights"] {
			out.Highlights = highlights(h.Text, matches)
		}
		if p.explain {
			out.Explain, out.Terms = matches, h.Explain.Terms
		}
	}
	for i := range h.Passages {
		out.Passages = append(out.Passages, p.hit(enc, tokens, norm, &h.Passages[i]))
	}
	return out
}

// wireMatches says what each query token found, and where in the text.
func wireMatches(enc encoder.Encoder, tokens []string, h *engine.Hit) []wire.Match {
	var spans []encoder.Span
	if enc != nil && h.Text != "" {
		spans = enc.DocumentSpans(h.Text)
	}
	out := make([]wire.Match, len(h.Explain.Tokens))
	for i, t := range h.Explain.Tokens {
		out[i] = wire.Match{Token: t, Similarity: h.Explain.Sims[i], Weight: h.Explain.Weights[i]}
		if i < len(tokens) {
			out[i].Query = tokens[i]
		}
		if t >= 0 && int(t) < len(spans) {
			out[i].Start, out[i].End = spans[t].Start, spans[t].End
		}
	}
	return out
}

// highlights are the words of a text that matched.
func highlights(text string, matches []wire.Match) []wire.Highlight {
	found := make([]render.Match, len(matches))
	for i, m := range matches {
		found[i] = render.Match{Query: m.Query, Start: m.Start, End: m.End, Similarity: m.Similarity}
	}
	out := []wire.Highlight{}
	for _, m := range render.Marks(text, found) {
		out = append(out, wire.Highlight{Start: m.Start, End: m.End, Weight: m.Weight})
	}
	return out
}
