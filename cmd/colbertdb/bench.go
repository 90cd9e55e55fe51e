package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/bench"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/render"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/benchdoc"
	"github.com/colbertdb-go/colbertdb/query/eval"
)

type benchCmd struct {
	Inputs   []string `arg:"" type:"existingdir" help:"BEIR folders, or folders of NumPy vectors: docs.npy, doclens.npy, queries.npy, querylens.npy. Several are one collection."`
	Split    []string `default:"test" placeholder:"NAME" help:"Judgments, qrels/NAME.tsv, whose queries are asked; of several names the first that a folder has."`
	Vectors  string   `placeholder:"DIR" help:"Folder that keeps the vectors of BEIR folders, so that they are encoded once. Default: they are encoded each time."`
	Profiles []string `default:"exact" help:"exact, balanced, compact."`
	Sweep    []string `default:"fast,default,high" help:"Efforts, or probes/candidates/full scores such as 16/2048/128."`
	K        []int    `short:"k" default:"10" help:"Numbers of hits."`
	Queries  int      `default:"1000" help:"At most so many queries of each input, spread over all."`
	ExactOf  int      `default:"100" help:"So many queries are also searched exactly over the stored planes, for candidate recall."`
	Threads  int      `default:"1" help:"Threads that ask at once, for queries a second."`
	Text     bool     `help:"Store the texts of BEIR folders too, so that the collections calibrate with sentences."`
	Budget   int64    `placeholder:"BYTES" help:"Memory for columns. Default: a quarter of the machine's."`
	Resample int      `placeholder:"N" help:"Measure so many synthetic documents instead, made of the inputs' token vectors with noise."`
	Tokens   int      `default:"70" help:"Tokens of a synthetic document."`
	Seed     uint64   `default:"1" help:"Of synthetic documents."`
	SVG      string   `name:"svg" placeholder:"FILE" help:"Plot recall over latency, for the first k."`
	Markdown string   `placeholder:"FILE#NAME" help:"Put the report between <!-- bench NAME --> and <!-- end --> of a file."`
}

// Run builds a store of the inputs for each profile and asks the queries. With
// --db the stores are kept, and found there the next time.
func (c *benchCmd) Run(a *app) (err error) {
	if len(c.K) == 0 || slices.Min(c.K) < 1 || c.Threads < 1 {
		return usagef("-k and --threads must be at least 1")
	}
	report, section, ok := strings.Cut(c.Markdown, "#")
	if c.Markdown != "" && !ok {
		return usagef("--markdown %s: want FILE#NAME", c.Markdown)
	}
	var points []bench.Point
	for _, s := range c.Sweep {
		p, err := bench.ParsePoint(s)
		if err != nil {
			return usageError{err}
		}
		points = append(points, p)
	}
	var profiles []engine.Profile
	for _, s := range c.Profiles {
		p, err := engine.ParseProfile(s)
		if err != nil {
			return usageError{err}
		}
		profiles = append(profiles, p)
	}
	work, err := os.MkdirTemp("", "colbertdb-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	set, enc, err := c.set(a, cmp.Or(c.Vectors, work))
	if enc != nil {
		defer closing(&err, enc)
	}
	if err != nil {
		return err
	}
	if !c.Text {
		enc = nil
	}
	if len(set.Queries) == 0 {
		return fmt.Errorf("%s has no queries to ask; --split names the judgments whose queries are taken", set.Name)
	}
	db, err := engine.Open(a.ctx, cmp.Or(a.DB, filepath.Join(work, "db")), &engine.Options{Logger: a.logger(), MemoryBudget: c.Budget})
	if err != nil {
		return err
	}
	defer closing(&err, db)
	r, err := c.measure(a, db, set, enc, profiles, points)
	if err != nil {
		return err
	}
	if c.SVG != "" {
		if err := os.WriteFile(c.SVG, []byte(r.SVG(c.K[0])), 0o644); err != nil {
			return err
		}
	}
	if c.Markdown != "" {
		if err := benchdoc.WriteSection(report, section, r.Markdown()); err != nil {
			return err
		}
	}
	if a.JSON {
		return a.printJSON(r)
	}
	a.printf("%s", r.Text())
	return nil
}

// set opens the inputs, encoding what is text with an encoder, which is the caller's
// to close where it is returned.
func (c *benchCmd) set(a *app, cache string) (set *bench.Set, enc encoder.Encoder, err error) {
	set = &bench.Set{}
	for _, in := range c.Inputs {
		dir, name := in, filepath.Base(in)
		if !bench.IsVectors(in) {
			if enc == nil {
				if enc, err = a.loadModel(cmp.Or(a.Model, modelBundled)); err != nil {
					return nil, enc, err
				}
			}
			info := enc.Info()
			dir = filepath.Join(cache, fmt.Sprintf("%s-%.12s", name, info.Fingerprint))
			if !bench.IsVectors(dir) {
				a.note("encoding %s with %s", in, info.Name)
				if err := c.encode(a, enc, in, dir); err != nil {
					return nil, enc, err
				}
			}
		}
		judged := ""
		for _, s := range c.Split {
			path := filepath.Join(in, "qrels", s+".tsv")
			if _, err := os.Stat(path); err == nil && judged == "" {
				judged = path
			}
		}
		if judged == "" && !bench.IsVectors(in) {
			return nil, enc, fmt.Errorf("%s has no qrels/%s.tsv: --split names the judgments", in, strings.Join(c.Split, ".tsv, "))
		}
		if err := set.Add(dir, name, judged, c.Queries); err != nil {
			return nil, enc, err
		}
		if c.Text && !bench.IsVectors(in) {
			texts, err := readTexts(a.ctx, in)
			if err != nil {
				return nil, enc, err
			}
			set.AddTexts(texts)
		}
	}
	if c.Resample > 0 {
		err = set.Resample(c.Resample, c.Tokens, c.Seed)
	}
	return set, enc, err
}

// readTexts reads the documents of a BEIR folder, by id.
func readTexts(ctx context.Context, dir string) (map[string]string, error) {
	docs, err := ingest.Open(dir, ingest.Options{Format: ingest.BEIR}, nil)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for d, err := range docs.Passages(ctx) {
		if err != nil && !errors.Is(err, ingest.ErrEmpty) {
			return nil, err
		}
		texts[d.ID] = d.Text
	}
	return texts, nil
}

// encode writes the vectors of a BEIR folder to another, in place only when they
// are whole.
func (c *benchCmd) encode(a *app, enc encoder.Encoder, in, dir string) error {
	part := dir + ".part"
	if err := errors.Join(os.RemoveAll(part), os.MkdirAll(part, 0o755)); err != nil {
		return err
	}
	queries, err := readQueries(a.ctx, in)
	if err != nil {
		return err
	}
	if queries, err = c.judged(in, queries); err != nil {
		return err
	}
	v, err := bench.CreateVectors(part, enc.Info().Dim)
	if err != nil {
		return err
	}
	docs, err := ingest.Open(in, ingest.Options{Format: ingest.BEIR}, nil)
	if err != nil {
		return errors.Join(err, v.Close())
	}
	if err := errors.Join(encodeSet(a.ctx, enc, docs, queries, v), v.Close()); err != nil {
		return err
	}
	return os.Rename(part, dir)
}

// judged are the queries that some judgments of a folder name: others are not
// worth encoding.
func (c *benchCmd) judged(in string, queries []ingest.Passage) ([]ingest.Passage, error) {
	files, err := filepath.Glob(filepath.Join(in, "qrels", "*.tsv"))
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, f := range files {
		q, err := eval.ReadQrelsFile(f)
		if err != nil {
			return nil, err
		}
		for id := range q {
			known[id] = true
		}
	}
	return slices.DeleteFunc(queries, func(q ingest.Passage) bool { return !known[q.ID] }), nil
}

// encodeSet passes the vectors of documents and queries on. Documents are cut at
// the model's window, as published figures do.
func encodeSet(ctx context.Context, enc encoder.Encoder, docs *ingest.Input, queries []ingest.Passage, v *bench.Vectors) error {
	const batch = 256 // long enough that documents of like length meet
	var texts, ids []string
	flush := func() error {
		encoded, err := enc.EncodeDocuments(ctx, texts)
		if err != nil {
			return err
		}
		for i, d := range encoded {
			if err := v.AddDocument(ids[i], d.Vectors); err != nil {
				return err
			}
		}
		texts, ids = texts[:0], ids[:0]
		return nil
	}
	for d, err := range docs.Passages(ctx) {
		if errors.Is(err, ingest.ErrEmpty) {
			continue
		}
		if err != nil {
			return err
		}
		texts, ids = append(texts, d.Text), append(ids, d.ID)
		if len(texts) == batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := flush(); err != nil {
		return err
	}
	for chunk := range slices.Chunk(queries, batch) {
		texts = texts[:0]
		for _, q := range chunk {
			texts = append(texts, q.Text)
		}
		encoded, err := enc.EncodeQueries(ctx, texts)
		if err != nil {
			return err
		}
		for i, q := range encoded {
			if err := v.AddQuery(bench.Query{ID: chunk[i].ID, Vectors: q.Vectors, Weights: q.Weights}); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure fills in the report.
func (c *benchCmd) measure(a *app, db *engine.Engine, set *bench.Set, enc encoder.Encoder, profiles []engine.Profile, points []bench.Point) (*bench.Report, error) {
	r := &bench.Report{
		Machine: benchdoc.ThisMachine(revision()), Command: "colbertdb " + strings.Join(os.Args[1:], " "), Name: set.Name,
		Documents: set.Documents, Tokens: set.Tokens, Dim: set.Dim, Queries: len(set.Queries),
	}
	greatest := slices.Max(c.K)
	progress := func() (func(done int), func()) {
		bar := a.bar()
		return func(done int) { bar.Update(int64(done), int64(set.Documents), int64(done), 0, 0) }, bar.Close
	}
	a.note("exact MaxSim of %d queries with %s token vectors", len(set.Queries), render.Count(set.Tokens))
	update, done := progress()
	truth, err := bench.Truth(a.ctx, set, max(greatest, 10), update)
	done()
	if err != nil {
		return nil, err
	}
	if set.Qrels != nil {
		run := eval.Run{}
		for i, q := range set.Queries {
			run[q.ID] = truth[i]
		}
		r.FloatNDCG = eval.Evaluate(set.Qrels, run, 10).NDCG
	}
	for _, profile := range profiles {
		a.note("profile %s", profile)
		update, done := progress()
		store, err := bench.Build(a.ctx, db, set, engine.CollectionConfig{Dim: set.Dim, Profile: profile, Encoder: enc}, update)
		done()
		if err != nil {
			return nil, err
		}
		p := bench.Profile{
			Profile: profile.String(), Built: store.Built, Cells: store.Info.Cells, Centroids: store.Info.Centroids, Segments: store.Info.Segments,
			Stats: store.Info.Calibration, BytesPerToken: float64(store.Info.Bytes) / float64(max(1, store.Info.Tokens)),
		}
		for _, k := range c.K {
			exact, times, err := store.Exact(a.ctx, k, c.ExactOf)
			if err != nil {
				return nil, err
			}
			p.Exact = append(p.Exact, store.ScoreExact(exact, truth, k, times))
			for _, point := range points {
				m, err := store.Measure(a.ctx, point, k, truth, exact, c.Threads)
				if err != nil {
					return nil, err
				}
				p.Points = append(p.Points, m)
			}
		}
		p.RSS, p.Pinned = bench.ResidentBytes(), store.PinnedPerToken()
		r.Profiles = append(r.Profiles, p)
	}
	return r, nil
}

// revision is the commit that the program was built from, where Go knows it.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return ""
}

// readQueries reads queries.jsonl.
func readQueries(ctx context.Context, dir string) ([]ingest.Passage, error) {
	in, err := ingest.Open(filepath.Join(dir, "queries.jsonl"), ingest.Options{Format: ingest.JSONL}, nil)
	if err != nil {
		return nil, err
	}
	var out []ingest.Passage
	for q, err := range in.Passages(ctx) {
		if err != nil {
			return nil, err
		}
		out = append(out, q)
	}
	return out, nil
}
