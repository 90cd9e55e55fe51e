package segment_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

const dim = 16

func random(r *rand.Rand, tokens int) codec.Matrix {
	m := codec.NewMatrix(tokens, dim)
	for i := range m.Data {
		m.Data[i] = float32(r.NormFloat64())
	}
	return m
}

func openMem(t testing.TB) (*pebble.DB, vfs.FS) {
	t.Helper()
	fs := vfs.NewMem()
	o := segment.PebbleOptions()
	o.FS = fs
	db, err := pebble.Open("db", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := fs.MkdirAll("aside", 0o755); err != nil {
		t.Fatal(err)
	}
	return db, fs
}

type fixture struct {
	cfg  segment.Config
	docs []segment.Document
}

// newFixture makes documents of mixed sizes, one of them larger than a chunk.
func newFixture(t testing.TB, n int, p codec.Profile, raw, coded bool, seed uint64) *fixture {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	f := &fixture{cfg: segment.Config{Dim: dim, Profile: p, RetainRaw: raw, CollectionID: 3}}
	if coded {
		cb, rt, err := codec.Train(ctx, random(r, 2000), codec.TrainOptions{Cells: 16, Centroids: 64, CodebookID: 2, RoutingID: 5})
		if err != nil {
			t.Fatal(err)
		}
		f.cfg.Codebook, f.cfg.Routing = cb, rt
	}
	enc := codec.NewEncoder(dim, p, raw, f.cfg.Codebook, f.cfg.Routing)
	num := segment.DocNum(10)
	for i := range n {
		tokens := 1 + r.IntN(40)
		if i == n/2 {
			tokens = 60_000 // 120 KB of codes, 300 KB of plane A, 960 KB of plane C
		}
		e, err := enc.Encode(random(r, tokens))
		if err != nil {
			t.Fatal(err)
		}
		d := segment.Document{Num: num, ID: fmt.Sprintf("doc-%d", i), Seq: uint64(100 + i/3), Encoded: e}
		if i%3 != 0 {
			d.Text, d.HasText = fmt.Sprintf("text %d %s", i, bytes.Repeat([]byte("x"), r.IntN(5000))), true
		}
		if i%2 == 0 {
			d.Attributes = fmt.Appendf(nil, `{"n":%d}`, i)
		}
		f.docs = append(f.docs, d)
		num += segment.DocNum(1 + r.IntN(3))
	}
	return f
}

func (f *fixture) build(t testing.TB, db *pebble.DB, fs vfs.FS, id segment.ID) segment.Meta {
	t.Helper()
	b, err := segment.NewBuilder(fs, "aside", id, f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.docs {
		if err := b.Add(d); err != nil {
			t.Fatal(err)
		}
	}
	m, paths, err := b.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Ingest(ctx, paths); err != nil {
		t.Fatal(err)
	}
	return m
}

func (f *fixture) cells() int {
	if f.cfg.Codebook == nil {
		return 0
	}
	return f.cfg.Codebook.NumCells()
}

func (f *fixture) check(t *testing.T, r *segment.Reader) {
	t.Helper()
	if r.Len() != len(f.docs) {
		t.Fatalf("%d documents, want %d", r.Len(), len(f.docs))
	}
	var buf segment.Buffer
	for _, ord := range rand.Perm(len(f.docs)) {
		d := f.docs[ord]
		v, err := r.Full(ord, &buf)
		if err != nil {
			t.Fatal(err)
		}
		w := d.Encoded.View
		if v.Tokens != w.Tokens || v.Exp != w.Exp || !bytes.Equal(v.Codes, w.Codes) || !bytes.Equal(v.A, w.A) ||
			!bytes.Equal(v.B, w.B) || !bytes.Equal(v.C, w.C) || !bytes.Equal(v.Raw, w.Raw) {
			t.Fatalf("document %d: columns differ", ord)
		}
		text, has, err := r.Text(ord)
		if err != nil || text != d.Text || has != d.HasText {
			t.Fatalf("document %d: text %d bytes, %t, %v", ord, len(text), has, err)
		}
		attrs, err := r.Attributes(ord)
		if err != nil || !bytes.Equal(attrs, d.Attributes) {
			t.Fatalf("document %d: attributes %s, %v", ord, attrs, err)
		}
		if r.ExternalID(ord) != d.ID || r.Num(ord) != d.Num || r.Seq(ord) != d.Seq || r.Tokens(ord) != w.Tokens {
			t.Fatalf("document %d: table row differs", ord)
		}
		if at, ok := r.Find(d.Num); !ok || at != ord {
			t.Fatalf("document %d: found at %d, %t", ord, at, ok)
		}
	}
	if _, ok := r.Find(f.docs[0].Num - 1); ok {
		t.Error("found a number that is not there")
	}
	n := 0
	err := r.EachAttributes(ctx, nil, func(ord int, attrs []byte) error {
		if ord != n || string(attrs) != string(f.docs[ord].Attributes) {
			t.Errorf("attributes of %d: %d %s", n, ord, attrs)
		}
		n++
		return nil
	})
	if err != nil || n != len(f.docs) {
		t.Errorf("%d attributes, %v", n, err)
	}
}

func TestRoundTrip(t *testing.T) {
	db, fs := openMem(t)
	id := segment.ID(1)
	for _, p := range []codec.Profile{codec.Exact, codec.Balanced, codec.Compact} {
		for _, raw := range []bool{false, true} {
			for _, coded := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s raw=%t coded=%t", p, raw, coded), func(t *testing.T) {
					id++
					f := newFixture(t, 200, p, raw, coded, uint64(id))
					m := f.build(t, db, fs, id)
					r, err := segment.Open(db, id)
					if err != nil {
						t.Fatal(err)
					}
					if m.Docs != 200 || r.Meta().Tokens != m.Tokens || r.Meta().First != f.docs[0].Num {
						t.Errorf("metadata %+v", m)
					}
					f.check(t, r)
					for _, c := range r.ColumnSizes() {
						if err := r.Pin(ctx, c.Name); err != nil {
							t.Fatal(err)
						}
					}
					f.check(t, r)
					f.checkPostings(t, r)
					if err := f.verify(r); err != nil {
						t.Error(err)
					}
					r.Close()
				})
			}
		}
	}
	ids, err := segment.ListIDs(db)
	if err != nil || len(ids) != 12 {
		t.Errorf("segments %v, %v", ids, err)
	}
}

// postings loads the segment's posting lists, nil for a flat one.
func (f *fixture) postings(r *segment.Reader) (*segment.Postings, error) {
	if f.cfg.Routing == nil {
		return nil, nil
	}
	return r.LoadPostings(f.cfg.Routing.ID)
}

// verify is what an engine does to be sure of a segment.
func (f *fixture) verify(r *segment.Reader) error {
	p, err := f.postings(r)
	if err != nil {
		return err
	}
	return r.Verify(ctx, segment.Contents{Cells: f.cells(), Postings: p})
}

func (f *fixture) checkPostings(t *testing.T, r *segment.Reader) {
	t.Helper()
	p, err := f.postings(r)
	if err != nil {
		t.Fatal(err)
	}
	if p == nil {
		if _, err := r.LoadPostings(1); !errors.Is(err, segment.ErrCorruption) {
			t.Errorf("postings of a flat segment: %v", err)
		}
		return
	}
	want := make([][]uint16, f.cfg.Routing.NumCentroids())
	for ord, d := range f.docs {
		for _, c := range d.Encoded.Centroids {
			if l := want[c]; len(l) == 0 || l[len(l)-1] != uint16(ord) {
				want[c] = append(l, uint16(ord))
			}
		}
	}
	var total int64
	for c, w := range want {
		var got []uint16
		l := p.List(uint32(c))
		l.Each(func(o uint16) { got = append(got, o) })
		if !slices.Equal(got, w) || l.Len() != len(w) {
			t.Fatalf("centroid %d: %v, want %v", c, got, w)
		}
		if b := p.Bitmap(uint32(c)); int(b.GetCardinality()) != len(w) {
			t.Fatalf("centroid %d: bitmap of %d, want %d", c, b.GetCardinality(), len(w))
		}
		total += int64(len(w))
	}
	if p.Total() != total || p.List(1<<30).Len() != 0 {
		t.Errorf("%d postings, want %d", p.Total(), total)
	}
}

// A list above 4,096 documents is a bitset; both forms must read the same.
func TestDensePostings(t *testing.T) {
	db, fs := openMem(t)
	r := rand.New(rand.NewPCG(4, 4))
	cb, rt, err := codec.Train(ctx, random(r, 200), codec.TrainOptions{Cells: 2, Centroids: 4, CodebookID: 1, RoutingID: 1})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{cfg: segment.Config{Dim: dim, Profile: codec.Compact, Codebook: cb, Routing: rt}}
	enc := codec.NewEncoder(dim, codec.Compact, false, cb, rt)
	for i := range 20_000 {
		e, err := enc.Encode(random(r, 2))
		if err != nil {
			t.Fatal(err)
		}
		f.docs = append(f.docs, segment.Document{Num: segment.DocNum(i), ID: fmt.Sprint(i), Encoded: e})
	}
	f.build(t, db, fs, 9)
	reader, err := segment.Open(db, 9)
	if err != nil {
		t.Fatal(err)
	}
	f.checkPostings(t, reader)
	p, err := f.postings(reader)
	if err != nil {
		t.Fatal(err)
	}
	dense := 0
	for c := range rt.NumCentroids() {
		if p.List(uint32(c)).Bits != nil {
			dense++
		}
	}
	if dense == 0 {
		t.Error("no list is dense: the test has no power")
	}
	if err := reader.Verify(ctx, segment.Contents{Cells: cb.NumCells(), Postings: p}); err != nil {
		t.Error(err)
	}
}

// Every flipped bit in every value is found by Open or Verify, which name the
// column, and no read returns damaged bytes.
func TestVerifyFindsEveryDamagedValue(t *testing.T) {
	db, fs := openMem(t)
	f := newFixture(t, 150, codec.Balanced, true, true, 77)
	f.build(t, db, fs, 6)
	span := segment.Span(6)
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		t.Fatal(err)
	}
	values := map[string][]byte{}
	for it.First(); it.Valid(); it.Next() {
		values[string(it.Key())] = bytes.Clone(it.Value())
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 5))
	damage := func(key string, bad []byte) {
		t.Helper()
		if err := db.Set([]byte(key), bad, nil); err != nil {
			t.Fatal(err)
		}
		reader, err := segment.Open(db, 6)
		if err == nil {
			err = f.verify(reader)
		}
		if !errors.Is(err, segment.ErrCorruption) {
			t.Errorf("%q damaged: %v", key, err)
		}
		if err := db.Set([]byte(key), values[key], nil); err != nil {
			t.Fatal(err)
		}
	}
	var keys []string
	for key, value := range values {
		keys = append(keys, key)
		bad := bytes.Clone(value)
		bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		damage(key, bad)
		damage(key, value[:len(value)/2])
	}
	slices.Sort(keys)
	// A value under another's key is damage too, though its bytes are whole.
	damage(keys[0], values[keys[1]])
	reader, err := segment.Open(db, 6)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.verify(reader); err != nil {
		t.Errorf("restored segment: %v", err)
	}
}

func TestBuilderRefuses(t *testing.T) {
	_, fs := openMem(t)
	f := newFixture(t, 3, codec.Exact, false, false, 1)
	b, err := segment.NewBuilder(fs, "aside", 1, f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Add(f.docs[1]); err != nil {
		t.Fatal(err)
	}
	if err := b.Add(f.docs[0]); err == nil {
		t.Error("a smaller number was accepted")
	}
	if _, _, err := b.Finish(ctx); err == nil {
		t.Error("finished after an error")
	}
	if names, _ := fs.List("aside"); len(names) != 0 {
		t.Errorf("left behind %v", names)
	}
	empty, err := segment.NewBuilder(fs, "aside", 2, f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := empty.Finish(ctx); err == nil {
		t.Error("an empty segment was finished")
	}
}

func TestBitset(t *testing.T) {
	for _, n := range []int{1, 63, 64, 65, 1000, segment.MaxDocuments} {
		live := segment.NewBitset(n, true)
		if live.Count() != n {
			t.Fatalf("%d of %d set", live.Count(), n)
		}
		for i := 0; i < n; i += 3 {
			live.Clear(i)
		}
		back, err := segment.DecodeDeletes(segment.EncodeDeletes(live), n)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if back.Get(i) != (i%3 != 0) {
				t.Fatalf("%d of %d", i, n)
			}
		}
		all, none := segment.NewBitset(n, true), segment.NewBitset(n, false)
		if back.CountIn(nil) != live.Count() || back.CountIn(none) != 0 || back.CountIn(all) != live.Count() {
			t.Error("counts of intersections")
		}
		rest := back.Clone()
		rest.Complement()
		if rest.Count() != n-live.Count() || rest.CountIn(back) != 0 {
			t.Error("complement")
		}
		rest.UnionWith(back)
		if !rest.Equal(all) {
			t.Error("union")
		}
		rest.Subtract(back)
		rest.IntersectWith(back)
		if !rest.Equal(none) {
			t.Error("difference and intersection")
		}
		for _, r := range [][2]int{{0, n}, {0, 1}, {n - 1, n}, {1, 3}, {n / 2, n}} {
			want := false
			for i := r[0]; i < min(r[1], n); i++ {
				want = want || back.Get(i)
			}
			if got := back.Any(r[0], min(r[1], n)); got != want {
				t.Errorf("any of %v: %t", r, got)
			}
		}
	}
}

func TestKeysAreInjectiveAndOrdered(t *testing.T) {
	ids := []string{"", "a", "a\x00", "a\x00b", "a\xff", "b", "\xff\xff"}
	var last []byte
	for _, collection := range []uint32{0, 1, 255, 256, 1 << 31} {
		for _, id := range ids {
			key := segment.DocumentKey(collection, id)
			if bytes.Compare(last, key) >= 0 {
				t.Errorf("%q does not sort before %q", last, key)
			}
			last = key
			if segment.DocumentID(key) != id {
				t.Errorf("%q reads as %q", id, segment.DocumentID(key))
			}
			span := segment.DocumentKeys(collection)
			if bytes.Compare(key, span.Start) < 0 || bytes.Compare(key, span.End) >= 0 {
				t.Errorf("%q outside its range", key)
			}
		}
	}
	if !segment.IsCollectionKey(segment.CollectionKey(7)) || segment.IsCollectionKey(segment.CodebookKey(7, 1)) || segment.IsCollectionKey(segment.RoutingKey(7, 1)) {
		t.Error("collection keys")
	}
}

func BenchmarkView(b *testing.B) {
	db, fs := openMem(b)
	f := newFixture(b, 1000, codec.Exact, false, true, 1)
	f.build(b, db, fs, 1)
	r, err := segment.Open(db, 1)
	if err != nil {
		b.Fatal(err)
	}
	run := func(b *testing.B) {
		var buf segment.Buffer
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			i = (i + 617) % 500
			if _, err := r.View(i, codec.PlaneC, &buf); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("pebble", run)
	if err := r.Pin(ctx, "c"); err != nil {
		b.Fatal(err)
	}
	b.Run("pinned", run)
}

func BenchmarkBuild(b *testing.B) {
	_, fs := openMem(b)
	f := newFixture(b, 1000, codec.Exact, false, true, 1)
	docs := f.docs[:500] // the large one comes after
	b.ReportAllocs()
	var size int64
	for b.Loop() {
		builder, err := segment.NewBuilder(fs, "aside", 1, f.cfg)
		if err != nil {
			b.Fatal(err)
		}
		for _, d := range docs {
			if err := builder.Add(d); err != nil {
				b.Fatal(err)
			}
		}
		m, _, err := builder.Finish(ctx)
		if err != nil {
			b.Fatal(err)
		}
		size = m.Bytes
	}
	b.SetBytes(size)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(docs)), "ns/document")
}

func BenchmarkText(b *testing.B) {
	db, fs := openMem(b)
	f := newFixture(b, 500, codec.Exact, false, false, 1)
	f.build(b, db, fs, 1)
	r, err := segment.Open(db, 1)
	if err != nil {
		b.Fatal(err)
	}
	for name, step := range map[string]int{"in order": 1, "random": 37} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			ord := 0
			for b.Loop() {
				ord = (ord + step) % r.Len()
				if _, _, err := r.Text(ord); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
