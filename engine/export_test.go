package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Exported segments, attached to a store that is empty, and to one that has
// other versions of some of the documents, are the collection that they came
// from, with its vectors; an attached segment lives on as any other.
func TestExportAndAttach(t *testing.T) {
	for _, cfg := range []engine.CollectionConfig{
		{Profile: engine.Exact}, {Profile: engine.Balanced}, {Profile: engine.Compact, RetainRaw: true},
	} {
		t.Run(fmt.Sprintf("%s raw=%t", cfg.Profile, cfg.RetainRaw), func(t *testing.T) {
			o := small()
			o.DisableAutoCompaction = true
			from := mustOpen(t, vfs.NewMem(), o)
			source := mustCollection(t, from, cfg)
			h := &history{changes: map[uint64]change{}}
			r := rand.New(rand.NewPCG(61, uint64(cfg.Profile)))
			for i := range 240 {
				if _, err := h.change(source, r, 200); err != nil {
					t.Fatal(err)
				}
				if i == 150 {
					if err := source.Compact(ctx); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := source.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			want := h.at(h.acked)
			segments, err := source.Segments()
			if err != nil || len(segments) < 2 {
				t.Fatalf("%d segments, %v", len(segments), err)
			}
			var files [][]byte
			documents := 0
			for _, s := range segments {
				if s.Documents == 0 {
					continue
				}
				var one, two bytes.Buffer
				f, err := source.ExportSegment(ctx, s.ID, &one)
				if err != nil || f.Documents != s.Documents || f.Tokens != s.Tokens {
					t.Fatalf("%+v, %v, want %+v", f, err, s)
				}
				if again, err := source.ExportSegment(ctx, s.ID, &two); err != nil || again.ID != f.ID {
					t.Errorf("exported twice: %v and %v, %v", f, again, err)
				}
				if _, err := engine.VerifyBackup(ctx, bytes.NewReader(one.Bytes()), nil); err != nil {
					t.Error(err)
				}
				files = append(files, one.Bytes())
				documents += f.Documents
			}
			if documents != len(want) {
				t.Fatalf("%d documents exported of %d", documents, len(want))
			}
			for _, before := range []int{0, 120} {
				mem := vfs.NewMem()
				to := mustOpen(t, mem, small())
				target := mustCollection(t, to, cfg)
				m := model{}
				for i := range before { // of another codebook, if any; some in segments, some not
					d := document(r, 100+i)
					if _, err := target.Upsert(ctx, d); err != nil {
						t.Fatal(err)
					}
					m.put(d)
				}
				maps.Copy(m, want)
				for _, f := range files {
					if _, err := target.AttachSegment(ctx, bytes.NewReader(f)); err != nil {
						t.Fatal(err)
					}
				}
				m.check(t, target)
				sameVectors(t, target, source)
				late := document(r, 3) // newer than what was attached
				if _, err := target.Upsert(ctx, late); err != nil {
					t.Fatal(err)
				}
				m.put(late)
				mustClose(t, to)
				to = mustOpen(t, mem, small())
				if target, err = to.Collection("test"); err != nil {
					t.Fatal(err)
				}
				m.check(t, target)
				if err := target.Compact(ctx); err != nil {
					t.Fatal(err)
				}
				m.check(t, target)
				var old error
				for _, err := range to.Changes(ctx, 0, engine.ChangesOptions{}) {
					old = err
				}
				if !errors.Is(old, engine.ErrTooOld) {
					t.Errorf("changes over an attached segment: %v", old)
				}
				mustClose(t, to)
			}
			mustClose(t, from)
		})
	}
}

// sameVectors checks that documents of source have nearly the same vectors in target.
func sameVectors(t testing.TB, target, source *engine.Collection) {
	t.Helper()
	for d, err := range source.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		got, err := target.Get(ctx, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		for i := range d.Vectors.Len() {
			var dot float32
			a, b := d.Vectors.Row(i), got.Vectors.Row(i)
			for k := range a {
				dot += a[k] * b[k]
			}
			if dot < 0.9 {
				t.Fatalf("%q: vector %d has a cosine of %v with what was exported", d.ID, i, dot)
			}
		}
	}
}

func TestAttachRefuses(t *testing.T) {
	db, err := engine.OpenMem(nil)
	if err != nil {
		t.Fatal(err)
	}
	col := mustCollection(t, db, engine.CollectionConfig{Profile: engine.Balanced})
	r := rand.New(rand.NewPCG(62, 62))
	for i := range 30 {
		if _, err := col.Upsert(ctx, document(r, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := col.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	segments, err := col.Segments()
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := col.ExportSegment(ctx, segments[0].ID, &buf); err != nil {
		t.Fatal(err)
	}
	if _, err := col.ExportSegment(ctx, 99, &buf); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("export of no segment: %v", err)
	}
	b := buf.Bytes()
	if _, err := engine.Restore(ctx, "r", readers([]backup{{bytes: b}}), engine.RestoreOptions{FS: vfs.NewMem()}); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("restore of a segment: %v", err)
	}
	attach := func(name string, cfg engine.CollectionConfig, b []byte) error {
		other, err := db.CreateCollection(ctx, name, cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = other.AttachSegment(ctx, bytes.NewReader(b))
		if n := other.Info().Documents; err != nil && n != 0 {
			t.Errorf("%s: %d documents of a segment that was refused", name, n)
		}
		return err
	}
	for name, test := range map[string]struct {
		cfg  engine.CollectionConfig
		want error
	}{
		"wide":  {engine.CollectionConfig{Dim: 32, Profile: engine.Balanced}, engine.ErrDimension},
		"exact": {engine.CollectionConfig{Dim: dim}, engine.ErrInvalid},
		"raw":   {engine.CollectionConfig{Dim: dim, Profile: engine.Balanced, RetainRaw: true}, engine.ErrInvalid},
	} {
		if err := attach(name, test.cfg, b); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := engine.CollectionConfig{Dim: dim, Profile: engine.Balanced}
	for range 60 {
		bad := slices.Clone(b)
		bad[r.IntN(len(bad))] ^= 1 << r.IntN(8)
		if err := attach("bad", good, bad); !errors.Is(err, engine.ErrCorruption) && !errors.Is(err, engine.ErrFormatTooNew) {
			t.Errorf("a damaged file: %v", err)
		}
	}
	if err := attach("bad", good, b[:len(b)-1]); !errors.Is(err, engine.ErrCorruption) {
		t.Errorf("a file cut short: %v", err)
	}
	if err := attach("bad", good, b); err != nil {
		t.Error(err)
	}
	mustClose(t, db)
}
