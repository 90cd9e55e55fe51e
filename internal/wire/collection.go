package wire

import "github.com/colbertdb-go/colbertdb/engine"

// CollectionConfig is the body of PUT /v1/collections/{c}. Without dim and model a
// collection has the server's default model; with dim alone it takes vectors only.
type CollectionConfig struct {
	Dim       int    `json:"dim,omitempty"`
	Profile   string `json:"profile,omitempty"` // exact, balanced or compact
	RetainRaw bool   `json:"retain_raw,omitempty"`
	Model     string `json:"model,omitempty"` // one of GET /v1/models
	// RecallTarget is the candidate recall@10 that the default effort is given the
	// budgets for.
	RecallTarget float64 `json:"recall_target,omitempty"`
	// TextIndex is english, plain or none. Default: english where it has a model.
	TextIndex string `json:"text_index,omitempty"`
}

// Collection describes a collection.
type Collection struct {
	Name           string        `json:"name"`
	Dim            int           `json:"dim"`
	Profile        string        `json:"profile"`
	RetainRaw      bool          `json:"retain_raw"`
	Model          *engine.Model `json:"model,omitempty"`
	Documents      int64         `json:"documents"`
	Tokens         int64         `json:"tokens"`
	Buffered       int64         `json:"buffered"`
	Deleted        int64         `json:"deleted"`
	Segments       int           `json:"segments"`
	Bytes          int64         `json:"bytes"`
	Representation string        `json:"representation"` // the plane that decides scores
	Seq            uint64        `json:"seq"`
	ReindexOf      string        `json:"reindex_of,omitempty"`
}

// CollectionOf describes a collection.
func CollectionOf(i *engine.CollectionInfo) Collection {
	return Collection{
		Name: i.Name, Dim: i.Dim, Profile: i.Profile.String(), RetainRaw: i.RetainRaw, Model: i.Model, Documents: i.Documents,
		Tokens: i.Tokens, Buffered: i.Buffered, Deleted: i.Deleted, Segments: i.Segments, Bytes: i.Bytes,
		Representation: i.Representation, Seq: i.LastSeq, ReindexOf: i.ReindexOf,
	}
}

// Info is the engine's description, as far as it is told.
func (c *Collection) Info() (engine.CollectionInfo, error) {
	profile, err := engine.ParseProfile(c.Profile)
	return engine.CollectionInfo{
		Name: c.Name, Dim: c.Dim, Profile: profile, RetainRaw: c.RetainRaw, Model: c.Model, Documents: c.Documents,
		Tokens: c.Tokens, Buffered: c.Buffered, Deleted: c.Deleted, Segments: c.Segments, Bytes: c.Bytes,
		Representation: c.Representation, LastSeq: c.Seq, ReindexOf: c.ReindexOf,
	}, err
}

// Collections answers GET /v1/collections.
type Collections struct {
	Collections []Collection `json:"collections"`
	Aliases     []Alias      `json:"aliases"`
}

// Alias is a name that leads to a collection.
type Alias struct {
	Name       string `json:"name"`
	Collection string `json:"collection"`
	Previous   string `json:"previous,omitempty"`
}

// SetAlias is the body of PUT /v1/aliases/{a}.
type SetAlias struct {
	Collection string `json:"collection"`
}

// CollectionStats answers GET …/stats.
type CollectionStats struct {
	Collection
	Cells         int                 `json:"cells"`
	Centroids     int                 `json:"centroids"`
	BytesPerToken float64             `json:"bytes_per_token,omitempty"`
	Tiers         []engine.TierInfo   `json:"tiers,omitempty"`
	Columns       []engine.ColumnInfo `json:"columns,omitempty"`
	Debt          engine.Debt         `json:"debt"`
	Recall        *engine.Calibration `json:"recall,omitempty"`
	Live          []LiveRecall        `json:"live_recall,omitempty"` // of searches since the server started
	Indexes       []Index             `json:"attribute_indexes,omitempty"`
}

// LiveRecall is what live searches with a k were found to find.
type LiveRecall struct {
	K               int     `json:"k"`
	Samples         int64   `json:"samples"`
	CandidateRecall float64 `json:"candidate_recall"`
	Recall          float64 `json:"recall,omitempty"` // where the collection retains raw vectors
}

// Calibrate is the body of POST …/calibrate.
type Calibrate struct {
	RecallTarget float64      `json:"recall_target,omitempty"`
	Queries      List[string] `json:"queries,omitempty"` // texts; default: sentences of stored documents
}

// Calibrated answers it; there is nothing to calibrate where every search is exact.
type Calibrated struct {
	Recall *engine.Calibration `json:"recall"`
}

// Index describes an attribute index.
type Index struct {
	Path     string `json:"path"`
	Segments int    `json:"segments"`
	Indexed  int    `json:"indexed"` // of the segments
	Values   int64  `json:"values"`
	Bytes    int64  `json:"bytes"`
}

// TextIndex describes the index of the documents' text.
type TextIndex struct {
	Analyzer string `json:"analyzer"`
	Segments int    `json:"segments"`
	Indexed  int    `json:"indexed"` // of the segments
	Terms    int64  `json:"terms"`
	Bytes    int64  `json:"bytes"`
}

// Indexes answers GET …/indexes.
type Indexes struct {
	Indexes []Index    `json:"indexes"`
	Text    *TextIndex `json:"text,omitempty"`
}

// Paths names attributes, and the analyzer of a text index.
type Paths struct {
	Paths List[string] `json:"paths,omitempty"`
	Text  string       `json:"text,omitempty"`
}

// Snapshot describes a checkpoint that the server has made.
type Snapshot struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Created string `json:"created"`
	Seq     uint64 `json:"seq"`
	Files   int    `json:"files"`
	Bytes   int64  `json:"bytes"`
}

// Snapshots answers GET /v1/snapshots.
type Snapshots struct {
	Snapshots []Snapshot `json:"snapshots"`
}

// NewSnapshot is the body of POST /v1/snapshots.
type NewSnapshot struct {
	Name string `json:"name,omitempty"` // default: the time
}
