//go:build hf_tokenizers && cgo

package hf

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/daulet/tokenizers"

	"github.com/colbertdb-go/colbertdb/encoder/tokenizer"
)

// Available says that this build has the library.
const Available = true

// Tokenizer cuts text as a tokenizer.json says. It may be used from many goroutines.
type Tokenizer struct {
	mu sync.RWMutex // Close waits for calls
	hf *tokenizers.Tokenizer
	// own is for what the library's C strings cannot hold.
	own *tokenizer.Tokenizer
}

// Load reads a tokenizer.json. What package tokenizer refuses is refused here too, so
// that a folder means the same in every build.
func Load(raw []byte) (*Tokenizer, error) {
	own, err := tokenizer.Load(raw)
	if err != nil {
		return nil, err
	}
	// Lengths are the model's business.
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		return nil, err
	}
	delete(parts, "truncation")
	delete(parts, "padding")
	if raw, err = json.Marshal(parts); err != nil {
		return nil, err
	}
	hf, err := tokenizers.FromBytes(raw)
	if err != nil {
		return nil, fmt.Errorf("colbertdb: the Hugging Face library: %w", err)
	}
	return &Tokenizer{hf: hf, own: own}, nil
}

// Encode returns the pieces of a text, without special tokens around them. Whether a
// piece continues a word (Joined) the library does not tell.
func (t *Tokenizer) Encode(text string) []tokenizer.Token {
	if strings.IndexByte(text, 0) >= 0 || !utf8.ValidString(text) {
		out := t.own.Encode(text)
		for i := range out {
			out[i].Joined = false
		}
		return out
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.hf == nil || text == "" {
		return nil
	}
	e := t.hf.EncodeWithOptions(text, false, tokenizers.WithReturnOffsets())
	out := make([]tokenizer.Token, len(e.IDs))
	for i, id := range e.IDs {
		out[i] = tokenizer.Token{ID: int(id), Start: int(e.Offsets[i][0]), End: int(e.Offsets[i][1])}
	}
	return out
}

// Close frees the library's memory.
func (t *Tokenizer) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hf == nil {
		return nil
	}
	err := t.hf.Close()
	t.hf = nil
	return err
}
