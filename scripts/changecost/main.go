// Command changecost measures what one change costs in a small and in a large
// store, what searches feel of the work in the background, and how soon it stops. It prints a table
// with a bound for each figure and fails where one is exceeded.
//
//	go run ./scripts/changecost -data DIR [-small 10000] [-large 100000] [-tokens 70] [-profile exact]
//
// DIR is a collection in BEIR layout: some of its documents and its queries are
// encoded with the bundled model, and the stores hold synthetic documents, made of
// neighbouring token vectors of them moved at random (resample.Noise of their
// length). docs/benchmarks.md has its figures.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/bytecount"
	"github.com/colbertdb-go/colbertdb/internal/resample"
	"github.com/colbertdb-go/colbertdb/scripts/internal/background"
)

func main() {
	data := flag.String("data", "", "folder in BEIR layout")
	small := flag.Int("small", 10_000, "documents of the small store")
	large := flag.Int("large", 100_000, "documents of the large store")
	tokens := flag.Int("tokens", 70, "token vectors of each document")
	profile := flag.String("profile", "exact", "exact, balanced or compact")
	upserts := flag.Int("upserts", 500, "upserts of a run; each store has five runs")
	only := flag.String("only", "", "measure one part: changes, searches or stops. Default: all")
	tmp := flag.String("tmp", "", "where the stores are made. Default: the system's folder for temporary files")
	flag.Parse()
	p, err := engine.ParseProfile(*profile)
	if err == nil {
		b := &bench{profile: p, upserts: *upserts}
		err = b.run(context.Background(), *data, *tmp, *only, *tokens, *small, *large)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "changecost:", err)
		os.Exit(1)
	}
}

// bench is one run of the program.
type bench struct {
	profile engine.Profile
	upserts int
	source  *resample.Source
	queries []query
	table   table
}

type query struct {
	vectors engine.Matrix
	weights []float32
}

func (b *bench) run(ctx context.Context, data, tmp, only string, tokens, small, large int) (err error) {
	if err := b.encode(ctx, data, tokens); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(tmp, "changecost-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	fmt.Printf("synthetic documents of %d tokens, profile %s; %s, %d cores, %s\n", tokens, b.profile, runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version())
	s := b.newStore(dir, large)
	if err := s.build(ctx); err != nil {
		return err
	}
	if only == "" || only == "changes" {
		if err := b.changes(ctx, b.newStore(dir, small), s); err != nil {
			return err
		}
		for _, writers := range []int{1, 16} {
			if err := b.sustained(ctx, s, writers); err != nil {
				return err
			}
		}
	}
	if only == "" || only == "searches" {
		if err := b.searches(ctx, s); err != nil {
			return err
		}
	}
	if only == "" || only == "stops" {
		if err := b.stops(ctx, s); err != nil {
			return err
		}
	}
	if err := s.db.Close(); err != nil {
		return err
	}
	return b.table.print()
}

// baseTokens is how many vectors of real documents are resampled.
const baseTokens = 100_000

// encode fills in source and queries.
func (b *bench) encode(ctx context.Context, data string, tokens int) error {
	docs, err := texts(filepath.Join(data, "corpus.jsonl"), 20_000)
	if err != nil {
		return err
	}
	questions, err := texts(filepath.Join(data, "queries.jsonl"), 100)
	if err != nil {
		return err
	}
	enc, err := bundled.Open()
	if err != nil {
		return err
	}
	defer enc.Close()
	base := engine.Matrix{Dim: enc.Info().Dim}
	for at := 0; at < len(docs) && base.Len() < baseTokens; at += 64 {
		out, err := enc.EncodeDocuments(ctx, docs[at:min(at+64, len(docs))])
		if err != nil {
			return err
		}
		for _, d := range out {
			base.Data = append(base.Data, d.Vectors.Data...)
		}
	}
	out, err := enc.EncodeQueries(ctx, questions)
	if err != nil {
		return err
	}
	for _, q := range out {
		b.queries = append(b.queries, query{q.Vectors, q.Weights})
	}
	b.source, err = resample.New(base, tokens)
	return err
}

// texts reads the first n documents or queries of a file.
func texts(path string, n int) (out []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 64<<20)
	for len(out) < n && s.Scan() {
		var line struct{ Title, Text string }
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, line.Title+" "+line.Text)
	}
	return out, s.Err()
}

// store is one store under measurement.
type store struct {
	*bench
	dir       string
	fs        *bytecount.FS
	documents int // that it was built with
	made      int // versions of documents made since
	db        *engine.Engine
	col       *engine.Collection
	work      background.Watch
}

func (b *bench) newStore(dir string, documents int) *store {
	return &store{bench: b, dir: filepath.Join(dir, fmt.Sprint(documents)), fs: bytecount.OS(), documents: documents}
}

// open opens the store, closing it first where it is open.
func (s *store) open(ctx context.Context, o engine.Options) (err error) {
	if s.db != nil {
		if err := s.db.Close(); err != nil {
			return err
		}
	}
	o.FS, o.EventListener = s.fs, s.work.Listener()
	if s.db, err = engine.Open(ctx, s.dir, &o); err != nil {
		return err
	}
	s.col, err = s.db.CreateCollection(ctx, "bench", engine.CollectionConfig{Dim: s.queries[0].vectors.Dim, Profile: s.profile})
	return err
}

// build loads the documents.
func (s *store) build(ctx context.Context) error {
	start := time.Now()
	if err := s.open(ctx, engine.Options{}); err != nil {
		return err
	}
	load, err := s.col.Bulk(ctx, engine.BulkOptions{ExpectedTokens: int64(s.documents) * int64(s.source.Tokens)})
	if err != nil {
		return err
	}
	defer load.Close()
	for i := range s.documents {
		if err := load.Add(ctx, s.source.Document(i)); err != nil {
			return err
		}
	}
	if err := load.Commit(ctx); err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	info := s.col.Info()
	fmt.Fprintf(os.Stderr, "%d documents loaded in %.0f s, %d segments\n", info.Documents, time.Since(start).Seconds(), info.Segments)
	return nil
}

// next makes the document of the next change: by turns a new one and a new
// version of one that the store was built with, spread over all of them.
func (s *store) next() engine.Document {
	n := s.made
	s.made++
	d := engine.Document{ID: resample.ID(s.documents + n), Vectors: s.source.Vectors(s.documents + n)}
	if n%2 == 1 {
		d.ID = resample.ID(n * 7919 % s.documents)
	}
	return d
}

// settle waits until the background has nothing left to do.
func (s *store) settle(ctx context.Context) error { return s.work.Settle(ctx, s.db) }
