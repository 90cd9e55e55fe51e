package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

// attributed is the oracle of attributes: a map.
type attributed map[string]map[string]any

var langs = []string{"en", "de", "fr", "yo", "english"}

func randomAttributes(r *rand.Rand) map[string]any {
	a := map[string]any{}
	if r.IntN(5) > 0 {
		a["year"] = float64(1990 + r.IntN(40))
	}
	if r.IntN(5) > 0 {
		a["lang"] = langs[r.IntN(len(langs))]
	}
	switch r.IntN(8) {
	case 0:
		a["lang"] = nil
	case 1:
		a["lang"] = []any{langs[r.IntN(5)], langs[r.IntN(5)], 7.0}
	case 2:
		a["lang"] = strings.Repeat("en", 200) // too long for an index
	}
	if r.IntN(2) > 0 {
		a["meta"] = map[string]any{"open": r.IntN(2) > 0, "score": r.Float64() * 100}
	}
	return a
}

// randomCondition returns a filter in text form and the same over Go values.
func randomCondition(r *rand.Rand, depth int) (string, func(map[string]any) bool) {
	if depth > 0 && r.IntN(2) > 0 {
		a, ma := randomCondition(r, depth-1)
		b, mb := randomCondition(r, depth-1)
		switch r.IntN(3) {
		case 0:
			return "(" + a + ") and (" + b + ")", func(d map[string]any) bool { return ma(d) && mb(d) }
		case 1:
			return "(" + a + ") or (" + b + ")", func(d map[string]any) bool { return ma(d) || mb(d) }
		}
		return "not (" + a + ")", func(d map[string]any) bool { return !ma(d) }
	}
	lang := func(holds func(string) bool) func(map[string]any) bool {
		return func(d map[string]any) bool {
			list, ok := d["lang"].([]any)
			if !ok {
				list = []any{d["lang"]}
			}
			return slices.ContainsFunc(list, func(v any) bool { s, ok := v.(string); return ok && holds(s) })
		}
	}
	want, n := langs[r.IntN(5)], float64(1990+r.IntN(40))
	switch r.IntN(8) {
	case 0:
		return fmt.Sprintf("year >= %v", n), func(d map[string]any) bool { y, ok := d["year"].(float64); return ok && y >= n }
	case 1:
		return fmt.Sprintf("year < %v", n), func(d map[string]any) bool { y, ok := d["year"].(float64); return ok && y < n }
	case 2:
		return fmt.Sprintf("lang = %q", want), lang(func(s string) bool { return s == want })
	case 3:
		eq := lang(func(s string) bool { return s == want })
		return fmt.Sprintf("lang != %q", want), func(d map[string]any) bool { return !eq(d) }
	case 4:
		return `lang prefix "en"`, lang(func(s string) bool { return strings.HasPrefix(s, "en") })
	case 5:
		return "exists(lang)", func(d map[string]any) bool { _, ok := d["lang"]; return ok }
	case 6:
		return "meta.open = true", func(d map[string]any) bool { m, _ := d["meta"].(map[string]any); return m["open"] == true }
	}
	return fmt.Sprintf("meta.score <= %v and year in (%v, 2000)", n-1980, n), func(d map[string]any) bool {
		m, _ := d["meta"].(map[string]any)
		score, ok := m["score"].(float64)
		return ok && score <= n-1980 && (d["year"] == n || d["year"] == 2000.0)
	}
}

// check compares filtered searches with the oracle, and returns the last plan.
func (m attributed) check(t testing.TB, r *rand.Rand, col *engine.Collection, filters int) {
	t.Helper()
	q := vectors(r, 3)
	for range filters {
		text, holds := randomCondition(r, 2)
		f, err := engine.ParseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{}
		for id, a := range m {
			if holds(a) {
				want = append(want, id)
			}
		}
		slices.Sort(want)
		res, err := col.Search(ctx, engine.SearchRequest{Vectors: q, K: len(m) + 1, Filter: f, Explain: true})
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, h := range res.Hits {
			got = append(got, h.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("%s: %d hits, want %d of %d", text, len(got), len(want), len(m))
		}
		p := res.Filter
		if p.Matches != len(want) || p.Documents != len(m) {
			t.Fatalf("%s: %+v, want %d of %d", text, p, len(want), len(m))
		}
		indexed := true
		for _, c := range p.Conditions {
			indexed = indexed && c.Indexed == c.Sources
		}
		odd := 0
		for _, a := range m {
			if s, _ := a["lang"].(string); len(s) > 256 {
				odd++
			}
		}
		if indexed && p.Scanned > odd {
			t.Fatalf("%s: attributes of %d documents read, all are indexed but %d: %+v", text, p.Scanned, odd, p)
		}
	}
}

// Whatever happens to a collection, filters select what a map of its documents
// says: in the buffer, in segments, after merges, changes of the codebook, bulk
// loads, reopening, loss of power and repair, with indexes declared and dropped
// meanwhile.
func TestAttributeIndexesAgreeWithModel(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 55))
			fs := crashmem.New()
			o := small()
			db := mustOpen(t, fs, o)
			col := mustCollection(t, db, engine.CollectionConfig{})
			m := attributed{}
			declared := map[string]bool{}
			upsert := func(n int, put func(...engine.Document) error) {
				var docs []engine.Document
				for range n {
					a := randomAttributes(r)
					raw, err := json.Marshal(a)
					if err != nil {
						t.Fatal(err)
					}
					id := fmt.Sprintf("doc-%03d", r.IntN(250))
					docs = append(docs, engine.Document{ID: id, Vectors: vectors(r, 1+r.IntN(6)), Attributes: raw})
					m[id] = a
				}
				if err := put(docs...); err != nil {
					t.Fatal(err)
				}
			}
			write := func(docs ...engine.Document) error { _, err := col.Upsert(ctx, docs...); return err }
			reopen := func() {
				db = mustOpen(t, fs, o)
				var err error
				if col, err = db.Collection("test"); err != nil {
					t.Fatal(err)
				}
			}
			upsert(60, write)
			for step := range 60 {
				path := []string{"year", "lang", "meta.open", "meta.score", "absent"}[r.IntN(5)]
				switch op := r.IntN(12); op {
				case 0, 1:
					if err := col.IndexAttributes(ctx, path); err != nil {
						t.Fatal(err)
					}
					declared[path] = true
				case 2:
					err := col.DropAttributeIndexes(ctx, path)
					if (err == nil) != declared[path] || err != nil && !errors.Is(err, engine.ErrNotFound) {
						t.Fatal(err)
					}
					delete(declared, path)
				case 3:
					if err := col.Flush(ctx); err != nil {
						t.Fatal(err)
					}
				case 4:
					if err := col.Compact(ctx); err != nil {
						t.Fatal(err)
					}
				case 5:
					text, holds := randomCondition(r, 1)
					f, err := engine.ParseFilter(text)
					if err != nil {
						t.Fatal(err)
					}
					f, err = engine.ParseFilter("(" + f.String() + ") and year < 2000")
					if err != nil {
						t.Fatal(err)
					}
					if _, err := col.DeleteWhere(ctx, f); err != nil {
						t.Fatal(err)
					}
					for id, a := range m {
						if y, ok := a["year"].(float64); holds(a) && ok && y < 2000 {
							delete(m, id)
						}
					}
				case 6:
					b, err := col.Bulk(ctx, engine.BulkOptions{})
					if err != nil {
						t.Fatal(err)
					}
					upsert(30, func(docs ...engine.Document) error { return b.Add(ctx, docs...) })
					if err := errors.Join(b.Commit(ctx), b.Close()); err != nil {
						t.Fatal(err)
					}
				case 7:
					clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
					mustClose(t, db)
					fs = crashmem.Wrap(clone)
					reopen()
				case 8:
					mustClose(t, db)
					if step%2 == 0 {
						if _, err := engine.Repair(ctx, "db", engine.RepairOptions{FS: fs, Apply: true}); err != nil {
							t.Fatal(err)
						}
					}
					reopen()
				default:
					upsert(1+r.IntN(25), write)
				}
				m.check(t, r, col, 6)
				infos, err := col.AttributeIndexes()
				if err != nil || len(infos) != len(declared) {
					t.Fatalf("%+v, %v, want %v", infos, err, declared)
				}
			}
			// In the end every segment has what is declared.
			if err := errors.Join(col.IndexAttributes(ctx, "year", "lang", "meta.open", "meta.score"), col.Flush(ctx)); err != nil {
				t.Fatal(err)
			}
			infos, err := col.AttributeIndexes()
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range infos {
				if x.Indexed != x.Segments || x.Path != "absent" && x.Values == 0 {
					t.Errorf("%+v", x)
				}
			}
			m.check(t, r, col, 20)
			mustClose(t, db)
		})
	}
}

// A loss of power while indexes are made or dropped leaves the declaration as it
// was or as it is to be, and what is half made goes when the store opens.
func TestCrashWhileIndexing(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	fs := crashmem.New()
	o := small()
	o.DisableAutoCompaction = true
	db := mustOpen(t, fs, o)
	col := mustCollection(t, db, engine.CollectionConfig{})
	m := attributed{}
	for i := range 120 {
		a := randomAttributes(r)
		raw, _ := json.Marshal(a)
		id := fmt.Sprint(i)
		m[id] = a
		if _, err := col.Upsert(ctx, engine.Document{ID: id, Vectors: vectors(r, 2), Attributes: raw}); err != nil {
			t.Fatal(err)
		}
	}
	if err := col.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	var clones []*vfs.MemFS
	hooked := crashmem.Wrap(fs.CrashClone(vfs.CrashCloneCfg{}))
	mustClose(t, db)
	db = mustOpen(t, &cloning{FS: hooked, taken: func() {
		clones = append(clones, hooked.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: r}))
	}}, o)
	col, err := db.Collection("test")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(col.IndexAttributes(ctx, "year", "lang"), col.DropAttributeIndexes(ctx, "lang"), col.IndexAttributes(ctx, "meta.open")); err != nil {
		t.Fatal(err)
	}
	mustClose(t, db)
	if len(clones) < 5 {
		t.Fatalf("%d places to crash at", len(clones))
	}
	for _, clone := range clones {
		after := mustOpen(t, crashmem.Wrap(clone), o)
		col, err := after.Collection("test")
		if err != nil {
			t.Fatal(err)
		}
		m.check(t, r, col, 5)
		if err := errors.Join(col.IndexAttributes(ctx, "year"), col.Compact(ctx)); err != nil {
			t.Fatal(err)
		}
		m.check(t, r, col, 5)
		mustClose(t, after)
	}
}

// cloning calls taken before every sync of a file.
type cloning struct {
	vfs.FS

	taken func()
}

func (c *cloning) Create(name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, cat)
	return &cloningFile{f, c}, err
}

type cloningFile struct {
	vfs.File
	c *cloning
}

func (f *cloningFile) Sync() error {
	f.c.taken()
	return f.File.Sync()
}

func TestAttributeIndexesBadInput(t *testing.T) {
	db := mustOpen(t, vfs.NewMem(), small())
	col := mustCollection(t, db, engine.CollectionConfig{})
	for _, bad := range []string{"", "a..b", "\xff", strings.Repeat("x", 600)} {
		if err := col.IndexAttributes(ctx, "year", bad); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	var many []string
	for i := range engine.MaxAttributeIndexes + 1 {
		many = append(many, fmt.Sprint("a", i))
	}
	if err := col.IndexAttributes(ctx, many...); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("%d indexes: %v", len(many), err)
	}
	if infos, err := col.AttributeIndexes(); err != nil || len(infos) != 0 {
		t.Errorf("%+v, %v", infos, err)
	}
	if _, err := engine.ParseFilter("year ="); !errors.Is(err, engine.ErrFilter) {
		t.Error(err)
	}
	mustClose(t, db)
}
