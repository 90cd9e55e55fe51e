package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/query"
	"github.com/colbertdb-go/colbertdb/segment"
)

// A calibration asks between minTrials and maxTrials queries: as many as score
// trialWork document tokens in all.
const (
	minTrials = 32
	maxTrials = 256
	trialWork = 2_000_000_000
)

// Sentences and windows.
const (
	minSentenceWords = 4
	maxSentenceWords = 24
	trialWindow      = 16 // token vectors, of a short question
)

// trials makes the queries of a calibration: of those given, of sentences, or of
// windows of documents' token vectors.
func (h *Collection) trials(ctx context.Context, v *version, given []encoder.Query, tokens int64) ([]query.Trial, CalibrationKind, error) {
	n := int(min(max(trialWork/max(1, tokens), minTrials), maxTrials))
	if len(given) > 0 {
		out, err := h.asTrials(given, nil)
		return out, CalibrationQueries, err
	}
	picked := v.pick(n, rand.New(rand.NewPCG(uint64(h.c.id), uint64(tokens))))
	if h.enc != nil {
		out, err := h.sentences(ctx, picked)
		if err != nil || len(out) >= minTrials {
			return out, CalibrationSentences, err
		}
	}
	out, err := v.windows(picked)
	return out, CalibrationWindows, err
}

// asTrials prepares queries; from, where there is one, is the document of each.
func (h *Collection) asTrials(queries []encoder.Query, from []string) (out []query.Trial, err error) {
	for i := range queries {
		t := query.Trial{}
		if t.Query, err = h.newQuery(&queries[i]); err != nil {
			return nil, err
		}
		if from != nil {
			t.Except = from[i]
		}
		out = append(out, t)
	}
	return out, nil
}

// pickedDoc is a live document.
type pickedDoc struct {
	src  source
	ord  int
	draw uint64 // random
}

// pick draws live documents, each as likely as any other.
func (v *version) pick(n int, random *rand.Rand) (out []pickedDoc) {
	srcs := v.sources()
	total := 0
	for _, s := range srcs {
		total += s.Len()
	}
	for tries := 0; len(out) < n && tries < 8*n && total > 0; tries++ {
		at, i := random.IntN(total), 0
		for at >= srcs[i].Len() {
			at -= srcs[i].Len()
			i++
		}
		if srcs[i].isLive(at) {
			out = append(out, pickedDoc{srcs[i], at, random.Uint64()})
		}
	}
	return out
}

// sentences encodes a sentence of each document that has one as a query.
func (h *Collection) sentences(ctx context.Context, picked []pickedDoc) ([]query.Trial, error) {
	var texts, from []string
	for _, d := range picked {
		text, _, err := d.src.document(d.ord)
		if err != nil {
			return nil, err
		}
		if s := sentenceOf(text, d.draw); s != "" {
			texts, from = append(texts, s), append(from, d.src.ExternalID(d.ord))
		}
	}
	var out []query.Trial
	for len(texts) > 0 {
		n := min(len(texts), 32)
		encoded, err := encodeQueries(ctx, h.enc, texts[:n])
		if err != nil {
			return nil, err
		}
		some, err := h.asTrials(encoded, from[:n])
		if err != nil {
			return nil, err
		}
		out, texts, from = append(out, some...), texts[n:], from[n:]
	}
	return out, nil
}

// sentenceOf draws a sentence of a text; empty where it has none that a query could
// be.
func sentenceOf(text string, draw uint64) string {
	var all []string
	for _, s := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(".!?。！？\n", r) }) {
		if len(strings.Fields(s)) >= minSentenceWords {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return ""
	}
	words := strings.Fields(all[draw%uint64(len(all))])
	return strings.Join(words[:min(len(words), maxSentenceWords)], " ")
}

// windows makes queries of neighbouring token vectors.
func (v *version) windows(picked []pickedDoc) (out []query.Trial, err error) {
	var buf segment.Buffer
	var m codec.Matrix
	for _, d := range picked {
		sp := d.src.Space()
		view, err := d.src.View(d.ord, sp.Representation, &buf)
		if err != nil {
			return nil, err
		}
		codec.Reconstruct(sp.Codebook, v.space.dim, view, sp.Representation, &m)
		n := min(trialWindow, view.Tokens)
		at := int(d.draw % uint64(view.Tokens-n+1))
		q, err := codec.NewQuery(codec.Matrix{Dim: m.Dim, Data: slices.Clone(m.Data[at*m.Dim : (at+n)*m.Dim])}, nil)
		if err != nil {
			continue // a vector that its plane rounds to nothing
		}
		out = append(out, query.Trial{Query: q, Except: d.src.ExternalID(d.ord)})
	}
	return out, nil
}
