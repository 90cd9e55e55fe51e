package encoder

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// The files that a model folder's conventions are read from. Any of the first
// three makes a folder one of a late-interaction model; the first that is there
// gives the defaults, and all that are there must agree.
const (
	onnxFile        = "onnx_config.json"
	stanfordFile    = "artifact.metadata"
	transformerFile = "config_sentence_transformers.json"
	overridesFile   = "colbertdb.json"
	modulesFile     = "modules.json"
	bertFile        = "config.json"
)

// forms are the three forms, with what each leaves out.
var forms = []struct {
	file     string
	read     func([]byte) (settings, error)
	defaults settings
}{
	{onnxFile, readONNX, settings{QueryPrefix: ptr(""), DocumentPrefix: ptr(""), QueryExpansion: ptr(false), AttendToExpansion: ptr(false), SkipWords: ptr([]string(nil))}},
	{stanfordFile, readStanford, settings{QueryPrefix: ptr("[unused0]"), DocumentPrefix: ptr("[unused1]"), QueryExpansion: ptr(true), AttendToExpansion: ptr(false), SkipWords: ptr([]string(nil))}},
	{transformerFile, readTransformer, settings{
		QueryPrefix: ptr("[Q] "), DocumentPrefix: ptr("[D] "), QueryLength: ptr(32), DocumentLength: ptr(180),
		QueryExpansion: ptr(true), AttendToExpansion: ptr(false), SkipWords: ptr(strings.Split(punctuation, "")),
	}},
}

func ptr[T any](v T) *T { return &v }

// readONNX reads onnx_config.json, which has the settings by their names, and
// others that do not matter here.
func readONNX(b []byte) (s settings, err error) {
	return s, json.Unmarshal(b, &s)
}

// readStanford reads the settings of Stanford's ColBERT. Some versions wrap them
// in "config".
func readStanford(b []byte) (s settings, err error) {
	var wrapped struct {
		Config json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(b, &wrapped); err != nil {
		return s, err
	}
	if bytes.HasPrefix(bytes.TrimSpace(wrapped.Config), []byte("{")) {
		b = wrapped.Config
	}
	var f struct {
		Dim             *int    `json:"dim"`
		QueryMaxLen     *int    `json:"query_maxlen"`
		DocMaxLen       *int    `json:"doc_maxlen"`
		MaskPunctuation *bool   `json:"mask_punctuation"`
		AttendToMask    *bool   `json:"attend_to_mask_tokens"`
		QueryToken      *string `json:"query_token_id"`
		DocToken        *string `json:"doc_token_id"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return s, err
	}
	s = settings{
		Dim: f.Dim, QueryLength: f.QueryMaxLen, DocumentLength: f.DocMaxLen, AttendToExpansion: f.AttendToMask,
		QueryPrefix: f.QueryToken, DocumentPrefix: f.DocToken,
	}
	if f.MaskPunctuation != nil {
		s.SkipWords = ptr([]string(nil))
		if *f.MaskPunctuation {
			s.SkipWords = ptr(strings.Split(punctuation, ""))
		}
	}
	return s, nil
}

// readTransformer reads what PyLate adds to sentence-transformers' settings.
func readTransformer(b []byte) (s settings, err error) {
	var f struct {
		QueryPrefix       *string   `json:"query_prefix"`
		DocumentPrefix    *string   `json:"document_prefix"`
		QueryLength       *int      `json:"query_length"`
		DocumentLength    *int      `json:"document_length"`
		QueryExpansion    *bool     `json:"do_query_expansion"`
		AttendToExpansion *bool     `json:"attend_to_expansion_tokens"`
		SkipWords         *[]string `json:"skiplist_words"`
		Similarity        *string   `json:"similarity_fn_name"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return s, err
	}
	if f.Similarity != nil && !strings.EqualFold(*f.Similarity, "maxsim") && f.QueryLength == nil {
		return s, fmt.Errorf("similarity_fn_name is %q: this is no late-interaction model", *f.Similarity)
	}
	return settings{
		QueryPrefix: f.QueryPrefix, DocumentPrefix: f.DocumentPrefix, QueryLength: f.QueryLength, DocumentLength: f.DocumentLength,
		QueryExpansion: f.QueryExpansion, AttendToExpansion: f.AttendToExpansion, SkipWords: f.SkipWords,
	}, nil
}

// readSpecials reads the tokens that stand for masks and padding from the files
// that transformers keeps beside tokenizer.json.
func readSpecials(b []byte) (s settings, err error) {
	var f struct {
		Mask      specialToken `json:"mask_token"`
		Pad       specialToken `json:"pad_token"`
		Lowercase *bool        `json:"do_lower_case"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return s, err
	}
	return settings{MaskToken: f.Mask.text, PadToken: f.Pad.text, Lowercase: f.Lowercase}, nil
}

// specialToken is a token's text, or an object with its content.
type specialToken struct{ text *string }

// UnmarshalJSON implements json.Unmarshaler.
func (s *specialToken) UnmarshalJSON(b []byte) error {
	if b[0] != '{' {
		return json.Unmarshal(b, &s.text)
	}
	var object struct{ Content *string }
	err := json.Unmarshal(b, &object)
	s.text = object.Content
	return err
}

// bertConfig is what is read of transformers' config.json.
type bertConfig struct {
	ModelType    string `json:"model_type"`
	Hidden       int    `json:"hidden_size"`
	Vocabulary   int    `json:"vocab_size"`
	Positions    int    `json:"max_position_embeddings"`
	PositionType string `json:"position_embedding_type"`
	PadID        *int   `json:"pad_token_id"`
}

// positions is the length of the longest text, 0 where the architecture sets
// none: RoBERTa begins to count after the padding token's id, and ALiBi has no
// position embeddings.
func (b bertConfig) positions() int {
	switch {
	case b.PositionType == "alibi":
		return 0
	case strings.Contains(b.ModelType, "roberta") && b.Positions > 0:
		pad := 1
		if b.PadID != nil {
			pad = *b.PadID
		}
		return b.Positions - pad - 1
	}
	return b.Positions
}

// readSettings reads all files of a folder that say something about the model.
// Overrides take the place of what they say, those of the caller of what
// colbertdb.json says.
func (f *Folder) readSettings(fsys fs.FS, o Overrides) error {
	over, err := o.settings()
	if err != nil {
		return fmt.Errorf("overrides: %w", err)
	}
	var overridden sources
	if b, err := fs.ReadFile(fsys, overridesFile); err == nil {
		s, err := decodeSettings(b)
		if err != nil {
			return fmt.Errorf("%s: %w", overridesFile, err)
		}
		overridden.set(s, overridesFile)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	overridden.set(over, overriding)

	s := &f.said
	var defaults settings
	read := func(file string, read func([]byte) (settings, error)) (bool, error) {
		b, err := fs.ReadFile(fsys, file)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		from, err := read(b)
		if err != nil {
			return false, fmt.Errorf("%s: %w", file, err)
		}
		f.files = append(f.files, file)
		return true, s.add(from, file, overridden.settings)
	}
	for _, form := range forms {
		there, err := read(form.file, form.read)
		if err != nil {
			return err
		}
		if there && f.Config.cfgName == "" {
			f.Config.cfgName, defaults = form.file, form.defaults
		}
	}
	if f.Config.cfgName == "" {
		return fmt.Errorf("none of %s, %s, %s is there", onnxFile, stanfordFile, transformerFile)
	}
	for _, file := range []string{"special_tokens_map.json", "tokenizer_config.json"} {
		if _, err := read(file, readSpecials); err != nil {
			return err
		}
	}
	if b, err := fs.ReadFile(fsys, bertFile); err == nil {
		if err := json.Unmarshal(b, &f.bert); err != nil {
			return fmt.Errorf("%s: %w", bertFile, err)
		}
		f.files = append(f.files, bertFile)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := f.readProjection(fsys); err != nil {
		return err
	}
	if p := f.projection; p != nil {
		if err := s.add(settings{Dim: ptr(p.out())}, p.last().file, overridden.settings); err != nil {
			return err
		}
	}
	if s.Dim == nil && f.Config.cfgName == transformerFile && f.bert.Hidden > 0 {
		s.set(settings{Dim: &f.bert.Hidden}, bertFile)
	}
	// What the files say of the dimension is what the graph gives; less is cut.
	if s.Dim != nil && overridden.Dim != nil && *overridden.Dim < *s.Dim {
		f.Config.FullDim = *s.Dim
	}
	s.set(overridden.settings, overriding)
	for name, from := range overridden.from {
		s.note(name, from)
	}
	return s.add(defaults, "the defaults for "+f.Config.cfgName, s.settings)
}

// config turns settings into conventions.
func (f *Folder) config() {
	s, c := f.said.settings, &f.Config
	value := func(p *int, none int) int {
		if p == nil {
			return none
		}
		return *p
	}
	text := func(p *string) string {
		if p == nil {
			return ""
		}
		return *p
	}
	*c = Config{
		Name: text(s.Name), Dim: value(s.Dim, 0), FullDim: c.FullDim, QueryMarker: s.QueryPrefixID, DocumentMarker: s.DocumentPrefixID,
		QueryLength: value(s.QueryLength, 0), DocumentLength: value(s.DocumentLength, 0),
		QueryExpansion: *s.QueryExpansion, AttendToExpansion: *s.AttendToExpansion, UsesTokenTypes: s.UsesTokenTypes,
		Skip: slices.Clone(*s.SkipWords), MaskID: value(s.MaskID, -1), PadID: value(s.PadID, -1), Pooled: s.Pooled,
		cfgName: c.cfgName, weightsName: text(s.QueryWeights),
		queryPrefix: text(s.QueryPrefix), documentPrefix: text(s.DocumentPrefix), lowercase: s.Lowercase != nil && *s.Lowercase,
	}
	c.Output = text(s.Output)
	if f.said.overridden("mask_token_id") {
		c.OverriddenMask = s.MaskID
	}
	if f.said.overridden("pad_token_id") {
		c.OverriddenPad = s.PadID
	}
}

// modules are the steps of a sentence-transformers model: [{"path", "type"}].
func readModules(b []byte) (dense []string, err error) {
	var list []struct {
		Path string `json:"path"`
		Type string `json:"type"`
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, err
	}
	for i, m := range list {
		switch kind := m.Type[strings.LastIndex(m.Type, ".")+1:]; kind {
		case "Transformer":
			if i != 0 {
				return nil, fmt.Errorf("module %d is a Transformer", i)
			}
		case "Dense":
			dense = append(dense, path.Clean(cmp.Or(m.Path, ".")))
		case "Normalize": // vectors are brought to unit length in any case
		case "Pooling":
			return nil, errors.New("a Pooling module makes one vector of a text: this is no late-interaction model")
		default:
			return nil, fmt.Errorf("a module of type %q; known are Transformer, Dense, Normalize", m.Type)
		}
	}
	return dense, nil
}
