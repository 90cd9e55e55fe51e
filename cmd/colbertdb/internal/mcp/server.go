package mcp

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
)

// Options say what agents may do. The zero value is ready to use.
type Options struct {
	// Collection is what they search.
	Collection remote.Collection
	// AllowWrites gives them the tool upsert. Default: they read only.
	AllowWrites bool
	// About tells them what is in the collection. Default: nothing.
	About string
	// Version is the server's. Default: "".
	Version string
}

// maxK bounds the hits of a search, maxDocuments the documents of an upsert.
const (
	maxK         = 100
	maxDocuments = 100
)

// Server answers agents.
type Server struct {
	o   Options
	mcp *mcp.Server
}

// New returns a server.
func New(o Options) *Server {
	s := &Server{o: o, mcp: mcp.NewServer(&mcp.Implementation{Name: "colbertdb", Title: "colbertdb", Version: cmp.Or(o.Version, "0")}, &mcp.ServerOptions{
		Instructions: instructions(o.About),
	})}
	no, yes := false, true
	read := &mcp.ToolAnnotations{ReadOnlyHint: true, OpenWorldHint: &no}
	mcp.AddTool(s.mcp, &mcp.Tool{
		Name: "search", Title: "Search documents", Annotations: read,
		Description: "Finds the passages that answer a question or speak of a subject, best first. Ask in plain words, as precisely as you can.",
	}, s.search)
	mcp.AddTool(s.mcp, &mcp.Tool{
		Name: "get", Title: "Get a document", Annotations: read,
		Description: "Returns a document by the id that a search gave.",
	}, s.get)
	if o.AllowWrites {
		mcp.AddTool(s.mcp, &mcp.Tool{
			Name: "upsert", Title: "Store documents", Annotations: &mcp.ToolAnnotations{IdempotentHint: true, DestructiveHint: &yes, OpenWorldHint: &no},
			Description: "Stores documents, replacing those of the same ids. When it returns they are on disk and can be found.",
		}, s.upsert)
	}
	return s
}

func instructions(about string) string {
	text := "Search by meaning and by words in a collection of documents."
	if about != "" {
		text += " It holds: " + about
	}
	return text
}

// Run serves one client over a transport, such as standard input and output, until the
// client goes or the context ends.
func (s *Server) Run(ctx context.Context, t mcp.Transport) error { return s.mcp.Run(ctx, t) }

// Handler serves clients over streamable HTTP. Requests of pages of other sites are
// refused, and those that come to a local address under another host's name.
func (s *Server) Handler() http.Handler {
	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s.mcp }, &mcp.StreamableHTTPOptions{
		Stateless: true, JSONResponse: true, PropagateRequestCancellation: true,
	})
	return http.NewCrossOriginProtection().Handler(h)
}

// SearchInput is what search takes.
type SearchInput struct {
	Query  string `json:"query" jsonschema:"what to look for, in words"`
	K      int    `json:"k,omitempty" jsonschema:"number of hits, 1 to 100; 10 if not given"`
	Filter string `json:"filter,omitempty" jsonschema:"a condition on attributes, such as: year >= 2020 and lang in (\"en\", \"de\")"`
	Mode   string `json:"mode,omitempty" jsonschema:"late-interaction (by meaning, the default), bm25 (by words), rerank or hybrid (by both)"`
}

// SearchOutput is what it returns.
type SearchOutput struct {
	Hits      []Hit `json:"hits"`
	Documents int   `json:"documents" jsonschema:"documents in the collection"`
}

// Hit is a document that was found.
type Hit struct {
	ID         string         `json:"id"`
	Score      float32        `json:"score" jsonschema:"greater is better; comparable within one search"`
	Text       string         `json:"text"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

func (s *Server) search(ctx context.Context, _ *mcp.CallToolRequest, in SearchInput) (*mcp.CallToolResult, SearchOutput, error) {
	out := SearchOutput{Hits: []Hit{}}
	req := engine.SearchRequest{Text: in.Query, K: cmp.Or(in.K, 10)}
	if in.Query == "" || req.K < 1 || req.K > maxK {
		return nil, out, fmt.Errorf("%w: give a query, and a k of 1 to %d", engine.ErrInvalid, maxK)
	}
	var err error
	if req.Mode, err = engine.ParseMode(cmp.Or(in.Mode, engine.ModeLateInteraction.String())); err != nil {
		return nil, out, err
	}
	if in.Filter != "" {
		if req.Filter, err = engine.ParseFilter(in.Filter); err != nil {
			return nil, out, err
		}
	}
	res, err := s.o.Collection.Search(ctx, req)
	if err != nil {
		return nil, out, err
	}
	out.Documents = res.Documents
	for _, h := range res.Hits {
		attributes, err := object(h.Attributes)
		if err != nil {
			return nil, out, err
		}
		out.Hits = append(out.Hits, Hit{ID: h.ID, Score: h.Score, Text: h.Text, Attributes: attributes})
	}
	return nil, out, nil
}

// GetInput is what get takes.
type GetInput struct {
	ID string `json:"id" jsonschema:"the document's id"`
}

// Document is a stored document, or one to store.
type Document struct {
	ID         string         `json:"id" jsonschema:"names the document in its collection"`
	Text       string         `json:"text"`
	Attributes map[string]any `json:"attributes,omitempty" jsonschema:"for filters and display"`
}

func (s *Server) get(ctx context.Context, _ *mcp.CallToolRequest, in GetInput) (*mcp.CallToolResult, Document, error) {
	d, err := s.o.Collection.Get(ctx, in.ID)
	if err != nil {
		return nil, Document{}, err
	}
	attributes, err := object(d.Attributes)
	return nil, Document{ID: d.ID, Text: d.Text, Attributes: attributes}, err
}

// UpsertInput is what upsert takes.
type UpsertInput struct {
	Documents []Document `json:"documents" jsonschema:"1 to 100 documents"`
}

// UpsertOutput is what it returns.
type UpsertOutput struct {
	Upserted int    `json:"upserted"`
	Seq      uint64 `json:"seq" jsonschema:"number of the change"`
}

func (s *Server) upsert(ctx context.Context, _ *mcp.CallToolRequest, in UpsertInput) (*mcp.CallToolResult, UpsertOutput, error) {
	if n := len(in.Documents); n < 1 || n > maxDocuments {
		return nil, UpsertOutput{}, fmt.Errorf("%w: give 1 to %d documents, not %d", engine.ErrInvalid, maxDocuments, n)
	}
	docs := make([]engine.Document, len(in.Documents))
	for i, d := range in.Documents {
		docs[i] = engine.Document{ID: d.ID, Text: d.Text}
		if len(d.Attributes) > 0 {
			b, err := json.Marshal(d.Attributes)
			if err != nil {
				return nil, UpsertOutput{}, fmt.Errorf("%w: document %q: %w", engine.ErrInvalid, d.ID, err)
			}
			docs[i].Attributes = b
		}
	}
	seq, err := s.o.Collection.Upsert(ctx, docs...)
	if err != nil {
		return nil, UpsertOutput{}, err
	}
	return nil, UpsertOutput{Upserted: len(docs), Seq: seq}, nil
}

// object reads attributes, which are an object or nothing.
func object(b json.RawMessage) (m map[string]any, err error) {
	if len(b) == 0 {
		return nil, nil
	}
	err = json.Unmarshal(b, &m)
	return m, err
}
