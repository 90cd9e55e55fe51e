package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/colbertdb-go/colbertdb/cmd/colbertdb/internal/ingest"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
)

// The pipeline of index: read and compare, then split and encode, then store,
// each in a goroutine, with short queues between them so that memory is bounded
// by a few batches.
//
//	ingest.Input ─ jobs ─→ encode ─ batches ─→ Upsert, Delete; Bulk once there are many (load.go)
const (
	batchDocuments = 128       // windows encoded and stored in one step
	batchBytes     = 512 << 10 // of their text

	// windowOverlap is the share of a window, 1/10, that the next one repeats.
	windowOverlap = 10
)

// pipeline indexes inputs into one collection.
type pipeline struct {
	col      remote.Collection // nil until the first passage makes it
	dim      int
	known    known
	contents *contents // nil: every text is encoded
	windows  bool
	// serverEncodes: the collection is a server's, which gets texts.
	serverEncodes bool
	// passages gives every document the attribute that windows have, the id of its
	// passage, so that a filter can name passages.
	passages bool

	bulkAfter int64 // documents upserted before the rest goes through a load

	// create makes a collection that is not there yet: for an encoder, or for
	// vectors of a dimension. load gets the collection's encoder.
	create        func(enc encoder.Encoder, dim int) (*engine.Collection, error)
	load          func() (encoder.Encoder, error)
	explicitModel bool            // --model: the collection is made for it, whatever comes first
	encoder       encoder.Encoder // once loaded; the owner of the pipeline closes it

	report *report
	done   func(*encodedJob) // is called with what was stored, unless nil
	tokens atomic.Int64      // encoded
	stored atomic.Int64      // documents
	read   atomic.Int64      // passages
	// progress is called now and then.
	progress func()
	log      *slog.Logger // every acknowledged step
}

// model loads the encoder when the first text needs it.
func (p *pipeline) model() (encoder.Encoder, error) {
	if p.encoder != nil {
		return p.encoder, nil
	}
	enc, err := p.load()
	if err == nil {
		p.encoder = enc
	}
	return enc, err
}

// ensure makes the collection for the first passage.
func (p *pipeline) ensure(first *ingest.Passage) (err error) {
	if p.col != nil {
		return nil
	}
	var enc encoder.Encoder
	p.dim = first.Vectors.Dim
	if p.dim == 0 || p.explicitModel {
		if enc, err = p.model(); err != nil {
			return err
		}
		p.dim = enc.Info().Dim
	}
	col, err := p.create(enc, p.dim)
	if err != nil {
		return err
	}
	p.col = col
	return nil
}

// batch is encoded and ready to be stored.
type batch struct {
	jobs []encodedJob
}

// encodedJob is a passage with its documents, one or one a window.
type encodedJob struct {
	job
	docs []engine.Document
}

// source is an input and the name under which its passages are stored.
type source struct {
	name  string
	input *ingest.Input
}

// run takes every passage of the sources through the pipeline. It returns the
// names of the sources that were read without a problem.
func (p *pipeline) run(ctx context.Context, sources []source) (clean map[string]bool, err error) {
	jobs := make(chan job, 64)
	batches := make(chan batch, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(jobs)
		clean, err = p.produce(ctx, sources, jobs)
		return err
	})
	g.Go(func() error {
		defer close(batches)
		return p.encode(ctx, jobs, batches)
	})
	g.Go(func() error { return p.store(ctx, batches) })
	return clean, g.Wait()
}

// produce reads the sources and passes on what is to be stored.
func (p *pipeline) produce(ctx context.Context, sources []source, jobs chan<- job) (map[string]bool, error) {
	clean := map[string]bool{}
	for _, s := range sources {
		problems := 0
		for passage, err := range s.input.Passages(ctx) {
			p.progress()
			var problem *ingest.Problem
			if errors.As(err, &problem) {
				problems++
				p.report.problem(problem)
				continue
			}
			if err != nil {
				return nil, err
			}
			p.read.Add(1)
			j := p.known.compare(passage, s.name, p.hash(&passage))
			if j.change == unchanged && len(j.old) == 0 {
				p.report.count(unchanged, 1)
				continue
			}
			select {
			case jobs <- j:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		clean[s.name] = problems == 0
	}
	return clean, nil
}

// hash tells a passage split into windows from one that is cut.
func (p *pipeline) hash(passage *ingest.Passage) string {
	h := passage.Hash()
	if !p.windows && passage.Vectors.Dim == 0 {
		h += "-cut"
	}
	if p.passages {
		h += "-passage"
	}
	return h
}

// fail reports that a passage could not be stored.
func (p *pipeline) fail(j *job, err error) {
	p.report.problem(&ingest.Problem{File: j.passage.Path, Line: j.passage.Line, Err: fmt.Errorf("%q: %w", j.passage.ID, err)})
}

// encode splits passages and encodes their windows, a batch at a time.
func (p *pipeline) encode(ctx context.Context, jobs <-chan job, batches chan<- batch) error {
	var b batch
	texts, bytes := 0, 0
	flush := func() error {
		if len(b.jobs) == 0 {
			return nil
		}
		if err := p.encodeBatch(ctx, &b); err != nil {
			return err
		}
		select {
		case batches <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
		b, texts, bytes = batch{}, 0, 0
		return nil
	}
	for j := range jobs {
		e := encodedJob{job: j}
		if j.change != unchanged {
			if err := p.split(&e); err != nil {
				var fatal fatalError
				if errors.As(err, &fatal) {
					return fatal.error
				}
				p.fail(&j, err)
				continue
			}
		}
		b.jobs = append(b.jobs, e)
		for i := range e.docs {
			bytes += len(e.docs[i].Text)
			if e.docs[i].Vectors.Dim == 0 {
				texts++
			}
		}
		if texts >= batchDocuments || len(b.jobs) >= batchDocuments || bytes >= batchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// fatalError ends the whole run, not only one passage.
type fatalError struct{ error }

// split makes the documents of a passage, still without vectors.
func (p *pipeline) split(e *encodedJob) error {
	passage := &e.passage
	type piece struct {
		text string
		at   int
	}
	if err := p.ensure(passage); err != nil {
		return fatalError{err}
	}
	pieces := []piece{{text: passage.Text}}
	if passage.Vectors.Dim != 0 {
		if passage.Vectors.Dim != p.dim {
			return fmt.Errorf("%w: vectors have dimension %d, the collection %d", engine.ErrDimension, passage.Vectors.Dim, p.dim)
		}
		if err := passage.Vectors.Validate(); err != nil {
			return err
		}
	} else if p.serverEncodes && !p.windows {
		// nothing here needs the model
	} else if enc, err := p.model(); errors.Is(err, engine.ErrNoEncoder) {
		return err // a collection of vectors
	} else if err != nil {
		return fatalError{err}
	} else if p.windows {
		pieces = pieces[:0]
		for _, w := range enc.Windows(passage.Text, enc.Info().DocMaxLen/windowOverlap) {
			pieces = append(pieces, piece{passage.Text[w.Start:w.End], w.Start})
		}
		if len(pieces) == 0 {
			return engine.ErrNoVectors
		}
	}
	if len(pieces) > engine.MaxBatchDocuments {
		return fmt.Errorf("%d windows, the limit is %d", len(pieces), engine.MaxBatchDocuments)
	}
	for i, w := range pieces {
		line := passage.Line
		if i > 0 {
			line = passage.LineAt(w.at)
		}
		attributes, err := attributesOf(passage, e.source, e.hash, i+1, len(pieces), line, p.passages)
		if err != nil {
			return err
		}
		id := passage.ID
		if i > 0 {
			id += "#" + strconv.Itoa(i+1)
		}
		e.docs = append(e.docs, engine.Document{ID: id, Text: w.text, Vectors: passage.Vectors, Attributes: attributes})
	}
	return nil
}

// encodeBatch fills in the vectors of a batch's documents: those that there are of the
// same text, else the model's. A text that occurs twice is encoded once.
func (p *pipeline) encodeBatch(ctx context.Context, b *batch) error {
	var texts []string
	of := map[string][]*engine.Document{} // documents without vectors by their texts
	for _, e := range b.jobs {
		for i := range e.docs {
			d := &e.docs[i]
			if d.Vectors.Dim != 0 {
				continue
			}
			if m, ok := p.contents.find(ctx, p.col, d.Text); ok {
				d.Vectors = m
				p.report.reused()
				continue
			}
			if of[d.Text] == nil {
				texts = append(texts, d.Text)
			}
			of[d.Text] = append(of[d.Text], d)
		}
	}
	p.report.encoded(len(texts))
	if len(texts) == 0 || p.serverEncodes {
		return nil
	}
	enc, err := p.model()
	if err != nil {
		return err
	}
	encoded, err := enc.EncodeDocuments(ctx, texts)
	if err != nil {
		return err
	}
	if len(encoded) != len(texts) {
		return fmt.Errorf("encoder returned %d documents for %d texts", len(encoded), len(texts))
	}
	for i, text := range texts {
		p.tokens.Add(int64(encoded[i].Vectors.Len()))
		for _, d := range of[text] {
			d.Vectors = encoded[i].Vectors
			p.report.truncated(encoded[i].Truncated)
		}
	}
	kept := b.jobs[:0]
	for _, e := range b.jobs {
		if slices.ContainsFunc(e.docs, func(d engine.Document) bool { return d.Vectors.Len() == 0 }) {
			p.fail(&e.job, engine.ErrNoVectors)
			continue
		}
		kept = append(kept, e)
	}
	b.jobs = kept
	return nil
}

// store upserts batches and deletes what they replace.
func (p *pipeline) store(ctx context.Context, batches <-chan batch) error {
	var l *load
	for b := range batches {
		if l == nil && p.stored.Load() >= p.bulkAfter {
			var err error
			if l, err = p.openLoad(ctx); err != nil {
				return err
			}
			defer l.bulk.Close()
		}
		store := p.storeJobs
		if l != nil {
			store = l.add
		}
		if err := store(ctx, b.jobs); err != nil {
			return err
		}
		p.progress()
	}
	if l == nil {
		return nil
	}
	return l.commit(ctx)
}

// storeJobs stores passages in one step; where the store refuses one of them,
// one after the other.
func (p *pipeline) storeJobs(ctx context.Context, jobs []encodedJob) error {
	for len(jobs) > 0 {
		n, docs := 0, []engine.Document(nil)
		var stale []string
		for n < len(jobs) && (n == 0 || len(docs)+len(jobs[n].docs) <= engine.MaxBatchDocuments) {
			j := &jobs[n]
			docs = append(docs, j.docs...)
			for _, id := range j.old {
				if !slices.ContainsFunc(j.docs, func(d engine.Document) bool { return d.ID == id }) {
					stale = append(stale, id)
				}
			}
			n++
		}
		if len(docs) > 0 {
			seq, err := p.col.Upsert(ctx, docs...)
			if refused(err) {
				if n == 1 {
					p.fail(&jobs[0].job, err)
				} else {
					for i := range n {
						if err := p.storeJobs(ctx, jobs[i:i+1]); err != nil {
							return err
						}
					}
				}
				jobs = jobs[n:]
				continue
			}
			if err != nil {
				return err
			}
			p.log.Debug("stored", "documents", len(docs), "last", docs[len(docs)-1].ID, "seq", seq)
		}
		if err := p.remove(ctx, stale); err != nil {
			return err
		}
		p.stored.Add(int64(len(docs)))
		for i := range n {
			p.report.count(jobs[i].change, 1)
			p.report.taken(jobs[i].from)
			if p.done != nil {
				p.done(&jobs[i])
			}
		}
		jobs = jobs[n:]
	}
	return nil
}

// refused reports whether an error concerns the documents rather than the store.
func refused(err error) bool {
	for _, e := range []error{engine.ErrInvalid, engine.ErrDimension, engine.ErrBadVector, engine.ErrNoVectors} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// remove deletes documents in batches.
func (p *pipeline) remove(ctx context.Context, ids []string) error {
	for part := range slices.Chunk(ids, 1000) {
		if _, err := p.col.Delete(ctx, part...); err != nil {
			return err
		}
	}
	return nil
}

// report counts what an index run has done. Only what the store acknowledged
// is counted as added, changed or removed.
type report struct {
	mu sync.Mutex

	Added           int            `json:"added"`
	Changed         int            `json:"changed"`
	Removed         int            `json:"removed"`
	Unchanged       int            `json:"unchanged"`
	Failed          int            `json:"failed"`
	Kept            int            `json:"kept,omitempty"`       // vanished, but their source could not be read in full
	TakenOver       map[string]int `json:"taken_over,omitempty"` // from other sources
	Documents       int64          `json:"documents"`            // stored, windows counted
	Tokens          int64          `json:"tokens"`               // vectors made
	Encoded         int            `json:"encoded"`              // texts
	Reused          int            `json:"reused,omitempty"`     // texts whose vectors were there
	TruncatedTokens int            `json:"truncated_tokens"`
	TruncatedDocs   int            `json:"truncated_documents"`
	Seconds         float64        `json:"seconds"`
	DryRun          bool           `json:"dry_run,omitempty"`
	Changes         []changeLine   `json:"changes,omitempty"` // of a dry run
	Problems        []problemLine  `json:"problems,omitempty"`
	unread          []string       // files and folders with problems, all of them

	onProblem func(*ingest.Problem)
}

type changeLine struct {
	Change change `json:"change"`
	ID     string `json:"id"`
}

type problemLine struct {
	File  string `json:"file"`
	Line  int    `json:"line,omitempty"`
	Error string `json:"error"`
}

// maxProblems bounds the list kept for --json; all are printed as they occur.
const maxProblems = 1000

func (r *report) problem(p *ingest.Problem) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Failed++
	r.unread = append(r.unread, p.File)
	if len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, problemLine{p.File, p.Line, p.Err.Error()})
	}
	r.onProblem(p)
}

func (r *report) count(c change, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch c {
	case added:
		r.Added += n
	case changed:
		r.Changed += n
	case removed:
		r.Removed += n
	case unchanged:
		r.Unchanged += n
	}
}

func (r *report) encoded(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Encoded += n
}

func (r *report) reused() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Reused++
}

func (r *report) truncated(tokens int) {
	if tokens > 0 {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.TruncatedTokens += tokens
		r.TruncatedDocs++
	}
}

func (r *report) taken(from string) {
	if from != "" {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.TakenOver == nil {
			r.TakenOver = map[string]int{}
		}
		r.TakenOver[from]++
	}
}
