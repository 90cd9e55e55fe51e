package wire

import (
	"encoding/json"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Search is the body of POST …/search.
type Search struct {
	Text string `json:"text,omitempty"`
	Vectors
	Weights    []float32 `json:"weights,omitempty"`
	DocumentID string    `json:"document_id,omitempty"`
	Mode       string    `json:"mode,omitempty"`
	// BM25 and Fusion are the engine's, of the modes that have them.
	BM25   *engine.BM25   `json:"bm25,omitempty"`
	Fusion *engine.Fusion `json:"fusion,omitempty"`
	K      int            `json:"k,omitempty"`
	Offset int            `json:"offset,omitempty"`
	Effort string         `json:"effort,omitempty"`
	// RecallTarget chooses the cheapest effort that was measured to reach it.
	RecallTarget float64 `json:"recall_target,omitempty"`
	Exact        bool    `json:"exact,omitempty"`
	NProbe       int     `json:"n_probe,omitempty"`
	NCandidates  int     `json:"n_candidates,omitempty"`
	NFullScores  int     `json:"n_full_scores,omitempty"`
	Filter       *Filter `json:"filter,omitempty"`
	GroupBy      string  `json:"group_by,omitempty"`
	GroupSize    int     `json:"group_size,omitempty"`
	MinSeq       uint64  `json:"min_seq,omitempty"`
	Explain      bool    `json:"explain,omitempty"`
	// Include names what comes with a hit: text, attributes, highlights. Default:
	// text and attributes.
	Include   *List[string] `json:"include,omitempty"`
	TimeoutMS int           `json:"timeout_ms,omitempty"`
}

// SearchResult answers it.
type SearchResult struct {
	Hits       []Hit              `json:"hits"`
	Documents  int                `json:"documents"`        // of the version searched
	Candidates int                `json:"candidates"`       // that the postings led to
	Scored     int                `json:"scored"`           // on the deciding plane
	Exhaustive bool               `json:"exhaustive"`       // every matching document was scored
	Effort     string             `json:"effort,omitempty"` // that a recall target led to
	Filter     *engine.FilterPlan `json:"filter,omitempty"`
	Query      []string           `json:"query_tokens,omitempty"` // of a text
	Took       []Stage            `json:"took"`
	TookUS     int64              `json:"took_us"`
	Seq        uint64             `json:"applied_seq"`
}

// Stage is the time that a stage took.
type Stage struct {
	Stage string `json:"stage"`
	US    int64  `json:"us"`
}

// Hit is one document found.
type Hit struct {
	ID   string `json:"id"`
	Rank int    `json:"rank"`
	// Score is MaxSim, ScoreNorm the same over the sum of the query tokens'
	// weights: their mean similarity. By bm25 and hybrid Score is theirs, and
	// ScoreNorm 0.
	Score      float32         `json:"score"`
	ScoreNorm  float32         `json:"score_norm"`
	Text       string          `json:"text,omitempty"`
	Attributes json.RawMessage `json:"attributes,omitempty"`
	Highlights []Highlight     `json:"highlights,omitempty"`
	Explain    []Match         `json:"explain,omitempty"`
	// Terms are the terms of the query that it has, with explain, in the modes that
	// look for them.
	Terms    []engine.TermMatch `json:"terms,omitempty"`
	Group    json.RawMessage    `json:"group,omitempty"`
	Passages []Hit              `json:"passages,omitempty"`
}

// Highlight is a word that matched: bytes of the hit's text.
type Highlight struct {
	Start  int     `json:"start"`
	End    int     `json:"end"`
	Weight float32 `json:"weight"`
}

// Match is one query token's best document token.
type Match struct {
	Query      string  `json:"query_token,omitempty"`
	Token      int32   `json:"document_token"`
	Start      int     `json:"start,omitempty"` // bytes of the hit's text
	End        int     `json:"end,omitempty"`
	Similarity float32 `json:"similarity"`
	Weight     float32 `json:"weight"`
}

// SearchBatch is the body of POST …/search:batch.
type SearchBatch struct {
	Searches List[Search] `json:"searches"`
}

// SearchBatchResult answers it, in the order of the searches.
type SearchBatchResult struct {
	Results []SearchResult `json:"results"`
	TookUS  int64          `json:"took_us"`
}
