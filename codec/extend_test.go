package codec_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

// turned is a document of another kind: the same vectors with their dimensions in
// the opposite order, which lie nowhere near the cells of the others.
func turned(m codec.Matrix) codec.Matrix {
	out := codec.Matrix{Dim: m.Dim, Data: slices.Clone(m.Data)}
	for t := range out.Len() {
		slices.Reverse(out.Row(t))
	}
	return out
}

// An extended codebook reads what was encoded with the one that it extends, value
// for value, and encodes documents of the new kind as well as those of the old.
func TestExtend(t *testing.T) {
	_, docs := testdata.Lotte(t)
	if testing.Short() {
		docs = docs[:200]
	}
	sample, other := codec.Matrix{Dim: 128}, codec.Matrix{Dim: 128}
	for i, d := range docs {
		if i%2 == 0 {
			sample.Data = append(sample.Data, d.Data...)
			other.Data = append(other.Data, turned(d).Data...)
		}
	}
	ctx := context.Background()
	cb, rt, err := codec.Train(ctx, sample, codec.TrainOptions{Cells: 256, Centroids: 1024, CodebookID: 1, RoutingID: 1})
	if err != nil {
		t.Fatal(err)
	}
	o := codec.TrainOptions{TotalTokens: int64(2 * sample.Len()), CodebookID: 2, RoutingID: 3}
	more, lists, err := codec.Extend(ctx, cb, rt, other, o)
	if err != nil {
		t.Fatal(err)
	}
	again, same, err := codec.Extend(ctx, cb, rt, other, o)
	if err != nil || !slices.Equal(again.AppendBinary(nil), more.AppendBinary(nil)) || !slices.Equal(same.AppendBinary(nil), lists.AppendBinary(nil)) {
		t.Errorf("not the same twice: %v", err)
	}
	if more, err = codec.DecodeCodebook(more.AppendBinary(nil)); err != nil {
		t.Fatal(err)
	}
	if lists, err = codec.DecodeRouting(lists.AppendBinary(nil)); err != nil {
		t.Fatal(err)
	}
	if more.ID != 2 || lists.ID != 3 || lists.CodebookID != 2 || more.NumCells() <= cb.NumCells() || lists.NumCells() != more.NumCells() {
		t.Fatalf("codebook %d of %d cells, routing %d of codebook %d for %d", more.ID, more.NumCells(), lists.ID, lists.CodebookID, lists.NumCells())
	}
	if !slices.Equal(more.Cells[:len(cb.Cells)], cb.Cells) || more.Levels != cb.Levels || !slices.Equal(lists.Centroids[:len(rt.Centroids)], rt.Centroids) || !slices.Equal(lists.Start[:len(rt.Start)], rt.Start) {
		t.Error("does not begin with what it extends")
	}
	enc, encMore := codec.NewEncoder(128, codec.Balanced, false, cb, rt), codec.NewEncoder(128, codec.Balanced, false, more, lists)
	var known, poor, good float64 // distortion
	for i, d := range docs {
		if i%2 == 0 {
			continue
		}
		var a, b codec.Matrix
		e := mustEncode(t, enc, d)
		codec.Reconstruct(cb, 128, e.View, codec.PlaneB, &a)
		codec.Reconstruct(more, 128, e.View, codec.PlaneB, &b)
		if !slices.Equal(a.Data, b.Data) {
			t.Fatalf("document %d reads otherwise with the extended codebook", i)
		}
		known += codec.Distortion(e.View, 128, codec.PlaneB)
		poor += codec.Distortion(mustEncode(t, enc, turned(d)).View, 128, codec.PlaneB)
		n := mustEncode(t, encMore, turned(d))
		good += codec.Distortion(n.View, 128, codec.PlaneB)
		for _, c := range n.Centroids {
			if int(c) >= lists.NumCentroids() {
				t.Fatalf("centroid %d of %d", c, lists.NumCentroids())
			}
		}
	}
	t.Logf("%d cells became %d; squared error of the known kind %.4f, of the new one %.4f, extended %.4f", cb.NumCells(), more.NumCells(), known, poor, good)
	if good > 1.25*known || poor < 1.5*known {
		t.Errorf("squared error of the known kind %.4f, of the new one %.4f, extended %.4f", known, poor, good)
	}
	old, ok := rt.For(more)
	if !ok || old.NumCells() != more.NumCells() || old.NumCentroids() != rt.NumCentroids() || old.ID != rt.ID {
		t.Errorf("%+v, %t", old, ok)
	}
	if _, ok := lists.For(cb); ok {
		t.Error("a routing of an extended codebook fits the one before")
	}
	o.TotalTokens = 64 * 48 // which calls for 64 cells: four times as many are the limit
	if _, _, err := codec.Extend(ctx, cb, rt, other, o); !errors.Is(err, codec.ErrExtend) {
		t.Errorf("beyond the limit: %v", err)
	}
}
