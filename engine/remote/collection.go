package remote

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"strconv"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// Handle is a collection of a server. Unlike a handle of an embedded store, one that
// was opened by an alias follows it when it is switched.
type Handle struct {
	c    *Client
	via  string // the name that it was opened by
	info wire.Collection
	key  string
}

// Name is the collection's own name when it was opened.
func (h *Handle) Name() string { return h.info.Name }

// Info describes the collection as it is now, as far as the server tells
// (Client.Collections).
func (h *Handle) Info(ctx context.Context) (engine.CollectionInfo, error) {
	var out wire.Collection
	if err := h.read(ctx, "GET", "", nil, &out); err != nil {
		return engine.CollectionInfo{}, err
	}
	return out.Info()
}

// Idempotent returns a handle whose next write carries an idempotency key
// (engine.Collection.Idempotent); a write that carries one is sent again when the
// connection breaks.
func (h *Handle) Idempotent(key string) *Handle {
	out := *h
	out.key = key
	return &out
}

func (h *Handle) path(rest string) string { return "/v1/collections/" + escape(h.via) + rest }

// read sends a request that changes nothing.
func (h *Handle) read(ctx context.Context, method, rest string, body, out any) error {
	return h.c.do(ctx, call{method: method, path: h.path(rest), body: body, reads: true}, out)
}

func (h *Handle) write(ctx context.Context, method, rest string, body, out any) error {
	return h.c.do(ctx, call{method: method, path: h.path(rest), body: body, key: h.key}, out)
}

// Upsert stores documents in one step: durable and seen by every later search when it
// returns.
func (h *Handle) Upsert(ctx context.Context, docs ...engine.Document) (seq uint64, err error) {
	if len(docs) == 0 {
		return 0, fmt.Errorf("%w: no documents", engine.ErrInvalid)
	}
	body := wire.Upsert{Documents: make([]wire.Document, len(docs))}
	for i := range docs {
		body.Documents[i] = wire.DocumentOf(&docs[i])
	}
	var out wire.UpsertResult
	err = h.write(ctx, "POST", "/documents", body, &out)
	return out.Seq, err
}

// Delete removes documents in one step; ids that are not there are no error.
func (h *Handle) Delete(ctx context.Context, ids ...string) (engine.DeleteResult, error) {
	if len(ids) == 0 {
		return engine.DeleteResult{}, fmt.Errorf("%w: no ids", engine.ErrInvalid)
	}
	return h.delete(ctx, wire.Delete{IDs: ids})
}

// DeleteWhere removes the documents that meet a filter.
func (h *Handle) DeleteWhere(ctx context.Context, f *engine.Filter) (engine.DeleteResult, error) {
	if f == nil {
		return engine.DeleteResult{}, fmt.Errorf("%w: DeleteWhere needs a filter", engine.ErrInvalid)
	}
	return h.delete(ctx, wire.Delete{Filter: &wire.Filter{Filter: f}})
}

func (h *Handle) delete(ctx context.Context, body wire.Delete) (engine.DeleteResult, error) {
	var out wire.DeleteResult
	err := h.write(ctx, "POST", "/documents:delete", body, &out)
	return engine.DeleteResult(out), err
}

// Purge erases documents from every file of the server's store.
func (h *Handle) Purge(ctx context.Context, ids ...string) (*engine.PurgeResult, error) {
	var out wire.PurgeResult
	if err := h.write(ctx, "POST", "/documents:purge", wire.Delete{IDs: ids}, &out); err != nil {
		return nil, err
	}
	return &engine.PurgeResult{Deleted: out.Deleted, Seq: out.Seq, Segments: out.Segments, LogFiles: out.LogFiles, Copies: out.Copies}, nil
}

// Get returns a document with its vectors as the collection represents them.
func (h *Handle) Get(ctx context.Context, id string) (*engine.Document, error) {
	if id == "" {
		return nil, fmt.Errorf("%w: \"\" in collection %q", engine.ErrNotFound, h.via)
	}
	var out wire.Document
	if err := h.read(ctx, "GET", "/documents/"+escape(id)+"?vectors=true", nil, &out); err != nil {
		return nil, err
	}
	d, err := out.Engine(nil)
	return &d, err
}

// Page returns documents in the order of their last upsert, some at a time.
func (h *Handle) Page(ctx context.Context, o engine.PageOptions) (*engine.Page, error) {
	q := url.Values{}
	if o.After != 0 {
		q.Set("cursor", wire.Cursor(o.After))
	}
	if o.Limit != 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.Filter != nil {
		q.Set("filter", o.Filter.String())
	}
	if !o.WithoutVectors {
		q.Set("vectors", "true")
	}
	var out wire.Page
	if err := h.read(ctx, "GET", "/documents?"+q.Encode(), nil, &out); err != nil {
		return nil, err
	}
	p := &engine.Page{Seq: out.Seq}
	for i := range out.Documents {
		d, err := out.Documents[i].Engine(nil)
		if err != nil {
			return nil, err
		}
		p.Documents = append(p.Documents, &d)
	}
	if out.Next != "" {
		var err error
		if p.Next, err = wire.ParseCursor(out.Next); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// All yields every document without its vectors, page by page: unlike that of an
// embedded store it sees each page in the version of its own moment.
func (h *Handle) All(ctx context.Context) iter.Seq2[*engine.Document, error] {
	return func(yield func(*engine.Document, error) bool) {
		for after := uint64(0); ; {
			p, err := h.Page(ctx, engine.PageOptions{After: after, WithoutVectors: true})
			if err != nil {
				yield(nil, err)
				return
			}
			for _, d := range p.Documents {
				if !yield(d, nil) {
					return
				}
			}
			if after = p.Next; after == 0 {
				return
			}
		}
	}
}

// Search finds the documents with the greatest MaxSim to a query.
func (h *Handle) Search(ctx context.Context, req engine.SearchRequest) (*engine.SearchResult, error) {
	body := wire.SearchOf(&req)
	if left, ok := timeLeft(ctx); ok {
		body.TimeoutMS = left
	}
	var out wire.SearchResult
	if err := h.read(ctx, "POST", "/search", body, &out); err != nil {
		return nil, err
	}
	return out.Engine(), nil
}

// SearchBatch answers several searches over one version of the collection.
func (h *Handle) SearchBatch(ctx context.Context, reqs []engine.SearchRequest) ([]*engine.SearchResult, error) {
	if len(reqs) == 0 {
		return nil, nil
	}
	body := wire.SearchBatch{Searches: make([]wire.Search, len(reqs))}
	for i := range reqs {
		body.Searches[i] = wire.SearchOf(&reqs[i])
	}
	var got wire.SearchBatchResult
	if err := h.read(ctx, "POST", "/search:batch", body, &got); err != nil {
		return nil, err
	}
	out := make([]*engine.SearchResult, len(got.Results))
	for i := range got.Results {
		out[i] = got.Results[i].Engine()
	}
	return out, nil
}

// timeLeft is what a context leaves, in milliseconds: the server stops with the
// client.
func timeLeft(ctx context.Context) (int, bool) {
	d, ok := ctx.Deadline()
	if !ok {
		return 0, false
	}
	return max(1, int(time.Until(d).Milliseconds())), true
}

// IndexAttributes declares indexes of attributes and returns when every segment has
// them.
func (h *Handle) IndexAttributes(ctx context.Context, paths ...string) error {
	return h.c.do(ctx, call{method: "POST", path: h.path("/indexes"), body: wire.Paths{Paths: paths}, reads: true}, nil)
}

// DropAttributeIndexes removes indexes.
func (h *Handle) DropAttributeIndexes(ctx context.Context, paths ...string) error {
	return h.write(ctx, "DELETE", "/indexes", wire.Paths{Paths: paths}, nil)
}

// IndexText declares a text index and returns when every segment has it.
func (h *Handle) IndexText(ctx context.Context, a engine.Analyzer) error {
	return h.c.do(ctx, call{method: "POST", path: h.path("/indexes"), body: wire.Paths{Text: string(a)}, reads: true}, nil)
}

// DropTextIndex removes the text index.
func (h *Handle) DropTextIndex(ctx context.Context) error {
	var have wire.Indexes
	if err := h.c.do(ctx, call{method: "GET", path: h.path("/indexes"), reads: true}, &have); err != nil {
		return err
	}
	name := string(engine.AnalyzerNone) // there is none: the server says so
	if have.Text != nil {
		name = have.Text.Analyzer
	}
	return h.write(ctx, "DELETE", "/indexes", wire.Paths{Text: name}, nil)
}

// Compact merges the collection's segments into as few as the limits allow.
func (h *Handle) Compact(ctx context.Context) error {
	return h.write(ctx, "POST", "/compact", nil, nil)
}
