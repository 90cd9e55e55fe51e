package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

// keyedWrite is one write of a fixed history, made under its own key.
type keyedWrite struct {
	key string
	do  func(*engine.Collection) (uint64, error)
	to  func(model)
}

// keyedWrites is a history in which a write that is made twice shows: each id is
// upserted, replaced and deleted in turn, by every kind of write.
func keyedWrites(r *rand.Rand, n int) []keyedWrite {
	out := make([]keyedWrite, n)
	for i := range out {
		w := keyedWrite{key: fmt.Sprintf("key %d", i)}
		switch i % 6 {
		case 3:
			id := fmt.Sprintf("doc-%03d", r.IntN(8))
			w.do = func(c *engine.Collection) (uint64, error) {
				res, err := c.Delete(ctx, id)
				return res.Seq, err
			}
			w.to = func(m model) { delete(m, id) }
		case 4:
			var b engine.Batch
			d, gone := document(r, r.IntN(8)), fmt.Sprintf("doc-%03d", 8+r.IntN(4))
			b.Upsert(d)
			b.Delete(gone)
			w.do = func(c *engine.Collection) (uint64, error) {
				res, err := c.Apply(ctx, &b)
				return res.Seq, err
			}
			w.to = func(m model) { m.put(d); delete(m, gone) }
		case 5:
			f, err := engine.ParseFilter(fmt.Sprintf("n = %d", r.IntN(12)))
			if err != nil {
				panic(err)
			}
			w.do = func(c *engine.Collection) (uint64, error) {
				res, err := c.DeleteWhere(ctx, f)
				return res.Seq, err
			}
			w.to = func(m model) {
				for id, d := range m {
					if ok, _ := f.Match(d.Attributes); ok {
						delete(m, id)
					}
				}
			}
		default:
			docs := []engine.Document{document(r, r.IntN(12)), document(r, r.IntN(12))}
			w.do = func(c *engine.Collection) (uint64, error) { return c.Upsert(ctx, docs...) }
			w.to = func(m model) { m.put(docs...) }
		}
		out[i] = w
	}
	return out
}

// A repetition changes nothing and returns the first one's number: at once, after
// the log was sealed away, and after reopening.
func TestIdempotentWrites(t *testing.T) {
	r := rand.New(rand.NewPCG(71, 1))
	fs, o := vfs.NewMem(), small()
	db := mustOpen(t, fs, o)
	col := mustCollection(t, db, engine.CollectionConfig{})
	m, seqs := model{}, []uint64{}
	writes := keyedWrites(r, 90)
	again := func(upTo int) {
		t.Helper()
		before := db.Seq()
		for i, w := range writes[:upTo] {
			if seq, err := w.do(col.Idempotent(w.key)); err != nil || seq != seqs[i] {
				t.Fatalf("write %d again: %d, %v, want %d", i, seq, err, seqs[i])
			}
		}
		if db.Seq() != before {
			t.Fatalf("repetitions made changes %d to %d", before+1, db.Seq())
		}
		m.checkSame(t, col)
	}
	for i, w := range writes {
		seq, err := w.do(col.Idempotent(w.key))
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, seq)
		w.to(m)
		switch i {
		case 20:
			again(i + 1)
		case 40:
			if err := db.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			again(i + 1)
		case 60:
			mustClose(t, db)
			db = mustOpen(t, fs, o)
			col = mustCollection(t, db, engine.CollectionConfig{})
			again(i + 1)
		}
	}
	if err := db.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	mustClose(t, db)
	db = mustOpen(t, fs, o)
	col = mustCollection(t, db, engine.CollectionConfig{})
	again(len(writes))
	// Only the writes themselves are changes of the history.
	upserts := db.Metrics().Upserts
	if upserts != 0 {
		t.Errorf("repetitions count as %d upserts", upserts)
	}
	mustClose(t, db)
}

// A key with another write is an error that changes nothing; an answer tells how
// many documents the first write deleted.
func TestIdempotencyConflict(t *testing.T) {
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	col := mustCollection(t, db, engine.CollectionConfig{})
	docs := documents(5, 3)
	k := col.Idempotent("k")
	if _, err := k.Upsert(ctx, docs[0], docs[1]); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Upsert(ctx, docs[0]); !errors.Is(err, engine.ErrIdempotencyConflict) || !strings.Contains(err.Error(), "change 1") {
		t.Errorf("fewer documents: %v", err)
	}
	other := docs[1]
	other.Text += "."
	if _, err := k.Upsert(ctx, docs[0], other); !errors.Is(err, engine.ErrIdempotencyConflict) {
		t.Errorf("another text: %v", err)
	}
	if _, err := k.Delete(ctx, docs[0].ID); !errors.Is(err, engine.ErrIdempotencyConflict) {
		t.Errorf("a delete: %v", err)
	}
	if n := col.Info().Documents; n != 2 {
		t.Errorf("%d documents", n)
	}
	for range 2 {
		res, err := col.Idempotent("gone").Delete(ctx, docs[0].ID, docs[1].ID, "never")
		if err != nil || res.Deleted != 2 || res.Seq != 2 {
			t.Errorf("%+v, %v", res, err)
		}
		f, err := engine.ParseFilter("n >= 0")
		if err != nil {
			t.Fatal(err)
		}
		res, err = col.Idempotent("where").DeleteWhere(ctx, f)
		if err != nil || res.Deleted != 0 || res.Seq != 3 {
			t.Errorf("nothing to delete: %+v, %v", res, err)
		}
	}
	for _, key := range []string{"", strings.Repeat("k", engine.MaxKeyBytes+1)} {
		if _, err := col.Idempotent(key).Upsert(ctx, docs[0]); !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("a key of %d bytes: %v", len(key), err)
		}
	}
	// Keys belong to a collection.
	second, err := db.CreateCollection(ctx, "second", engine.CollectionConfig{Dim: dim})
	if err != nil {
		t.Fatal(err)
	}
	if seq, err := second.Idempotent("k").Upsert(ctx, docs[2]); err != nil || seq != 4 {
		t.Errorf("the key in another collection: %d, %v", seq, err)
	}
	if err := db.DropCollection(ctx, "second"); err != nil {
		t.Fatal(err)
	}
}

// Writes of one key that are on their way at once are made once, whichever
// comes first; of two different ones with one key, one is made.
func TestIdempotencyConcurrent(t *testing.T) {
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	col := mustCollection(t, db, engine.CollectionConfig{})
	for round := range 30 {
		docs := documents(uint64(round), 2)
		before := db.Seq()
		seqs := make([]uint64, 12)
		var wg sync.WaitGroup
		var made [2]atomic.Int32
		for i := range seqs {
			wg.Go(func() {
				seq, err := col.Idempotent(fmt.Sprint("same ", round)).Upsert(ctx, docs...)
				if err != nil {
					t.Error(err)
				}
				seqs[i] = seq
			})
			wg.Go(func() {
				_, err := col.Idempotent(fmt.Sprint("differ ", round)).Upsert(ctx, documents(uint64(round*2+i%2), 1)...)
				if err == nil {
					made[i%2].Add(1)
				} else if !errors.Is(err, engine.ErrIdempotencyConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, seq := range seqs {
			if seq != seqs[0] {
				t.Fatalf("round %d: sequence numbers %v", round, seqs)
			}
		}
		if a, b := made[0].Load(), made[1].Load(); (a == 0) == (b == 0) {
			t.Fatalf("round %d: both, or none, of two writes with one key were made: %d, %d", round, a, b)
		}
		if got := db.Seq() - before; got != 2 {
			t.Fatalf("round %d: %d changes of two writes", round, got)
		}
	}
}

// What is remembered is bounded by number and by age, in memory and in the store.
func TestIdempotencyWindow(t *testing.T) {
	fs, o := vfs.NewMem(), small()
	o.IdempotencyKeys = 10
	db := mustOpen(t, fs, o)
	col := mustCollection(t, db, engine.CollectionConfig{})
	docs := documents(9, 40)
	for round := range 3 {
		for i, d := range docs {
			if _, err := col.Idempotent(fmt.Sprint(i)).Upsert(ctx, d); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := db.Seq(), uint64(40*(round+1)); got != want {
			t.Fatalf("round %d: %d changes, want %d: all that is more than 10 writes ago is new", round, got, want)
		}
		if err := db.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		if in, stored := engine.RememberedWrites(t, db); in != 10 || stored != 10 {
			t.Fatalf("round %d: %d writes in memory, %d in the store, want 10", round, in, stored)
		}
		for i := 30; i < 40; i++ {
			if seq, err := col.Idempotent(fmt.Sprint(i)).Upsert(ctx, docs[i]); err != nil || seq != uint64(40*round+i+1) {
				t.Fatalf("write %d: %d, %v", i, seq, err)
			}
		}
		mustClose(t, db)
		db = mustOpen(t, fs, o)
		col = mustCollection(t, db, engine.CollectionConfig{})
	}
	mustClose(t, db)
	o.IdempotencyAge = time.Nanosecond
	db = mustOpen(t, fs, o)
	col = mustCollection(t, db, engine.CollectionConfig{})
	before := db.Seq()
	if seq, err := col.Idempotent("39").Upsert(ctx, docs[0]); err != nil || seq != before+1 {
		t.Errorf("a key that is too old: %d, %v", seq, err)
	}
	mustClose(t, db)
}

// countingEncoder counts the texts that it encodes.
type countingEncoder struct {
	encoder.Encoder
	texts int
}

func (c *countingEncoder) EncodeDocuments(ctx context.Context, texts []string) ([]encoder.Document, error) {
	c.texts += len(texts)
	return c.Encoder.EncodeDocuments(ctx, texts)
}

// Text is what a write was made of, not the vectors that an encoder made of it;
// and a repetition encodes nothing.
func TestIdempotencyEncodesOnce(t *testing.T) {
	db := mustOpen(t, vfs.NewMem(), small())
	defer mustClose(t, db)
	enc := &countingEncoder{Encoder: fake.New(dim)}
	col, err := db.CreateCollection(ctx, "texts", engine.CollectionConfig{Encoder: enc})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if seq, err := col.Idempotent("k").Upsert(ctx, engine.Document{ID: "a", Text: "a passage"}); err != nil || seq != 1 {
			t.Fatal(seq, err)
		}
	}
	if enc.texts != 1 {
		t.Errorf("%d texts encoded", enc.texts)
	}
}

// After a reindex has switched a name, repetitions of earlier writes are still
// known: they would replace what came later.
func TestIdempotencyOverReindex(t *testing.T) {
	fs, o := vfs.NewMem(), small()
	db := mustOpen(t, fs, o)
	old, err := db.CreateCollection(ctx, "docs", engine.CollectionConfig{Encoder: fake.New(dim)})
	if err != nil {
		t.Fatal(err)
	}
	first := engine.Document{ID: "a", Text: "first version"}
	seq, err := old.Idempotent("1").Upsert(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Upsert(ctx, engine.Document{ID: "a", Text: "second version"}); err != nil {
		t.Fatal(err)
	}
	next := fake.New(2 * dim)
	if _, err := db.Reindex(ctx, "docs", next, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		col, err := db.Collection("docs", engine.WithEncoder(next))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := col.Idempotent("1").Upsert(ctx, first); err != nil || again != seq {
			t.Fatalf("%d, %v, want %d", again, err, seq)
		}
		if d, err := col.Get(ctx, "a"); err != nil || d.Text != "second version" {
			t.Fatalf("%+v, %v", d, err)
		}
		mustClose(t, db)
		db = mustOpen(t, fs, o)
	}
	mustClose(t, db)
}

// Wherever power is lost, a caller that repeats the write that was not answered,
// and all before it, ends where it would have without: no write is lost, none is
// made twice, and numbers that were returned stay.
func TestIdempotencyAcrossCrashes(t *testing.T) {
	points := 60
	if thorough() {
		points = 600
	}
	writes := keyedWrites(rand.New(rand.NewPCG(72, 1)), 80)
	o := small()
	o.SealDocuments = 12
	type clone struct {
		fs    *vfs.MemFS
		acked int
	}
	mem := crashmem.New()
	r := rand.New(rand.NewPCG(72, 2))
	var mu sync.Mutex // the hook is called by Pebble's goroutines too
	var clones []clone
	var acked, ops int
	var armed bool
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if ops++; armed && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && len(clones) < points && r.IntN(4) == 0 {
			clones = append(clones, clone{mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r}), acked})
		}
		return nil
	})
	db := mustOpen(t, errorfs.Wrap(mem, hook), o)
	col := mustCollection(t, db, engine.CollectionConfig{})
	mu.Lock()
	armed = true
	mu.Unlock()
	seqs := make([]uint64, len(writes))
	for i, w := range writes {
		var err error
		if seqs[i], err = w.do(col.Idempotent(w.key)); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		acked = i + 1
		mu.Unlock()
	}
	mu.Lock()
	armed = false
	mu.Unlock()
	want := model{}
	for _, w := range writes {
		w.to(want)
	}
	want.checkSame(t, col)
	mustClose(t, db)
	for n, c := range clones {
		db := mustOpen(t, c.fs, o)
		col, err := db.Collection("test")
		if err != nil {
			t.Fatal(err)
		}
		for i, w := range writes {
			seq, err := w.do(col.Idempotent(w.key))
			if err != nil || i < c.acked && seq != seqs[i] {
				t.Fatalf("clone %d, %d writes acknowledged: write %d again: %d, %v, want %d", n, c.acked, i, seq, err, seqs[i])
			}
		}
		want.checkSame(t, col)
		mustClose(t, db)
	}
}
