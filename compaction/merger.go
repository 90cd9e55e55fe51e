package compaction

import (
	"context"
	"fmt"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/pace"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Input is one segment of a merge.
type Input struct {
	Reader         *segment.Reader
	Live           *segment.Bitset   // nil: all live
	Codebook       *codec.Codebook   // that its codes are read with; nil: flat
	Routing        uint32            // that its postings are read with
	Postings       *segment.Postings // nil: flat
	Representation codec.Plane       // the best plane that it stores
	Indexes        []segment.Index   // that can be copied
}

// Target is how the merged segment encodes its documents.
type Target struct {
	Codebook *codec.Codebook // nil: flat
	Routing  *codec.Routing  // nil: flat
	Encoder  *codec.Encoder  // for them
}

// Merge streams the live documents of neighbouring segments into a builder and
// finishes it. Records are copied where the codebook is the target's; where
// only the routing differs, centroids are assigned anew; where the codebook
// differs, documents are encoded anew from the best vectors stored of them.
func Merge(ctx context.Context, inputs []Input, b *segment.Builder, t Target) (meta segment.Meta, paths []string, err error) {
	defer func() {
		if err != nil {
			b.Abort()
		}
	}()
	for _, in := range inputs {
		if err := mergeInput(ctx, in, b, t); err != nil {
			return meta, nil, err
		}
	}
	return b.Finish(ctx)
}

func mergeInput(ctx context.Context, in Input, b *segment.Builder, t Target) error {
	r := in.Reader
	var buf segment.Buffer
	var copied int64 // tokens
	centroids := centroidsOf(in, t)
	b.CopyFrom(in.Indexes, r.Len())
	for ord := range r.Len() {
		if in.Live != nil && !in.Live.Get(ord) {
			continue
		}
		if err := pace.Point(ctx); err != nil {
			return err
		}
		v, err := r.Full(ord, &buf)
		if err != nil {
			return err
		}
		d := segment.Document{Num: r.Num(ord), ID: r.ExternalID(ord), Seq: r.Seq(ord), From: ord}
		if d.Text, d.HasText, err = r.Text(ord); err != nil {
			return err
		}
		if d.Attributes, err = r.Attributes(ord); err != nil {
			return err
		}
		switch {
		case in.Codebook == nil && t.Codebook == nil:
			d.Encoded = &codec.Encoded{View: v}
		case in.Codebook != nil && t.Codebook != nil && in.Codebook.ID == t.Codebook.ID:
			d.Encoded = &codec.Encoded{View: v}
			copied += int64(v.Tokens)
			if centroids != nil {
				d.Encoded.Centroids = centroids[ord]
			} else {
				d.Encoded.Centroids = t.Encoder.Assign(v, in.Representation)
			}
		default:
			var m codec.Matrix
			codec.Reconstruct(in.Codebook, r.Meta().Dim, v, in.Representation, &m)
			if d.Encoded, err = t.Encoder.Encode(m); err != nil {
				return err
			}
		}
		if err := b.Add(d); err != nil {
			return err
		}
	}
	b.AddResiduals(r.Meta().Residuals.Scaled(copied))
	return nil
}

// centroidsOf turns the posting lists of an input around, so that a merge
// without a change of routing assigns nothing: document to centroids. It is nil
// where the routing changes.
func centroidsOf(in Input, t Target) [][]uint32 {
	p := in.Postings
	if p == nil || t.Routing == nil || in.Routing != t.Routing.ID {
		return nil
	}
	out := make([][]uint32, in.Reader.Len())
	for c := range p.Centroids() {
		p.List(uint32(c)).Each(func(ord uint16) { out[ord] = append(out[ord], uint32(c)) })
	}
	return out
}

// Reroute assigns a segment's documents to another routing of its codebook. The
// caller writes the postings; token records stay as they are.
func Reroute(ctx context.Context, in Input, rt *codec.Routing, enc *codec.Encoder) (*segment.PostingsBuilder, error) {
	r := in.Reader
	b := segment.NewPostingsBuilder(rt, r.Meta().CodebookID)
	var buf segment.Buffer
	for ord := range r.Len() {
		if err := pace.Point(ctx); err != nil {
			return nil, err
		}
		v, err := r.Full(ord, &buf)
		if err != nil {
			return nil, err
		}
		if err := b.Add(uint32(ord), enc.Assign(v, in.Representation)); err != nil {
			return nil, fmt.Errorf("document %q: %w", r.ExternalID(ord), err)
		}
	}
	return b, nil
}
