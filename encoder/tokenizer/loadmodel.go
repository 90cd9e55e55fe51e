package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// maxInputChars is the length of a word, in characters, beyond which BERT's
// WordPiece calls it unknown.
const maxInputChars = 100

// loadModel reads the model. Files of early versions leave its type out.
func (t *Tokenizer) loadModel(raw json.RawMessage) error {
	if isNull(raw) {
		return fmt.Errorf("there is no model")
	}
	kind, err := typeOf("model", raw)
	if err != nil {
		return err
	}
	if kind == "" {
		var probe struct {
			Merges, Vocab json.RawMessage
		}
		if err := json.Unmarshal(raw, &probe); err != nil {
			return fmt.Errorf("model: %w", err)
		}
		switch {
		case len(probe.Merges) > 0:
			kind = "BPE"
		case bytes.HasPrefix(bytes.TrimSpace(probe.Vocab), []byte("[")):
			kind = "Unigram"
		default:
			kind = "WordPiece"
		}
	}
	switch kind {
	case "WordPiece":
		return t.loadWordPiece(raw)
	case "BPE":
		return t.loadBPE(raw)
	case "Unigram":
		return t.loadUnigram(raw)
	}
	return unsupported("model", kind, "WordPiece", "BPE", "Unigram")
}

// setVocabulary fills the maps between pieces and ids.
func (t *Tokenizer) setVocabulary(vocab map[string]int) error {
	if len(vocab) == 0 {
		return errors.New("the vocabulary is empty")
	}
	t.pieces, t.ids = make(map[int]string, len(vocab)), make(map[string]int, len(vocab))
	for piece, id := range vocab {
		if other, ok := t.pieces[id]; ok {
			return fmt.Errorf("id %d belongs to %q and %q", id, other, piece)
		}
		if id < 0 || id > math.MaxInt32 || !utf8.ValidString(piece) {
			return fmt.Errorf("piece %q has id %d", piece, id)
		}
		t.pieces[id], t.ids[piece] = piece, id
	}
	return nil
}

func (t *Tokenizer) loadWordPiece(raw json.RawMessage) error {
	prefix, limit := "##", maxInputChars
	f := struct {
		Type          string         `json:"type"`
		UnkToken      string         `json:"unk_token"`
		Prefix        *string        `json:"continuing_subword_prefix"`
		MaxInputChars *int           `json:"max_input_chars_per_word"`
		Vocab         map[string]int `json:"vocab"`
	}{Prefix: &prefix, MaxInputChars: &limit}
	if err := decode("model WordPiece", raw, &f); err != nil {
		return err
	}
	if err := t.setVocabulary(f.Vocab); err != nil {
		return err
	}
	if f.Prefix == nil || f.MaxInputChars == nil {
		return errors.New("model WordPiece: continuing_subword_prefix or max_input_chars_per_word is null")
	}
	w, err := newWordPiece(f.Vocab, cmp.Or(f.UnkToken, "[UNK]"), *f.Prefix, *f.MaxInputChars)
	t.model = w
	return err
}

func newWordPiece(vocab map[string]int, unknown, prefix string, maxRunes int) (*wordPiece, error) {
	w := &wordPiece{initial: vocab, continuing: map[string]int{}, maxRunes: maxRunes}
	for piece, id := range vocab {
		if rest, ok := strings.CutPrefix(piece, prefix); ok {
			w.continuing[rest] = id
		}
		w.longest = max(w.longest, len(piece))
	}
	id, ok := vocab[unknown]
	if !ok {
		return nil, fmt.Errorf("the vocabulary lacks the unknown token %q", unknown)
	}
	w.unknown = id
	return w, nil
}

func (t *Tokenizer) loadBPE(raw json.RawMessage) error {
	const part = "model BPE"
	var f struct {
		Type          string         `json:"type"`
		Dropout       float64        `json:"dropout"`
		UnkToken      string         `json:"unk_token"`
		Prefix        string         `json:"continuing_subword_prefix"`
		Suffix        string         `json:"end_of_word_suffix"`
		FuseUnknown   bool           `json:"fuse_unk"`
		ByteFallback  bool           `json:"byte_fallback"`
		IgnoreMerges  bool           `json:"ignore_merges"`
		Vocab         map[string]int `json:"vocab"`
		Merges        []mergeForm    `json:"merges"`
		CacheCapacity *int           `json:"cache_capacity"` // changes no result
	}
	if err := decode(part, raw, &f); err != nil {
		return err
	}
	switch {
	case f.Dropout != 0:
		return unsupported(part+" dropout", fmt.Sprint(f.Dropout), "0")
	case f.Prefix != "":
		return unsupported(part+" continuing_subword_prefix", f.Prefix, "none")
	case f.Suffix != "":
		return unsupported(part+" end_of_word_suffix", f.Suffix, "none")
	case f.ByteFallback:
		return unsupported(part+" byte_fallback", "true", "false")
	}
	if err := t.setVocabulary(f.Vocab); err != nil {
		return err
	}
	b := &bpe{
		vocab: f.Vocab, chars: map[rune]int{}, merges: make(map[[2]int32]merge, len(f.Merges)),
		unknown: -1, fuseUnknown: f.FuseUnknown, ignoreMerges: f.IgnoreMerges,
	}
	for piece, id := range f.Vocab {
		if r, size := utf8.DecodeRuneInString(piece); size == len(piece) && size > 0 {
			b.chars[r] = id
		}
	}
	if f.UnkToken != "" {
		id, ok := f.Vocab[f.UnkToken]
		if !ok {
			return fmt.Errorf("the vocabulary lacks the unknown token %q", f.UnkToken)
		}
		b.unknown = id
	}
	for i, m := range f.Merges {
		var ids [3]int
		for j, piece := range []string{m.left, m.right, m.left + m.right} {
			id, ok := f.Vocab[piece]
			if !ok {
				return fmt.Errorf("merge %d of %q and %q: the vocabulary lacks %q", i, m.left, m.right, piece)
			}
			ids[j] = id
		}
		b.merges[[2]int32{int32(ids[0]), int32(ids[1])}] = merge{int32(i), int32(ids[2])}
	}
	t.model = b
	return nil
}

// mergeForm is "a b" or ["a", "b"].
type mergeForm struct{ left, right string }

// UnmarshalJSON implements json.Unmarshaler.
func (m *mergeForm) UnmarshalJSON(b []byte) error {
	var parts []string
	if b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		parts = strings.Split(s, " ")
	} else if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	if len(parts) != 2 {
		return fmt.Errorf("merge %s is not of two pieces", b)
	}
	m.left, m.right = parts[0], parts[1]
	return nil
}

func (t *Tokenizer) loadUnigram(raw json.RawMessage) error {
	const part = "model Unigram"
	var f struct {
		Type         string       `json:"type"`
		UnkID        *int         `json:"unk_id"`
		Vocab        []scoredForm `json:"vocab"`
		ByteFallback bool         `json:"byte_fallback"`
	}
	if err := decode(part, raw, &f); err != nil {
		return err
	}
	if f.ByteFallback {
		return unsupported(part+" byte_fallback", "true", "false")
	}
	if f.UnkID == nil || *f.UnkID < 0 || *f.UnkID >= len(f.Vocab) {
		return fmt.Errorf("%s: unk_id is not the id of a piece", part)
	}
	vocab := make(map[string]int, len(f.Vocab))
	u := &unigram{unknown: *f.UnkID, scores: make([]float64, len(f.Vocab)), unknownScore: math.Inf(1)}
	for id, p := range f.Vocab {
		if other, ok := vocab[p.piece]; ok {
			return fmt.Errorf("%s: piece %q has the ids %d and %d", part, p.piece, other, id)
		}
		vocab[p.piece], u.scores[id] = id, p.score
		u.unknownScore = min(u.unknownScore, p.score)
	}
	u.unknownScore -= unknownPenalty
	if err := t.setVocabulary(vocab); err != nil {
		return err
	}
	u.trie, u.ids = newTrie(vocab), vocab
	t.model = u
	return nil
}

// scoredForm is ["▁the", -3.2].
type scoredForm struct {
	piece string
	score float64
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *scoredForm) UnmarshalJSON(b []byte) error {
	var score json.RawMessage
	pair := []any{&p.piece, &score}
	err := json.Unmarshal(b, &pair)
	if err == nil && (len(pair) != 2 || score == nil) {
		err = errors.New("want a piece and its score")
	}
	if err == nil {
		p.score, err = parseScore(string(score))
	}
	return err
}
