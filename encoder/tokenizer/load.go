package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxInputChars is the length of a word, in characters, beyond which BERT's
// WordPiece calls it unknown.
const maxInputChars = 100

type fileForm struct {
	AddedTokens []struct {
		ID         int    `json:"id"`
		Content    string `json:"content"`
		SingleWord bool   `json:"single_word"`
		LStrip     bool   `json:"lstrip"`
		RStrip     bool   `json:"rstrip"`
		Normalized bool   `json:"normalized"`
	} `json:"added_tokens"`
	Normalizer    *component `json:"normalizer"`
	PreTokenizer  *component `json:"pre_tokenizer"`
	PostProcessor *component `json:"post_processor"`
	Model         struct {
		component
		UnkToken      string         `json:"unk_token"`
		Prefix        *string        `json:"continuing_subword_prefix"`
		MaxInputChars *int           `json:"max_input_chars_per_word"`
		Vocab         map[string]int `json:"vocab"`
	} `json:"model"`
}

// component is any part of the file that says its type; the other fields are
// those of the BertNormalizer.
type component struct {
	Type               string `json:"type"`
	CleanText          *bool  `json:"clean_text"`
	HandleChineseChars *bool  `json:"handle_chinese_chars"`
	StripAccents       *bool  `json:"strip_accents"`
	Lowercase          *bool  `json:"lowercase"`
}

// Load reads a Hugging Face tokenizer.json. It reads the vocabulary, the added
// tokens, the normaliser and the pre-tokeniser; truncation, padding and the
// post-processor's template are left to package encoder.
func Load(data []byte) (*Tokenizer, error) {
	var f fileForm
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("colbertdb: tokenizer.json: %w", err)
	}
	z, err := f.normalizer()
	if err != nil {
		return nil, err
	}
	if err := require("pre_tokenizer", f.PreTokenizer, "BertPreTokenizer"); err != nil {
		return nil, err
	}
	if f.PostProcessor != nil {
		if err := require("post_processor", f.PostProcessor, "TemplateProcessing", "BertProcessing"); err != nil {
			return nil, err
		}
	}
	m := f.Model
	if m.Type != "" { // files of early versions leave it out
		if err := require("model", &m.component, "WordPiece"); err != nil {
			return nil, err
		}
	}
	prefix, limit := "##", maxInputChars
	if m.Prefix != nil {
		prefix = *m.Prefix
	}
	if m.MaxInputChars != nil {
		limit = *m.MaxInputChars
	}
	unknown := m.UnkToken
	if unknown == "" {
		unknown = "[UNK]"
	}
	t, err := build(m.Vocab, unknown, prefix, limit, z)
	if err != nil {
		return nil, fmt.Errorf("colbertdb: tokenizer.json: %w", err)
	}
	var raw, normalized []addedToken
	for _, a := range f.AddedTokens {
		if id, ok := t.ids[a.Content]; ok && id != a.ID {
			return nil, fmt.Errorf("colbertdb: tokenizer.json: added token %q has id %d, and id %d in the vocabulary", a.Content, a.ID, id)
		}
		if piece, ok := t.pieces[a.ID]; ok && piece != a.Content {
			return nil, fmt.Errorf("colbertdb: tokenizer.json: added token %q has the id %d of %q", a.Content, a.ID, piece)
		}
		t.ids[a.Content], t.pieces[a.ID] = a.ID, a.Content
		token := addedToken{a.Content, a.ID, a.SingleWord, a.LStrip, a.RStrip}
		if a.Normalized {
			token.content = string(z.normalize(a.Content, 0, stretch{}).text)
			normalized = append(normalized, token)
		} else {
			raw = append(raw, token)
		}
	}
	t.raw, t.normalized = newMatcher(raw), newMatcher(normalized)
	return t, nil
}

// LoadVocab reads a vocab.txt, one piece a line, as BERT's own tokenizer does:
// the pieces of the form [NAME] that BERT knows are added tokens.
func LoadVocab(vocab []byte, lowercase bool) (*Tokenizer, error) {
	pieces := map[string]int{}
	for i, line := range strings.Split(strings.TrimSuffix(string(bytes.TrimPrefix(vocab, []byte("\ufeff"))), "\n"), "\n") {
		line = strings.TrimRight(line, "\r")
		if _, ok := pieces[line]; ok {
			return nil, fmt.Errorf("colbertdb: vocab.txt: line %d repeats %q", i+1, line)
		}
		pieces[line] = int(i)
	}
	t, err := build(pieces, "[UNK]", "##", maxInputChars, normalizer{true, true, lowercase, lowercase})
	if err != nil {
		return nil, fmt.Errorf("colbertdb: vocab.txt: %w", err)
	}
	var added []addedToken
	for _, s := range []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} {
		if id, ok := t.ids[s]; ok {
			added = append(added, addedToken{content: s, id: id})
		}
	}
	t.raw = newMatcher(added)
	return t, nil
}

func (f *fileForm) normalizer() (normalizer, error) {
	if f.Normalizer == nil {
		return normalizer{}, nil
	}
	if err := require("normalizer", f.Normalizer, "BertNormalizer"); err != nil {
		return normalizer{}, err
	}
	n := f.Normalizer
	set := func(b *bool, unset bool) bool {
		if b == nil {
			return unset
		}
		return *b
	}
	lower := set(n.Lowercase, true)
	return normalizer{set(n.CleanText, true), set(n.HandleChineseChars, true), set(n.StripAccents, lower), lower}, nil
}

// require names a component that is missing or of a type that is not among the
// known ones.
func require(part string, c *component, known ...string) error {
	if c == nil {
		return fmt.Errorf("%w: tokenizer.json has no %s, and %s is the one that is known", ErrUnsupported, part, strings.Join(known, " or "))
	}
	for _, k := range known {
		if c.Type == k {
			return nil
		}
	}
	return fmt.Errorf("%w: tokenizer.json has a %s of type %q, and %s is the one that is known", ErrUnsupported, part, c.Type, strings.Join(known, " or "))
}

func build(vocab map[string]int, unknown, prefix string, maxRunes int, z normalizer) (*Tokenizer, error) {
	if len(vocab) == 0 {
		return nil, fmt.Errorf("the vocabulary is empty")
	}
	t := &Tokenizer{
		norm:   z,
		model:  wordPiece{initial: make(map[string]int, len(vocab)), continuing: map[string]int{}, maxRunes: maxRunes},
		pieces: make(map[int]string, len(vocab)),
		ids:    make(map[string]int, len(vocab)),
	}
	for piece, id := range vocab {
		if other, ok := t.pieces[id]; ok {
			return nil, fmt.Errorf("id %d belongs to %q and %q", id, other, piece)
		}
		if id < 0 || !utf8.ValidString(piece) {
			return nil, fmt.Errorf("piece %q has id %d", piece, id)
		}
		t.pieces[id], t.ids[piece] = piece, id
		t.model.initial[piece] = id
		if rest, ok := strings.CutPrefix(piece, prefix); ok {
			t.model.continuing[rest] = id
		}
		t.model.longest = max(t.model.longest, len(piece))
	}
	id, ok := vocab[unknown]
	if !ok {
		return nil, fmt.Errorf("the vocabulary lacks the unknown token %q", unknown)
	}
	t.model.unknown = id
	return t, nil
}
