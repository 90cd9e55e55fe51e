// Command lifecost measures what documents cost over their life: the bytes that
// are written for them in all files, log, segments, merges and Pebble's own, over
// the bytes of their float16 vectors; and the disk that a store gives back when
// half of it is deleted.
//
//	go run ./scripts/lifecost -data DIR [-documents 50000] [-tokens 70] [-rounds 100] [-seal 0]
//
// DIR has emb/docs_recon.f16, [vectors][128] float16; documents are synthetic,
// made of neighbouring vectors moved at random (resample.Noise of their length).
// A life is so many rounds, each with an equal share of the documents new, 1 % of
// those that are there replaced and 1 % deleted; after each the background does
// all that is due. So merges get no chance to take several steps at once, which
// they have in a store that is written without a break.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/bytecount"
	"github.com/colbertdb-go/colbertdb/internal/resample"
	"github.com/colbertdb-go/colbertdb/scripts/internal/background"
)

const dim = 128

func main() {
	data := flag.String("data", "", "folder with emb/docs_recon.f16")
	documents := flag.Int("documents", 50_000, "documents that are written new")
	tokens := flag.Int("tokens", 70, "token vectors of each")
	rounds := flag.Int("rounds", 100, "rounds")
	seal := flag.Int("seal", 0, "documents at which buffers are sealed. Default: as the engine has it")
	only := flag.String("profile", "", "measure one: balanced, exact, raw. Default: all")
	tmp := flag.String("tmp", "", "where the stores are made. Default: the system's folder for temporary files")
	flag.Parse()
	l := life{documents: *documents, rounds: *rounds, seal: *seal, tmp: *tmp}
	if err := l.run(context.Background(), *data, *tokens, *only); err != nil {
		fmt.Fprintln(os.Stderr, "lifecost:", err)
		os.Exit(1)
	}
}

// life is what is asked for.
type life struct {
	documents, rounds, seal int
	tmp                     string
	source                  *resample.Source
}

// kind is one kind of collection, with the bound on its write amplification.
type kind struct {
	name   string
	config engine.CollectionConfig
	bound  float64 // 0: none
}

var kinds = []kind{
	{"balanced", engine.CollectionConfig{Dim: dim, Profile: engine.Balanced}, 2.2},
	{"exact", engine.CollectionConfig{Dim: dim, Profile: engine.Exact}, 3.3},
	{"raw", engine.CollectionConfig{Dim: dim, Profile: engine.Exact, RetainRaw: true}, 0},
}

func (l *life) run(ctx context.Context, data string, tokens int, only string) error {
	b, err := os.ReadFile(filepath.Join(data, "emb", "docs_recon.f16"))
	if err != nil {
		return err
	}
	if l.source, err = resample.New(engine.MatrixFromF16(dim, b), tokens); err != nil {
		return err
	}
	fmt.Println("| kind | documents written | raw | written | ratio | bound | of it log | seals | merges | Pebble | merges run | disk after half was deleted | fresh build | ratio | bound | |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|")
	failed := false
	for _, k := range kinds {
		if only != "" && only != k.name {
			continue
		}
		ok, err := l.measure(ctx, k)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		failed = failed || !ok
	}
	if failed {
		return errors.New("a bound is exceeded")
	}
	return nil
}

// measure prints one row.
func (l *life) measure(ctx context.Context, k kind) (ok bool, err error) {
	dir, err := os.MkdirTemp(l.tmp, "lifecost-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &store{life: l, dir: filepath.Join(dir, "lived"), rand: rand.New(rand.NewPCG(3, 4))}
	if err := s.open(ctx, k.config); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.db.Close()) }()
	for round := range l.rounds {
		if err := s.round(ctx, l.documents*(round+1)/l.rounds); err != nil {
			return false, err
		}
	}
	if err := s.settle(ctx); err != nil {
		return false, err
	}
	written, m := s.fs.Written(), s.db.Metrics()
	raw := l.source.Raw(s.versions)

	// Half is deleted; the documents that are left are those of a fresh build.
	s.shuffle()
	half := len(s.live) / 2
	for half > 0 {
		n := min(half, 100)
		if err := s.delete(ctx, n); err != nil {
			return false, err
		}
		half -= n
	}
	if err := s.db.Flush(ctx); err != nil { // as Options.SealAge does
		return false, err
	}
	if err := s.settle(ctx); err != nil {
		return false, err
	}
	lived, err := settledSize(s.dir)
	if err != nil {
		return false, err
	}
	fresh, err := l.fresh(ctx, filepath.Join(dir, "fresh"), k.config, s.live)
	if err != nil {
		return false, err
	}
	amplification, space := float64(written)/float64(raw), float64(lived)/float64(fresh)
	ok = (k.bound == 0 || amplification <= k.bound) && space <= 1.5
	verdict, bound := "PASS", "–"
	if !ok {
		verdict = "FAIL"
	}
	if k.bound > 0 {
		bound = fmt.Sprintf("≤ %.1f", k.bound)
	}
	part := func(n int64) string { return fmt.Sprintf("%.3f", float64(n)/float64(raw)) }
	fmt.Printf("| %s | %d | %d MB | %d MB | %.2f | %s | %s | %s | %s | %s | %d | %d MB | %d MB | %.2f | ≤ 1.5 | %s |\n",
		k.name, s.versions, raw>>20, written>>20, amplification, bound,
		part(int64(m.LogBytes)), part(m.Seal.BytesOut), part(m.Merge.BytesOut), part(int64(m.PebbleBytes)), m.Merges, lived>>20, fresh>>20, space, verdict)
	return ok, nil
}

// fresh is the disk of a store built of documents in one go.
func (l *life) fresh(ctx context.Context, dir string, c engine.CollectionConfig, live []document) (bytes int64, err error) {
	s := &store{life: l, dir: dir}
	if err := s.open(ctx, c); err != nil {
		return 0, err
	}
	for at := 0; at < len(live) && err == nil; at += 100 {
		err = s.upsert(ctx, live[at:min(at+100, len(live))])
	}
	if err == nil {
		err = s.col.Compact(ctx)
	}
	if err = errors.Join(err, s.db.Close()); err != nil { // files that nobody needs are gone
		return 0, err
	}
	return size(dir)
}

// settledSize is the size of a store's folder once it has not changed for a second:
// Pebble removes files in the background, not too many at a time.
func settledSize(dir string) (bytes int64, err error) {
	for same := 0; same < 4; time.Sleep(250 * time.Millisecond) {
		now, err := size(dir)
		if err != nil {
			return 0, err
		}
		if now == bytes {
			same++
		} else {
			same, bytes = 0, now
		}
	}
	return bytes, nil
}

// size adds up the files of a folder.
func size(dir string) (bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // Pebble has removed it meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		bytes += info.Size()
		return err
	})
	return bytes, err
}

// document is a document's id and the version of it that was written last.
type document struct{ id, version int }

// store is a store in the course of its life.
type store struct {
	*life
	dir      string
	fs       *bytecount.FS
	rand     *rand.Rand
	db       *engine.Engine
	col      *engine.Collection
	work     background.Watch
	versions int // of documents, written so far
	ids      int
	live     []document
}

func (s *store) open(ctx context.Context, c engine.CollectionConfig) (err error) {
	s.fs = bytecount.OS()
	if s.db, err = engine.Open(ctx, s.dir, &engine.Options{FS: s.fs, SealDocuments: s.seal, EventListener: s.work.Listener()}); err != nil {
		return err
	}
	if s.col, err = s.db.CreateCollection(ctx, "life", c); err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

// round makes documents new until there were that many ids, replaces 1 % and
// deletes 1 %.
func (s *store) round(ctx context.Context, ids int) error {
	var docs []document
	for ; s.ids < ids; s.ids++ {
		docs = append(docs, document{s.ids, s.versions + len(docs)})
	}
	s.live = append(s.live, docs...)
	for range len(s.live) / 100 {
		at := s.rand.IntN(len(s.live))
		s.live[at].version = s.versions + len(docs)
		docs = append(docs, s.live[at])
	}
	s.versions += len(docs)
	for at := 0; at < len(docs); at += 100 {
		if err := s.upsert(ctx, docs[at:min(at+100, len(docs))]); err != nil {
			return err
		}
	}
	s.shuffle()
	if err := s.delete(ctx, len(s.live)/100); err != nil {
		return err
	}
	return s.settle(ctx)
}

func (s *store) shuffle() {
	s.rand.Shuffle(len(s.live), func(i, j int) { s.live[i], s.live[j] = s.live[j], s.live[i] })
}

func (s *store) upsert(ctx context.Context, docs []document) error {
	batch := make([]engine.Document, len(docs))
	for i, d := range docs {
		batch[i] = engine.Document{ID: resample.ID(d.id), Vectors: s.source.Vectors(d.version)}
	}
	_, err := s.col.Upsert(ctx, batch...)
	return err
}

// delete deletes the last n.
func (s *store) delete(ctx context.Context, n int) error {
	if n == 0 {
		return nil
	}
	ids := make([]string, n)
	for i, d := range s.live[len(s.live)-n:] {
		ids[i] = resample.ID(d.id)
	}
	s.live = s.live[:len(s.live)-n]
	_, err := s.col.Delete(ctx, ids...)
	return err
}

// settle waits until the background has done what is due.
func (s *store) settle(ctx context.Context) error { return s.work.Settle(ctx, s.db) }
