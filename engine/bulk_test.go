package engine_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

// bulkOptions make segments of 40 documents.
func bulkOptions() *engine.Options {
	o := small()
	o.MaxSegmentDocuments = 40
	return o
}

func mustBulk(t testing.TB, col *engine.Collection, o engine.BulkOptions) *engine.Bulk {
	t.Helper()
	b, err := col.Bulk(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func documents(seed uint64, n int) []engine.Document {
	r := rand.New(rand.NewPCG(seed, 77))
	out := make([]engine.Document, n)
	for i := range out {
		out[i] = document(r, i)
	}
	return out
}

// A load equals upserts of the same documents, under every profile: into an
// empty collection, into one that is flat, and into one that has a codebook, of
// which it replaces half.
func TestBulk(t *testing.T) {
	for _, profile := range []engine.Profile{engine.Exact, engine.Balanced, engine.Compact} {
		for _, before := range []int{0, 30, 300} {
			t.Run(fmt.Sprintf("%s %d", profile, before), func(t *testing.T) {
				db := mustOpen(t, vfs.NewMem(), bulkOptions())
				defer mustClose(t, db)
				col := mustCollection(t, db, engine.CollectionConfig{Profile: profile})
				m := model{}
				for _, d := range documents(1, before) {
					if _, err := col.Upsert(ctx, d); err != nil {
						t.Fatal(err)
					}
					m.put(d)
				}
				if before > 100 {
					if err := col.Compact(ctx); err != nil {
						t.Fatal(err)
					}
				}
				var last engine.BulkProgress
				b := mustBulk(t, col, engine.BulkOptions{Workers: 3, OnPublish: func(p engine.BulkProgress) { last = p }})
				defer b.Close()
				if _, err := col.Bulk(ctx, engine.BulkOptions{}); !errors.Is(err, engine.ErrBulkOpen) {
					t.Errorf("a second load: %v", err)
				}
				docs := documents(2, before/2+333)
				docs = append(docs, document(rand.New(rand.NewPCG(1, 1)), 7), document(rand.New(rand.NewPCG(1, 2)), 330)) // twice in the load
				for i := 0; i < len(docs); i += 10 {
					bad := docs[i]
					bad.ID = ""
					if err := b.Add(ctx, docs[i], bad); !errors.Is(err, engine.ErrInvalid) {
						t.Fatalf("a document without an id: %v", err)
					}
					batch := docs[i:min(i+10, len(docs))]
					if err := b.Add(ctx, batch...); err != nil {
						t.Fatal(err)
					}
					m.put(batch...)
				}
				if err := b.Commit(ctx); err != nil {
					t.Fatal(err)
				}
				if last != b.Progress() || last.Documents != int64(len(docs)) || last.Segments < len(docs)/40 {
					t.Errorf("progress %+v, then %+v of %d documents", last, b.Progress(), len(docs))
				}
				if err := b.Add(ctx, docs[0]); !errors.Is(err, engine.ErrClosed) {
					t.Errorf("add after commit: %v", err)
				}
				m.check(t, col)
				if col.Info().CodebookID == 0 {
					t.Error("never trained")
				}
				if db.Metrics().LogBytes > 1<<20 {
					t.Errorf("%d bytes of log", db.Metrics().LogBytes)
				}
			})
		}
	}
}

// What is upserted and deleted beside a load is newer than what the load brings,
// whichever is published first, before and after a power loss.
func TestBulkBesideWrites(t *testing.T) {
	for seed := range uint64(3) {
		fs := crashmem.New()
		db := mustOpen(t, fs, bulkOptions())
		col := mustCollection(t, db, engine.CollectionConfig{})
		old := documents(1, 200)
		if _, err := col.Upsert(ctx, old...); err != nil {
			t.Fatal(err)
		}
		m := model{}
		m.put(old...)
		b := mustBulk(t, col, engine.BulkOptions{})
		loaded := documents(10+seed, 400)
		m.put(loaded...)
		var wg sync.WaitGroup
		wg.Go(func() {
			r := rand.New(rand.NewPCG(3, seed))
			for i := range 150 {
				if i%3 == 0 {
					id := fmt.Sprintf("doc-%03d", r.IntN(450))
					if _, err := col.Delete(ctx, id); err != nil {
						t.Error(err)
					}
					delete(m, id)
					continue
				}
				d := document(r, r.IntN(450))
				if _, err := col.Upsert(ctx, d); err != nil {
					t.Error(err)
				}
				m.put(d)
			}
		})
		for i := range loaded {
			if err := b.Add(ctx, loaded[i]); err != nil {
				t.Fatal(err)
			}
		}
		wg.Wait()
		if seed == 1 {
			if err := col.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		m.check(t, col)
		crashed := fs.CrashClone(vfs.CrashCloneCfg{})
		mustClose(t, db)
		db = mustOpen(t, crashed, bulkOptions())
		var err error
		if col, err = db.Collection("test"); err != nil {
			t.Fatal(err)
		}
		m.check(t, col)
		if err := col.Compact(ctx); err != nil {
			t.Fatal(err)
		}
		m.check(t, col)
		mustClose(t, db)
	}
}

// Power is lost at any write of a load: what OnPublish had told is there, every
// document at most once, and the load goes on to the same end.
func TestBulkCrash(t *testing.T) {
	docs := documents(5, 260)
	fs := crashmem.New()
	db := mustOpen(t, fs, bulkOptions())
	col := mustCollection(t, db, engine.CollectionConfig{Profile: engine.Balanced})
	type clone struct {
		fs   *vfs.MemFS
		told int64
	}
	var clones []clone
	var told int64
	r := rand.New(rand.NewPCG(9, 9))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	take := func() {
		mu.Lock()
		defer mu.Unlock()
		if len(clones) < 40 {
			n := told // before the clone: what was told by then must be in it
			clones = append(clones, clone{fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r}), n})
		}
	}
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				take()
			}
		}
	})
	b := mustBulk(t, col, engine.BulkOptions{Token: "load", OnPublish: func(p engine.BulkProgress) {
		mu.Lock()
		told = p.Documents
		mu.Unlock()
		take()
	}})
	for i := range docs {
		if err := b.Add(ctx, docs[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	close(stop)
	wg.Wait()
	mustClose(t, db)
	for i, c := range clones {
		db := mustOpen(t, c.fs, bulkOptions())
		col, err := db.Collection("test")
		if errors.Is(err, engine.ErrCollectionNotFound) && c.told == 0 {
			mustClose(t, db)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		b := mustBulk(t, col, engine.BulkOptions{Token: "load"})
		n := b.Documents()
		if n < c.told {
			t.Errorf("clone %d: %d documents, %d were published", i, n, c.told)
		}
		m := model{}
		m.put(docs[:n]...)
		m.check(t, col)
		if err := b.Add(ctx, docs[n:]...); err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		m.put(docs...)
		m.check(t, col)
		mustClose(t, db)
	}
}

// A closed store, a dropped collection and Close end a load; what was published
// stays.
func TestBulkEnds(t *testing.T) {
	docs := documents(6, 200)
	for name, end := range map[string]func(*engine.Engine, *engine.Bulk) error{
		"store":      func(db *engine.Engine, b *engine.Bulk) error { return db.Close() },
		"collection": func(db *engine.Engine, b *engine.Bulk) error { return db.DropCollection(ctx, "test") },
		"load":       func(db *engine.Engine, b *engine.Bulk) error { return b.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			db := mustOpen(t, fs, bulkOptions())
			col := mustCollection(t, db, engine.CollectionConfig{})
			published := make(chan struct{}, 100)
			b := mustBulk(t, col, engine.BulkOptions{Token: "x", OnPublish: func(engine.BulkProgress) { published <- struct{}{} }})
			if err := b.Add(ctx, docs...); err != nil {
				t.Fatal(err)
			}
			if err := b.Add(ctx, documents(7, 2000)...); err != nil {
				t.Fatal(err)
			}
			<-published
			if err := end(db, b); err != nil {
				t.Fatal(err)
			}
			if err := b.Commit(ctx); err == nil {
				t.Error("commit after the end")
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			if name == "store" {
				db = mustOpen(t, fs, bulkOptions())
			}
			col = mustCollection(t, db, engine.CollectionConfig{})
			b = mustBulk(t, col, engine.BulkOptions{Token: "x"})
			if got := col.Info().Documents; (name == "collection") != (got == 0) || (name == "collection") != (b.Documents() == 0) {
				t.Errorf("%d documents, %d loaded", got, b.Documents())
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			mustClose(t, db)
		})
	}
}

// The child of TestBulkKill loads, or goes on with a load, and prints what is
// published.
func TestBulkKillChild(t *testing.T) {
	dir := os.Getenv("COLBERTDB_BULK_KILL_DIR")
	if dir == "" {
		t.Skip("runs as a child of TestBulkKill")
	}
	db, err := engine.Open(ctx, dir, bulkOptions())
	if err != nil {
		t.Fatal(err)
	}
	col := mustCollection(t, db, engine.CollectionConfig{})
	b := mustBulk(t, col, engine.BulkOptions{Token: "load", OnPublish: func(p engine.BulkProgress) { fmt.Printf("published %d\n", p.Documents) }})
	for _, d := range documents(8, 2000)[b.Documents():] {
		if err := b.Add(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	mustClose(t, db)
	fmt.Println("committed")
}

// kill -9 a load again and again: it gets to its end, with every document once.
func TestBulkKill(t *testing.T) {
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(4, 4))
	committed, most := false, 0
	for kills := 0; !committed; kills++ {
		cmd := exec.Command(os.Args[0], "-test.run=^TestBulkKillChild$", "-test.v")
		cmd.Env = append(os.Environ(), "COLBERTDB_BULK_KILL_DIR="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		at := 1 + r.IntN(15) // segments until the kill
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var n int
			if _, err := fmt.Sscanf(lines.Text(), "published %d", &n); err == nil {
				if n <= most {
					t.Errorf("published %d after %d", n, most)
				}
				most = n
				if at--; at == 0 && kills < 10 {
					_ = cmd.Process.Kill()
				}
			}
			committed = committed || strings.HasPrefix(lines.Text(), "committed")
		}
		_ = cmd.Wait()
		if kills > 20 {
			t.Fatal("the load does not end")
		}
	}
	db, err := engine.Open(ctx, dir, bulkOptions())
	if err != nil {
		t.Fatal(err)
	}
	col, err := db.Collection("test")
	if err != nil {
		t.Fatal(err)
	}
	m := model{}
	m.put(documents(8, 2000)...)
	m.check(t, col)
	mustClose(t, db)
}

// A delete that found nothing is in the log alone, and older than a load that begins
// after it: a replay after a loss of power does not take the load's document away.
func TestBulkAfterDeleteOfNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 68))
	fs := crashmem.New()
	db := mustOpen(t, fs, small())
	col := mustCollection(t, db, engine.CollectionConfig{})
	_, err := col.Upsert(ctx, engine.Document{ID: "other", Vectors: vectors(r, 2)})
	if err = errors.Join(err, col.Flush(ctx)); err != nil {
		t.Fatal(err)
	}
	if _, err := col.Delete(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	b, err := col.Bulk(ctx, engine.BulkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Add(ctx, engine.Document{ID: "a", Vectors: vectors(r, 2)}), b.Commit(ctx), b.Close()); err != nil {
		t.Fatal(err)
	}
	clone := fs.CrashClone(vfs.CrashCloneCfg{})
	mustClose(t, db)
	db = mustOpen(t, crashmem.Wrap(clone), small())
	if col, err = db.Collection("test"); err != nil {
		t.Fatal(err)
	}
	if _, err := col.Get(ctx, "a"); err != nil {
		t.Error(err)
	}
	mustClose(t, db)
}
