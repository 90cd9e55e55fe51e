package engine_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
	"github.com/colbertdb-go/colbertdb/internal/lexical"
)

// textModel is the oracle of BM25: the plain index of the live documents, once for each
// analyzer, and what they are.
type textModel struct {
	index map[engine.Analyzer]*lexical.Index
	live  map[string]string
}

func newTextModel() *textModel {
	x := &textModel{index: map[engine.Analyzer]*lexical.Index{}, live: map[string]string{}}
	for _, a := range []engine.Analyzer{engine.AnalyzerEnglish, engine.AnalyzerPlain} {
		x.index[a] = lexical.NewIndex(a, engine.DefaultBM25)
	}
	return x
}

func (x *textModel) put(id, text string) {
	for _, i := range x.index {
		i.Upsert(id, text)
	}
	x.live[id] = text
}

func (x *textModel) remove(id string) {
	for _, i := range x.index {
		i.Delete(id)
	}
	delete(x.live, id)
}

type scoredID struct {
	id    string
	score float32
}

// search returns the best k by the oracle, of those that keep allows.
func (x *textModel) search(a engine.Analyzer, query string, k int, keep func(string) bool) []scoredID {
	out := []scoredID{}
	for _, s := range x.index[a].Search(query, len(x.live)) {
		if keep == nil || keep(s.ID) {
			out = append(out, scoredID{s.ID, float32(s.Score)})
		}
	}
	slices.SortFunc(out, func(a, b scoredID) int { return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.id, b.id)) })
	return out[:min(k, len(out))]
}

// check compares a search by BM25 with the oracle: ids, their order, and scores to
// the last bit.
func (x *textModel) check(t testing.TB, col *engine.Collection, a engine.Analyzer, query string, k int) {
	t.Helper()
	res, err := col.Search(ctx, engine.SearchRequest{Mode: engine.ModeBM25, Text: query, K: k, Explain: true})
	if err != nil {
		t.Fatal(err)
	}
	got := []scoredID{}
	for _, h := range res.Hits {
		got = append(got, scoredID{h.ID, h.Score})
		if h.Text != x.live[h.ID] {
			t.Fatalf("%q: %q has text %q, want %q", query, h.ID, h.Text, x.live[h.ID])
		}
		sum := 0.
		for _, m := range h.Explain.Terms {
			sum += m.Score
		}
		if float32(sum) != h.Score {
			t.Fatalf("%q: terms of %q add up to %v, the score is %v: %+v", query, h.ID, float32(sum), h.Score, h.Explain.Terms)
		}
	}
	if want := x.search(a, query, k, nil); !slices.Equal(got, want) {
		t.Fatalf("%q, %d of %d documents:\n%v, want\n%v", query, k, len(x.live), got, want)
	}
	if !res.Exhaustive || res.Documents != len(x.live) {
		t.Fatalf("%+v of %d documents", res, len(x.live))
	}
}

// randomText has words of a small language whose frequencies fall as in a real one.
func randomText(r *rand.Rand, words int) string {
	var out []string
	for range words {
		w := fmt.Sprintf("term%d", int(r.ExpFloat64()*r.ExpFloat64()*30))
		switch r.IntN(12) {
		case 0:
			w = "the " + strings.ToUpper(w)
		case 1:
			w += "s flowing, flows."
		}
		out = append(out, w)
	}
	return strings.Join(out, " ")
}

// Whatever happens to a collection, BM25 finds what the plain index of its live
// documents finds, with the same scores to the last bit: in the buffer, in segments,
// after merges, deletes, changes of the codebook, bulk loads, reopening, loss of power
// and repair, with the index declared, changed and dropped meanwhile.
func TestTextIndexAgreesWithModel(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 66))
			fs := crashmem.New()
			o := small()
			db := mustOpen(t, fs, o)
			analyzer := engine.AnalyzerEnglish
			col := mustCollection(t, db, engine.CollectionConfig{TextIndex: analyzer})
			m := newTextModel()
			upsert := func(n int, put func(...engine.Document) error) {
				var docs []engine.Document
				for range n {
					d := engine.Document{ID: fmt.Sprintf("doc-%03d", r.IntN(250)), Vectors: vectors(r, 1+r.IntN(6)), Text: randomText(r, r.IntN(40))}
					docs = append(docs, d)
					m.put(d.ID, d.Text)
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
			for step := range 50 {
				switch op := r.IntN(13); op {
				case 0:
					if analyzer = engine.AnalyzerEnglish; r.IntN(2) > 0 {
						analyzer = engine.AnalyzerPlain
					}
					if r.IntN(2) > 0 {
						if err := col.DropTextIndex(ctx); err != nil {
							t.Fatal(err)
						}
						if info, err := col.TextIndex(); err != nil || info != nil {
							t.Fatalf("%+v, %v", info, err)
						}
						if _, err := col.Search(ctx, engine.SearchRequest{Mode: engine.ModeBM25, Text: "x"}); !errors.Is(err, engine.ErrInvalid) {
							t.Fatalf("a search without an index: %v", err)
						}
					}
					if err := col.IndexText(ctx, analyzer); err != nil {
						t.Fatal(err)
					}
				case 1:
					if err := col.IndexAttributes(ctx, "year"); err != nil {
						t.Fatal(err)
					}
				case 2, 3:
					if err := col.Flush(ctx); err != nil {
						t.Fatal(err)
					}
				case 4:
					if err := col.Compact(ctx); err != nil {
						t.Fatal(err)
					}
				case 5, 6:
					for range 1 + r.IntN(20) {
						id := fmt.Sprintf("doc-%03d", r.IntN(250))
						if _, err := col.Delete(ctx, id); err != nil {
							t.Fatal(err)
						}
						m.remove(id)
					}
				case 7:
					b, err := col.Bulk(ctx, engine.BulkOptions{})
					if err != nil {
						t.Fatal(err)
					}
					upsert(30, func(docs ...engine.Document) error { return b.Add(ctx, docs...) })
					if err := errors.Join(b.Commit(ctx), b.Close()); err != nil {
						t.Fatal(err)
					}
				case 8:
					clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
					mustClose(t, db)
					fs = crashmem.Wrap(clone)
					reopen()
				case 9:
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
				for range 5 {
					m.check(t, col, analyzer, randomText(r, 1+r.IntN(8)), 1+r.IntN(30))
				}
				m.check(t, col, analyzer, "the", 5)
				m.check(t, col, analyzer, "term1 term1 flow unheard", len(m.live)+1)
			}
			// In the end every segment has what is declared.
			if err := errors.Join(col.IndexText(ctx, analyzer), col.Flush(ctx)); err != nil {
				t.Fatal(err)
			}
			info, err := col.TextIndex()
			if err != nil || info.Indexed != info.Segments || info.Terms == 0 || info.Bytes == 0 || info.Analyzer != analyzer {
				t.Errorf("%+v, %v", info, err)
			}
			mustClose(t, db)
		})
	}
}

// On real text, over several segments and a buffer with deleted documents, too.
func TestTextIndexOnRealText(t *testing.T) {
	dir := filepath.Join("..", "..", "shared", "data", "cranfield")
	type record struct {
		ID    string `json:"_id"`
		Title string
		Text  string
	}
	lines := func(name string) (out []record) {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Skipf("no shared data: %v", err)
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			var x record
			if err := json.Unmarshal(s.Bytes(), &x); err != nil {
				t.Fatal(err)
			}
			out = append(out, x)
		}
		return out
	}
	r := rand.New(rand.NewPCG(1, 67))
	o := small()
	o.DisableAutoCompaction = true
	db := mustOpen(t, vfs.NewMem(), o)
	col := mustCollection(t, db, engine.CollectionConfig{TextIndex: engine.AnalyzerEnglish})
	m := newTextModel()
	corpus := lines("corpus.jsonl")
	for i := 0; i < len(corpus); i += 100 {
		var docs []engine.Document
		for _, c := range corpus[i:min(i+100, len(corpus))] {
			d := engine.Document{ID: c.ID, Text: c.Title + " " + c.Text, Vectors: vectors(r, 2)}
			docs = append(docs, d)
			m.put(d.ID, d.Text)
		}
		if _, err := col.Upsert(ctx, docs...); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			id := corpus[r.IntN(i+1)].ID
			if _, err := col.Delete(ctx, id); err != nil {
				t.Fatal(err)
			}
			m.remove(id)
		}
		if i%400 == 0 {
			if err := col.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, q := range lines("queries.jsonl")[:60] {
		m.check(t, col, engine.AnalyzerEnglish, q.Text, 20)
	}
	mustClose(t, db)
}

// A text index comes along in a backup, and documents that are exported are in that of
// the collection which they are attached to.
func TestTextIndexComesAlong(t *testing.T) {
	db, col, m := modesFixture(t, 9)
	query := "term1 term3 flow"
	var backup bytes.Buffer
	if _, err := db.Backup(ctx, &backup, engine.BackupOptions{}); err != nil {
		t.Fatal(err)
	}
	mem := vfs.NewMem()
	if _, err := engine.Restore(ctx, "db", []io.Reader{&backup}, engine.RestoreOptions{FS: mem}); err != nil {
		t.Fatal(err)
	}
	restored := mustOpen(t, mem, small())
	again, err := restored.Collection("test")
	if err != nil {
		t.Fatal(err)
	}
	m.check(t, again, engine.AnalyzerEnglish, query, 50)
	mustClose(t, restored)

	if err := col.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	other, err := db.CreateCollection(ctx, "other", engine.CollectionConfig{Encoder: fake.New(dim)})
	if err != nil {
		t.Fatal(err)
	}
	segs, err := col.Segments()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range segs {
		var file bytes.Buffer
		if _, err := col.ExportSegment(ctx, s.ID, &file); err != nil {
			t.Fatal(err)
		}
		if _, err := other.AttachSegment(ctx, &file); err != nil {
			t.Fatal(err)
		}
	}
	m.check(t, other, engine.AnalyzerEnglish, query, 50)
	mustClose(t, db)
}

// The default is an index for collections of text, and a name that is no analyzer is
// refused.
func TestTextIndexDefault(t *testing.T) {
	db := mustOpen(t, vfs.NewMem(), small())
	for i, c := range []struct {
		cfg  engine.CollectionConfig
		want engine.Analyzer
	}{
		{engine.CollectionConfig{Dim: 16}, ""},
		{engine.CollectionConfig{Dim: 16, TextIndex: engine.AnalyzerPlain}, engine.AnalyzerPlain},
		{engine.CollectionConfig{Encoder: fake.New(16)}, engine.AnalyzerEnglish},
		{engine.CollectionConfig{Encoder: fake.New(16), TextIndex: engine.AnalyzerNone}, ""},
	} {
		col, err := db.CreateCollection(ctx, fmt.Sprint("c", i), c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		info, err := col.TextIndex()
		if err != nil || (info == nil) != (c.want == "") || info != nil && info.Analyzer != c.want {
			t.Errorf("%d: %+v, %v, want %q", i, info, err, c.want)
		}
	}
	if _, err := db.CreateCollection(ctx, "bad", engine.CollectionConfig{Dim: 16, TextIndex: "latin"}); !errors.Is(err, engine.ErrInvalid) {
		t.Error(err)
	}
	col, err := db.Collection("c0")
	if err != nil {
		t.Fatal(err)
	}
	if err := col.IndexText(ctx, "latin"); !errors.Is(err, engine.ErrInvalid) {
		t.Error(err)
	}
	if err := col.DropTextIndex(ctx); !errors.Is(err, engine.ErrNotFound) {
		t.Error(err)
	}
	mustClose(t, db)
}
