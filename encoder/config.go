package encoder

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/encoder/tokenizer"
)

// ErrModel is wrapped by errors about model folders.
var ErrModel = errors.New("colbertdb: model folder is not usable")

// Config are the conventions of a late-interaction model.
type Config struct {
	Name              string   `json:"name"`
	Dim               int      `json:"dim"`
	QueryMarker       *int     `json:"query_marker"`    // id after [CLS], nil: none
	DocumentMarker    *int     `json:"document_marker"` // id after [CLS], nil: none
	QueryLength       int      `json:"query_length"`    // tokens, special ones included
	DocumentLength    int      `json:"document_length"` // tokens, special ones included
	QueryExpansion    bool     `json:"query_expansion"` // fill queries up with [MASK]
	AttendToExpansion bool     `json:"attend_to_expansion"`
	UsesTokenTypes    *bool    `json:"uses_token_types"` // nil: the folder does not say
	Skip              []string `json:"skip"`             // tokens of documents that get no vector
	// QueryWeights is the weight of each token id in a query; none: 1 each.
	QueryWeights []float32 `json:"query_weights,omitempty"`
	// Pooled are the tokens that end every text, after [SEP] and any masks, and
	// are not attended to: in their places the graph gives vectors of the text as
	// a whole. They do not count in QueryLength and DocumentLength.
	Pooled                 *Pooled `json:"pooled,omitempty"`
	ClsID, SepID           int     `json:"-"`
	MaskID, PadID          int     `json:"-"`
	tokenizerName, cfgName string
	weightsName            string
	// What resolve compares with the tokenizer.
	queryPrefix, documentPrefix string
	lowercase                   bool
}

// Pooled are the vectors of a text as a whole that a model gives. In a query
// each weighs its weight times what the others' weights sum to above Least: a
// few keywords are found by their words, a long question by its subject too.
type Pooled struct {
	IDs     []int     `json:"ids"`
	Weights []float32 `json:"weights"` // one an id
	Least   float32   `json:"least"`
}

func (c *Config) pooledIDs() []int {
	if c.Pooled == nil {
		return nil
	}
	return c.Pooled.IDs
}

// Folder is a model folder that has been read: graph, tokenizer, conventions.
type Folder struct {
	Config      Config
	Tokenizer   *tokenizer.Tokenizer
	Graph       []byte
	GraphName   string
	Fingerprint string // over graph, tokenizer and conventions
	location    string
}

// ConfigName returns the file that the conventions were read from.
func (f *Folder) ConfigName() string { return f.Config.cfgName }

// Info is what the encoder of the folder will be.
func (f *Folder) Info() Info {
	c := &f.Config
	return Info{Name: c.Name, Fingerprint: f.Fingerprint, Dim: c.Dim, QueryMaxLen: c.QueryLength, DocMaxLen: c.DocumentLength, Location: f.location}
}

// punctuation is Python's string.punctuation, the skip list of the reference.
const punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// graphNames are where a graph is looked for, first to last.
var graphNames = []string{"model_int8.onnx", "model.onnx", "onnx/model.onnx", "onnx/model_int8.onnx"}

// ReadFolder reads a model folder in one of two forms:
//
//	onnx_config.json, tokenizer.json, model.onnx or model_int8.onnx
//	artifact.metadata (Stanford ColBERT), tokenizer.json or vocab.txt, model.onnx or onnx/model.onnx
//
// location is kept for error messages and for finding the folder again.
func ReadFolder(fsys fs.FS, location string) (*Folder, error) {
	f := &Folder{location: location}
	if err := f.read(fsys); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrModel, location, err)
	}
	return f, nil
}

func (f *Folder) read(fsys fs.FS) error {
	raw, name, err := firstFile(fsys, "onnx_config.json", "artifact.metadata")
	if err != nil {
		return err
	}
	if name == "onnx_config.json" {
		err = f.Config.readONNX(raw)
	} else {
		err = f.Config.readStanford(raw)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f.Config.cfgName = name
	tok, tokName, err := firstFile(fsys, "tokenizer.json", "vocab.txt")
	if err != nil {
		return err
	}
	if tokName == "tokenizer.json" {
		f.Tokenizer, err = tokenizer.Load(tok)
	} else {
		f.Tokenizer, err = tokenizer.LoadVocab(tok, true)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", tokName, err)
	}
	f.Config.tokenizerName = tokName
	if err := f.Config.resolve(f.Tokenizer); err != nil {
		return err
	}
	if err := f.Config.readWeights(fsys, f.Tokenizer); err != nil {
		return err
	}
	if err := f.Config.checkPooled(f.Tokenizer); err != nil {
		return err
	}
	if f.Graph, f.GraphName, err = firstFile(fsys, graphNames...); err != nil {
		return err
	}
	if f.Config.Name == "" {
		f.Config.Name = strings.TrimSuffix(f.location[strings.LastIndexAny(f.location, `/\`)+1:], "/")
	}
	h := sha256.New()
	for _, part := range [][]byte{f.Graph, tok} {
		sum := sha256.Sum256(part)
		h.Write(sum[:])
	}
	conventions := f.Config
	conventions.Name = ""
	if err := json.NewEncoder(h).Encode(conventions); err != nil {
		return err
	}
	f.Fingerprint = hex.EncodeToString(h.Sum(nil))
	return nil
}

func firstFile(fsys fs.FS, names ...string) ([]byte, string, error) {
	for _, name := range names {
		b, err := fs.ReadFile(fsys, name)
		if err == nil {
			return b, name, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, "", err
		}
	}
	return nil, "", fmt.Errorf("none of %s is there", strings.Join(names, ", "))
}

// The onnx_config.json form.
type onnxConfig struct {
	Name              string   `json:"name"`
	QueryPrefix       string   `json:"query_prefix"`
	DocumentPrefix    string   `json:"document_prefix"`
	QueryPrefixID     *int     `json:"query_prefix_id"`
	DocumentPrefixID  *int     `json:"document_prefix_id"`
	QueryLength       int      `json:"query_length"`
	DocumentLength    int      `json:"document_length"`
	QueryExpansion    bool     `json:"do_query_expansion"`
	AttendToExpansion bool     `json:"attend_to_expansion_tokens"`
	Dim               int      `json:"embedding_dim"`
	UsesTokenTypes    *bool    `json:"uses_token_type_ids"`
	MaskID            *int     `json:"mask_token_id"`
	PadID             *int     `json:"pad_token_id"`
	SkipWords         []string `json:"skiplist_words"`
	Lowercase         bool     `json:"do_lower_case"`
	QueryWeights      string   `json:"query_weights"` // a file in the folder
	Pooled            *Pooled  `json:"pooled"`
}

func (c *Config) readONNX(b []byte) error {
	var o onnxConfig
	if err := json.Unmarshal(b, &o); err != nil {
		return err
	}
	*c = Config{
		Name: o.Name, Dim: o.Dim, QueryMarker: o.QueryPrefixID, DocumentMarker: o.DocumentPrefixID,
		QueryLength: o.QueryLength, DocumentLength: o.DocumentLength,
		QueryExpansion: o.QueryExpansion, AttendToExpansion: o.AttendToExpansion,
		UsesTokenTypes: o.UsesTokenTypes, Skip: o.SkipWords, MaskID: -1, PadID: -1,
		queryPrefix: o.QueryPrefix, documentPrefix: o.DocumentPrefix, lowercase: o.Lowercase,
		weightsName: o.QueryWeights, Pooled: o.Pooled,
	}
	if o.MaskID != nil {
		c.MaskID = *o.MaskID
	}
	if o.PadID != nil {
		c.PadID = *o.PadID
	}
	return nil
}

// readWeights reads the weights of query tokens: a JSON array with one number
// for each token id.
func (c *Config) readWeights(fsys fs.FS, t *tokenizer.Tokenizer) error {
	if c.weightsName == "" {
		return nil
	}
	raw, err := fs.ReadFile(fsys, c.weightsName)
	if err != nil {
		return fmt.Errorf("%s names query_weights: %w", c.cfgName, err)
	}
	if err := json.Unmarshal(raw, &c.QueryWeights); err != nil {
		return fmt.Errorf("%s: %w", c.weightsName, err)
	}
	if n := t.Size(); len(c.QueryWeights) != n {
		return fmt.Errorf("%s has %d weights, %s %d tokens", c.weightsName, len(c.QueryWeights), c.tokenizerName, n)
	}
	for id, w := range c.QueryWeights {
		if w < 0 || w > codec.MaxQueryWeight {
			return fmt.Errorf("%s: the weight of token %d is %v, it must be 0 to %d", c.weightsName, id, w, codec.MaxQueryWeight)
		}
	}
	return nil
}

// checkPooled checks the pooled tokens and their weights, which go with those of
// the other tokens.
func (c *Config) checkPooled(t *tokenizer.Tokenizer) error {
	p := c.Pooled
	if p == nil {
		return nil
	}
	if c.QueryWeights == nil || len(p.IDs) == 0 || len(p.IDs) != len(p.Weights) || !(p.Least >= 0) {
		return fmt.Errorf("%s: pooled has %d ids, %d weights, and least %v: it must have as many weights as ids and a least of 0 or more, beside query_weights",
			c.cfgName, len(p.IDs), len(p.Weights), p.Least)
	}
	for i, id := range p.IDs {
		if t.Piece(id) == "" {
			return fmt.Errorf("%s: pooled names token %d, which %s does not have", c.cfgName, id, c.tokenizerName)
		}
		if w := p.Weights[i]; !(w >= 0 && w <= 1) {
			return fmt.Errorf("%s: pooled gives token %d the weight %v, it must be 0 to 1", c.cfgName, id, w)
		}
	}
	return nil
}

// The form of Stanford's ColBERT.
type stanfordConfig struct {
	Dim             int    `json:"dim"`
	QueryMaxLen     int    `json:"query_maxlen"`
	DocMaxLen       int    `json:"doc_maxlen"`
	MaskPunctuation bool   `json:"mask_punctuation"`
	AttendToMask    bool   `json:"attend_to_mask_tokens"`
	QueryToken      string `json:"query_token_id"`
	DocToken        string `json:"doc_token_id"`
}

func (c *Config) readStanford(b []byte) error {
	var s stanfordConfig
	// Some versions wrap the settings in "config".
	var wrapped struct {
		Config json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(b, &wrapped); err != nil {
		return err
	}
	if len(wrapped.Config) > 0 && bytes.HasPrefix(bytes.TrimSpace(wrapped.Config), []byte("{")) {
		b = wrapped.Config
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	*c = Config{
		Dim: s.Dim, QueryLength: s.QueryMaxLen, DocumentLength: s.DocMaxLen, QueryExpansion: true,
		AttendToExpansion: s.AttendToMask, MaskID: -1, PadID: -1,
		queryPrefix: cmp.Or(s.QueryToken, "[unused0]"), documentPrefix: cmp.Or(s.DocToken, "[unused1]"),
	}
	if s.MaskPunctuation {
		c.Skip = strings.Split(punctuation, "")
	}
	return nil
}

// resolve finds the special tokens and checks that everything fits together.
func (c *Config) resolve(t *tokenizer.Tokenizer) error {
	for _, s := range []struct {
		piece string
		id    *int
		key   string
	}{{"[CLS]", &c.ClsID, ""}, {"[SEP]", &c.SepID, ""}, {"[MASK]", &c.MaskID, "mask_token_id"}, {"[PAD]", &c.PadID, "pad_token_id"}} {
		id, ok := t.ID(s.piece)
		if !ok {
			return fmt.Errorf("%s has no %s", c.tokenizerName, s.piece)
		}
		if s.key != "" && *s.id >= 0 && *s.id != id {
			return fmt.Errorf("%s says %s is %d, %s has %s at %d", c.cfgName, s.key, *s.id, c.tokenizerName, s.piece, id)
		}
		*s.id = id
	}
	var err error
	if c.QueryMarker, err = c.marker(t, "query", c.queryPrefix, c.QueryMarker); err != nil {
		return err
	}
	if c.DocumentMarker, err = c.marker(t, "document", c.documentPrefix, c.DocumentMarker); err != nil {
		return err
	}
	if c.lowercase && !t.Lowercase() {
		return fmt.Errorf("%s says do_lower_case, %s does not lower-case", c.cfgName, c.tokenizerName)
	}
	if c.Dim < 1 || c.QueryLength < 4 || c.DocumentLength < 4 {
		return fmt.Errorf("%s: dimension %d, query length %d, document length %d", c.cfgName, c.Dim, c.QueryLength, c.DocumentLength)
	}
	slices.Sort(c.Skip)
	return nil
}

// marker finds the token that marks a side. The configuration gives its text,
// its id, or both; neither means that there is none.
func (c *Config) marker(t *tokenizer.Tokenizer, side, text string, id *int) (*int, error) {
	known, ok := t.ID(text)
	if !ok {
		known, ok = t.ID(strings.TrimSpace(text))
	}
	switch {
	case id != nil && t.Piece(*id) == "":
		return nil, fmt.Errorf("%s marks the %s side with id %d, which %s does not have", c.cfgName, side, *id, c.tokenizerName)
	case id != nil && text != "" && ok && known != *id:
		return nil, fmt.Errorf("%s marks the %s side with %q and id %d, %s has it at %d", c.cfgName, side, text, *id, c.tokenizerName, known)
	case id == nil && text != "" && !ok:
		return nil, fmt.Errorf("%s marks the %s side with %q, which %s does not have", c.cfgName, side, text, c.tokenizerName)
	case id == nil && text != "":
		return &known, nil
	}
	return id, nil
}
