package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// fileForm is tokenizer.json. Truncation and padding are left to package encoder,
// and the decoder has nothing to do here.
type fileForm struct {
	Version       json.RawMessage `json:"version"`
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedForm     `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

type addedForm struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// Load reads a Hugging Face tokenizer.json. A component, or a setting of one,
// that this package does not have is an error that names it and wraps
// ErrUnsupported.
func Load(data []byte) (*Tokenizer, error) {
	t, err := load(data)
	if err != nil && !errors.Is(err, ErrUnsupported) {
		return nil, fmt.Errorf("colbertdb: tokenizer.json: %w", err)
	}
	return t, err
}

func load(data []byte) (*Tokenizer, error) {
	var f fileForm
	if err := json.Unmarshal(data, &f); err != nil { // what is not JSON is not merely unsupported
		return nil, err
	}
	if err := decode("tokenizer.json", data, &f); err != nil {
		return nil, err
	}
	t := &Tokenizer{pieces: map[int]string{}, ids: map[string]int{}, added: map[int]bool{}}
	var err error
	if t.norm, err = loadNormalizers(f.Normalizer); err != nil {
		return nil, err
	}
	if t.pre, err = loadPreTokenizers(f.PreTokenizer); err != nil {
		return nil, err
	}
	if err := t.loadModel(f.Model); err != nil {
		return nil, err
	}
	if err := t.loadPostProcessor(f.PostProcessor); err != nil {
		return nil, err
	}
	if err := t.add(f.AddedTokens); err != nil {
		return nil, err
	}
	return t, nil
}

// add adds the added tokens.
func (t *Tokenizer) add(tokens []addedForm) error {
	var raw, normalized []addedToken
	for _, a := range tokens {
		if id, ok := t.ids[a.Content]; ok && id != a.ID {
			return fmt.Errorf("added token %q has id %d, and id %d in the vocabulary", a.Content, a.ID, id)
		}
		if piece, ok := t.pieces[a.ID]; ok && piece != a.Content {
			return fmt.Errorf("added token %q has the id %d of %q", a.Content, a.ID, piece)
		}
		if a.ID < 0 {
			return fmt.Errorf("added token %q has the id %d", a.Content, a.ID)
		}
		t.ids[a.Content], t.pieces[a.ID], t.added[a.ID] = a.ID, a.Content, true
		token := addedToken{a.Content, a.ID, a.SingleWord, a.LStrip, a.RStrip}
		if a.Normalized {
			token.content = string(t.norm.apply(a.Content, 0, stretch{}).text)
			if token.content == "" && a.Content != "" {
				return unsupported("added token that its normalizer makes empty", a.Content, "those with normalized false")
			}
			normalized = append(normalized, token)
		} else {
			raw = append(raw, token)
		}
	}
	t.raw, t.normalized = newMatcher(raw), newMatcher(normalized)
	return nil
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
		pieces[line] = i
	}
	t := &Tokenizer{
		norm: normalization{bertNormalizer{true, true, lowercase, lowercase}}, pre: []preTokenizer{bertWords{}},
		pieces: map[int]string{}, ids: map[string]int{},
	}
	err := t.setVocabulary(pieces)
	if err == nil {
		t.model, err = newWordPiece(pieces, "[UNK]", "##", maxInputChars)
	}
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
	if cls, ok := t.ids["[CLS]"]; ok {
		t.post.before = []int{cls}
	}
	if sep, ok := t.ids["[SEP]"]; ok {
		t.post.after = []int{sep}
	}
	return t, nil
}

// typeOf returns the type of a component, "" for null.
func typeOf(part string, raw json.RawMessage) (string, error) {
	if isNull(raw) {
		return "", nil
	}
	var c struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return "", fmt.Errorf("%s: %w", part, err)
	}
	return c.Type, nil
}

func isNull(raw json.RawMessage) bool {
	return len(raw) == 0 || string(bytes.TrimSpace(raw)) == "null"
}

// decode reads a part of the file. A setting that is not in into is refused by
// name.
func decode(part string, raw json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err != nil && strings.Contains(err.Error(), "unknown field") {
		return fmt.Errorf("%w: tokenizer.json: %s: %w", ErrUnsupported, part, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", part, err)
	}
	return nil
}

// unsupported refuses a component by its type, or a setting by its value.
func unsupported(part string, value any, known ...string) error {
	slices.Sort(known)
	return fmt.Errorf("%w: tokenizer.json has a %s of %q; known are %s", ErrUnsupported, part, value, strings.Join(known, ", "))
}

// listForm is a Sequence of any kind of component.
type listForm struct {
	Type          string            `json:"type"`
	Normalizers   []json.RawMessage `json:"normalizers"`
	PreTokenizers []json.RawMessage `json:"pretokenizers"`
	Processors    []json.RawMessage `json:"processors"`
}

// patternForm is what Replace and Split look for: one of the two.
type patternForm struct {
	String *string
	Regex  *string
}
