//go:build !hf_tokenizers || !cgo

package hf

import (
	"errors"

	"github.com/colbertdb-go/colbertdb/encoder/tokenizer"
)

// Available says that this build does not have the library.
const Available = false

// Tokenizer cuts text with the library; this build has none.
type Tokenizer struct{}

// Load is an error here.
func Load([]byte) (*Tokenizer, error) {
	return nil, errors.New("colbertdb: this program was built without the Hugging Face library; in the source folder, `make tokenizers` builds it, and CGO_LDFLAGS=-L$PWD/.cache/tokenizers go build -tags hf_tokenizers ./cmd/colbertdb links it")
}

// Encode returns nothing.
func (*Tokenizer) Encode(string) []tokenizer.Token { return nil }

// Close does nothing.
func (*Tokenizer) Close() error { return nil }
