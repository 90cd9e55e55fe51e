package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

const dim = 16

// small are options under which a few hundred documents reach every regime but
// drift, after which a document of residual codes is stored a little otherwise:
// the model compares reads of it bit by bit. versions_test.go has drift.
func small() *engine.Options {
	return &engine.Options{SealDocuments: 40, TrainTokens: 600, TrainSample: 4000, MaxSegmentDocuments: 300, DriftTokens: 1 << 40}
}

func vectors(r *rand.Rand, tokens int) engine.Matrix {
	m := engine.Matrix{Dim: dim, Data: make([]float32, tokens*dim)}
	for i := range m.Data {
		m.Data[i] = float32(r.NormFloat64())
	}
	return m
}

// model is the oracle of a collection: a map.
type model map[string]engine.Document

func (m model) put(docs ...engine.Document) {
	for _, d := range docs {
		m[d.ID] = d
	}
}

// check compares a collection with the model: every document, and an exact
// search with brute force.
func (m model) check(t testing.TB, col *engine.Collection) {
	t.Helper()
	// The first training, in the background, changes the representation of a
	// collection: what is compared below must lie on one side of it.
	if info := col.Info(); info.CodebookID == 0 && info.Tokens > 500 {
		if err := col.Compact(ctx); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]*engine.Document{}
	for d, err := range col.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if got[d.ID] != nil {
			t.Fatalf("document %q twice", d.ID)
		}
		got[d.ID] = d
	}
	if len(got) != len(m) {
		t.Fatalf("%d documents, want %d", len(got), len(m))
	}
	for id, want := range m {
		d := got[id]
		if d == nil || d.Text != want.Text || string(d.Attributes) != string(want.Attributes) || d.Vectors.Len() != want.Vectors.Len() {
			t.Fatalf("document %q: got %+v", id, d)
		}
		one, err := col.Get(ctx, id)
		if err != nil || !slices.Equal(one.Vectors.Data, d.Vectors.Data) {
			t.Fatalf("get %q: %v", id, err)
		}
	}
	if info := col.Info(); info.Documents != int64(len(m)) {
		t.Errorf("info says %d documents, want %d", info.Documents, len(m))
	}
	if len(m) == 0 {
		return
	}
	q := vectors(rand.New(rand.NewPCG(77, 1)), 5)
	res, err := col.Search(ctx, engine.SearchRequest{Vectors: q, K: len(m) + 5, Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Hits) != len(m) {
		t.Fatalf("%d hits of %d documents", len(res.Hits), len(m))
	}
	for i, h := range res.Hits {
		// Brute force over the stored representation.
		if want := maxSim(q.Normalized(), got[h.ID].Vectors); math.Abs(want-float64(h.Score)) > 0.02 {
			t.Fatalf("%q scores %v, brute force %v", h.ID, h.Score, want)
		}
		if i > 0 && (h.Score > res.Hits[i-1].Score || h.Score == res.Hits[i-1].Score && h.ID < res.Hits[i-1].ID) {
			t.Fatalf("hit %d out of order", i)
		}
	}
}

func maxSim(q, d engine.Matrix) float64 {
	var sum float64
	for i := range q.Len() {
		best := math.Inf(-1)
		for j := range d.Len() {
			var s float64
			for k, x := range q.Row(i) {
				s += float64(x) * float64(d.Row(j)[k])
			}
			best = max(best, s)
		}
		sum += best
	}
	return sum
}

func verify(t testing.TB, db *engine.Engine) {
	t.Helper()
	r, err := db.Verify(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Error(p)
	}
}

func mustOpen(t testing.TB, fs vfs.FS, o *engine.Options) *engine.Engine {
	t.Helper()
	opts := *o
	opts.FS = fs
	db, err := engine.Open(ctx, "db", &opts)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

func mustClose(t testing.TB, db *engine.Engine) {
	t.Helper()
	verify(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustCollection(t testing.TB, db *engine.Engine, cfg engine.CollectionConfig) *engine.Collection {
	t.Helper()
	cfg.Dim = dim
	col, err := db.CreateCollection(ctx, "test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return col
}

func document(r *rand.Rand, id int) engine.Document {
	d := engine.Document{ID: fmt.Sprintf("doc-%03d", id), Vectors: vectors(r, 1+r.IntN(12))}
	if r.IntN(3) > 0 {
		d.Text = fmt.Sprintf("text of %d, version %d", id, r.IntN(1000))
	}
	if r.IntN(3) > 0 {
		d.Attributes = json.RawMessage(fmt.Sprintf(`{"n":%d,"even":%t}`, id, id%2 == 0))
	}
	return d
}

// A random life of a collection under every profile equals the model at every
// step, through seals, training, merges, reopening and crashes.
func TestLifeOfACollection(t *testing.T) {
	for _, cfg := range []engine.CollectionConfig{
		{Profile: engine.Exact}, {Profile: engine.Balanced}, {Profile: engine.Compact},
		{Profile: engine.Exact, RetainRaw: true}, {Profile: engine.Compact, RetainRaw: true},
	} {
		t.Run(fmt.Sprintf("%s raw=%t", cfg.Profile, cfg.RetainRaw), func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, uint64(cfg.Profile)))
			fs := crashmem.New()
			db := mustOpen(t, fs, small())
			col := mustCollection(t, db, cfg)
			m := model{}
			for step := range 150 {
				switch n := r.IntN(100); {
				case n < 55:
					batch := make([]engine.Document, 1+r.IntN(6))
					for i := range batch {
						batch[i] = document(r, r.IntN(400))
					}
					if _, err := col.Upsert(ctx, batch...); err != nil {
						t.Fatal(err)
					}
					m.put(batch...)
				case n < 80:
					ids := make([]string, 1+r.IntN(5))
					there := map[string]bool{}
					for i := range ids {
						ids[i] = fmt.Sprintf("doc-%03d", r.IntN(400))
						if _, ok := m[ids[i]]; ok {
							there[ids[i]] = true
						}
					}
					res, err := col.Delete(ctx, ids...)
					if err != nil || res.Deleted != len(there) {
						t.Fatalf("step %d: deleted %d of %d, %v", step, res.Deleted, len(there), err)
					}
					for _, id := range ids {
						delete(m, id)
					}
				case n < 88:
					if err := col.Flush(ctx); err != nil {
						t.Fatal(err)
					}
				case n < 91:
					if err := col.Compact(ctx); err != nil {
						t.Fatal(err)
					}
				case n < 95:
					mustClose(t, db)
					db = mustOpen(t, fs, small())
					var err error
					if col, err = db.Collection("test"); err != nil {
						t.Fatal(err)
					}
				default: // power loss: what was not synced may be lost
					crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
					if err := db.Close(); err != nil {
						t.Fatal(err)
					}
					fs = crashmem.Wrap(crashed)
					db = mustOpen(t, fs, small())
					var err error
					if col, err = db.Collection("test"); err != nil {
						t.Fatal(err)
					}
				}
				if step%10 == 0 {
					m.check(t, col)
				}
			}
			m.check(t, col)
			if info := col.Info(); info.Cells == 0 {
				t.Error("never trained: the test has no power")
			}
			mustClose(t, db)
		})
	}
}

// A score is the same in the buffer, after the seal and after a merge.
func TestScoreDoesNotDependOnPlace(t *testing.T) {
	for _, profile := range []engine.Profile{engine.Exact, engine.Balanced, engine.Compact} {
		for _, raw := range []bool{false, true} {
			for _, coded := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s raw=%t coded=%t", profile, raw, coded), func(t *testing.T) {
					r := rand.New(rand.NewPCG(5, 5))
					o := small()
					o.DisableAutoCompaction, o.SealDocuments = true, 1000
					db := mustOpen(t, vfs.NewMem(), o)
					defer mustClose(t, db)
					col := mustCollection(t, db, engine.CollectionConfig{Profile: profile, RetainRaw: raw})
					n := 30
					if coded {
						n = 200
					}
					for i := range n {
						if _, err := col.Upsert(ctx, document(r, i)); err != nil {
							t.Fatal(err)
						}
					}
					if coded {
						if err := col.Compact(ctx); err != nil { // trains
							t.Fatal(err)
						}
					}
					if (col.Info().Cells > 0) != coded {
						t.Fatalf("codebook of %d cells", col.Info().Cells)
					}
					for i := range 20 {
						if _, err := col.Upsert(ctx, document(r, 1000+i)); err != nil {
							t.Fatal(err)
						}
					}
					q := vectors(r, 7)
					scores := func() map[string]float32 {
						res, err := col.Search(ctx, engine.SearchRequest{Vectors: q, K: 1000, Exact: true})
						if err != nil {
							t.Fatal(err)
						}
						out := map[string]float32{}
						for _, h := range res.Hits {
							out[h.ID] = h.Score
						}
						return out
					}
					buffered := scores()
					if col.Info().Buffered == 0 {
						t.Fatal("nothing is buffered")
					}
					if err := col.Flush(ctx); err != nil {
						t.Fatal(err)
					}
					if col.Info().Buffered != 0 {
						t.Fatal("still buffered")
					}
					for id, s := range scores() {
						if buffered[id] != s {
							t.Errorf("%s: %v in the buffer, %v sealed", id, buffered[id], s)
						}
					}
					if err := col.Compact(ctx); err != nil {
						t.Fatal(err)
					}
					after := scores()
					if len(after) != len(buffered) {
						t.Fatalf("%d documents, had %d", len(after), len(buffered))
					}
					for id, s := range after {
						if buffered[id] != s {
							t.Errorf("%s: %v in the buffer, %v merged", id, buffered[id], s)
						}
					}
				})
			}
		}
	}
}

// With RetainRaw a score is float32 MaxSim of the caller's vectors within 1e-4.
func TestRetainRawScoresLikeFloat32(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	col := mustCollection(t, db, engine.CollectionConfig{RetainRaw: true})
	m := model{}
	for i := range 100 {
		d := document(r, i)
		m.put(d)
		if _, err := col.Upsert(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		q := vectors(r, 8)
		res, err := col.Search(ctx, engine.SearchRequest{Vectors: q, K: 100, Exact: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range res.Hits {
			want := maxSim(q.Normalized(), m[h.ID].Vectors.Normalized())
			if math.Abs(float64(h.Score)-want) > 1e-4*float64(q.Len()) {
				t.Errorf("%s: %v, float32 MaxSim %v", h.ID, h.Score, want)
			}
		}
	}
}

// A token of weight 0 is a token that is not there, and weights multiply the
// similarities that Explain tells, in the buffer and in segments.
func TestWeights(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 6))
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	col := mustCollection(t, db, engine.CollectionConfig{})
	for i := range 230 {
		if _, err := col.Upsert(ctx, document(r, i)); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 40 {
		m := vectors(r, 6)
		all := engine.SearchRequest{Vectors: m, Weights: []float32{2, 0, 0.5, 0, 0, 1}, Explain: true, Exact: round%2 == 0, NProbe: 2, NFullScores: 10}
		some := all
		some.Weights = []float32{2, 0.5, 1}
		some.Vectors = engine.Matrix{Dim: dim}
		for _, i := range []int{0, 2, 5} {
			some.Vectors.Data = append(some.Vectors.Data, m.Row(i)...)
		}
		a, err := col.Search(ctx, all)
		if err != nil {
			t.Fatal(err)
		}
		b, err := col.Search(ctx, some)
		if err != nil {
			t.Fatal(err)
		}
		for i := range a.Hits {
			if a.Hits[i].ID != b.Hits[i].ID || a.Hits[i].Score != b.Hits[i].Score {
				t.Fatalf("round %d, rank %d: %s %v with weights of 0, %s %v without these tokens", round, i+1, a.Hits[i].ID, a.Hits[i].Score, b.Hits[i].ID, b.Hits[i].Score)
			}
			var sum float32
			for j, e := range b.Hits[i].Explain.Sims {
				sum += e * b.Hits[i].Explain.Weights[j]
			}
			if math.Abs(float64(sum-b.Hits[i].Score)) > 1e-4 {
				t.Errorf("score %v, Explain sums up to %v", b.Hits[i].Score, sum)
			}
		}
	}
	if _, err := col.Search(ctx, engine.SearchRequest{Vectors: vectors(r, 2), Weights: []float32{1}}); !errors.Is(err, engine.ErrBadVector) {
		t.Errorf("one weight for two vectors: %v", err)
	}
}

func TestSearchFindsAnUpsertAtOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	col := mustCollection(t, db, engine.CollectionConfig{})
	for i := range 300 {
		d := document(r, i)
		if _, err := col.Upsert(ctx, d); err != nil {
			t.Fatal(err)
		}
		res, err := col.Search(ctx, engine.SearchRequest{Vectors: d.Vectors, K: 1})
		if err != nil {
			t.Fatal(err)
		}
		if res.Hits[0].ID != d.ID {
			t.Fatalf("upsert %d (%d cells): found %s", i, col.Info().Cells, res.Hits[0].ID)
		}
	}
}

func TestFiltersAndGroups(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	col := mustCollection(t, db, engine.CollectionConfig{})
	n := 300
	for i := range n {
		d := document(r, i)
		d.Attributes = json.RawMessage(fmt.Sprintf(`{"n":%d,"file":"f%d"}`, i, i%7))
		if _, err := col.Upsert(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]int{"n < 3": 3, "n >= 0": 10, `file = "f1" and n > 290`: 1, "missing = 1": 0} {
		f, err := engine.ParseFilter(text)
		if err != nil {
			t.Fatal(err)
		}
		res, err := col.Search(ctx, engine.SearchRequest{Vectors: vectors(r, 4), Filter: f})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Hits) != want {
			t.Errorf("%s: %d hits, want %d", text, len(res.Hits), want)
		}
		for _, h := range res.Hits {
			if ok, err := f.Match(h.Attributes); err != nil || !ok {
				t.Errorf("%s: hit %s", text, h.Attributes)
			}
		}
	}
	res, err := col.Search(ctx, engine.SearchRequest{Vectors: vectors(r, 4), GroupBy: "file", K: 7})
	if err != nil {
		t.Fatal(err)
	}
	var groups []string
	for _, h := range res.Hits {
		groups = append(groups, h.Group)
		if len(h.Passages) != 3 || h.Passages[0].ID != h.ID {
			t.Errorf("group %s: passages %v", h.Group, h.Passages)
		}
	}
	sort.Strings(groups)
	if len(slices.Compact(groups)) != 7 {
		t.Errorf("groups %v", groups)
	}
}

func TestBadInputChangesNothing(t *testing.T) {
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	col := mustCollection(t, db, engine.CollectionConfig{})
	r := rand.New(rand.NewPCG(9, 9))
	good := document(r, 1)
	nan := document(r, 2)
	nan.Vectors.Data[3] = float32(math.NaN())
	for name, c := range map[string]struct {
		doc  engine.Document
		want error
	}{
		"no id":      {engine.Document{Vectors: good.Vectors}, engine.ErrInvalid},
		"long id":    {engine.Document{ID: string(make([]byte, 2000)), Vectors: good.Vectors}, engine.ErrInvalid},
		"no vectors": {engine.Document{ID: "x"}, engine.ErrNoVectors},
		"text only":  {engine.Document{ID: "x", Text: "hello"}, engine.ErrNoEncoder},
		"dimension":  {engine.Document{ID: "x", Vectors: engine.Matrix{Dim: 8, Data: make([]float32, 8)}}, engine.ErrDimension},
		"nan":        {nan, engine.ErrBadVector},
		"attributes": {engine.Document{ID: "x", Vectors: good.Vectors, Attributes: json.RawMessage(`[1]`)}, engine.ErrInvalid},
		"bad json":   {engine.Document{ID: "x", Vectors: good.Vectors, Attributes: json.RawMessage(`{"a":`)}, engine.ErrInvalid},
	} {
		if _, err := col.Upsert(ctx, good, c.doc); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	(model{}).check(t, col)
	if _, err := db.Collection("other"); !errors.Is(err, engine.ErrCollectionNotFound) {
		t.Error(err)
	}
	if _, err := db.CreateCollection(ctx, "../etc", engine.CollectionConfig{Dim: 8}); !errors.Is(err, engine.ErrInvalid) {
		t.Error(err)
	}
	if _, err := db.CreateCollection(ctx, "test", engine.CollectionConfig{Dim: 8}); !errors.Is(err, engine.ErrCollectionExists) {
		t.Error(err)
	}
	if _, err := col.Search(ctx, engine.SearchRequest{}); !errors.Is(err, engine.ErrInvalid) {
		t.Error(err)
	}
	if _, err := col.Search(ctx, engine.SearchRequest{Text: "x", Weights: []float32{1}}); !errors.Is(err, engine.ErrInvalid) {
		t.Error(err)
	}
	if _, err := col.Search(ctx, engine.SearchRequest{Vectors: good.Vectors, K: -1}); err == nil {
		t.Error("K = -1 was accepted")
	}
	if _, err := col.Get(ctx, "none"); !errors.Is(err, engine.ErrNotFound) {
		t.Error(err)
	}
}

func TestDropAndMemory(t *testing.T) {
	db, err := engine.OpenMem(small())
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, db)
	r := rand.New(rand.NewPCG(10, 10))
	col := mustCollection(t, db, engine.CollectionConfig{})
	for i := range 100 {
		if _, err := col.Upsert(ctx, document(r, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.DropCollection(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	if _, err := col.Upsert(ctx, document(r, 1)); !errors.Is(err, engine.ErrCollectionNotFound) {
		t.Errorf("upsert into a dropped collection: %v", err)
	}
	col = mustCollection(t, db, engine.CollectionConfig{})
	(model{}).check(t, col)
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	db, err := engine.Open(ctx, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Open(ctx, dir, nil); !errors.Is(err, engine.ErrLocked) {
		t.Errorf("second open: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Collection("x"); !errors.Is(err, engine.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	if _, err := engine.Open(ctx, dir+"/none", &engine.Options{MustExist: true}); err == nil {
		t.Error("opened a store that does not exist")
	}
}
