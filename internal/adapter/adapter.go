package adapter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
)

// Document is a text with metadata.
type Document struct {
	// ID names the document. Default: a hash of text and metadata, so that one that is
	// added again is there once.
	ID       string
	Text     string
	Metadata map[string]any // values of JSON
}

// batch is how many documents are stored in one step.
const batch = 200

// Store stores documents, and returns their ids in their order. Each step of 200 is
// stored as a whole; what was stored before an error stays.
func Store(ctx context.Context, col remote.Collection, docs []Document) ([]string, error) {
	all := make([]engine.Document, len(docs))
	ids := make([]string, len(docs))
	for i, d := range docs {
		e := engine.Document{ID: d.ID, Text: d.Text}
		if len(d.Metadata) > 0 {
			b, err := json.Marshal(d.Metadata)
			if err != nil {
				return nil, fmt.Errorf("%w: the metadata of document %d is no JSON: %w", engine.ErrInvalid, i, err)
			}
			e.Attributes = b
		}
		if e.ID == "" {
			e.ID = contentID(&e)
		}
		all[i], ids[i] = e, e.ID
	}
	for part := range slices.Chunk(all, batch) {
		if _, err := col.Upsert(ctx, unique(part)...); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// unique drops all but the last document of an id: a step takes each id once.
func unique(docs []engine.Document) []engine.Document {
	last := map[string]int{}
	for i, d := range docs {
		last[d.ID] = i
	}
	if len(last) == len(docs) {
		return docs
	}
	out := make([]engine.Document, 0, len(last))
	for i, d := range docs {
		if last[d.ID] == i {
			out = append(out, d)
		}
	}
	return out
}

func contentID(d *engine.Document) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s", len(d.Text), d.Text)
	h.Write(d.Attributes)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// Query is a search.
type Query struct {
	Text string
	K    int
	Mode engine.Mode
	// Filter is a *engine.Filter, a string in the text form (year >= 2020), or a value
	// that is the JSON form ({"gte": {"year": 2020}}). nil: none.
	Filter any
	// Threshold is the least score of a hit; see Found.Score. 0: none.
	Threshold float64
}

// Found is a document that was found.
type Found struct {
	Document
	// Score is from 0 to 1: the mean similarity of the query's tokens with those of the
	// document that match them best, by ModeHybrid the fused score. By ModeBM25 it is
	// that of the formula, which has no bound.
	Score float64
}

// Search finds documents, best first.
func Search(ctx context.Context, col remote.Collection, q Query) ([]Found, error) {
	if q.K < 1 {
		return nil, fmt.Errorf("%w: %d documents were asked for, it must be at least 1", engine.ErrInvalid, q.K)
	}
	if q.Threshold < 0 || q.Threshold > 1 && q.Mode != engine.ModeBM25 {
		return nil, fmt.Errorf("%w: the score threshold is %v, it must be 0 to 1", engine.ErrInvalid, q.Threshold)
	}
	f, err := Filter(q.Filter)
	if err != nil {
		return nil, err
	}
	res, err := col.Search(ctx, engine.SearchRequest{Text: q.Text, K: q.K, Mode: q.Mode, Filter: f})
	if err != nil {
		return nil, err
	}
	norm, bySimilarity := 1.0, q.Mode == engine.ModeLateInteraction || q.Mode == engine.ModeRerank
	if bySimilarity {
		norm = float64(max(len(res.QueryTokens), 1)) // an encoder's weights are 1 on the mean
	}
	out := make([]Found, 0, len(res.Hits))
	for _, h := range res.Hits {
		score := float64(h.Score) / norm
		if bySimilarity {
			score = min(max(score, 0), 1)
		}
		if score < q.Threshold {
			continue
		}
		d := Document{ID: h.ID, Text: h.Text, Metadata: map[string]any{}}
		if len(h.Attributes) > 0 {
			if err := json.Unmarshal(h.Attributes, &d.Metadata); err != nil {
				return nil, fmt.Errorf("colbertdb: the attributes of %q: %w", h.ID, err)
			}
		}
		out = append(out, Found{d, score})
	}
	return out, nil
}

// Filter reads a filter in any form.
func Filter(v any) (*engine.Filter, error) {
	switch f := v.(type) {
	case nil:
		return nil, nil
	case *engine.Filter:
		return f, nil
	case string:
		if f == "" {
			return nil, nil
		}
		return engine.ParseFilter(f)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: a filter of type %T", engine.ErrInvalid, v)
	}
	return engine.ParseFilter(string(b))
}
