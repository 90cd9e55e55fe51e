package tokenizer

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"unicode/utf8"
)

// maxDepth bounds sequences within sequences.
const maxDepth = 8

func loadNormalizers(raw json.RawMessage) (normalization, error) {
	return appendNormalizers(nil, raw, maxDepth)
}

func appendNormalizers(out normalization, raw json.RawMessage, depth int) (normalization, error) {
	kind, err := typeOf("normalizer", raw)
	if err != nil || isNull(raw) {
		return out, err
	}
	part := "normalizer " + kind
	var plain struct {
		Type string `json:"type"`
	}
	simple := func(z normalizer) (normalization, error) { return append(out, z), decode(part, raw, &plain) }
	switch kind {
	case "BertNormalizer":
		var b struct {
			Type               string `json:"type"`
			CleanText          *bool  `json:"clean_text"`
			HandleChineseChars *bool  `json:"handle_chinese_chars"`
			StripAccents       *bool  `json:"strip_accents"`
			Lowercase          *bool  `json:"lowercase"`
		}
		set := func(b *bool, unset bool) bool {
			if b == nil {
				return unset
			}
			return *b
		}
		err := decode(part, raw, &b)
		lower := set(b.Lowercase, true)
		return append(out, bertNormalizer{set(b.CleanText, true), set(b.HandleChineseChars, true), set(b.StripAccents, lower), lower}), err
	case "NFC":
		return simple(nfc)
	case "NFD":
		return simple(nfd)
	case "NFKC":
		return simple(nfkc)
	case "NFKD":
		return simple(nfkd)
	case "Lowercase":
		return simple(lowercase{})
	case "StripAccents":
		return simple(stripAccents{})
	case "Strip":
		var s struct {
			Type  string `json:"type"`
			Left  bool   `json:"strip_left"`
			Right bool   `json:"strip_right"`
		}
		err := decode(part, raw, &s)
		return append(out, strip{s.Left, s.Right}), err
	case "Prepend":
		var p struct {
			Type    string `json:"type"`
			Prepend string `json:"prepend"`
		}
		err := decode(part, raw, &p)
		return append(out, prepend(p.Prepend)), err
	case "Replace":
		var r struct {
			Type    string      `json:"type"`
			Pattern patternForm `json:"pattern"`
			Content string      `json:"content"`
		}
		if err := decode(part, raw, &r); err != nil {
			return nil, err
		}
		find, err := finder(part, r.Pattern)
		return append(out, replace{find, r.Content}), err
	case "Precompiled":
		var p struct {
			Type string `json:"type"`
			Map  string `json:"precompiled_charsmap"`
		}
		if err := decode(part, raw, &p); err != nil {
			return nil, err
		}
		b, err := base64.StdEncoding.DecodeString(p.Map)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part, err)
		}
		m, err := newCharsmap(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part, err)
		}
		return append(out, m), nil
	case "Sequence":
		var l listForm
		if err := decode(part, raw, &l); err != nil {
			return nil, err
		}
		if depth == 0 {
			return nil, fmt.Errorf("%s: more than %d within one another", part, maxDepth)
		}
		for _, item := range l.Normalizers {
			if out, err = appendNormalizers(out, item, depth-1); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return nil, unsupported("normalizer", kind, "BertNormalizer", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Strip", "Prepend", "Replace", "Precompiled", "Sequence")
}

// plainExpression is a regular expression that means the same in every dialect:
// characters, the last of which may be repeated.
var plainExpression = regexp.MustCompile(`^[ \pL\pN▁_-]+(\{[1-9][0-9]{0,2},\}|\+)?$`)

// finder returns what finds a pattern.
func finder(part string, p patternForm) (func(text string) [][]int, error) {
	switch {
	case p.String != nil && *p.String != "":
		return findString(*p.String), nil
	case p.Regex != nil && plainExpression.MatchString(*p.Regex):
		re, err := regexp.Compile(*p.Regex)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", part, err)
		}
		return func(text string) [][]int { return re.FindAllStringIndex(text, -1) }, nil
	case p.Regex != nil:
		return nil, unsupported(part+" pattern", *p.Regex, "strings", "characters with {n,} or + after the last")
	}
	return nil, fmt.Errorf("%s: no pattern", part)
}

func loadPreTokenizers(raw json.RawMessage) ([]preTokenizer, error) {
	return appendPreTokenizers(nil, raw, maxDepth)
}

func appendPreTokenizers(out []preTokenizer, raw json.RawMessage, depth int) ([]preTokenizer, error) {
	kind, err := typeOf("pre_tokenizer", raw)
	if err != nil || isNull(raw) {
		return out, err
	}
	part := "pre_tokenizer " + kind
	var plain struct {
		Type string `json:"type"`
	}
	switch kind {
	case "BertPreTokenizer":
		return append(out, bertWords{}), decode(part, raw, &plain)
	case "WhitespaceSplit":
		return append(out, whitespaceSplit{}), decode(part, raw, &plain)
	case "ByteLevel":
		b := byteLevelForm{AddPrefixSpace: true, UseRegex: true}
		err := decode(part, raw, &b)
		return append(out, byteLevel{b.AddPrefixSpace, b.UseRegex}), err
	case "Metaspace":
		m, err := loadMetaspace(part, raw)
		return append(out, m), err
	case "Digits":
		var d struct {
			Type       string `json:"type"`
			Individual bool   `json:"individual_digits"`
		}
		err := decode(part, raw, &d)
		s := runeSplit{isDigit, contiguous}
		if d.Individual {
			s.behavior = isolated
		}
		return append(out, s), err
	case "Punctuation":
		p := struct {
			Type     string `json:"type"`
			Behavior string `json:"behavior"`
		}{Behavior: "Isolated"}
		if err := decode(part, raw, &p); err != nil {
			return nil, err
		}
		b, err := behaviorNamed(part, p.Behavior)
		return append(out, runeSplit{isPunctuation, b}), err
	case "Split":
		s, err := loadSplit(part, raw)
		return append(out, s), err
	case "Sequence":
		var l listForm
		if err := decode(part, raw, &l); err != nil {
			return nil, err
		}
		if depth == 0 {
			return nil, fmt.Errorf("%s: more than %d within one another", part, maxDepth)
		}
		for _, item := range l.PreTokenizers {
			if out, err = appendPreTokenizers(out, item, depth-1); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return nil, unsupported("pre_tokenizer", kind, "BertPreTokenizer", "WhitespaceSplit", "ByteLevel", "Metaspace", "Digits", "Punctuation", "Split", "Sequence")
}

type byteLevelForm struct {
	Type           string `json:"type"`
	AddPrefixSpace bool   `json:"add_prefix_space"`
	TrimOffsets    bool   `json:"trim_offsets"`
	UseRegex       bool   `json:"use_regex"`
}

func loadMetaspace(part string, raw json.RawMessage) (metaspace, error) {
	f := struct {
		Type        string  `json:"type"`
		Replacement string  `json:"replacement"`
		StrRep      *string `json:"str_rep"`          // of early versions, the same
		PrefixSpace *bool   `json:"add_prefix_space"` // of early versions
		Scheme      string  `json:"prepend_scheme"`
		Split       *bool   `json:"split"`
	}{Scheme: "always"}
	if err := decode(part, raw, &f); err != nil {
		return metaspace{}, err
	}
	m := metaspace{mark: f.Replacement, whole: f.Split != nil && !*f.Split}
	if utf8.RuneCountInString(m.mark) != 1 {
		return m, fmt.Errorf("%s: replacement %q is not one character", part, m.mark)
	}
	if f.PrefixSpace != nil && !*f.PrefixSpace {
		if f.Scheme == "first" {
			return m, fmt.Errorf("%s: add_prefix_space is false and prepend_scheme is %q", part, f.Scheme)
		}
		f.Scheme = "never"
	}
	switch f.Scheme {
	case "always":
	case "first":
		m.first = true
	case "never":
		m.never = true
	default:
		return m, unsupported(part+" prepend_scheme", f.Scheme, "always", "first", "never")
	}
	return m, nil
}

func loadSplit(part string, raw json.RawMessage) (preTokenizer, error) {
	var s struct {
		Type     string      `json:"type"`
		Pattern  patternForm `json:"pattern"`
		Behavior string      `json:"behavior"`
		Invert   bool        `json:"invert"`
	}
	if err := decode(part, raw, &s); err != nil {
		return nil, err
	}
	b, err := behaviorNamed(part, s.Behavior)
	switch {
	case err != nil:
		return nil, err
	case s.Pattern.Regex != nil:
		e, ok := expressions[*s.Pattern.Regex]
		if !ok {
			return nil, unsupported(part+" pattern", *s.Pattern.Regex, "strings", "the regular expressions of GPT-2, GPT-4, Llama 3 and Qwen 2")
		}
		// The expressions match all of a text, so that inverted they would find
		// nothing, and cut nothing.
		if b != isolated && !(s.Invert && b == discarded) {
			return nil, unsupported(part+" behavior", s.Behavior, "Isolated", "Removed with invert")
		}
		return e, nil
	case s.Invert:
		return nil, unsupported(part+" invert", "true", "false")
	case s.Pattern.String == nil || *s.Pattern.String == "":
		return nil, fmt.Errorf("%s: no pattern", part)
	}
	return stringSplit{*s.Pattern.String, b}, nil
}

func behaviorNamed(part, name string) (behavior, error) {
	for b, n := range []string{"Removed", "Isolated", "Contiguous", "MergedWithPrevious", "MergedWithNext"} {
		if n == name {
			return behavior(b), nil
		}
	}
	return 0, unsupported(part+" behavior", name, "Removed", "Isolated", "Contiguous", "MergedWithPrevious", "MergedWithNext")
}

func (t *Tokenizer) loadPostProcessor(raw json.RawMessage) error {
	if isNull(raw) {
		return nil
	}
	return t.addPostProcessor(raw, maxDepth)
}

func (t *Tokenizer) addPostProcessor(raw json.RawMessage, depth int) error {
	kind, err := typeOf("post_processor", raw)
	if err != nil {
		return err
	}
	part := "post_processor " + kind
	var before, after []int
	switch kind {
	case "TemplateProcessing":
		if before, after, err = loadTemplate(part, raw); err != nil {
			return err
		}
	case "BertProcessing", "RobertaProcessing":
		var b struct {
			Type        string `json:"type"`
			Sep         pairOf `json:"sep"`
			Cls         pairOf `json:"cls"`
			TrimOffsets *bool  `json:"trim_offsets"`
			PrefixSpace *bool  `json:"add_prefix_space"`
		}
		if err := decode(part, raw, &b); err != nil {
			return err
		}
		before, after = []int{b.Cls.id}, []int{b.Sep.id}
		if kind == "RobertaProcessing" && (b.TrimOffsets == nil || *b.TrimOffsets) {
			t.post.trims = append(t.post.trims, trim{b.PrefixSpace == nil || *b.PrefixSpace})
		}
	case "ByteLevel":
		b := byteLevelForm{AddPrefixSpace: true, TrimOffsets: true, UseRegex: true}
		if err := decode(part, raw, &b); err != nil {
			return err
		}
		if b.TrimOffsets {
			t.post.trims = append(t.post.trims, trim{b.AddPrefixSpace})
		}
		return nil
	case "Sequence":
		var l listForm
		if err := decode(part, raw, &l); err != nil {
			return err
		}
		if depth == 0 {
			return fmt.Errorf("%s: more than %d within one another", part, maxDepth)
		}
		for _, item := range l.Processors {
			if err := t.addPostProcessor(item, depth-1); err != nil {
				return err
			}
		}
		return nil
	default:
		return unsupported("post_processor", kind, "TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel", "Sequence")
	}
	t.post.before = append(before, t.post.before...)
	t.post.after = append(t.post.after, after...)
	return nil
}

// pairOf is ["[CLS]", 101].
type pairOf struct {
	piece string
	id    int
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *pairOf) UnmarshalJSON(b []byte) error {
	pair := []any{&p.piece, &p.id}
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return errors.New("want a token and its id")
	}
	return nil
}

// loadTemplate returns what a template puts around one text.
func loadTemplate(part string, raw json.RawMessage) (before, after []int, err error) {
	type piece struct {
		Special *struct {
			ID   string `json:"id"`
			Type int    `json:"type_id"`
		} `json:"SpecialToken"`
		Sequence *struct {
			ID   string `json:"id"`
			Type int    `json:"type_id"`
		} `json:"Sequence"`
	}
	var f struct {
		Type    string          `json:"type"`
		Single  []piece         `json:"single"`
		Pair    json.RawMessage `json:"pair"`
		Special map[string]struct {
			ID     string   `json:"id"`
			IDs    []int    `json:"ids"`
			Tokens []string `json:"tokens"`
		} `json:"special_tokens"`
	}
	if err := decode(part, raw, &f); err != nil {
		return nil, nil, err
	}
	texts := 0
	for _, p := range f.Single {
		switch {
		case p.Sequence != nil && p.Sequence.ID == "A":
			texts++
		case p.Special != nil:
			token, ok := f.Special[p.Special.ID]
			if !ok {
				return nil, nil, fmt.Errorf("%s: %q is not among its special_tokens", part, p.Special.ID)
			}
			if texts == 0 {
				before = append(before, token.IDs...)
			} else {
				after = append(after, token.IDs...)
			}
		default:
			return nil, nil, fmt.Errorf("%s: single has a part that is neither a special token nor the text", part)
		}
	}
	if texts != 1 {
		return nil, nil, fmt.Errorf("%s: single has the text %d times", part, texts)
	}
	return before, after, nil
}
