package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/npy"
	"github.com/colbertdb-go/colbertdb/segment/plaid"
)

const plaidGoldens = "../segment/plaid/testdata"

// plaidWant is what a golden folder's own program ranks.
type plaidWant struct {
	Dim     int
	Lens    []int
	Top     [][][2]float64
	queries [][]float32
}

func readPLAIDWant(t *testing.T, dir string) (w plaidWant) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	must(t, err)
	must(t, json.Unmarshal(b, &w))
	flat, _, err := npy.ReadFloats(filepath.Join(dir, "queries.npy"))
	must(t, err)
	for _, n := range w.Lens {
		w.queries = append(w.queries, flat[:n*w.Dim])
		flat = flat[n*w.Dim:]
	}
	return w
}

// check compares searches with what the index's own program ranks.
func (w *plaidWant) check(t *testing.T, col *engine.Collection, id func(number int) string, p engine.SearchRequest) {
	t.Helper()
	overlap, all := 0, 0
	for q, vectors := range w.queries {
		req := p
		req.Vectors, req.K = engine.Matrix{Dim: w.Dim, Data: vectors}, max(10, p.K)
		got, err := col.Search(ctx, req)
		must(t, err)
		scores := map[string]float64{}
		for _, h := range got.Hits {
			scores[h.ID] = float64(h.Score)
		}
		for _, hit := range w.Top[q] {
			all++
			if s, ok := scores[id(int(hit[0]))]; ok {
				overlap++
				if math.Abs(s-hit[1]) > 0.02 {
					t.Errorf("query %d: document %v has score %v, the program %v", q, hit[0], s, hit[1])
				}
			}
		}
	}
	share := 0.98
	if p.NCandidates > 0 { // half of the documents is not looked at
		share = 0.9
	}
	if float64(overlap) < share*float64(all) {
		t.Errorf("%d of %d hits are the program's", overlap, all)
	}
}

// sameIndex compares documents of two folders: ids, codes and bits.
func sameIndex(t *testing.T, want, got string, ids bool) {
	t.Helper()
	read := func(dir string) (out []string) {
		x, err := plaid.Open(dir)
		must(t, err)
		for d, err := range x.Each(ctx) {
			must(t, err)
			if !ids {
				d.ID = ""
			}
			out = append(out, fmt.Sprintf("%s %x", d.ID, d.Records))
		}
		return out
	}
	if a, b := read(want), read(got); strings.Join(a, "\n") != strings.Join(b, "\n") {
		t.Errorf("%s has %d documents, %s %d, or they differ", want, len(a), got, len(b))
	}
}

// An index that another program made answers as there, keeps doing so through
// changes, merges and a reopening, and goes out as it came in.
func TestImportPLAID(t *testing.T) {
	entries, err := os.ReadDir(plaidGoldens)
	must(t, err)
	for _, e := range entries {
		t.Run(e.Name(), func(t *testing.T) {
			dir := filepath.Join(plaidGoldens, e.Name())
			w := readPLAIDWant(t, dir)
			id := func(n int) string { return fmt.Sprint(n) }
			if strings.HasPrefix(e.Name(), "pylate") {
				id = func(n int) string { return fmt.Sprintf("line-%d", n+1) }
			}
			fs, o := vfs.NewMem(), small()
			o.MaxSegmentDocuments = 16
			db := mustOpen(t, fs, o)
			res, err := db.ImportPLAID(ctx, "imported", dir, nil)
			must(t, err)
			if res.Documents != 41 || res.Tokens != 349 || res.Before != 0 || !strings.HasPrefix(e.Name(), res.Form) {
				t.Errorf("%+v", res)
			}
			col, err := db.Collection("imported")
			must(t, err)
			if info := col.Info(); info.Documents != 41 || info.Segments < 3 || info.Profile.PLAIDBits() != res.Bits {
				t.Errorf("%+v", info)
			}
			w.check(t, col, id, engine.SearchRequest{Exact: true})
			w.check(t, col, id, engine.SearchRequest{})
			w.check(t, col, id, engine.SearchRequest{NProbe: 64, NCandidates: 20, NFullScores: 12}) // by postings: 41 are more than twice 20
			out := filepath.Join(t.TempDir(), "out")
			ex, err := col.ExportPLAID(ctx, out, "")
			must(t, err)
			if ex.Form != res.Form || ex.Documents != 41 {
				t.Errorf("%+v", ex)
			}
			sameIndex(t, dir, out, true)

			// New documents are encoded with the same codebook: an imported one's own
			// vectors come out as its codes and bits.
			doc, err := col.Get(ctx, id(5))
			must(t, err)
			if _, err := col.Search(ctx, engine.SearchRequest{Vectors: doc.Vectors, Explain: true}); err != nil {
				t.Error(err)
			}
			_, err = col.Upsert(ctx, engine.Document{ID: "new", Text: "again", Vectors: doc.Vectors})
			must(t, err)
			w.check(t, col, id, engine.SearchRequest{Exact: true, K: 11})
			_, err = col.Delete(ctx, "new")
			must(t, err)
			must(t, col.Flush(ctx))
			must(t, col.Compact(ctx))
			w.check(t, col, id, engine.SearchRequest{})
			verify(t, db)
			mustClose(t, db)

			db = mustOpen(t, fs, o)
			defer mustClose(t, db)
			col, err = db.Collection("imported")
			must(t, err)
			w.check(t, col, id, engine.SearchRequest{})
			again := filepath.Join(t.TempDir(), "again")
			_, err = col.ExportPLAID(ctx, again, "")
			must(t, err)
			sameIndex(t, dir, again, true)

			// A complete import is not repeated.
			res, err = db.ImportPLAID(ctx, "imported", dir, nil)
			must(t, err)
			if res.Before != 41 {
				t.Errorf("a second import stored %d before", res.Before)
			}
			verify(t, db)
		})
	}
}

// Changed documents of an imported collection go out with the index's codebook.
func TestImportedCollectionChanges(t *testing.T) {
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	dir := filepath.Join(plaidGoldens, "stanford-4")
	_, err := db.ImportPLAID(ctx, "c", dir, &engine.ImportOptions{Describe: func(n int, d *engine.Document) error {
		d.ID, d.Text, d.Attributes = fmt.Sprintf("passage/%d", n), "text", json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))
		return nil
	}})
	must(t, err)
	col, err := db.Collection("c")
	must(t, err)
	d, err := col.Get(ctx, "passage/7")
	must(t, err)
	if d.Text != "text" || string(d.Attributes) != `{"n":7}` {
		t.Errorf("%+v", d)
	}
	w := readPLAIDWant(t, dir)
	_, err = col.Upsert(ctx, engine.Document{ID: "own", Vectors: engine.Matrix{Dim: w.Dim, Data: w.queries[3]}})
	must(t, err)
	_, err = col.Delete(ctx, "passage/0", "passage/40")
	must(t, err)
	out := filepath.Join(t.TempDir(), "out")
	_, err = col.ExportPLAID(ctx, out, "next-plaid")
	must(t, err)
	x, err := plaid.Open(out)
	must(t, err)
	if x.Documents != 40 || x.Form != plaid.NextPlaid {
		t.Errorf("%d documents as %s", x.Documents, x.Form)
	}

	// Ids of forms without ids come back, and so does what the export has of "own":
	// the codes that the indexing program would give these vectors, line 4's.
	_, err = db.ImportPLAID(ctx, "again", out, nil)
	must(t, err)
	again, err := db.Collection("again")
	must(t, err)
	if _, err := again.Get(ctx, "passage/0"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a deleted document came back: %v", err)
	}
	own, err := again.Get(ctx, "own")
	must(t, err)
	line, err := again.Get(ctx, "passage/3")
	must(t, err)
	same := 0
	for i := range own.Vectors.Len() {
		if fmt.Sprint(own.Vectors.Row(i)) == fmt.Sprint(line.Vectors.Row(i)) {
			same++
		}
	}
	if same < own.Vectors.Len()-1 { // the program rounds the vectors to float16
		t.Errorf("%d of %d tokens are encoded as by the program", same, own.Vectors.Len())
	}

	// Segments of it go to a collection of the same codebook as they are.
	segments, err := col.Segments()
	must(t, err)
	var file bytes.Buffer
	_, err = col.ExportSegment(ctx, segments[0].ID, &file)
	must(t, err)
	_, err = db.ImportPLAID(ctx, "third", dir, nil)
	must(t, err)
	third, err := db.Collection("third")
	must(t, err)
	_, err = third.AttachSegment(ctx, &file)
	must(t, err)
	back := filepath.Join(t.TempDir(), "back")
	_, err = third.ExportPLAID(ctx, back, "pylate")
	must(t, err)
	records := func(dir string) map[string]string {
		x, err := plaid.Open(dir)
		must(t, err)
		out := map[string]string{}
		for d, err := range x.Each(ctx) {
			must(t, err)
			out[d.ID] = string(d.Records)
		}
		return out
	}
	had, has := records(dir), records(back)
	if len(has) != 41+39 || has["passage/9"] != had["9"] || has["9"] != had["9"] {
		t.Errorf("%d documents, or the attached ones have other codes", len(has))
	}
	verify(t, db)
}

func TestImportPLAIDRefuses(t *testing.T) {
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	two, four := filepath.Join(plaidGoldens, "stanford-2"), filepath.Join(plaidGoldens, "fast-plaid-4")
	_, err := db.ImportPLAID(ctx, "c", two, nil)
	must(t, err)
	for what, err := range map[string]error{
		"another codebook": func() error {
			_, err := db.ImportPLAID(ctx, "c", filepath.Join(plaidGoldens, "pylate-stanford-2"), nil)
			return err
		}(),
		"other bits": func() error { _, err := db.ImportPLAID(ctx, "c", four, nil); return err }(),
	} {
		if !errors.Is(err, engine.ErrCollectionExists) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := db.ImportPLAID(ctx, "x", t.TempDir(), nil); !errors.Is(err, plaid.ErrFormat) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := db.Collection("x"); !errors.Is(err, engine.ErrCollectionNotFound) {
		t.Errorf("the collection was made: %v", err)
	}
	profile, err := engine.ParseProfile("plaid-2")
	must(t, err)
	if _, err := db.CreateCollection(ctx, "y", engine.CollectionConfig{Dim: 16, Profile: profile}); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("a collection without an index: %v", err)
	}
	own, err := db.CreateCollection(ctx, "own", engine.CollectionConfig{Dim: 16})
	must(t, err)
	if _, err := own.ExportPLAID(ctx, filepath.Join(t.TempDir(), "o"), "stanford"); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("an export of another collection: %v", err)
	}
	verify(t, db)
}

// An import that was interrupted goes on where the last segment ended.
func TestImportPLAIDResumes(t *testing.T) {
	x, err := plaid.Open(filepath.Join(plaidGoldens, "stanford-2"))
	must(t, err)
	dir := filepath.Join(t.TempDir(), "many")
	w, err := plaid.Create(dir, plaid.FastPlaid, x.Codebook, plaid.WriterOptions{ChunkDocuments: 300})
	must(t, err)
	const n = 2000
	for i := 0; i < n; {
		for d, err := range x.Each(ctx) {
			must(t, err)
			if i++; i%50 == 0 {
				d.Records = nil // a document that was removed
			}
			must(t, w.Add("", d.Records))
		}
	}
	must(t, w.Close())
	fs, o := vfs.NewMem(), small()
	o.MaxSegmentDocuments = 200
	db := mustOpen(t, fs, o)
	stopped, stop := context.WithCancel(ctx)
	_, err = db.ImportPLAID(stopped, "c", dir, &engine.ImportOptions{Progress: func(p engine.ImportProgress) {
		if p.Stored >= 400 {
			stop()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("the import ended with %v", err)
	}
	verify(t, db)
	mustClose(t, db)
	db = mustOpen(t, fs, o)
	defer mustClose(t, db)
	res, err := db.ImportPLAID(ctx, "c", dir, nil)
	must(t, err)
	col, err := db.Collection("c")
	must(t, err)
	if res.Before < 400 || res.Before == res.Documents || res.Empty != 40 || col.Info().Documents != res.Documents {
		t.Errorf("%+v, %d documents", res, col.Info().Documents)
	}
	all := 0
	for d, err := range col.All(ctx, engine.WithoutVectors()) {
		must(t, err)
		var number int
		fmt.Sscan(d.ID, &number)
		if (number+1)%50 == 0 {
			t.Errorf("document %s had no vectors", d.ID)
		}
		all++
	}
	if int64(all) != res.Documents {
		t.Errorf("%d of %d documents", all, res.Documents)
	}
	verify(t, db)
}
