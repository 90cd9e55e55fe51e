package encoder

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
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
	Pooled *Pooled `json:"pooled,omitempty"`
	// FullDim is the dimension of the model's vectors where Dim is less: their
	// first components are kept. 0: they are kept whole.
	FullDim int `json:"full_dim,omitempty"`
	// Output is the graph's output that was chosen by hand.
	Output         string `json:"output,omitempty"`
	OverriddenMask *int   `json:"mask_id,omitempty"`
	OverriddenPad  *int   `json:"pad_id,omitempty"`

	Before, After          []int `json:"-"` // the ids around a text: [CLS] and [SEP]
	MaskID, PadID          int   `json:"-"`
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
	Config    Config
	Tokenizer *tokenizer.Tokenizer
	Graph     []byte
	GraphName string
	// External are the files that hold weights beside the graph's own.
	External    []string
	Fingerprint string // over graph, tokenizer and conventions
	location    string

	// TokenizerJSON is the file that Tokenizer was read from, nil where it was another.
	TokenizerJSON []byte
	// Cutter cuts texts in Tokenizer's place, for the same ids and offsets. The encoder
	// of the folder closes it. Default: Tokenizer.
	Cutter Cutter

	said       sources    // the settings and where they come from
	bert       bertConfig // config.json
	projection projection
	projects   bool     // the graph stops before the projection; Fit says so
	files      []string // that were read
}

// Cutter cuts texts into the pieces of a tokenizer.json: a *tokenizer.Tokenizer, or
// another's of the same file, such as package hf's. It may leave Token.Joined out.
type Cutter interface {
	Encode(text string) []tokenizer.Token
	Close() error
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
var graphNames = []string{
	"model_int8.onnx", "model.onnx", "onnx/model.onnx", "onnx/model_int8.onnx",
	"model_fp16.onnx", "onnx/model_fp16.onnx", "model_quantized.onnx", "onnx/model_quantized.onnx",
}

// GraphNames returns the files that a graph is looked for in, first to last.
func GraphNames() []string { return slices.Clone(graphNames) }

// ReadFolder reads a model folder in any of three forms:
//
//	onnx_config.json, tokenizer.json, model.onnx or model_int8.onnx
//	artifact.metadata (Stanford ColBERT), tokenizer.json or vocab.txt, model.onnx or onnx/model.onnx
//	config_sentence_transformers.json (PyLate), modules.json, 1_Dense, tokenizer.json, a graph
//
// colbertdb.json, where it is there, and overrides take the place of what the
// files say; else files that say different things are an error that names them.
// location is kept for error messages and for finding the folder again.
func ReadFolder(fsys fs.FS, location string, o Overrides) (*Folder, error) {
	f := &Folder{location: location}
	if err := f.read(fsys, o); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrModel, location, err)
	}
	return f, nil
}

func (f *Folder) read(fsys fs.FS, o Overrides) error {
	if err := f.readSettings(fsys, o); err != nil {
		return err
	}
	f.config()
	tok, err := f.readTokenizer(fsys)
	if err != nil {
		return err
	}
	if err := f.resolve(); err != nil {
		return err
	}
	if err := f.Config.readWeights(fsys, f.Tokenizer); err != nil {
		return err
	}
	if err := f.Config.checkPooled(f.Tokenizer); err != nil {
		return err
	}
	names := graphNames
	if g := f.said.settings.Graph; g != nil {
		names = []string{*g}
	}
	if f.Graph, f.GraphName, err = firstFile(fsys, names...); err != nil {
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
	if err := f.readExternal(fsys, h); err != nil {
		return err
	}
	conventions := f.Config
	conventions.Name = ""
	if err := json.NewEncoder(h).Encode(conventions); err != nil {
		return err
	}
	f.projection.digest(h)
	f.Fingerprint = hex.EncodeToString(h.Sum(nil))
	return nil
}

// readExternal adds the weights that the graph keeps in other files to a fingerprint.
// What is no graph is for the runtime to refuse.
func (f *Folder) readExternal(fsys fs.FS, h io.Writer) error {
	g, err := ReadGraph(f.Graph)
	if err != nil {
		return nil
	}
	for _, name := range g.External {
		name = path.Join(path.Dir(f.GraphName), name)
		if !fs.ValidPath(name) {
			return fmt.Errorf("%s keeps weights in %q, outside of the folder", f.GraphName, name)
		}
		file, err := fsys.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s keeps weights in %s, which is not there", f.GraphName, name)
		}
		if err != nil {
			return err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, file)
		if err := errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		h.Write(sum.Sum(nil)) // a hash: it cannot fail
		f.External = append(f.External, name)
	}
	return nil
}

// readTokenizer reads tokenizer.json, else vocab.txt. Where both are there they
// must have the same vocabulary.
func (f *Folder) readTokenizer(fsys fs.FS) (raw []byte, err error) {
	raw, name, err := firstFile(fsys, "tokenizer.json", "vocab.txt")
	if err != nil {
		return nil, err
	}
	f.Config.tokenizerName, f.files = name, append(f.files, name)
	if name == "vocab.txt" {
		f.Tokenizer, err = tokenizer.LoadVocab(raw, f.said.Lowercase == nil || *f.said.Lowercase)
	} else {
		f.TokenizerJSON = raw
		f.Tokenizer, err = tokenizer.Load(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if name == "vocab.txt" {
		return raw, nil
	}
	vocab, err := fs.ReadFile(fsys, "vocab.txt")
	if errors.Is(err, fs.ErrNotExist) {
		return raw, nil
	}
	if err != nil {
		return nil, err
	}
	for i, piece := range strings.Split(strings.TrimRight(string(vocab), "\r\n"), "\n") {
		piece = strings.TrimRight(piece, "\r")
		if id, ok := f.Tokenizer.ID(piece); !ok || id != i {
			return nil, fmt.Errorf("vocab.txt has %q at %d, tokenizer.json does not", piece, i)
		}
	}
	return raw, nil
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

// resolve finds the special tokens and checks that everything fits together.
func (f *Folder) resolve() error {
	c, t := &f.Config, f.Tokenizer
	if err := c.surround(t); err != nil {
		return err
	}
	for _, s := range []struct {
		id         *int
		key, token string
		said       *string
		usual      []string
		needed     bool
	}{
		{&c.MaskID, "mask_token_id", "mask_token", f.said.MaskToken, []string{"[MASK]", "<mask>"}, c.QueryExpansion},
		{&c.PadID, "pad_token_id", "pad_token", f.said.PadToken, []string{"[PAD]", "<pad>", "<|padding|>"}, true},
	} {
		pieces := s.usual
		if s.said != nil {
			pieces = []string{*s.said}
		}
		known := -1
		var piece string
		for _, p := range pieces {
			if id, ok := t.ID(p); ok {
				known, piece = id, p
				break
			}
		}
		from := f.said.source(s.key, c.cfgName)
		switch {
		case s.said != nil && known < 0:
			return fmt.Errorf("%s says %s is %q, %s has no such token", f.said.source(s.token, c.cfgName), s.token, *s.said, c.tokenizerName)
		case *s.id >= 0 && t.Piece(*s.id) == "":
			return fmt.Errorf("%s says %s is %d, %s has no such token", from, s.key, *s.id, c.tokenizerName)
		case *s.id >= 0 && known >= 0 && *s.id != known && !f.said.overridden(s.key):
			return fmt.Errorf("%s says %s is %d, %s has %s at %d", from, s.key, *s.id, c.tokenizerName, piece, known)
		case *s.id < 0 && known < 0 && s.needed:
			return fmt.Errorf("%s has none of %s, and %s does not say %s", c.tokenizerName, strings.Join(pieces, ", "), c.cfgName, s.key)
		case *s.id < 0:
			*s.id = known
		}
	}
	var err error
	if c.QueryMarker, err = f.marker("query", c.queryPrefix, c.QueryMarker); err != nil {
		return err
	}
	if c.DocumentMarker, err = f.marker("document", c.documentPrefix, c.DocumentMarker); err != nil {
		return err
	}
	if c.lowercase && !t.Lowercase() {
		return fmt.Errorf("%s says do_lower_case, %s does not lower-case", f.said.source("do_lower_case", c.cfgName), c.tokenizerName)
	}
	least := len(c.Before) + len(c.After) + 2
	if c.Dim < 1 || c.QueryLength < least || c.DocumentLength < least {
		return fmt.Errorf("%s: dimension %d, query length %d, document length %d", c.cfgName, c.Dim, c.QueryLength, c.DocumentLength)
	}
	if n := t.Size(); f.bert.Vocabulary > 0 && n > f.bert.Vocabulary {
		return fmt.Errorf("%s says vocab_size is %d, %s has ids up to %d", bertFile, f.bert.Vocabulary, c.tokenizerName, n-1)
	}
	for _, s := range []struct {
		key    string
		length int
	}{{"query_length", c.QueryLength}, {"document_length", c.DocumentLength}} {
		if most := f.bert.positions(); most > 0 && s.length+len(c.pooledIDs()) > most {
			return fmt.Errorf("%s says %s is %d, by %s the model has %d positions", f.said.source(s.key, c.cfgName), s.key, s.length, bertFile, most)
		}
	}
	slices.Sort(c.Skip)
	return nil
}

// surround finds the tokens around a text: those of the tokenizer's template, and
// where it has none, the usual ones.
func (c *Config) surround(t *tokenizer.Tokenizer) error {
	if c.Before, c.After = t.Special(); len(c.Before)+len(c.After) > 0 {
		return nil
	}
	for _, pair := range [][2]string{{"[CLS]", "[SEP]"}, {"<s>", "</s>"}} {
		before, ok := t.ID(pair[0])
		if after, too := t.ID(pair[1]); ok && too {
			c.Before, c.After = []int{before}, []int{after}
			return nil
		}
	}
	return fmt.Errorf("%s has no post_processor with special tokens, and neither [CLS] and [SEP] nor <s> and </s>", c.tokenizerName)
}

// marker finds the token that marks a side. The configuration gives its text,
// its id, or both; neither means that there is none.
func (f *Folder) marker(side, text string, id *int) (*int, error) {
	c, t := &f.Config, f.Tokenizer
	known, ok := t.ID(text)
	if !ok {
		known, ok = t.ID(strings.TrimSpace(text))
	}
	byText, byID := f.said.source(side+"_prefix", c.cfgName), f.said.source(side+"_prefix_id", c.cfgName)
	// A marker that is overridden by its text alone has another id, and so on.
	if f.said.overridden(side+"_prefix") && !f.said.overridden(side+"_prefix_id") {
		id = nil
	} else if f.said.overridden(side + "_prefix_id") {
		text = ""
	}
	switch {
	case id != nil && t.Piece(*id) == "":
		return nil, fmt.Errorf("%s marks the %s side with id %d, which %s does not have", byID, side, *id, c.tokenizerName)
	case id != nil && text != "" && ok && known != *id:
		return nil, fmt.Errorf("%s marks the %s side with %q and id %d, %s has it at %d", byText, side, text, *id, c.tokenizerName, known)
	case id == nil && text != "" && !ok:
		return nil, fmt.Errorf("%s marks the %s side with %q, which %s does not have", byText, side, text, c.tokenizerName)
	case id == nil && text != "":
		return &known, nil
	}
	return id, nil
}
