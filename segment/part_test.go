package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

type entry struct{ key, value []byte }

// entries reads a part.
func entries(t testing.TB, db *pebble.DB, p segment.Part) (out []entry) {
	t.Helper()
	err := p.Each(ctx, db, func(key, value []byte) error {
		out = append(out, entry{bytes.Clone(key), bytes.Clone(value)})
		return nil
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("part %s: %d keys, %v", p, len(out), err)
	}
	return out
}

// A segment is the sum of its parts: written to another store one by one, in any
// order, they are that segment again. One of its own never changes when postings
// and indexes come and go.
func TestParts(t *testing.T) {
	for _, coded := range []bool{false, true} {
		f := newFixture(t, 60, codec.Balanced, true, coded, 4)
		f.cfg.Indexes = indexSpecs[:2]
		db, fs := openMem(t)
		f.build(t, db, fs, 12)
		before := entries(t, db, segment.Part{ID: 12})
		names := []string{"12", fmt.Sprintf("12-attributes-%d", indexSpecs[1].ID), fmt.Sprintf("12-attributes-%d", indexSpecs[0].ID)}
		if coded {
			next := *f.cfg.Routing
			next.ID++
			b := segment.NewPostingsBuilder(&next, f.cfg.Codebook.ID)
			for ord, d := range f.docs {
				if err := b.Add(uint32(ord), d.Encoded.Centroids); err != nil {
					t.Fatal(err)
				}
			}
			paths, err := b.Finish(ctx, fs, "aside", 12)
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Ingest(ctx, paths); err != nil {
				t.Fatal(err)
			}
			names = append(names, fmt.Sprintf("12-postings-%d", f.cfg.Routing.ID), fmt.Sprintf("12-postings-%d", next.ID))
		}
		parts, err := segment.Parts(db, 12)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range parts {
			got = append(got, p.String())
			if back, ok := segment.ParsePart(p.String()); !ok || back != p {
				t.Errorf("part %s reads as %s, %t", p, back, ok)
			}
		}
		if !slices.Equal(got, names) {
			t.Fatalf("parts %q, want %q", got, names)
		}
		if after := entries(t, db, parts[0]); !slices.EqualFunc(after, before, func(a, b entry) bool {
			return bytes.Equal(a.key, b.key) && bytes.Equal(a.value, b.value)
		}) {
			t.Error("other postings changed what stays")
		}

		other, otherFS := openMem(t)
		var paths []string
		for _, i := range rand.Perm(len(parts)) {
			w := segment.NewPartWriter(otherFS, "aside", parts[i], parts)
			for _, e := range entries(t, db, parts[i]) {
				if err := w.Add(e.key, e.value); err != nil {
					t.Fatal(err)
				}
			}
			tables, err := w.Finish()
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 && len(tables) != 1 {
				t.Errorf("part %s is in %q", parts[i], tables)
			}
			paths = append(paths, tables...)
		}
		if err := other.Ingest(ctx, paths); err != nil {
			t.Fatal(err)
		}
		if !maps.EqualFunc(dump(t, other, segment.Span(12)), dump(t, db, segment.Span(12)), bytes.Equal) {
			t.Error("the parts are another segment")
		}
	}
}

// A part takes no key of another, none out of order, and none that is damaged; a
// damaged value is found when it is read.
func TestPartRefuses(t *testing.T) {
	f := newFixture(t, 30, codec.Balanced, false, true, 5)
	db, fs := openMem(t)
	f.build(t, db, fs, 12)
	parts, err := segment.Parts(db, 12)
	if err != nil {
		t.Fatal(err)
	}
	own := entries(t, db, parts[0])
	bad := slices.Clone(own[1].value)
	bad[0] ^= 1
	for what, wrong := range map[string]entry{
		"of postings":        entries(t, db, parts[1])[0],
		"again":              own[0],
		"of another segment": {segment.Span(13).Start, own[1].value},
		"under another key":  {own[1].key, own[2].value},
		"damaged":            {own[1].key, bad},
	} {
		w := segment.NewPartWriter(fs, "aside", parts[0], parts)
		if err := w.Add(own[0].key, own[0].value); err != nil {
			t.Fatal(err)
		}
		if err := w.Add(wrong.key, wrong.value); !errors.Is(err, segment.ErrCorruption) {
			t.Errorf("a key %s: %v", what, err)
		}
		w.Abort()
	}
	if _, err := segment.NewPartWriter(fs, "aside", parts[0], parts).Finish(); !errors.Is(err, segment.ErrCorruption) {
		t.Errorf("an empty part: %v", err)
	}
	if names, err := fs.List("aside"); err != nil || len(names) > 0 {
		t.Errorf("%q are left, %v", names, err)
	}
	if err := db.Set(own[1].key, bad, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	err = parts[0].Each(ctx, db, func(_, _ []byte) error { return nil })
	if !errors.Is(err, segment.ErrCorruption) {
		t.Errorf("a damaged value: %v", err)
	}
	for _, name := range []string{"", "x", "012", "12-", "12-postings", "12-meta-1", "12-postings-01", "12-postings-4294967296", "-1", "12-postings-1-1"} {
		if p, ok := segment.ParsePart(name); ok {
			t.Errorf("%q is part %s", name, p)
		}
	}
}
