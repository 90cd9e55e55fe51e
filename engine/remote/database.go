package remote

import (
	"context"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Database is what an embedded store and a server both do.
type Database interface {
	// CreateCollection creates a collection, or opens the one of that name when its
	// configuration is equal.
	CreateCollection(ctx context.Context, name string, cfg engine.CollectionConfig) (Collection, error)
	// Collection opens a collection by its name or an alias.
	Collection(ctx context.Context, name string) (Collection, error)
	DropCollection(ctx context.Context, name string) error
	Collections(ctx context.Context) ([]engine.CollectionInfo, error)
	SetAlias(ctx context.Context, name, to string) error
	DropAlias(ctx context.Context, name string) error
	// Close ends the use of a server, and closes an embedded store.
	Close() error
}

// Collection is what a collection does in both. The methods are those of
// engine.Collection.
type Collection interface {
	Name() string
	Upsert(ctx context.Context, docs ...engine.Document) (seq uint64, err error)
	Delete(ctx context.Context, ids ...string) (engine.DeleteResult, error)
	DeleteWhere(ctx context.Context, f *engine.Filter) (engine.DeleteResult, error)
	Purge(ctx context.Context, ids ...string) (*engine.PurgeResult, error)
	Get(ctx context.Context, id string) (*engine.Document, error)
	Page(ctx context.Context, o engine.PageOptions) (*engine.Page, error)
	Search(ctx context.Context, req engine.SearchRequest) (*engine.SearchResult, error)
	SearchBatch(ctx context.Context, reqs []engine.SearchRequest) ([]*engine.SearchResult, error)
	IndexAttributes(ctx context.Context, paths ...string) error
	DropAttributeIndexes(ctx context.Context, paths ...string) error
	IndexText(ctx context.Context, a engine.Analyzer) error
	DropTextIndex(ctx context.Context) error
	Compact(ctx context.Context) error
}

var (
	_ Collection = (*engine.Collection)(nil)
	_ Collection = (*Handle)(nil)
	_ Database   = (*Client)(nil)
	_ Database   = embedded{}
)

// Idempotent returns a handle on a collection of either kind whose next write carries
// an idempotency key (engine.Collection.Idempotent).
func Idempotent(c Collection, key string) Collection {
	switch c := c.(type) {
	case *engine.Collection:
		return c.Idempotent(key)
	case *Handle:
		return c.Idempotent(key)
	}
	return c
}

// embedded is a store in this process.
type embedded struct {
	db   *engine.Engine
	opts []engine.CollectionOption
}

// Embedded makes a Database of a store in this process. Options are those with which
// collections are opened, such as engine.WithEncoder. Close closes the store.
func Embedded(db *engine.Engine, opts ...engine.CollectionOption) Database { return embedded{db, opts} }

func (e embedded) CreateCollection(ctx context.Context, name string, cfg engine.CollectionConfig) (Collection, error) {
	c, err := e.db.CreateCollection(ctx, name, cfg)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (e embedded) Collection(_ context.Context, name string) (Collection, error) {
	c, err := e.db.Collection(name, e.opts...)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (e embedded) DropCollection(ctx context.Context, name string) error {
	return e.db.DropCollection(ctx, name)
}

func (e embedded) Collections(context.Context) ([]engine.CollectionInfo, error) {
	return e.db.Collections(), nil
}

func (e embedded) SetAlias(ctx context.Context, name, to string) error {
	return e.db.SetAlias(ctx, name, to)
}

func (e embedded) DropAlias(ctx context.Context, name string) error {
	return e.db.DropAlias(ctx, name)
}

func (e embedded) Close() error { return e.db.Close() }
