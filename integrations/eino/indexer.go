package eino

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/cloudwego/eino/callbacks"
	"github.com/cloudwego/eino/components"
	"github.com/cloudwego/eino/components/indexer"
	"github.com/cloudwego/eino/schema"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
	"github.com/colbertdb-go/colbertdb/internal/adapter"
)

// ErrUnsupported is the error of an option that a colbertdb collection has no use for.
var ErrUnsupported = errors.New("colbertdb: option is not supported")

// typ is the name of the components in Eino's callbacks.
const typ = "ColBERTDB"

// IndexerConfig configures an Indexer.
type IndexerConfig struct {
	// Database is a store in the process (remote.Embedded) or a server (remote.Open).
	Database remote.Database
	// Collection is the name of a collection that is there.
	Collection string
}

// Indexer stores documents in a collection.
type Indexer struct{ col remote.Collection }

var _ indexer.Indexer = (*Indexer)(nil)

// NewIndexer returns an indexer. Its errors, and those of its methods, answer errors.Is
// for the engine's, such as engine.ErrCollectionNotFound.
func NewIndexer(ctx context.Context, c *IndexerConfig) (*Indexer, error) {
	col, err := open(ctx, c.Database, c.Collection)
	return &Indexer{col}, err
}

func open(ctx context.Context, db remote.Database, name string) (remote.Collection, error) {
	if db == nil {
		return nil, fmt.Errorf("%w: no database: give one of remote.Embedded or remote.Open", engine.ErrInvalid)
	}
	return db.Collection(ctx, name)
}

// GetType names the component.
func (i *Indexer) GetType() string { return typ }

// IsCallbacksEnabled says that the indexer calls Eino's callbacks itself.
func (i *Indexer) IsCallbacksEnabled() bool { return true }

// Store stores documents, durable when it returns, and returns their ids. A document
// without an id gets one of its content: stored again, it is there once. Metadata
// becomes attributes, but for what Eino keeps there.
func (i *Indexer) Store(ctx context.Context, docs []*schema.Document, o ...indexer.Option) (ids []string, err error) {
	ctx = callbacks.EnsureRunInfo(ctx, i.GetType(), components.ComponentOfIndexer)
	ctx = callbacks.OnStart(ctx, &indexer.CallbackInput{Docs: docs})
	defer func() {
		if err != nil {
			callbacks.OnError(ctx, err)
		}
	}()
	opts := indexer.GetCommonOptions(nil, o...)
	switch {
	case opts.Embedding != nil:
		return nil, fmt.Errorf("%w: an embedder: the collection encodes by itself", ErrUnsupported)
	case len(opts.SubIndexes) > 0:
		return nil, fmt.Errorf("%w: sub-indexes: use an attribute and filters", ErrUnsupported)
	}
	add := make([]adapter.Document, len(docs))
	for n, d := range docs {
		if d == nil {
			return nil, fmt.Errorf("%w: document %d is nil", engine.ErrInvalid, n)
		}
		add[n] = adapter.Document{ID: d.ID, Text: d.Content, Metadata: attributes(d.MetaData)}
	}
	if ids, err = adapter.Store(ctx, i.col, add); err != nil {
		return nil, err
	}
	callbacks.OnEnd(ctx, &indexer.CallbackOutput{IDs: ids})
	return ids, nil
}

// hostKeys are what Eino keeps in a document's metadata of its own.
var hostKeys = []string{"_sub_indexes", "_score", "_extra_info", "_dsl", "_dense_vector", "_sparse_vector"}

func attributes(metadata map[string]any) map[string]any {
	out := maps.Clone(metadata)
	for _, k := range hostKeys {
		delete(out, k)
	}
	return out
}
