package wire

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
)

// What the client makes of the engine's types, and the other way.

// VectorsOf is a matrix in the form that is shortest to send.
func VectorsOf(m engine.Matrix) Vectors {
	if len(m.Data) == 0 {
		return Vectors{}
	}
	return Vectors{F32: F32Bytes(m), Shape: []int{m.Len(), m.Dim}}
}

// DocumentOf is a document of an upsert.
func DocumentOf(d *engine.Document) Document {
	return Document{ID: d.ID, Text: d.Text, Attributes: slices.Clone(d.Attributes), Vectors: VectorsOf(d.Vectors)}
}

// SearchOf is the body of a search.
func SearchOf(r *engine.SearchRequest) Search {
	s := Search{
		Text: r.Text, Vectors: VectorsOf(r.Vectors), Weights: r.Weights, K: r.K, Effort: r.Effort.String(), Exact: r.Exact, NProbe: r.NProbe,
		NCandidates: r.NCandidates, NFullScores: r.NFullScores, GroupBy: r.GroupBy, GroupSize: r.GroupSize, MinSeq: r.MinSeq, Explain: r.Explain,
	}
	if r.Mode != engine.ModeLateInteraction {
		s.Mode, s.BM25 = r.Mode.String(), r.BM25
		if r.Fusion != (engine.Fusion{}) {
			s.Fusion = &r.Fusion
		}
	}
	if r.Filter != nil {
		s.Filter = &Filter{Filter: r.Filter}
	}
	return s
}

// Engine is the result as the engine gives it.
func (r *SearchResult) Engine() *engine.SearchResult {
	out := &engine.SearchResult{
		Took: time.Duration(r.TookUS) * time.Microsecond, Documents: r.Documents, Candidates: r.Candidates, Scored: r.Scored,
		Exhaustive: r.Exhaustive, Filter: r.Filter, Seq: r.Seq, QueryTokens: r.Query,
	}
	for _, s := range r.Took {
		out.Stages = append(out.Stages, engine.StageTime{Name: s.Stage, Duration: time.Duration(s.US) * time.Microsecond})
	}
	out.Hits = hits(r.Hits)
	return out
}

func hits(list []Hit) []engine.Hit {
	var out []engine.Hit
	for i := range list {
		h := &list[i]
		e := engine.Hit{Rank: h.Rank, ID: h.ID, Score: h.Score, Text: h.Text, Attributes: h.Attributes, Group: string(h.Group), Passages: hits(h.Passages)}
		if h.Explain != nil || h.Terms != nil {
			e.Explain = &engine.Explain{Terms: h.Terms}
			for _, m := range h.Explain {
				e.Explain.Tokens = append(e.Explain.Tokens, m.Token)
				e.Explain.Sims = append(e.Explain.Sims, m.Similarity)
				e.Explain.Weights = append(e.Explain.Weights, m.Weight)
			}
		}
		out = append(out, e)
	}
	return out
}

// Cursor is the text of a page's place.
func Cursor(after uint64) string { return strconv.FormatUint(after, 36) }

// ParseCursor reads it.
func ParseCursor(s string) (uint64, error) {
	after, err := strconv.ParseUint(s, 36, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: cursor %.40q is not one that a server gave", engine.ErrInvalid, s)
	}
	return after, nil
}
