package segment_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

// plain is a coded configuration with bytes of our choice: the segment does not
// look into them.
func plain(centroids int) segment.Config {
	return segment.Config{
		Dim: 8, Profile: codec.Compact, CollectionID: 9,
		Codebook: &codec.Codebook{ID: 3, Dim: 8, Cells: make([]int16, 4*8)},
		Routing:  &codec.Routing{ID: 4, CodebookID: 3, Dim: 8, Centroids: make([]int8, centroids*8)},
	}
}

func plainDocument(i int, centroids []uint32) segment.Document {
	n := max(1, len(centroids))
	v := codec.View{Tokens: n, Codes: make([]byte, 2*n), A: make([]byte, n*codec.PlaneBytes(8))}
	return segment.Document{
		Num: segment.DocNum(i), ID: fmt.Sprint(i),
		Encoded: &codec.Encoded{View: v, Centroids: centroids},
	}
}

// Lists of every size around the limit between array and bitset, in a full
// segment, on a routing that has far more centroids than lists, equal roaring
// bitmaps built from the documents.
func TestPostingsEqualRoaring(t *testing.T) {
	const centroids = 100_001
	r := rand.New(rand.NewPCG(6, 6))
	sizes := map[uint32]int{0: 4095, 1: 4096, 63: 4097, 64: segment.MaxDocuments, 127: 1, 128: 30_000, centroids - 1: 4098}
	for len(sizes) < 400 {
		sizes[r.Uint32N(centroids)] += 1 + r.IntN(50)
	}
	want := map[uint32]*roaring.Bitmap{}
	of := make([][]uint32, segment.MaxDocuments)
	for c, n := range sizes {
		b := roaring.New()
		for _, ord := range r.Perm(segment.MaxDocuments)[:n] {
			b.Add(uint32(ord))
			of[ord] = append(of[ord], c, c) // more than one token there
		}
		want[c] = b
	}
	db, fs := openMem(t)
	b, err := segment.NewBuilder(fs, "aside", 1, plain(centroids))
	if err != nil {
		t.Fatal(err)
	}
	for ord, c := range of {
		if err := b.Add(plainDocument(ord, c)); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Add(plainDocument(len(of), []uint32{0})); err != segment.ErrFull {
		t.Errorf("document %d: %v", len(of), err)
	}
	_, paths, err := b.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Ingest(ctx, paths); err != nil {
		t.Fatal(err)
	}
	reader, err := segment.Open(db, 1)
	if err != nil {
		t.Fatal(err)
	}
	p, err := reader.LoadPostings(4)
	if err != nil {
		t.Fatal(err)
	}
	empty := roaring.New()
	var total int64
	for c := range uint32(centroids) {
		w := want[c]
		if w == nil {
			w = empty
		}
		got := roaring.New()
		l := p.List(c)
		l.Each(func(o uint16) { got.Add(uint32(o)) })
		if !got.Equals(w) || l.Len() != int(w.GetCardinality()) || !p.Bitmap(c).Equals(w) {
			t.Fatalf("centroid %d: %d documents, want %d", c, l.Len(), w.GetCardinality())
		}
		if (l.Bits != nil) != (l.Len() > 4096) {
			t.Errorf("centroid %d: %d documents, as a bitset: %t", c, l.Len(), l.Bits != nil)
		}
		total += int64(l.Len())
	}
	if p.Total() != total || p.Centroids() != centroids || p.List(centroids).Len() != 0 || p.List(1<<32-1).Len() != 0 {
		t.Errorf("%d postings, want %d; %d centroids", p.Total(), total, p.Centroids())
	}
	if err := reader.Verify(ctx, segment.Contents{Cells: 4, Postings: p}); err != nil {
		t.Error(err)
	}
	p.Bitmap(64).Remove(5) // a copy
	if p.List(64).Len() != segment.MaxDocuments {
		t.Error("a bitmap shares memory with the segment")
	}
}

func BenchmarkPostingsList(b *testing.B) {
	const centroids = 1 << 20
	r := rand.New(rand.NewPCG(7, 7))
	db, fs := openMem(b)
	builder, err := segment.NewBuilder(fs, "aside", 1, plain(centroids))
	if err != nil {
		b.Fatal(err)
	}
	for ord := range 5000 {
		list := make([]uint32, 40)
		for i := range list {
			list[i] = r.Uint32N(centroids)
		}
		if err := builder.Add(plainDocument(ord, list)); err != nil {
			b.Fatal(err)
		}
	}
	_, paths, err := builder.Finish(ctx)
	if err != nil {
		b.Fatal(err)
	}
	if err := db.Ingest(ctx, paths); err != nil {
		b.Fatal(err)
	}
	reader, err := segment.Open(db, 1)
	if err != nil {
		b.Fatal(err)
	}
	p, err := reader.LoadPostings(4)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	found, c := 0, uint32(0)
	for b.Loop() {
		c = (c + 611_953) % centroids
		found += len(p.List(c).Array)
	}
	if found == 0 && b.N > 100 {
		b.Error("no list was found")
	}
	b.ReportMetric(float64(reader.MemoryBytes()), "reader-bytes")
}
