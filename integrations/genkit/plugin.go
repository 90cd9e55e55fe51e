package genkit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/firebase/genkit/go/ai"
	"github.com/firebase/genkit/go/core"
	"github.com/firebase/genkit/go/core/api"
	"github.com/firebase/genkit/go/genkit"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
	"github.com/colbertdb-go/colbertdb/internal/adapter"
)

// Provider is the plugin's name, with which the names of its actions begin.
const Provider = "colbertdb"

// ErrNoPlugin is the error of a call with a Genkit that was initialised without the
// plugin.
var ErrNoPlugin = errors.New("colbertdb: the plugin is not there: give it to genkit.Init with genkit.WithPlugins")

// MetadataID is the key of a document's id in its metadata: read by Index, where it is
// given, and set by retrievers. MetadataScore is that of its score, set by retrievers.
const (
	MetadataID    = "id"
	MetadataScore = "_score"
)

// Plugin connects Genkit with a database.
type Plugin struct {
	// Database is a store in the process (remote.Embedded) or a server (remote.Open). The
	// caller closes it after the last use of Genkit.
	Database remote.Database
	// Encoder is the model of the reranker. Default: the server's, where the database is
	// one; else there is no reranker.
	Encoder encoder.Encoder
}

var _ api.Plugin = (*Plugin)(nil)

// Name returns Provider.
func (p *Plugin) Name() string { return Provider }

// Init is called by genkit.Init. It defines the reranker; retrievers and indexers come
// with DefineRetriever.
func (p *Plugin) Init(context.Context) []api.Action {
	if p.Database == nil {
		panic("colbertdb: Plugin.Database is not set: give one of remote.Embedded or remote.Open")
	}
	if r := p.reranker(); r != nil {
		return []api.Action{r}
	}
	return nil
}

// Config says what a retriever and an indexer are over.
type Config struct {
	// Collection is the name of a collection that is there; it is also the name of the
	// retriever and of the indexer, after "colbertdb/".
	Collection string
	// K is the number of documents. Default: 5.
	K int
	// Mode says what searches go by. Default: engine.ModeLateInteraction.
	Mode engine.Mode
}

// RetrieverOptions configure one retrieval (ai.WithConfig), as *RetrieverOptions or as
// an object of JSON.
type RetrieverOptions struct {
	// K is the number of documents. Default: Config.K.
	K int `json:"k,omitempty"`
	// Filter restricts them: a *engine.Filter, a string such as year >= 2020 and
	// lang in ("en", "de"), or a map of the JSON form. Default: none.
	Filter any `json:"filter,omitempty"`
	// ScoreThreshold is the least score, 0 to 1. Default: none.
	ScoreThreshold float64 `json:"scoreThreshold,omitempty"`
}

// Docstore is a collection.
type Docstore struct {
	c   Config
	col remote.Collection
}

// DefineRetriever defines a retriever and an indexer of a collection. Its errors, and
// those of retrievals, answer errors.Is for the engine's, such as
// engine.ErrCollectionNotFound.
func DefineRetriever(ctx context.Context, g *genkit.Genkit, c Config, opts *ai.RetrieverOptions) (*Docstore, ai.Retriever, error) {
	p, ok := genkit.LookupPlugin(g, Provider).(*Plugin)
	if !ok {
		return nil, nil, ErrNoPlugin
	}
	col, err := p.Database.Collection(ctx, c.Collection)
	if err != nil {
		return nil, nil, err
	}
	ds := &Docstore{c, col}
	if opts == nil {
		opts = &ai.RetrieverOptions{Label: "colbertdb: " + c.Collection}
	}
	if opts.ConfigSchema == nil {
		opts.ConfigSchema = core.InferSchemaMap(RetrieverOptions{})
	}
	name := api.NewName(Provider, c.Collection)
	genkit.RegisterAction(g, ds.indexer(name))
	return ds, genkit.DefineRetriever(g, name, opts, ds.retrieve), nil
}

// indexer is Index as an action.
func (ds *Docstore) indexer(name string) *core.ActionDef[*IndexerRequest, *IndexerResponse, struct{}] {
	return core.NewAction(name, api.ActionTypeIndexer, map[string]any{"type": api.ActionTypeIndexer}, nil,
		func(ctx context.Context, req *IndexerRequest) (*IndexerResponse, error) {
			ids, err := ds.Index(ctx, req.Documents...)
			return &IndexerResponse{IDs: ids}, err
		})
}

// Retriever returns a retriever that was defined, nil without one.
func Retriever(g *genkit.Genkit, collection string) ai.Retriever {
	return genkit.LookupRetriever(g, api.NewName(Provider, collection))
}

// IndexerRequest and IndexerResponse are those of the indexer's action. (Genkit's own
// package has no indexers.)
type IndexerRequest struct {
	Documents []*ai.Document `json:"documents"`
}

// IndexerResponse answers an IndexerRequest.
type IndexerResponse struct {
	IDs []string `json:"ids"`
}

// Index stores documents, durable when it returns, and returns their ids. A document
// without an id in its metadata gets one of its content: stored again, it is there once.
// The texts of its parts are stored, joined by a blank line; a part that is no text is an
// error.
func (ds *Docstore) Index(ctx context.Context, docs ...*ai.Document) ([]string, error) {
	add := make([]adapter.Document, len(docs))
	for i, d := range docs {
		text, err := textOf(d)
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", i, err)
		}
		id, _ := d.Metadata[MetadataID].(string)
		add[i] = adapter.Document{ID: id, Text: text, Metadata: d.Metadata}
	}
	return adapter.Store(ctx, ds.col, add)
}

// retrieve is the retriever.
func (ds *Docstore) retrieve(ctx context.Context, req *ai.RetrieverRequest) (*ai.RetrieverResponse, error) {
	o, err := optionsOf(req.Options)
	if err != nil {
		return nil, err
	}
	text, err := textOf(req.Query)
	if err != nil {
		return nil, fmt.Errorf("the query: %w", err)
	}
	found, err := adapter.Search(ctx, ds.col, adapter.Query{
		Text: text, K: cmp.Or(o.K, ds.c.K, 5), Mode: ds.c.Mode, Filter: o.Filter, Threshold: o.ScoreThreshold,
	})
	if err != nil {
		return nil, err
	}
	out := &ai.RetrieverResponse{Documents: make([]*ai.Document, len(found))}
	for i, f := range found {
		f.Metadata[MetadataID], f.Metadata[MetadataScore] = f.ID, f.Score
		out.Documents[i] = ai.DocumentFromText(f.Text, f.Metadata)
	}
	return out, nil
}

// optionsOf reads the options of a retrieval, which are an object of JSON where they
// come from Genkit's tools.
func optionsOf(v any) (o RetrieverOptions, err error) {
	switch v := v.(type) {
	case nil:
		return o, nil
	case RetrieverOptions:
		return v, nil
	case *RetrieverOptions:
		return *v, nil
	case map[string]any:
		b, err := json.Marshal(v)
		if err == nil {
			err = json.Unmarshal(b, &o)
		}
		if err != nil {
			return o, fmt.Errorf("%w: the retriever's options: %w", engine.ErrInvalid, err)
		}
		return o, nil
	}
	return o, fmt.Errorf("%w: the retriever's options are a %T, want *RetrieverOptions", engine.ErrInvalid, v)
}

// textOf joins the texts of a document's parts.
func textOf(d *ai.Document) (string, error) {
	if d == nil {
		return "", fmt.Errorf("%w: there is no document", engine.ErrInvalid)
	}
	var parts []string
	for _, p := range d.Content {
		if !p.IsText() {
			return "", fmt.Errorf("%w: a part is no text but %s", engine.ErrInvalid, cmp.Or(p.ContentType, "of another kind"))
		}
		parts = append(parts, p.Text)
	}
	return strings.Join(parts, "\n\n"), nil
}
