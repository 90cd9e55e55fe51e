package eino

import (
	"cmp"
	"context"
	"fmt"

	"github.com/cloudwego/eino/callbacks"
	"github.com/cloudwego/eino/components"
	"github.com/cloudwego/eino/components/retriever"
	"github.com/cloudwego/eino/schema"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
	"github.com/colbertdb-go/colbertdb/internal/adapter"
)

// RetrieverConfig configures a Retriever.
type RetrieverConfig struct {
	// Database is a store in the process (remote.Embedded) or a server (remote.Open).
	Database remote.Database
	// Collection is the name of a collection that is there.
	Collection string
	// TopK is the number of documents. Default: 5.
	TopK int
	// ScoreThreshold is the least score of a document, 0 to 1. Default: none.
	ScoreThreshold float64
	// Filter restricts the documents; see WithFilter. Default: none.
	Filter any
	// Mode says what searches go by. Default: engine.ModeLateInteraction.
	Mode engine.Mode
}

// Retriever finds the documents of a collection that answer a query.
type Retriever struct {
	c   RetrieverConfig
	col remote.Collection
}

var _ retriever.Retriever = (*Retriever)(nil)

// NewRetriever returns a retriever. Its errors, and those of its methods, answer
// errors.Is for the engine's, such as engine.ErrCollectionNotFound.
func NewRetriever(ctx context.Context, c *RetrieverConfig) (*Retriever, error) {
	col, err := open(ctx, c.Database, c.Collection)
	if err != nil {
		return nil, err
	}
	return &Retriever{*c, col}, nil
}

// options are those of this retriever alone.
type options struct{ filter any }

// WithFilter restricts the documents of one call: a *engine.Filter, a string such as
// year >= 2020 and lang in ("en", "de"), or a map of the JSON form.
func WithFilter(f any) retriever.Option {
	return retriever.WrapImplSpecificOptFn(func(o *options) { o.filter = f })
}

// GetType names the component.
func (r *Retriever) GetType() string { return typ }

// IsCallbacksEnabled says that the retriever calls Eino's callbacks itself.
func (r *Retriever) IsCallbacksEnabled() bool { return true }

// Retrieve returns documents, best first, with scores (schema.Document.Score) from 0 to
// 1, but for searches by words alone. retriever.WithIndex names another collection.
func (r *Retriever) Retrieve(ctx context.Context, query string, o ...retriever.Option) (docs []*schema.Document, err error) {
	k := cmp.Or(r.c.TopK, 5)
	opts := retriever.GetCommonOptions(&retriever.Options{TopK: &k, ScoreThreshold: &r.c.ScoreThreshold}, o...)
	own := retriever.GetImplSpecificOptions(&options{r.c.Filter}, o...)
	ctx = callbacks.EnsureRunInfo(ctx, r.GetType(), components.ComponentOfRetriever)
	ctx = callbacks.OnStart(ctx, &retriever.CallbackInput{Query: query, TopK: *opts.TopK, Filter: filterText(own.filter), ScoreThreshold: opts.ScoreThreshold})
	defer func() {
		if err != nil {
			callbacks.OnError(ctx, err)
		}
	}()
	switch {
	case opts.Embedding != nil:
		return nil, fmt.Errorf("%w: an embedder: the collection encodes by itself", ErrUnsupported)
	case opts.SubIndex != nil || opts.DSLInfo != nil:
		return nil, fmt.Errorf("%w: sub-index and DSL: use WithFilter", ErrUnsupported)
	}
	col := r.col
	if opts.Index != nil {
		if col, err = r.c.Database.Collection(ctx, *opts.Index); err != nil {
			return nil, err
		}
	}
	found, err := adapter.Search(ctx, col, adapter.Query{Text: query, K: *opts.TopK, Mode: r.c.Mode, Filter: own.filter, Threshold: *opts.ScoreThreshold})
	if err != nil {
		return nil, err
	}
	docs = make([]*schema.Document, len(found))
	for i, f := range found {
		docs[i] = (&schema.Document{ID: f.ID, Content: f.Text, MetaData: f.Metadata}).WithScore(f.Score)
	}
	callbacks.OnEnd(ctx, &retriever.CallbackOutput{Docs: docs})
	return docs, nil
}

// filterText is a filter for callbacks to show.
func filterText(v any) string {
	f, err := adapter.Filter(v)
	if f == nil || err != nil {
		return ""
	}
	return f.String()
}
