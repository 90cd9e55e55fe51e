package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/judged"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
)

// Where eval keeps what it measures. One configuration of one test collection is a
// collection of the store like any other, made and synced as index does. Several have
// collections of their own, and those that differ only in what they store of the same
// vectors are copied from a store of vectors, so that each text is encoded once:
//
//	documents ─ encode ─→ vectors (float16) ─ copy ─→ exact, balanced, compact, …

// evalStore is the stores of one run.
type evalStore struct {
	cmd *evalCmd
	app *app

	dir, vectors string // folders
	temporary    string // holds those that were not named; "" for none
	several      bool   // more than one configuration or test collection
}

func (c *evalCmd) openStores(a *app, several bool) (*evalStore, error) {
	s := &evalStore{cmd: c, app: a, dir: a.DB, vectors: c.Vectors, several: several}
	if s.dir == "" || s.vectors == "" {
		var err error
		if s.temporary, err = os.MkdirTemp("", "colbertdb-eval-"); err != nil {
			return nil, err
		}
		s.dir = cmp.Or(s.dir, filepath.Join(s.temporary, "db"))
		s.vectors = cmp.Or(s.vectors, filepath.Join(s.temporary, "vectors"))
	}
	return s, nil
}

// Close removes what is temporary.
func (s *evalStore) Close() error {
	if s.temporary == "" {
		return nil
	}
	return os.RemoveAll(s.temporary)
}

// measured is a test collection in the store, as one configuration has it.
type measured struct {
	db  *engine.Engine
	col *engine.Collection
	enc encoder.Encoder

	took      time.Duration
	documents int64 // texts, of which windows are parts
}

func (m *measured) Close() error { return errors.Join(m.enc.Close(), m.db.Close()) }

// open brings the store up to date with a test collection. shared says that another
// configuration has the same vectors.
func (s *evalStore) open(set *judged.Collection, c *evalConfig, shared bool) (_ *measured, err error) {
	db, err := engine.Open(s.app.ctx, s.dir, &engine.Options{Logger: s.app.logger(), TrainTokens: trainTokens, KeepLogAge: s.app.KeepLogs})
	if err != nil {
		return nil, err
	}
	m := &measured{db: db}
	defer func() {
		if err != nil {
			if m.enc != nil {
				err = errors.Join(err, m.enc.Close())
			}
			err = errors.Join(err, db.Close())
		}
	}()
	start := time.Now()
	if s.several && (shared || s.cmd.Vectors != "") {
		err = s.copy(m, set, c)
	} else if err = s.index(m, set, c); err == nil {
		err = makeReady(s.app, m.col)
	}
	if err != nil {
		return nil, err
	}
	m.took = time.Since(start)
	seen := map[string]bool{}
	for d, err := range m.col.All(s.app.ctx, engine.WithoutVectors()) {
		if err != nil {
			return nil, err
		}
		seen[passageID(d.ID, d.Attributes)] = true
	}
	m.documents = int64(len(seen))
	return m, nil
}

// index makes or syncs the collection that is measured.
func (s *evalStore) index(m *measured, set *judged.Collection, c *evalConfig) error {
	name := s.app.Collection
	if s.several {
		name = collectionName(set, c, c.storage())
	}
	var recorded *engine.Model
	if col, err := m.db.Collection(name); err == nil {
		recorded = col.Info().Model
		if err := s.cmd.agrees(col.Info(), c); err != nil {
			return err
		}
	} else if !errors.Is(err, engine.ErrCollectionNotFound) {
		return err
	}
	var err error
	if m.enc, err = c.open(s.app, recorded); err != nil {
		return err
	}
	return s.fill(m, m.db, set, c, name, engine.CollectionConfig{Profile: c.Profile, RetainRaw: c.RetainRaw, Encoder: m.enc}, c.Pool)
}

// agrees checks the flags against a collection that is there.
func (c *evalCmd) agrees(info engine.CollectionInfo, one *evalConfig) error {
	if c.Profile != "" && one.Profile != info.Profile || one.RetainRaw && !info.RetainRaw {
		return fmt.Errorf("%w: %q has profile %s, retain_raw %t; --profile and --retain-raw are for new collections",
			engine.ErrCollectionExists, info.Name, info.Profile, info.RetainRaw)
	}
	return nil
}

// collectionName is the collection of a configuration: words that people know it by,
// and a digest of all that its content depends on.
func collectionName(set *judged.Collection, c *evalConfig, storage string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{set.Name, c.encoding(), storage, set.Rules.String()}, "\x00")))
	word := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(set.Name))
	return fmt.Sprintf("e-%.30s-%s-%s", word, storage, hex.EncodeToString(sum[:4]))
}

// fill syncs a collection with the documents, encoding what is new.
func (s *evalStore) fill(m *measured, db *engine.Engine, set *judged.Collection, c *evalConfig, name string, cfg engine.CollectionConfig, pool int) error {
	a := s.app
	in, err := set.Documents()
	if err != nil {
		return err
	}
	empty := 0
	r := &report{onProblem: func(p *ingest.Problem) {
		if errors.Is(p, ingest.ErrEmpty) {
			empty++
			return
		}
		fmt.Fprintf(a.stderr, "colbertdb: %v\n", p)
	}}
	i := indexCmd{NoWindows: c.NoWindows, passages: s.cmd.Rerank != ""}
	col, err := db.CreateCollection(a.ctx, name, cfg)
	if errors.Is(err, engine.ErrCollectionExists) {
		col, err = db.Collection(name, engine.WithEncoder(m.enc))
	}
	if err != nil {
		return err
	}
	m.col = col
	if s.cmd.Rerank != "" {
		if err := col.IndexAttributes(a.ctx, attrPassage); err != nil {
			return err
		}
	}
	start := time.Now()
	p := i.pipeline(a, r)
	p.col, p.dim, p.encoder = col, col.Info().Dim, encoder.Pooling(m.enc, pool)
	if p.known, _, err = loadKnown(a.ctx, col); err != nil {
		return err
	}
	if _, err := i.run(a, p, []source{{in.Source(), in}}, r); err != nil {
		return err
	}
	if failed := r.Failed - empty; failed > 0 {
		return fmt.Errorf("%d documents of %s could not be indexed: the figures would not be comparable", failed, set.Dir)
	}
	if empty > 0 {
		a.note("%s documents are empty and can never be found", render.Count(int64(empty)))
	}
	if r.Documents > 0 {
		a.note("indexed %s documents, %s tokens in %s", render.Count(r.Documents), render.Count(r.Tokens), render.Duration(time.Since(start)))
	}
	return nil
}

// copy makes the collection that is measured of what the store of vectors has. Its
// name tells of which state: a collection of an earlier one makes way.
func (s *evalStore) copy(m *measured, set *judged.Collection, c *evalConfig) (err error) {
	ctx := s.app.ctx
	if m.enc, err = c.open(s.app, nil); err != nil {
		return err
	}
	source, err := engine.Open(ctx, s.vectors, &engine.Options{Logger: s.app.logger(), TrainTokens: math.MaxInt64})
	if err != nil {
		return err
	}
	defer closing(&err, source)
	from := measured{enc: m.enc}
	if err := s.fill(&from, source, set, c, collectionName(set, c, "vectors"), engine.CollectionConfig{Profile: engine.Compact, RetainRaw: true, Encoder: m.enc}, 1); err != nil {
		return err
	}
	info := from.col.Info()
	base := collectionName(set, c, c.storage())
	state, err := stateOf(ctx, from.col)
	if err != nil {
		return err
	}
	name := base + "-" + state
	for _, old := range m.db.Collections() {
		if strings.HasPrefix(old.Name, base+"-") && old.Name != name {
			if err := m.db.DropCollection(ctx, old.Name); err != nil {
				return err
			}
		}
	}
	m.col, err = m.db.Collection(name, engine.WithEncoder(m.enc))
	if err == nil && m.col.Info().Documents == info.Documents {
		return nil
	}
	if err == nil { // broken off
		err = m.db.DropCollection(ctx, name)
	}
	if err != nil && !errors.Is(err, engine.ErrCollectionNotFound) {
		return err
	}
	s.app.note("storing %s token vectors as %s", render.Count(info.Tokens), c.storage())
	if m.col, err = m.db.CreateCollection(ctx, name, engine.CollectionConfig{Profile: c.Profile, RetainRaw: c.RetainRaw, Encoder: m.enc}); err != nil {
		return err
	}
	if s.cmd.Rerank != "" {
		if err := m.col.IndexAttributes(ctx, attrPassage); err != nil {
			return err
		}
	}
	if err := copyAll(ctx, from.col, m.col, c.Pool); err != nil {
		return err
	}
	return m.col.Compact(ctx)
}

// stateOf tells what documents a collection has, whatever else its store has: their
// attributes hold the hashes of their texts.
func stateOf(ctx context.Context, col *engine.Collection) (string, error) {
	var sum uint64
	for d, err := range col.All(ctx, engine.WithoutVectors()) {
		if err != nil {
			return "", err
		}
		h := sha256.New()
		fmt.Fprintf(h, "%q %s", d.ID, d.Attributes)
		sum += binary.LittleEndian.Uint64(h.Sum(nil))
	}
	return fmt.Sprintf("%08x", uint32(sum^sum>>32)), nil
}

// copyAll copies documents with their vectors, pooled by a factor.
func copyAll(ctx context.Context, from, to *engine.Collection, factor int) error {
	load, err := to.Bulk(ctx, engine.BulkOptions{ExpectedTokens: from.Info().Tokens / int64(max(1, factor))})
	if err != nil {
		return err
	}
	batch := make([]engine.Document, 0, batchDocuments)
	flush := func() error {
		var workers errgroup.Group
		workers.SetLimit(runtime.GOMAXPROCS(0))
		for i := range batch {
			workers.Go(func() error {
				batch[i].Vectors = encoder.Pool(batch[i].Vectors, factor)
				return nil
			})
		}
		err := workers.Wait()
		for _, d := range batch {
			if err == nil {
				err = load.Add(ctx, d)
			}
		}
		batch = batch[:0]
		return err
	}
	for d, err := range from.All(ctx) {
		if err == nil {
			batch = append(batch, *d)
		}
		if err == nil && len(batch) == cap(batch) {
			err = flush()
		}
		if err != nil {
			return errors.Join(err, load.Close())
		}
	}
	return errors.Join(flush(), load.Commit(ctx), load.Close())
}

// sharedEncodings are those that more than one kind of storage needs.
func sharedEncodings(configs []evalConfig) map[string]bool {
	stored := map[string][]string{}
	out := map[string]bool{}
	for i := range configs {
		c := &configs[i]
		e := c.encoding()
		if !slices.Contains(stored[e], c.storage()) {
			stored[e] = append(stored[e], c.storage())
		}
		out[e] = len(stored[e]) > 1
	}
	return out
}

// forget removes what temporary stores have, between test collections: a suite's do
// not fit beside one another.
func (s *evalStore) forget() error {
	if s.temporary == "" {
		return nil
	}
	return errors.Join(os.RemoveAll(s.temporary), os.MkdirAll(s.temporary, 0o700))
}
