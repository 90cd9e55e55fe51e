package engine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

// purgeDim is large enough that a token's bytes in a plane are like no other's.
const purgeDim = 64

// secret makes documents that can be recognised wherever they are stored.
type secret struct{ r *rand.Rand }

const (
	secretText = "e7c1-secret-text-e7c1"
	secretAttr = "e7c1-secret-attr-e7c1"
	secretID   = "e7c1-secret-id-e7c1"
)

func (s secret) matrix(tokens int) engine.Matrix {
	m := engine.Matrix{Dim: purgeDim, Data: make([]float32, tokens*purgeDim)}
	for i := range m.Data {
		m.Data[i] = float32(s.r.NormFloat64())
	}
	return m
}

func (s secret) other(i int) engine.Document {
	return engine.Document{
		ID: fmt.Sprintf("doc-%03d", i), Text: fmt.Sprintf("document %d", i), Vectors: s.matrix(2 + s.r.IntN(5)),
		Attributes: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i)),
	}
}

func (s secret) document() engine.Document {
	return engine.Document{
		ID: secretID, Text: fmt.Sprint(secretText, s.r.IntN(100)), Vectors: s.matrix(4),
		Attributes: json.RawMessage(`{"n":-1,"mark":"` + secretAttr + `"}`),
	}
}

// traces are byte strings that tell where the document is.
type traces map[string][]byte

func newTraces(docs ...engine.Document) traces {
	out := traces{"text": []byte(secretText), "attribute": []byte(secretAttr), "id": []byte(secretID)}
	for i, d := range docs {
		out[fmt.Sprint("vector of version ", i)] = float16Bytes(d.Vectors.Normalized())
	}
	return out
}

// float16Bytes is the first token as the log and plane R hold it.
func float16Bytes(m engine.Matrix) []byte { return engine.Float16(m.Row(0)) }

// find returns where the traces are: in the raw bytes of any file of a folder, and
// in what the store holds, decoded.
func (tr traces) find(t testing.TB, fsys vfs.FS, dir string, db *engine.Engine) map[string]string {
	t.Helper()
	found := map[string]string{}
	look := func(where string, b []byte) {
		for name, pattern := range tr {
			if len(pattern) > 0 && bytes.Contains(b, pattern) {
				found[name+" in "+where] = where
			}
		}
	}
	eachFile(t, fsys, dir, look)
	engine.EachStored(t, db, look)
	return found
}

func eachFile(t testing.TB, fsys vfs.FS, dir string, f func(path string, b []byte)) {
	t.Helper()
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		path := fsys.PathJoin(dir, n)
		info, err := fsys.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // Pebble removes what it does not need while it opens
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			eachFile(t, fsys, path, f)
			continue
		}
		file, err := fsys.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(file)
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		f(path, b)
	}
}

// purgeStore is a store with a document to be purged and a model of the others.
type purgeStore struct {
	fs    vfs.FS
	o     *engine.Options
	db    *engine.Engine
	col   *engine.Collection
	s     secret
	m     model
	docs  []engine.Document // versions of the secret one
	extra traces            // more of it
}

func newPurgeStore(t testing.TB, fsys vfs.FS, cfg engine.CollectionConfig, seed uint64) *purgeStore {
	o := small()
	o.KeepLogBytes, o.TrainTokens = 1<<30, 400
	o.DisableAutoCompaction = true // a search of all segments wants them to stay
	p := &purgeStore{fs: fsys, o: o, s: secret{rand.New(rand.NewPCG(seed, 61))}, m: model{}, extra: traces{}}
	p.db = mustOpen(t, fsys, o)
	cfg.Dim = purgeDim
	var err error
	if p.col, err = p.db.CreateCollection(ctx, "test", cfg); err != nil {
		t.Fatal(err)
	}
	if err := p.col.IndexAttributes(ctx, "mark", "n"); err != nil { // one more place
		t.Fatal(err)
	}
	return p
}

func (p *purgeStore) others(t testing.TB, n int) {
	t.Helper()
	for range n {
		d := p.s.other(p.s.r.IntN(60))
		if _, err := p.col.Upsert(ctx, d); err != nil {
			t.Fatal(err)
		}
		p.m.put(d)
	}
}

func (p *purgeStore) secret(t testing.TB) {
	t.Helper()
	d := p.s.document()
	p.docs = append(p.docs, d)
	// The key holds the id: it must not be stored as it is.
	if _, err := p.col.Idempotent(fmt.Sprint("write ", len(p.docs), " of ", secretID)).Upsert(ctx, d, p.s.other(99)); err != nil {
		t.Fatal(err)
	}
	p.m["doc-099"] = engine.Document{}
}

func (p *purgeStore) delete(t testing.TB) {
	t.Helper()
	if _, err := p.col.Delete(ctx, secretID); err != nil {
		t.Fatal(err)
	}
}

func (p *purgeStore) flush(t testing.TB) {
	t.Helper()
	if err := p.db.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// planes adds the document's bytes in the planes of its segment to the traces.
func (p *purgeStore) planes(t testing.TB) {
	t.Helper()
	for name, b := range engine.Planes(t, p.col, secretID) {
		if len(b) >= 48 { // of three tokens
			p.extra["plane "+name] = b[:48]
		}
	}
}

func (p *purgeStore) traces() traces {
	out := newTraces(p.docs...)
	for name, b := range p.extra {
		out[name] = b
	}
	return out
}

func (p *purgeStore) reopen(t testing.TB) {
	t.Helper()
	mustClose(t, p.db)
	p.db = mustOpen(t, p.fs, p.o)
	var err error
	if p.col, err = p.db.Collection("test"); err != nil {
		t.Fatal(err)
	}
}

// check compares the others with the model, by id: their texts are in it but for
// the one that came with the secret.
func (p *purgeStore) check(t testing.TB) {
	t.Helper()
	n := 0
	for d, err := range p.col.All(ctx, engine.WithoutVectors()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		want, ok := p.m[d.ID]
		if !ok || want.ID != "" && want.Text != d.Text {
			t.Fatalf("document %q: %+v", d.ID, d)
		}
	}
	if n != len(p.m) {
		t.Fatalf("%d documents, want %d", n, len(p.m))
	}
}

// A purged document is in no file any more, decoded or not: whatever became of it
// before, with the log kept, and other documents stay.
func TestPurge(t *testing.T) {
	lives := map[string]func(t testing.TB, p *purgeStore){
		"unsealed": func(t testing.TB, p *purgeStore) { p.secret(t) },
		"sealed":   func(t testing.TB, p *purgeStore) { p.secret(t); p.flush(t); p.planes(t) },
		"replaced unsealed": func(t testing.TB, p *purgeStore) {
			p.secret(t)
			p.others(t, 3)
			p.secret(t)
		},
		"replaced after a seal": func(t testing.TB, p *purgeStore) {
			p.secret(t)
			p.flush(t)
			p.planes(t)
			p.secret(t)
			p.others(t, 3)
		},
		"in three segments": func(t testing.TB, p *purgeStore) {
			for range 3 {
				p.secret(t)
				p.others(t, 5)
				p.flush(t)
				p.planes(t)
			}
		},
		"deleted unsealed": func(t testing.TB, p *purgeStore) { p.secret(t); p.delete(t) },
		"deleted after a seal": func(t testing.TB, p *purgeStore) {
			p.secret(t)
			p.flush(t)
			p.planes(t)
			p.delete(t)
		},
		"deleted, and that sealed": func(t testing.TB, p *purgeStore) {
			p.secret(t)
			p.flush(t)
			p.planes(t)
			p.delete(t)
			p.others(t, 3)
			p.flush(t)
		},
		"merged": func(t testing.TB, p *purgeStore) {
			p.secret(t)
			p.others(t, 60)
			if err := p.col.Compact(ctx); err != nil {
				t.Fatal(err)
			}
			p.planes(t)
		},
		"merged away": func(t testing.TB, p *purgeStore) {
			p.secret(t)
			p.flush(t)
			p.planes(t)
			p.delete(t)
			if err := p.col.Compact(ctx); err != nil {
				t.Fatal(err)
			}
		},
		"reopened": func(t testing.TB, p *purgeStore) { p.secret(t); p.reopen(t) },
		"alone in its segment": func(t testing.TB, p *purgeStore) {
			p.flush(t)
			if _, err := p.col.Upsert(ctx, p.s.document()); err != nil {
				t.Fatal(err)
			}
			p.flush(t)
			p.planes(t)
		},
	}
	configs := map[string]engine.CollectionConfig{
		"exact, raw": {Profile: engine.Exact, RetainRaw: true},
		"balanced":   {Profile: engine.Balanced},
	}
	for kind, cfg := range configs {
		for name, live := range lives {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				p := newPurgeStore(t, vfs.NewMem(), cfg, 1)
				p.others(t, 50)
				live(t, p)
				if len(p.traces().find(t, p.fs, "db", p.db)) == 0 {
					t.Fatal("the document is nowhere before: the search finds nothing")
				}
				res, err := p.col.Purge(ctx, secretID)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					for where := range p.traces().find(t, p.fs, "db", p.db) {
						t.Error("still there: ", where)
					}
					p.check(t)
					p.reopen(t)
				}
				// Again there is nothing to do.
				again, err := p.col.Purge(ctx, secretID)
				if err != nil || again.Deleted != 0 || again.Segments != 0 || again.Seq <= res.Seq {
					t.Errorf("again: %+v, %v", again, err)
				}
				for where := range p.traces().find(t, p.fs, "db", p.db) {
					t.Error("there again: ", where)
				}
				// The history of the others is kept.
				seen := map[string]bool{}
				for c, err := range p.db.Changes(ctx, 0, engine.ChangesOptions{}) {
					if err != nil {
						t.Fatal(err)
					}
					for _, op := range c.Operations {
						seen[op.ID] = true
					}
				}
				for id := range p.m {
					if !seen[id] {
						t.Errorf("the log has lost document %q", id)
					}
				}
				// The id can be used again.
				p.secret(t)
				p.flush(t)
				if d, err := p.col.Get(ctx, secretID); err != nil || d.Text != p.docs[len(p.docs)-1].Text {
					t.Errorf("written again: %+v, %v", d, err)
				}
				mustClose(t, p.db)
			})
		}
	}
}

// The search itself: in the raw files and decoded it finds each trace of a document
// that is only deleted.
func TestPurgeSearchHasPower(t *testing.T) {
	p := newPurgeStore(t, vfs.NewMem(), engine.CollectionConfig{Profile: engine.Exact, RetainRaw: true}, 2)
	p.others(t, 20)
	p.secret(t)
	p.flush(t)
	p.planes(t)
	p.delete(t)
	p.flush(t)
	found := p.traces().find(t, p.fs, "db", p.db)
	for name := range p.traces() {
		some := false
		for where := range found {
			some = some || bytes.HasPrefix([]byte(where), []byte(name+" in "))
		}
		if !some {
			t.Errorf("%s of a deleted document was not found", name)
		}
	}
	mustClose(t, p.db)
}

// Copies made before are named, as long as they are there, and are not changed:
// they hold the document and verify.
func TestPurgeNamesCopies(t *testing.T) {
	p := newPurgeStore(t, vfs.NewMem(), engine.CollectionConfig{Profile: engine.Exact}, 3)
	p.others(t, 20)
	p.secret(t)
	for _, dir := range []string{"kept", "gone"} {
		if _, err := p.db.Checkpoint(ctx, dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.db.Backup(ctx, io.Discard, engine.BackupOptions{Name: "tape 7"}); err != nil {
		t.Fatal(err)
	}
	if err := p.fs.RemoveAll("gone"); err != nil {
		t.Fatal(err)
	}
	p.reopen(t)
	res, err := p.col.Purge(ctx, secretID)
	if err != nil || len(res.Copies) != 2 || res.Copies[0].Place != "kept" || res.Copies[1].Place != "tape 7" || res.Deleted != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	if _, err := p.db.Checkpoint(ctx, "after"); err != nil {
		t.Fatal(err)
	}
	if res, err = p.col.Purge(ctx, "doc-001"); err != nil || len(res.Copies) != 3 {
		t.Fatalf("%+v, %v", res, err)
	}
	for where := range p.traces().find(t, p.fs, "db", p.db) {
		t.Error("still there: ", where)
	}
	mustClose(t, p.db)
	for dir, want := range map[string]bool{"kept": true, "after": false} {
		db, err := engine.Open(ctx, dir, &engine.Options{FS: p.fs, ReadOnly: true, MustExist: true})
		if err != nil {
			t.Fatal(err)
		}
		verify(t, db)
		col, err := db.Collection("test")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := col.Get(ctx, secretID); (err == nil) != want {
			t.Errorf("checkpoint %s: %v", dir, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A purge beside a checkpoint or backup that is being made names it: at its first
// link, when its files are read, and when it was begun after the deletion.
func TestPurgeNamesCopiesInTheMaking(t *testing.T) {
	for name, at := range map[string]func(op errorfs.Op) bool{
		"checkpoint, linking": func(op errorfs.Op) bool { return op.Kind == errorfs.OpLink && strings.HasPrefix(op.Path, "db/pebble/") },
		"checkpoint, reading": func(op errorfs.Op) bool {
			return op.Kind == errorfs.OpOpen && strings.HasPrefix(op.Path, "copy.tmp/pebble/") && strings.HasSuffix(op.Path, ".sst")
		},
		"backup, linking": func(op errorfs.Op) bool { return op.Kind == errorfs.OpLink && strings.HasPrefix(op.Path, "db/pebble/") },
		"backup, reading": func(op errorfs.Op) bool {
			return op.Kind == errorfs.OpOpen && strings.HasPrefix(op.Path, "db/backup-") && strings.HasSuffix(op.Path, ".sst")
		},
	} {
		t.Run(name, func(t *testing.T) {
			var p *purgeStore
			var armed atomic.Bool
			purged := make(chan *engine.PurgeResult, 1)
			purge := func() {
				res, err := p.col.Purge(ctx, secretID)
				if err != nil {
					t.Error(err)
				}
				purged <- res
			}
			mem := vfs.NewMem()
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if !at(op) || !armed.CompareAndSwap(true, false) {
					return nil
				}
				if strings.HasSuffix(name, "linking") { // the purge waits for the links
					go purge()
				} else {
					purge()
				}
				return nil
			}))
			p = newPurgeStore(t, fs, engine.CollectionConfig{Profile: engine.Exact}, 3)
			p.others(t, 20)
			p.secret(t)
			if err := p.db.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			armed.Store(true)
			var err error
			if strings.HasPrefix(name, "backup") {
				_, err = p.db.Backup(ctx, io.Discard, engine.BackupOptions{Name: "copy"})
			} else {
				_, err = p.db.Checkpoint(ctx, "copy")
			}
			if err != nil || armed.Load() {
				t.Fatal(err, armed.Load())
			}
			if res := <-purged; res == nil || len(res.Copies) != 1 || res.Copies[0].Place != "copy" {
				t.Errorf("the purge names no copy: %+v", res)
			}
			mustClose(t, p.db)
		})
	}
}

// Purges go on beside writers, searches and merges; what others write under other
// ids stays, and a document written under the id while a purge runs is a new one.
func TestPurgeWhileServing(t *testing.T) {
	p := newPurgeStore(t, vfs.NewMem(), engine.CollectionConfig{Profile: engine.Balanced}, 7)
	mustClose(t, p.db)
	p.o.DisableAutoCompaction = false
	p.db = mustOpen(t, p.fs, p.o)
	var err error
	if p.col, err = p.db.Collection("test"); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var mine [2]model
	for w := range mine {
		mine[w] = model{}
		s := secret{rand.New(rand.NewPCG(uint64(w), 66))}
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				d := s.other(100*(w+1) + s.r.IntN(80))
				if _, err := p.col.Upsert(ctx, d); err != nil {
					t.Error(err)
				}
				mine[w].put(d)
				if _, err := p.col.Search(ctx, engine.SearchRequest{Vectors: s.matrix(3), K: 5}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 6 {
		p.others(t, 20)
		p.secret(t)
		p.others(t, 20)
		if _, err := p.col.Purge(ctx, secretID); err != nil {
			t.Fatal(err)
		}
		if _, err := p.col.Get(ctx, secretID); !errors.Is(err, engine.ErrNotFound) {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	for _, m := range mine {
		for _, d := range m {
			p.m.put(d)
		}
	}
	p.o.DisableAutoCompaction = true
	p.reopen(t)
	for where := range p.traces().find(t, p.fs, "db", p.db) {
		t.Error("still there: ", where)
	}
	p.check(t)
	mustClose(t, p.db)
}

// Where Pebble's MANIFEST names an id, as the first or last key of a table, it is
// replaced.
func TestPurgeRenewsTheManifest(t *testing.T) {
	p := newPurgeStore(t, vfs.NewMem(), engine.CollectionConfig{Profile: engine.Exact}, 4)
	p.others(t, 30)
	p.flush(t)
	engine.ScrubID(t, p.db, secretID, func(scrubbed bool) {
		named := false
		eachFile(t, p.fs, "db", func(path string, b []byte) {
			if bytes.Contains(b, []byte(secretID)) {
				named = named || bytes.Contains([]byte(path), []byte("MANIFEST"))
				if scrubbed {
					t.Errorf("%s still has the id", path)
				}
			}
		})
		if !scrubbed && !named {
			t.Error("the MANIFEST was meant to name the id")
		}
	})
	p.check(t)
	p.reopen(t)
	p.check(t)
	mustClose(t, p.db)
}

// A purge that is interrupted leaves the document deleted, once that was durable,
// and can be repeated.
func TestPurgeAcrossCrashes(t *testing.T) {
	every := 7
	if thorough() {
		every = 1
	}
	mem := crashmem.New()
	r := rand.New(rand.NewPCG(65, 1))
	var mu sync.Mutex // the hook is called by Pebble's goroutines too
	var clones []*vfs.MemFS
	ops, armed := 0, false
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if armed && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			if ops++; ops%every == 0 {
				clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r}))
			}
		}
		return nil
	})
	arm := func(on bool) {
		mu.Lock()
		defer mu.Unlock()
		armed = on
	}
	p := newPurgeStore(t, errorfs.Wrap(mem, hook), engine.CollectionConfig{Profile: engine.Exact, RetainRaw: true}, 5)
	p.others(t, 50)
	p.secret(t)
	p.flush(t)
	p.planes(t)
	p.others(t, 5)
	p.secret(t)
	arm(true)
	if _, err := p.col.Purge(ctx, secretID); err != nil {
		t.Fatal(err)
	}
	arm(false)
	mustClose(t, p.db)
	deleted := 0
	for i, c := range clones {
		q := *p
		q.fs = c
		q.db = mustOpen(t, c, p.o)
		var err error
		if q.col, err = q.db.Collection("test"); err != nil {
			t.Fatal(err)
		}
		if _, err := q.col.Get(ctx, secretID); errors.Is(err, engine.ErrNotFound) {
			deleted++
		} else if deleted > 0 || err != nil {
			t.Errorf("clone %d: the document is back: %v", i, err)
		}
		if _, err := q.col.Purge(ctx, secretID); err != nil {
			t.Fatalf("clone %d: %v", i, err)
		}
		for where := range q.traces().find(t, c, "db", q.db) {
			t.Errorf("clone %d: still there: %s", i, where)
		}
		q.check(t)
		mustClose(t, q.db)
	}
	if len(clones) < 5 || deleted < len(clones)/2 {
		t.Errorf("%d clones, in %d the document was deleted", len(clones), deleted)
	}
}

// What cannot be purged now is refused by name; a context that ends leaves the
// documents deleted.
func TestPurgeRefuses(t *testing.T) {
	p := newPurgeStore(t, vfs.NewMem(), engine.CollectionConfig{Profile: engine.Exact}, 6)
	p.others(t, 10)
	p.secret(t)
	if _, err := p.col.Purge(ctx); !errors.Is(err, engine.ErrInvalid) {
		t.Error(err)
	}
	load, err := p.col.Bulk(ctx, engine.BulkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.col.Purge(ctx, secretID); !errors.Is(err, engine.ErrBulkOpen) {
		t.Error(err)
	}
	if err := load.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.col.Purge(ctx, secretID, "never-there"); err != nil {
		t.Error(err)
	}
	for where := range p.traces().find(t, p.fs, "db", p.db) {
		t.Error("still there: ", where)
	}
	mustClose(t, p.db)
}
