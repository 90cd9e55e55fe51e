package segment

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/RoaringBitmap/roaring/v2"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/attribute"
	"github.com/colbertdb-go/colbertdb/internal/envelope"
	"github.com/colbertdb-go/colbertdb/internal/lexical"
)

// The targets hand a decoder bytes behind checksums that are right: a checksum
// keeps out accidents, not what a broken or hostile writer made.

func seal(magic string, body []byte) []byte {
	return envelope.Append(nil, magic, Version, func(b []byte) []byte { return append(b, body...) })
}

func FuzzMeta(f *testing.F) {
	m := &Meta{
		ID: 7, Dim: 8, Docs: 1025, Tokens: 2000, First: 3, Last: 1 << 60, CodebookID: 1,
		Columns: codec.Columns(8, codec.Balanced, true, true), DocChunks: 2, TextBlocks: 33,
	}
	_, body, err := envelope.Open(m.encode(), metaMagic, Version)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"dim":8,"docs":-1,"tokens":1e99}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if _, err := DecodeMeta(body); err == nil {
			t.Error("accepted without an envelope")
		}
		m, err := DecodeMeta(seal(metaMagic, body))
		if err != nil {
			if !errors.Is(err, ErrCorruption) {
				t.Error(err)
			}
			return
		}
		again, err := DecodeMeta(m.encode())
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(m, again); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzDocTable(f *testing.F) {
	row := func(dst []byte, step, seq, tokens uint64, exp, flags byte, text, attrs uint64, id string) []byte {
		dst = binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(dst, step), seq), tokens)
		dst = append(dst, exp, flags)
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, text), attrs)
		return append(binary.AppendUvarint(dst, uint64(len(id))), id...)
	}
	two := row(row(nil, 5, 1, 10, 0, 1, 100, 0, "a"), 1, 1, 20, 3, 0, 0, 7, "\xff")
	f.Add(two, uint16(2))
	f.Add(two, uint16(1))
	f.Add(row(nil, 0, 0, 1, 0, 0, 1<<31, 1<<31, ""), uint16(1))
	f.Add(row(row(nil, 5, 1, 1, 0, 0, 0, 0, ""), 1<<64-3, 1, 1, 0, 0, 0, 0, ""), uint16(2)) // wraps around
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		docs := int(n)%docChunk + 1
		table := newDocTable(docs)
		if err := table.decode(b, docs); err != nil {
			return
		}
		table.ids = string(table.idBuf)
		if len(table.nums) != docs || len(table.ids) > len(b) {
			t.Fatalf("%d rows of %d, %d bytes of ids from %d", len(table.nums), docs, len(table.ids), len(b))
		}
		for ord := range docs {
			if ord > 0 && table.nums[ord] <= table.nums[ord-1] {
				t.Errorf("number %d after %d", table.nums[ord], table.nums[ord-1])
			}
			if table.tokenStart[ord+1] <= table.tokenStart[ord] || table.exps[ord] > maxExp {
				t.Errorf("document %d: tokens %d to %d, exponent %d", ord, table.tokenStart[ord], table.tokenStart[ord+1], table.exps[ord])
			}
			if uint64(table.textLen[ord])+uint64(table.attrLen[ord]) > maxFields || !strings.Contains(string(b), table.id(ord)) {
				t.Errorf("document %d: %d + %d bytes, id %q", ord, table.textLen[ord], table.attrLen[ord], table.id(ord))
			}
		}
		if blocks := table.textBlocks(); blocks[0] != 0 || !slices.IsSorted(blocks) {
			t.Errorf("text blocks %v", blocks)
		}
	})
}

func FuzzPostings(f *testing.F) {
	list := func(dst []byte, step uint64, ords ...uint16) []byte {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, step), uint64(len(ords)))
		for _, o := range ords {
			dst = binary.LittleEndian.AppendUint16(dst, o)
		}
		return dst
	}
	f.Add(list(list(nil, 0, 1, 2, 9), 63, 0), uint16(10), uint16(64))
	f.Add(list(list(nil, 3, 1), 0, 1), uint16(10), uint16(64))      // a centroid twice
	f.Add(list(nil, 3, 2, 1), uint16(10), uint16(64))               // descending
	f.Add(list(nil, 1<<64-1, 2, 1), uint16(10), uint16(64))         // no such centroid
	f.Add(list(list(nil, 5, 1), 1<<64-2, 1), uint16(9), ^uint16(0)) // wraps around
	f.Fuzz(func(t *testing.T, b []byte, docs, centroids uint16) {
		p := newPostings(&PostingsMeta{Centroids: int(centroids)})
		last, err := p.decode(b, int(docs)+1, -1)
		if err != nil {
			return
		}
		p.rank()
		var total int64
		var again []byte
		previous := 0
		for c := range uint32(centroids) + 2 {
			l := p.List(c)
			ords := make([]uint16, 0, l.Len())
			l.Each(func(o uint16) { ords = append(ords, o) })
			if !slices.IsSorted(ords) || len(slices.Compact(ords)) != l.Len() || int(c) > last && len(ords) > 0 {
				t.Fatalf("centroid %d: %v", c, ords)
			}
			if len(ords) == 0 {
				continue
			}
			if int(ords[len(ords)-1]) > int(docs) || (l.Bits != nil) != (len(ords) > maxArray) {
				t.Fatalf("centroid %d: %d documents up to %d of %d, dense %t", c, len(ords), ords[len(ords)-1], docs, l.Bits != nil)
			}
			oracle := roaring.New()
			pairs := make([]uint64, len(ords))
			for i, o := range ords {
				oracle.Add(uint32(o))
				pairs[i] = uint64(c)<<16 | uint64(o)
			}
			if !p.Bitmap(c).Equals(oracle) {
				t.Fatalf("centroid %d: bitmap differs", c)
			}
			total += int64(len(ords))
			again = binary.AppendUvarint(again, uint64(int(c)-previous))
			again = appendList(binary.AppendUvarint(again, uint64(len(ords))), pairs)
			previous = int(c)
		}
		if total != p.Total() {
			t.Errorf("%d postings, says %d", total, p.Total())
		}
		// What was read is what the builder would write, except for padded varints.
		if len(again) > len(b) || len(again) == len(b) && !bytes.Equal(again, b) {
			t.Errorf("%d bytes write as %d others", len(b), len(again))
		}
	})
}

// A bitset must have as many documents as its list says, all of the segment.
func TestDenseListsRefused(t *testing.T) {
	for _, test := range []struct {
		card, docs int
		spoil      func([]byte)
		ok         bool
	}{
		{5000, 5000, func([]byte) {}, true},
		{5000, 4999, func([]byte) {}, false},
		{5000, 65536, func(b []byte) { b[0] ^= 1 }, false},
		{5000, 65536, func(b []byte) { b[0] ^= 1; b[8191] ^= 128 }, true},
		{5000, 65535, func(b []byte) { b[0] ^= 1; b[8191] ^= 128 }, false},
	} {
		var pairs []uint64
		for i := range test.card {
			pairs = append(pairs, uint64(i))
		}
		b := appendList(nil, pairs)
		test.spoil(b)
		b = append(binary.AppendUvarint([]byte{0}, uint64(test.card)), b...)
		if _, err := newPostings(&PostingsMeta{Centroids: 1}).decode(b, test.docs, -1); (err == nil) != test.ok {
			t.Errorf("%d documents of %d: %v", test.card, test.docs, err)
		}
	}
}

func FuzzDeletes(f *testing.F) {
	live := NewBitset(100, true)
	for _, dead := range []int{0, 3, 4, 5, 99} {
		live.Clear(dead)
	}
	_, body, err := envelope.Open(EncodeDeletes(live), deletesMagic, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body, uint16(100))
	f.Add(body, uint16(99))
	_, none, err := envelope.Open(EncodeDeletes(nil), deletesMagic, 1)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(none, uint16(1))
	f.Fuzz(func(t *testing.T, body []byte, docs uint16) {
		n := int(docs) + 1
		live, err := DecodeDeletes(seal(deletesMagic, body), n)
		if err != nil {
			if !errors.Is(err, ErrCorruption) {
				t.Error(err)
			}
			return
		}
		again, err := DecodeDeletes(EncodeDeletes(live), n)
		if err != nil {
			t.Fatal(err)
		}
		if live.Len() != n || !slices.Equal(live.words, again.words) {
			t.Errorf("%d live of %d, then %d", live.Count(), n, again.Count())
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add(uint32(0), "", uint32(0), "\x00")
	f.Add(uint32(1), "a", uint32(1), "a\x00")
	f.Add(uint32(1), "\xff\xff", uint32(2), "")
	f.Add(uint32(255), "b", uint32(256), "a")
	f.Fuzz(func(t *testing.T, ca uint32, a string, cb uint32, b string) {
		ka, kb := DocumentKey(ca, a), DocumentKey(cb, b)
		if got, want := bytes.Compare(ka, kb), cmp.Or(cmp.Compare(ca, cb), cmp.Compare(a, b)); got != want {
			t.Errorf("%q, %q: %d, want %d", ka, kb, got, want)
		}
		if DocumentID(ka) != a {
			t.Errorf("%q reads as %q", a, DocumentID(ka))
		}
		in := func(k []byte, r KeyRange) bool {
			return bytes.Compare(k, r.Start) >= 0 && bytes.Compare(k, r.End) < 0
		}
		if !in(ka, DocumentKeys(ca)) || in(ka, DocumentKeys(cb)) != (ca == cb) {
			t.Errorf("%q: ranges of %d and %d", ka, ca, cb)
		}
		ia, ib := ID(ca)<<32|ID(len(a)), ID(cb)<<32|ID(len(b))
		sa, sb := chunkKey(ia, colC, ca, cb), chunkKey(ib, colC, cb, ca)
		want := cmp.Or(cmp.Compare(ia, ib), cmp.Compare(ca, cb), cmp.Compare(cb, ca))
		if got := bytes.Compare(sa, sb); got != want || !in(sa, Span(ia)) || in(sa, Span(ib)) != (ia == ib) {
			t.Errorf("%q, %q: %d, want %d", sa, sb, got, want)
		}
		if d := bytes.Compare(DeletesKey(ia, uint64(ca)), DeletesKey(ib, uint64(cb))); d != cmp.Or(cmp.Compare(ia, ib), cmp.Compare(ca, cb)) {
			t.Errorf("delete sets of %d and %d: %d", ia, ib, d)
		}
		for _, other := range [][]byte{ManifestKey(), CollectionKey(ca), CodebookKey(ca, cb), RoutingKey(ca, cb), DeletesKey(ia, 1), sa} {
			if bytes.Equal(ka, other) || in(other, DocumentKeys(ca)) {
				t.Errorf("%q among document keys", other)
			}
		}
	})
}

// Whatever the chunks of an attribute index hold, reading them ends in an index
// of the segment's documents or in an error, in memory that is in proportion.
func FuzzAttributeIndex(f *testing.F) {
	b, err := newAttributeIndexBuilder(IndexSpec{ID: 1, Path: "a"})
	if err != nil {
		f.Fatal(err)
	}
	for _, a := range []string{`{"a":1}`, `{"a":[-2.5,"go",true]}`, `{"a":null}`, `{}`, `{"a":"gone"}`} {
		b.add("", []byte(a))
	}
	m, chunks := b.chunks()
	for _, c := range chunks {
		f.Add(c, m.Values, m.Postings, m.Docs)
	}
	f.Add([]byte{0, 1, 0, 0xff, 0xff, 3}, 1, int64(65535), 65536)
	f.Fuzz(func(t *testing.T, chunk []byte, values int, postings int64, docs int) {
		if docs < 1 || docs > MaxDocuments {
			return
		}
		d := &indexDecoder{x: &AttributeIndex{meta: &indexMeta{ID: 1, Path: "a", Docs: docs, Values: values, Postings: postings, Chunks: 1}, start: []uint32{0}, dense: map[int][]uint64{}}}
		if d.chunk(chunk) != nil || d.finish() != nil {
			return
		}
		if n := d.x.MemoryBytes(); n > int64(64+20*len(chunk)) {
			t.Errorf("%d bytes of memory for %d stored", n, len(chunk))
		}
		var w bytes.Buffer
		if err := d.x.Dump(&w); err != nil {
			t.Error(err)
		}
		must, may := NewBitset(docs, false), NewBitset(docs, false)
		for op := attribute.In; op <= attribute.Exists; op++ {
			for _, v := range []attribute.Value{{Kind: attribute.Number, Num: 1}, {Kind: attribute.String, Str: []byte("go")}, {Kind: attribute.Null}} {
				test := attribute.NewTest(op, v)
				d.x.Select(&test, must, may)
			}
		}
	})
}

func FuzzLexicalIndex(f *testing.F) {
	b, err := newLexicalIndexBuilder(IndexSpec{ID: 1, Analyzer: lexical.Plain})
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"one two two", "", "two tw twofold one"} {
		b.add(text, nil)
	}
	header, _, chunks := b.stored()
	m := header.(lexicalMeta)
	f.Add(chunks[0], chunks[1], m.Docs, m.Terms, m.Postings, m.Length)
	f.Add([]byte{0, 1}, []byte{0, 1, 'a', 1, 3, 0xff, 0xff, 3}, 2, 1, int64(1), int64(65535))
	f.Add([]byte{1, 0}, []byte{0, 0, 1, 0}, 2, 1, int64(1), int64(1))
	f.Fuzz(func(t *testing.T, lengths, lists []byte, docs, terms int, postings, length int64) {
		_, body, err := envelope.Open((&lexicalMeta{ID: 1, Analyzer: lexical.Plain, Docs: docs, Terms: terms, Postings: postings, Length: length, Chunks: 2}).encode(), lexicalMagic, Version)
		if err != nil {
			t.Fatal(err)
		}
		m, err := decodeLexicalMeta(seal(lexicalMagic, body))
		if err != nil || docs == 0 {
			return
		}
		d := newLexicalDecoder(m)
		if d.chunk(lengths) != nil || d.chunk(lists) != nil || d.finish() != nil {
			return
		}
		if n := d.x.MemoryBytes(); n > int64(256+16*(len(lengths)+len(lists))) {
			t.Errorf("%d bytes of memory for %d and %d stored", n, len(lengths), len(lists))
		}
		// The lists say the same when they are written again.
		for i := range d.x.Terms() {
			list := d.x.list(i, nil)
			if len(list) != d.x.Count(d.x.term(i)) || !bytes.Equal(appendTermPostings(nil, list), d.x.lists[d.x.start[i]:d.x.start[i+1]]) {
				t.Errorf("term %q: %v of %d", d.x.term(i), list, d.x.counts[i])
			}
		}
	})
}
