package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/attribute"
	"github.com/colbertdb-go/colbertdb/segment"
)

var indexSpecs = []segment.IndexSpec{{ID: 4, Path: "year"}, {ID: 2, Path: "tags"}, {ID: 300, Path: "meta.id"}, {ID: 9, Path: "absent"}}

// attributeFixture has documents of one token with attributes of every kind:
// dense and rare values, arrays, and some that no index is made for.
func attributeFixture(t testing.TB, n int, seed uint64) *fixture {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 3))
	f := &fixture{cfg: segment.Config{Dim: dim, Profile: codec.Exact, Indexes: indexSpecs}}
	e, err := codec.NewEncoder(dim, codec.Exact, false, nil, nil).Encode(random(r, 1))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		var fields []string
		if r.IntN(4) > 0 {
			fields = append(fields, fmt.Sprintf(`"year":%d`, 2000+r.IntN(3)*r.IntN(20)))
		}
		switch r.IntN(12) {
		case 0:
			fields = append(fields, `"tags":[]`)
		case 1:
			fields = append(fields, `"tags":null`)
		case 2:
			fields = append(fields, fmt.Sprintf(`"tags":[%t,%v,"%s"]`, r.IntN(2) > 0, r.NormFloat64(), strings.Repeat("ab", r.IntN(4))))
		case 3:
			fields = append(fields, `"tags":"`+strings.Repeat("x", 250+r.IntN(20))+`"`)
		case 4:
			fields = append(fields, `"tags":[`+strings.Repeat(`{"a":1},`, 3)+`-0.0]`)
		default:
			fields = append(fields, `"tags":["go","db"]`)
		}
		if r.IntN(400) == 0 {
			list := make([]string, 255+r.IntN(4))
			for j := range list {
				list[j] = fmt.Sprint(j)
			}
			fields = append(fields, `"meta":{"id":[`+strings.Join(list, ",")+`]}`)
		} else {
			fields = append(fields, fmt.Sprintf(`"meta":{"id":"%06d"}`, r.IntN(1_000_000)))
		}
		d := segment.Document{Num: segment.DocNum(i + 1), ID: fmt.Sprint(i), Seq: 1, Encoded: e, Attributes: []byte("{" + strings.Join(fields, ",") + "}")}
		if r.IntN(10) == 0 {
			d.Attributes = nil
		}
		f.docs = append(f.docs, d)
	}
	return f
}

func loadIndexes(t testing.TB, r *segment.Reader) (out []segment.Index) {
	t.Helper()
	ids, err := segment.ListIndexes(readerDB[r], r.Meta().ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		x, err := r.LoadIndex(id)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, x)
	}
	return out
}

// readerDB remembers where a test's readers read.
var readerDB = map[*segment.Reader]*pebble.DB{}

func openReader(t testing.TB, db *pebble.DB, id segment.ID) *segment.Reader {
	t.Helper()
	r, err := segment.Open(db, id)
	if err != nil {
		t.Fatal(err)
	}
	readerDB[r] = db
	t.Cleanup(func() { delete(readerDB, r); r.Close() })
	return r
}

// An index selects the documents whose attributes meet a test, but for the odd
// ones, which it says it cannot tell.
func TestAttributeIndexSelects(t *testing.T) {
	f := attributeFixture(t, 7000, 1)
	db, fs := openMem(t)
	f.build(t, db, fs, 11)
	reader := openReader(t, db, 11)
	indexes := loadIndexes(t, reader)
	if len(indexes) != len(indexSpecs) {
		t.Fatalf("%d indexes", len(indexes))
	}
	if err := reader.Verify(ctx, segment.Contents{Indexes: indexes}); err != nil {
		t.Fatal(err)
	}
	num := func(f float64) attribute.Value { return attribute.Value{Kind: attribute.Number, Num: f} }
	str := func(s string) attribute.Value { return attribute.Value{Kind: attribute.String, Str: []byte(s)} }
	values := []attribute.Value{
		num(2000), num(2003.5), num(-1e300), num(0), num(0.25), num(1e300), str(""), str("go"), str("d"), str("ab"), str("abab"),
		str("5"), str("49999"), str("zz"), str(strings.Repeat("x", 256)), {Kind: attribute.Null}, {Kind: attribute.True}, {Kind: attribute.False},
	}
	oddSeen := 0
	for _, any := range indexes {
		x := any.(*segment.AttributeIndex)
		path, err := attribute.ParsePath(x.Path())
		if err != nil {
			t.Fatal(err)
		}
		for op := attribute.In; op <= attribute.Exists; op++ {
			for i, v := range values {
				if op == attribute.Prefix && v.Kind != attribute.String || op != attribute.In && v.Kind < attribute.Number || op == attribute.Exists && i > 0 {
					continue
				}
				test := attribute.NewTest(op, v)
				if op == attribute.In && i%2 > 0 {
					test = attribute.NewTest(op, v, values[i-1], values[(i+5)%len(values)])
				}
				if op == attribute.Exists {
					test = attribute.NewTest(op)
				}
				must, may := segment.NewBitset(reader.Len(), false), segment.NewBitset(reader.Len(), false)
				x.Select(&test, must, may)
				oddSeen = max(oddSeen, may.Count())
				if may.Count() > reader.Len()/8 {
					t.Fatalf("%s: %d odd documents", x.Path(), may.Count())
				}
				for ord := i % 7; ord < len(f.docs); ord += 7 {
					want, err := test.Match(f.docs[ord].Attributes, path)
					if err != nil {
						t.Fatal(err)
					}
					if got := must.Get(ord); got != want && !may.Get(ord) || got && may.Get(ord) && op != attribute.Exists {
						t.Fatalf("%s, op %d, %+v: %s: %t, odd %t", x.Path(), op, v, f.docs[ord].Attributes, got, may.Get(ord))
					}
				}
			}
		}
	}
	if oddSeen == 0 {
		t.Error("no odd documents")
	}
}

// An index that is declared later has the bytes of one that the segment was built
// with.
func TestAttributeIndexBuiltLater(t *testing.T) {
	f := attributeFixture(t, 3000, 2)
	db, fs := openMem(t)
	f.build(t, db, fs, 21)
	want := dump(t, db, segment.Span(21))
	f.cfg.Indexes = nil
	db2, fs2 := openMem(t)
	f.build(t, db2, fs2, 21)
	reader := openReader(t, db2, 21)
	paths, err := reader.BuildIndexes(ctx, indexSpecs, fs2, "aside")
	if err != nil {
		t.Fatal(err)
	}
	if err := db2.Ingest(ctx, paths); err != nil {
		t.Fatal(err)
	}
	if err := reader.Verify(ctx, segment.Contents{Indexes: loadIndexes(t, reader)}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, s := range indexSpecs {
		for key, value := range dump(t, db2, segment.IndexSpan(21, s.ID)) {
			n++
			if !bytes.Equal(want[key], value) {
				t.Errorf("%q differs", key)
			}
		}
	}
	if n < 2*len(indexSpecs)-1 {
		t.Errorf("%d values", n)
	}
}

// Every flipped bit of an index is found when it is loaded or verified; so is an
// index of other documents, whose checksums are right.
func TestAttributeIndexDamage(t *testing.T) {
	f := attributeFixture(t, 60, 3)
	f.cfg.Indexes = indexSpecs[:2]
	db, fs := openMem(t)
	f.build(t, db, fs, 31)
	reader := openReader(t, db, 31)
	check := func() error {
		var all []segment.Index
		for _, id := range []uint32{2, 4} {
			x, err := reader.LoadIndex(id)
			if err != nil {
				return err
			}
			all = append(all, x)
		}
		return reader.Verify(ctx, segment.Contents{Indexes: all})
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}
	good := dump(t, db, segment.IndexSpan(31, 2))
	set := func(key string, value []byte) {
		if err := db.Set([]byte(key), value, nil); err != nil {
			t.Fatal(err)
		}
	}
	for key, value := range good {
		for i := 0; i < len(value); i += 7 {
			bad := bytes.Clone(value)
			bad[i] ^= 1 << (i % 8)
			set(key, bad)
			if err := check(); !errors.Is(err, segment.ErrCorruption) {
				t.Fatalf("%q, byte %d: %v", key, i, err)
			}
		}
		set(key, value)
	}
	other := attributeFixture(t, 60, 4)
	other.cfg.Indexes = f.cfg.Indexes
	db2, fs2 := openMem(t)
	other.build(t, db2, fs2, 31)
	for key, value := range dump(t, db2, segment.IndexSpan(31, 2)) {
		set(key, value)
	}
	if err := check(); !errors.Is(err, segment.ErrCorruption) || !strings.Contains(err.Error(), "documents call for") {
		t.Errorf("an index of other documents: %v", err)
	}
	for key := range dump(t, db, segment.IndexSpan(31, 2)) {
		if err := db.Delete([]byte(key), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := check(); !errors.Is(err, segment.ErrCorruption) {
		t.Errorf("without its values: %v", err)
	}
}

// goldenAttributes is the segment of testdata/attributes-v1.golden.
func goldenAttributes(t testing.TB) *fixture {
	f := attributeFixture(t, 8, 5)
	f.cfg.Indexes = []segment.IndexSpec{{ID: 7, Path: "a"}}
	for i, a := range []string{
		`{"a":1}`, `{"a":[-2.5,"go",true]}`, `{"a":null}`, `{"a":{"b":1}}`, `{}`, `{"a":"gone"}`, `{"a":[false,1,0]}`, `{"a":"` + strings.Repeat("x", 300) + `"}`,
	} {
		f.docs[i].Attributes = []byte(a)
	}
	return f
}

// Version 1 of the index format reads as it did, and is written so.
func TestGoldenAttributeIndex(t *testing.T) {
	const path = "testdata/attributes-v1.golden"
	f := goldenAttributes(t)
	db, fs := openMem(t)
	f.build(t, db, fs, 258)
	built := dump(t, db, segment.IndexSpan(258, 7))
	if *update {
		writeGolden(t, path, built)
	}
	stored := readGolden(t, path)
	if len(stored) != len(built) {
		t.Errorf("%d values, the format has %d", len(built), len(stored))
	}
	for key, want := range stored {
		if !bytes.Equal(built[key], want) {
			t.Errorf("%q: wrote %x, the format has %x", key, built[key], want)
		}
	}
	for key, value := range stored {
		if err := db.Set([]byte(key), value, nil); err != nil {
			t.Fatal(err)
		}
	}
	r := openReader(t, db, 258)
	x, err := r.LoadIndex(7)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := x.Dump(&b); err != nil {
		t.Fatal(err)
	}
	const want = `index 7 of attribute "a": 8 values, 17 postings, 59 bytes
exists  7: 0 1 2 3 5 6 7
odd  1: 7
null  1: 2
false  1: 6
true  1: 1
-2.5  1: 1
0  1: 6
1  2: 0 6
"go"  1: 1
"gone"  1: 5
`
	if got := b.String(); dropBytes(got) != dropBytes(want) {
		t.Errorf("read as\n%s\nwant\n%s", got, want)
	}
	if err := r.Verify(ctx, segment.Contents{Indexes: []segment.Index{x}}); err != nil {
		t.Error(err)
	}
}

// dropBytes is a dump without its first line.
func dropBytes(s string) string { _, rest, _ := strings.Cut(s, "\n"); return rest }

// A builder with many indexes writes a segment that its sstables still fit.
func TestManyAttributeIndexes(t *testing.T) {
	f := attributeFixture(t, 500, 6)
	f.cfg.Indexes = nil
	for i := range uint32(32) {
		f.cfg.Indexes = append(f.cfg.Indexes, segment.IndexSpec{ID: 1000 - i, Path: "meta.id"})
	}
	db, fs := openMem(t)
	m := f.build(t, db, fs, 41)
	r := openReader(t, db, 41)
	all := loadIndexes(t, r)
	if len(all) != 32 || len(m.Indexes) != 32 {
		t.Fatalf("%d indexes, metadata has %d", len(all), len(m.Indexes))
	}
	if !slices.IsSortedFunc(all, func(a, b segment.Index) int { return int(a.ID()) - int(b.ID()) }) {
		t.Error("not in the order of ids")
	}
	if err := r.Verify(ctx, segment.Contents{Indexes: all}); err != nil {
		t.Error(err)
	}
}
