package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/internal/lexical"
	"github.com/colbertdb-go/colbertdb/segment"
)

var words = lexicalSpec(5)

func lexicalSpec(id uint32) segment.IndexSpec {
	return segment.IndexSpec{ID: id, Analyzer: lexical.English}
}

// textFixture is a segment of documents of random words, some of none, with a
// lexical index among indexes of attributes.
func textFixture(t testing.TB, docs int, seed uint64) *fixture {
	f := attributeFixture(t, docs, seed)
	f.cfg.Indexes = append(slices.Clone(indexSpecs), words)
	r := rand.New(rand.NewPCG(seed, 77))
	for i := range f.docs {
		var text []string
		for range r.IntN(60) {
			text = append(text, fmt.Sprintf("%cword%d", 'a'+r.IntN(26), int(100*r.ExpFloat64())))
			if r.IntN(4) == 0 {
				text = append(text, "the", "flowing", "Flow", "ọ̀rọ̀")
			}
		}
		f.docs[i].Text, f.docs[i].HasText = strings.Join(text, " "), true
	}
	return f
}

func loadLexical(t testing.TB, r *segment.Reader, id uint32) *segment.LexicalIndex {
	t.Helper()
	x, err := r.LoadIndex(id)
	if err != nil {
		t.Fatal(err)
	}
	return x.(*segment.LexicalIndex)
}

// checkLexical compares an index with the texts that it is of.
func checkLexical(t testing.TB, x *segment.LexicalIndex, texts []string) {
	t.Helper()
	want, sum := map[string][]segment.TermPosting{}, int64(0)
	for ord, text := range texts {
		n := uint32(0)
		for term := range x.Analyzer().Terms(text) {
			list := want[term]
			if k := len(list); k > 0 && int(list[k-1].Ord) == ord {
				list[k-1].N++
			} else {
				want[term] = append(list, segment.TermPosting{Ord: uint16(ord), N: 1})
			}
			n++
		}
		if x.Lengths()[ord] != n {
			t.Fatalf("document %d has length %d, want %d", ord, x.Lengths()[ord], n)
		}
		sum += int64(n)
	}
	if x.Terms() != len(want) || x.Length() != sum || len(x.Lengths()) != len(texts) {
		t.Fatalf("%d terms, length %d, %d documents; want %d, %d, %d", x.Terms(), x.Length(), len(x.Lengths()), len(want), sum, len(texts))
	}
	for term, list := range want {
		if got := x.Postings(term, nil); !slices.Equal(got, list) || x.Count(term) != len(list) {
			t.Fatalf("%q: %d documents, %v; want %v", term, x.Count(term), got, list)
		}
	}
	for _, term := range []string{"", "zzz", "the", "aword"} {
		if x.Count(term) != 0 || x.Postings(term, nil) != nil {
			t.Errorf("%q is in the index", term)
		}
	}
}

func (f *fixture) texts() (out []string) {
	for _, d := range f.docs {
		out = append(out, d.Text)
	}
	return out
}

// An index has what the texts have: built with the segment, and the same bytes when
// it is built later.
func TestLexicalIndex(t *testing.T) {
	f := textFixture(t, 4000, 1)
	db, fs := openMem(t)
	f.build(t, db, fs, 21)
	r := openReader(t, db, 21)
	checkLexical(t, loadLexical(t, r, words.ID), f.texts())
	if err := r.Verify(ctx, segment.Contents{Indexes: loadIndexes(t, r)}); err != nil {
		t.Fatal(err)
	}
	want := dump(t, db, segment.IndexSpan(21, words.ID))
	f.cfg.Indexes = nil
	db2, fs2 := openMem(t)
	f.build(t, db2, fs2, 21)
	later := openReader(t, db2, 21)
	paths, err := later.BuildIndexes(ctx, []segment.IndexSpec{words}, fs2, "aside")
	if err != nil {
		t.Fatal(err)
	}
	if err := db2.Ingest(ctx, paths); err != nil {
		t.Fatal(err)
	}
	got := dump(t, db2, segment.IndexSpan(21, words.ID))
	if len(got) != len(want) || len(want) < 3 {
		t.Errorf("%d values, want %d", len(got), len(want))
	}
	for key, value := range want {
		if !bytes.Equal(got[key], value) {
			t.Errorf("%q differs", key)
		}
	}
	if _, err := later.BuildIndexes(ctx, []segment.IndexSpec{{ID: 9, Analyzer: "latin"}}, fs2, "aside"); err == nil {
		t.Error("an unknown analyzer makes terms")
	}
}

// What a builder copies is what it would make of the texts: of several segments,
// without some of their documents, one of them without an index of that id.
func TestLexicalIndexCopied(t *testing.T) {
	db, fs := openMem(t)
	into := textFixture(t, 1, 9)
	into.cfg.Indexes, into.docs = []segment.IndexSpec{words}, nil
	b, err := segment.NewBuilder(fs, "aside", 40, into.cfg)
	if err != nil {
		t.Fatal(err)
	}
	num := segment.DocNum(0)
	for id := segment.ID(31); id < 35; id++ {
		f := textFixture(t, 300, uint64(id))
		if id == 33 {
			f.cfg.Indexes = []segment.IndexSpec{lexicalSpec(6)}
		}
		f.build(t, db, fs, id)
		r := openReader(t, db, id)
		b.CopyFrom(loadIndexes(t, r), r.Len())
		for ord, d := range f.docs {
			if id != 34 && ord%int(id-29) == 0 {
				continue // dead
			}
			num++
			d.Num, d.From = num, ord
			if err := b.Add(d); err != nil {
				t.Fatal(err)
			}
			into.docs = append(into.docs, d)
		}
	}
	_, paths, err := b.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Ingest(ctx, paths); err != nil {
		t.Fatal(err)
	}
	r := openReader(t, db, 40)
	checkLexical(t, loadLexical(t, r, words.ID), into.texts())
	if err := r.Verify(ctx, segment.Contents{Indexes: loadIndexes(t, r)}); err != nil {
		t.Error(err)
	}
}

// Every flipped bit of an index is found when it is loaded or verified; so is an
// index of other documents, whose checksums are right.
func TestLexicalIndexDamage(t *testing.T) {
	f := textFixture(t, 30, 3)
	f.cfg.Indexes = []segment.IndexSpec{words}
	db, fs := openMem(t)
	f.build(t, db, fs, 31)
	r := openReader(t, db, 31)
	check := func() error {
		x, err := r.LoadIndex(words.ID)
		if err != nil {
			return err
		}
		return r.Verify(ctx, segment.Contents{Indexes: []segment.Index{x}})
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}
	set := func(key string, value []byte) {
		if err := db.Set([]byte(key), value, nil); err != nil {
			t.Fatal(err)
		}
	}
	for key, value := range dump(t, db, segment.IndexSpan(31, words.ID)) {
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
	other := textFixture(t, 30, 4)
	other.cfg.Indexes = f.cfg.Indexes
	db2, fs2 := openMem(t)
	other.build(t, db2, fs2, 31)
	for key, value := range dump(t, db2, segment.IndexSpan(31, words.ID)) {
		set(key, value)
	}
	if err := check(); !errors.Is(err, segment.ErrCorruption) || !strings.Contains(err.Error(), "documents call for") {
		t.Errorf("an index of other documents: %v", err)
	}
}

// Version 1 of the format reads as it did, and is written so.
func TestGoldenLexicalIndex(t *testing.T) {
	const path = "testdata/lexical-v1.golden"
	f := attributeFixture(t, 5, 5)
	f.cfg.Indexes = []segment.IndexSpec{{ID: 7, Analyzer: lexical.Plain}}
	for i, text := range []string{"Two words, two", "", "wordy words", "¿Ọ̀rọ̀?", strings.Repeat("two ", 300)} {
		f.docs[i].Text, f.docs[i].HasText = text, true
	}
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
		if err := db.Set([]byte(key), want, nil); err != nil {
			t.Fatal(err)
		}
	}
	r := openReader(t, db, 258)
	x := loadLexical(t, r, 7)
	var b strings.Builder
	if err := x.Dump(&b); err != nil {
		t.Fatal(err)
	}
	const want = `index 7 of plain terms: 4 terms, 6 postings, 5 documents of 306 terms, 55 bytes
"two"  2: 0×2 4×300
"words"  2: 0 2
"wordy"  1: 2
"ọ̀rọ̀"  1: 3
`
	if got := b.String(); got != want {
		t.Errorf("read as\n%s\nwant\n%s", got, want)
	}
	if err := r.Verify(ctx, segment.Contents{Indexes: []segment.Index{x}}); err != nil {
		t.Error(err)
	}
}
