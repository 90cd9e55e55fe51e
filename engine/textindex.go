package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/colbertdb-go/colbertdb/internal/lexical"
	"github.com/colbertdb-go/colbertdb/segment"
)

// A text index has the terms of the documents' text, for BM25: one for a collection,
// declared and built like indexes of attributes (index.go).
// docs/rfcs/0005-lexical-index.md.

// Analyzer says how text becomes the terms of a text index.
type Analyzer = lexical.Analyzer

// The analyzers.
const (
	// AnalyzerEnglish: words in lower case without stop words, stemmed by Porter2.
	AnalyzerEnglish = lexical.English
	// AnalyzerPlain: words in lower case, for every language written with spaces.
	AnalyzerPlain = lexical.Plain
	// AnalyzerNone in a CollectionConfig: no text index.
	AnalyzerNone Analyzer = "none"
)

// TextIndexInfo describes a text index.
type TextIndexInfo struct {
	Analyzer Analyzer
	// Of the collection's Segments, Indexed have it so far.
	Indexed, Segments int
	Terms             int64 // different ones, summed over segments
	Bytes             int64 // stored
}

// IndexText declares a text index, in place of one with another analyzer, and
// returns when every segment has it. Searches and writes go on meanwhile. What is
// declared already is no error.
func (h *Collection) IndexText(ctx context.Context, a Analyzer) error {
	if err := a.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return h.declare(ctx, func(r *collectionRecord) error {
		r.indexText(a)
		return nil
	})
}

// DropTextIndex removes the text index; ErrNotFound where there is none.
func (h *Collection) DropTextIndex(ctx context.Context) error {
	return h.declare(ctx, func(r *collectionRecord) error {
		if r.textIndex() < 0 {
			return fmt.Errorf("%w: collection %q has no text index", ErrNotFound, r.Name)
		}
		r.indexText("")
		return nil
	})
}

// TextIndex describes the collection's text index, nil where it has none.
func (h *Collection) TextIndex() (*TextIndexInfo, error) {
	if err := h.c.engine.enter(); err != nil {
		return nil, err
	}
	defer h.c.engine.exit()
	v, err := h.c.acquire()
	if err != nil {
		return nil, err
	}
	defer h.c.release(v)
	spec, ok := textSpec(h.c.declared())
	if !ok {
		return nil, nil
	}
	info := &TextIndexInfo{Analyzer: spec.Analyzer, Segments: len(v.segs)}
	for _, seg := range v.segs {
		if x := seg.lexical(spec); x != nil {
			info.Indexed++
			info.Terms += int64(x.Terms())
			info.Bytes += x.Bytes()
		}
	}
	return info, nil
}

// textIndex is the place of the text index's declaration, -1 without.
func (r *collectionRecord) textIndex() int {
	return slices.IndexFunc(r.Indexes, func(s segment.IndexSpec) bool { return s.Analyzer != "" })
}

// indexText makes a the analyzer of the text index, "" drops it.
func (r *collectionRecord) indexText(a Analyzer) {
	if i := r.textIndex(); i >= 0 {
		if r.Indexes[i].Analyzer == a {
			return
		}
		r.Indexes = slices.Delete(r.Indexes, i, i+1)
	}
	if a != "" {
		r.NextIndex++
		r.Indexes = append(r.Indexes, segment.IndexSpec{ID: r.NextIndex, Analyzer: a})
	}
}

// textSpec is the declaration of the text index.
func textSpec(declared []segment.IndexSpec) (s segment.IndexSpec, ok bool) {
	for _, s := range declared {
		if s.Analyzer != "" {
			return s, true
		}
	}
	return s, false
}

// lexical returns the segment's text index, nil where it has not that one.
func (s segView) lexical(spec segment.IndexSpec) *segment.LexicalIndex {
	if i := s.index(spec.ID); i >= 0 {
		x, _ := s.indexes[i].(*segment.LexicalIndex)
		return x
	}
	return nil
}

// analyzer is that of a new collection.
func (cfg *CollectionConfig) analyzer() (Analyzer, error) {
	switch {
	case cfg.TextIndex == AnalyzerNone || cfg.TextIndex == "" && cfg.Encoder == nil:
		return "", nil
	case cfg.TextIndex == "":
		return AnalyzerEnglish, nil
	}
	if err := cfg.TextIndex.Validate(); err != nil {
		return "", fmt.Errorf("%w: CollectionConfig.TextIndex: %w", ErrInvalid, err)
	}
	return cfg.TextIndex, nil
}
