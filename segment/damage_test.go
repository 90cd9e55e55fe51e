package segment_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

// fatalCounter stands for an embedder's logger, which must be the one that
// Pebble reports damage to: the default one ends the process.
type fatalCounter struct{ calls atomic.Int64 }

func (f *fatalCounter) Infof(string, ...any)  {}
func (f *fatalCounter) Errorf(string, ...any) {}
func (f *fatalCounter) Fatalf(string, ...any) { f.calls.Add(1) }

// A bit that flips in a file on disk is found by Pebble's block checksums before
// ours: that is ErrCorruption all the same, told to the store's own logger.
func TestDamagedFileIsCorruption(t *testing.T) {
	fs := vfs.NewMem()
	logger := &fatalCounter{}
	open := func() *pebble.DB {
		o := segment.PebbleOptions()
		o.FS, o.Logger = fs, logger
		db, err := pebble.Open("db", o)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	if err := fs.MkdirAll("aside", 0o755); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, 60, codec.Exact, false, true, 3)
	f.docs = f.docs[:29] // small ones: Pebble looks for the bit that flipped, in time quadratic in the block
	f.build(t, db, fs, 4)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(8, 8))
	names, err := fs.List("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		path := fs.PathJoin("db", name)
		good := readFile(t, fs, path)
		for range 15 {
			bad := bytes.Clone(good)
			bad[r.IntN(len(bad)*9/10)] ^= 1 << r.IntN(8) // in the blocks, not the footer
			writeFile(t, fs, path, bad)
			db := open()
			reader, err := segment.Open(db, 4)
			if err == nil {
				err = f.verify(reader)
			}
			if !errors.Is(err, segment.ErrCorruption) {
				t.Errorf("%s damaged: %v", name, err)
			}
			var damage *segment.CorruptionError
			if errors.As(err, &damage) && !strings.HasPrefix(damage.Where, "segment 4, column ") {
				t.Errorf("%s damaged: place is %q", name, damage.Where)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}
		writeFile(t, fs, path, good)
	}
	if logger.calls.Load() == 0 {
		t.Error("Pebble told nobody: its handlers belong to another logger")
	}
}

func readFile(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, fs vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// A Buffer may go from one store to another: segments of the same id in two
// stores are not the same segment.
func TestBufferIsNotFooledByEqualIDs(t *testing.T) {
	var buf segment.Buffer
	for seed := range uint64(2) {
		db, fs := openMem(t)
		f := newFixture(t, 3, codec.Exact, false, false, 50+seed)
		f.build(t, db, fs, 1)
		r, err := segment.Open(db, 1)
		if err != nil {
			t.Fatal(err)
		}
		v, err := r.View(0, codec.PlaneC, &buf)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(v.C, f.docs[0].Encoded.C) {
			t.Errorf("store %d: another store's document", seed)
		}
	}
}

// Chunks that vanish from, or appear in, an open segment are found by name.
func TestVerifyFindsMissingAndStrayChunks(t *testing.T) {
	db, fs := openMem(t)
	f := newFixture(t, 1030, codec.Exact, false, true, 21)
	f.build(t, db, fs, 2)
	r, err := segment.Open(db, 2)
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.postings(r)
	if err != nil {
		t.Fatal(err)
	}
	span := segment.Span(2)
	values := dump(t, db, span)
	columns := map[byte]int{}
	for key, value := range values {
		columns[key[10]]++
		if key[10] == 'C' && columns['C'] > 20 {
			continue // plane C has a chunk for each document: a few will do
		}
		if err := db.Delete([]byte(key), nil); err != nil {
			t.Fatal(err)
		}
		err := r.Verify(ctx, segment.Contents{Cells: f.cells(), Postings: p})
		var damage *segment.CorruptionError
		if !errors.As(err, &damage) || !strings.Contains(damage.Where, "segment 2, column ") || !strings.Contains(damage.Error(), "missing") {
			t.Errorf("%q deleted: %v", key, err)
		}
		if err := db.Set([]byte(key), value, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, stray := range []string{"A\x00\x00\x00\x01\x00\x00\x00\x00", "D\x00\x00\x00\x01\x00\x00\x00\x00", "Z", "T\xff\xff\xff\xff\x00\x00\x00\x00"} {
		key := string(span.Start) + stray
		if err := db.Set([]byte(key), values[string(span.Start)+"M\x00\x00\x00\x00\x00\x00\x00\x00"], nil); err != nil {
			t.Fatal(err)
		}
		if err := r.Verify(ctx, segment.Contents{Cells: f.cells(), Postings: p}); !errors.Is(err, segment.ErrCorruption) {
			t.Errorf("stray key %q: %v", key, err)
		}
		if err := db.Delete([]byte(key), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Verify(ctx, segment.Contents{Cells: f.cells(), Postings: p}); err != nil {
		t.Errorf("restored segment: %v", err)
	}
	// Every place is named, not only the first.
	for _, key := range []string{"A", "T"} {
		if err := db.Delete([]byte(string(span.Start)+key+"\x00\x00\x00\x00\x00\x00\x00\x00"), nil); err != nil {
			t.Fatal(err)
		}
	}
	err = r.Verify(ctx, segment.Contents{Cells: f.cells(), Postings: p})
	for _, want := range []string{"column a, chunk 0.0", "column text, chunk 0.0"} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func dump(t testing.TB, db *pebble.DB, span segment.KeyRange) map[string][]byte {
	t.Helper()
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for it.First(); it.Valid(); it.Next() {
		out[string(it.Key())] = bytes.Clone(it.Value())
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		t.Fatal(err)
	}
	return out
}

// Names of the files of one segment differ on file systems that do not tell
// capitals apart.
func TestFileNamesDifferInMoreThanCase(t *testing.T) {
	_, fs := openMem(t)
	f := newFixture(t, 1, codec.Exact, true, true, 9)
	b, err := segment.NewBuilder(fs, "aside", 1, f.cfg)
	if err != nil {
		t.Fatal(err)
	}
	big := bigDocument(t, f, 200_000) // outgrows what a column keeps in memory
	for i := range 20 {
		big.Num++
		big.ID = fmt.Sprint(i)
		if err := b.Add(big); err != nil {
			t.Fatal(err)
		}
	}
	_, paths, err := b.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range paths {
		if seen[strings.ToLower(p)] {
			t.Errorf("%q twice in %v", p, paths)
		}
		seen[strings.ToLower(p)] = true
	}
	if len(paths) < 5 {
		t.Errorf("only %v: the test has no power", paths)
	}
}

// bigDocument repeats one encoded token.
func bigDocument(t testing.TB, f *fixture, tokens int) segment.Document {
	t.Helper()
	d := f.docs[0]
	v := d.Encoded.View
	e := &codec.Encoded{View: codec.View{Tokens: tokens, Exp: v.Exp}, Centroids: d.Encoded.Centroids}
	first := func(col []byte) []byte { return bytes.Repeat(col[:len(col)/v.Tokens], tokens) }
	e.Codes, e.A, e.C, e.Raw = first(v.Codes), first(v.A), first(v.C), first(v.Raw)
	d.Encoded = e
	return d
}

// What a reader would refuse, the builder must not write.
func TestBuilderRefusesWhatReadersWould(t *testing.T) {
	_, fs := openMem(t)
	f := newFixture(t, 3, codec.Exact, false, true, 12)
	flat := f.cfg
	unnamed := *f.cfg.Codebook
	unnamed.ID = 0
	flat.Codebook = &unnamed
	if _, err := segment.NewBuilder(fs, "aside", 1, flat); err == nil {
		t.Error("a codebook with id 0, which stands for none, was accepted")
	}
	for name, spoil := range map[string]func(*segment.Document){
		"no centroids": func(d *segment.Document) { d.Encoded.Centroids = nil },
		"exponent":     func(d *segment.Document) { d.Encoded.Exp = 16 },
		"centroid":     func(d *segment.Document) { d.Encoded.Centroids = []uint32{1 << 20} },
		"column":       func(d *segment.Document) { d.Encoded.A = d.Encoded.A[1:] },
		"no vectors":   func(d *segment.Document) { d.Encoded = nil },
		"id":           func(d *segment.Document) { d.ID = strings.Repeat("x", 1<<16) },
	} {
		b, err := segment.NewBuilder(fs, "aside", 1, f.cfg)
		if err != nil {
			t.Fatal(err)
		}
		d := f.docs[0]
		e := *d.Encoded
		d.Encoded = &e
		spoil(&d)
		if err := b.Add(d); err == nil {
			t.Errorf("%s: accepted", name)
		}
		b.Abort()
	}
}
