package ingest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"math"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Passage is one unit of an input: a section, a declaration, a line of JSON.
type Passage struct {
	// ID is unique within the input: a path with a fragment, or the input's own id.
	ID string
	// Text is what is encoded, stored and shown. Valid UTF-8.
	Text string
	// Vectors, when the input carries them, are stored instead of encoding Text.
	Vectors engine.Matrix
	// Attributes are the input's own fields, JSON values by name.
	Attributes map[string]any
	// Path is the file, relative to the input and starting with its last
	// folder's name; slashes on every system.
	Path string
	// Line is where the passage starts, from 1; 0 where the format has no lines.
	Line int
	// Body is the offset in Text at which whole lines of the file begin, and
	// BodyLine the line of the first of them; 0 where Text is no copy of lines.
	Body, BodyLine int
	// Heading is the heading path of a section, "Install › Linux".
	Heading string
	// Record is set for what stands by itself, a line of data or a documented
	// symbol, rather than being a part of the document Path.
	Record bool
	// Symbol is the declared name, "strings.Builder.Grow".
	Symbol string
}

// Hash identifies the content: everything that would change what is stored.
func (p *Passage) Hash() string {
	h := sha256.New()
	for _, s := range []string{p.ID, p.Text, p.Path, p.Heading, p.Symbol} {
		hashString(h, s)
	}
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(p.Line))
	h.Write(n[:])
	if len(p.Attributes) > 0 {
		// Maps are marshalled in key order.
		if b, err := json.Marshal(p.Attributes); err == nil {
			h.Write(b)
		}
	}
	for _, v := range p.Vectors.Data {
		binary.LittleEndian.PutUint32(n[:4], math.Float32bits(v))
		h.Write(n[:4])
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

func hashString(h hash.Hash, s string) {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
	h.Write(n[:])
	h.Write([]byte(s))
}

// ErrEmpty is the Problem of a document without text and without vectors.
var ErrEmpty = errors.New("has neither text nor vectors")

// Problem is what is wrong with one line or file of an input; the rest of the
// input is still read.
type Problem struct {
	File string
	Line int // from 1; 0: the whole file
	Err  error
}

func (p *Problem) Error() string {
	if p.Line == 0 {
		return fmt.Sprintf("%s: %v", p.File, p.Err)
	}
	return fmt.Sprintf("%s:%d: %v", p.File, p.Line, p.Err)
}

func (p *Problem) Unwrap() error { return p.Err }
