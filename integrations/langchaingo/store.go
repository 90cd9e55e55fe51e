package langchaingo

import (
	"context"
	"errors"
	"fmt"

	"github.com/tmc/langchaingo/schema"
	"github.com/tmc/langchaingo/vectorstores"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
	"github.com/colbertdb-go/colbertdb/internal/adapter"
)

// ErrUnsupported is the error of an option that a colbertdb collection has no use for.
var ErrUnsupported = errors.New("colbertdb: option is not supported")

// MetadataID is the key of a document's id in its metadata: read by AddDocuments, where
// it is given, and set by SimilaritySearch.
const MetadataID = "id"

// Store is a collection as a vector store.
type Store struct {
	db   remote.Database
	col  remote.Collection
	mode engine.Mode
}

var _ vectorstores.VectorStore = (*Store)(nil)

// Option configures a Store.
type Option func(*Store)

// WithMode chooses what searches go by. Default: engine.ModeLateInteraction.
func WithMode(m engine.Mode) Option { return func(s *Store) { s.mode = m } }

// New returns a store over a collection that is there. Its errors, and those of the
// methods, answer errors.Is for the engine's, such as engine.ErrCollectionNotFound.
func New(ctx context.Context, db remote.Database, collection string, o ...Option) (*Store, error) {
	s := &Store{db: db}
	var err error
	if s.col, err = db.Collection(ctx, collection); err != nil {
		return nil, err
	}
	for _, f := range o {
		f(s)
	}
	return s, nil
}

// AddDocuments stores documents, durable when it returns, and returns their ids. A
// document without an id in its metadata gets one of its content: added again, it is
// there once. Options: vectorstores.WithNameSpace names another collection,
// vectorstores.WithDeduplicater leaves documents out.
func (s *Store) AddDocuments(ctx context.Context, docs []schema.Document, o ...vectorstores.Option) ([]string, error) {
	opts, col, err := s.options(ctx, o)
	if err != nil {
		return nil, err
	}
	if opts.ScoreThreshold != 0 || opts.Filters != nil {
		return nil, fmt.Errorf("%w: score threshold and filters are for searches", ErrUnsupported)
	}
	var add []adapter.Document
	for _, d := range docs {
		if opts.Deduplicater != nil && opts.Deduplicater(ctx, d) {
			continue
		}
		id, _ := d.Metadata[MetadataID].(string)
		add = append(add, adapter.Document{ID: id, Text: d.PageContent, Metadata: d.Metadata})
	}
	return adapter.Store(ctx, col, add)
}

// SimilaritySearch returns the documents that answer a query, best first. Their scores
// are from 0 to 1, but for searches by words alone. Options:
// vectorstores.WithScoreThreshold, vectorstores.WithNameSpace as in AddDocuments, and
// vectorstores.WithFilters, which takes a *engine.Filter, a string such as
// year >= 2020 and lang in ("en", "de"), or a map of the JSON form.
func (s *Store) SimilaritySearch(ctx context.Context, query string, numDocuments int, o ...vectorstores.Option) ([]schema.Document, error) {
	opts, col, err := s.options(ctx, o)
	if err != nil {
		return nil, err
	}
	found, err := adapter.Search(ctx, col, adapter.Query{
		Text: query, K: numDocuments, Mode: s.mode, Filter: opts.Filters, Threshold: float64(opts.ScoreThreshold),
	})
	if err != nil {
		return nil, err
	}
	out := make([]schema.Document, len(found))
	for i, f := range found {
		if _, ok := f.Metadata[MetadataID]; !ok {
			f.Metadata[MetadataID] = f.ID
		}
		out[i] = schema.Document{PageContent: f.Text, Metadata: f.Metadata, Score: float32(f.Score)}
	}
	return out, nil
}

// options reads options, and opens the collection that they name.
func (s *Store) options(ctx context.Context, o []vectorstores.Option) (*vectorstores.Options, remote.Collection, error) {
	opts := &vectorstores.Options{}
	for _, f := range o {
		f(opts)
	}
	if opts.Embedder != nil {
		return nil, nil, fmt.Errorf("%w: an embedder: the collection encodes by itself", ErrUnsupported)
	}
	if opts.NameSpace == "" {
		return opts, s.col, nil
	}
	col, err := s.db.Collection(ctx, opts.NameSpace)
	return opts, col, err
}
