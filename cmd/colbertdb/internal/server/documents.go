package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// engineDocuments converts and checks documents of a body.
func (q *request) engineDocuments(docs []wire.Document) ([]engine.Document, error) {
	if len(docs) == 0 || len(docs) > q.s.limits.Documents {
		return nil, tooLarge("give 1 to %d documents, not %d", q.s.limits.Documents, len(docs))
	}
	out := make([]engine.Document, len(docs))
	for i := range docs {
		var err error
		if out[i], err = docs[i].Engine(readNPY); err != nil {
			return nil, fmt.Errorf("document %.80q: %w", docs[i].ID, err)
		}
		if err := checkTokens(fmt.Sprintf("document %.80q", docs[i].ID), out[i].Vectors, q.s.limits.DocumentTokens); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// keyed is the handle for a write: with the request's idempotency key, if any.
func (q *request) keyed(col *engine.Collection) *engine.Collection {
	if key := q.r.Header.Get("Idempotency-Key"); key != "" {
		return col.Idempotent(key)
	}
	return col
}

// upsert stores documents and says what of them did not fit the model's window.
func (q *request) upsert(ctx context.Context, col *engine.Collection, docs []engine.Document) (wire.UpsertResult, error) {
	ctx, noted := withNotes(ctx)
	seq, err := col.Upsert(ctx, docs...)
	if err != nil {
		return wire.UpsertResult{}, err
	}
	q.changed += len(docs)
	out := wire.UpsertResult{Seq: seq, Upserted: len(docs)}
	next := 0
	for i := range docs {
		if len(docs[i].Vectors.Data) > 0 || docs[i].Text == "" || next == len(noted.truncated) {
			continue
		}
		if n := noted.truncated[next]; n > 0 {
			out.Truncated = append(out.Truncated, wire.Truncated{ID: docs[i].ID, Tokens: n})
		}
		next++
	}
	return out, nil
}

// upsertDocuments stores a batch, whole or not at all, or loads a stream of lines.
func upsertDocuments(q *request) error {
	if mediaType(q.r) == typeNDJSON {
		return bulkLoad(q)
	}
	var body wire.Upsert
	if err := q.readJSON(&body, true); err != nil {
		return err
	}
	docs, err := q.engineDocuments(body.Documents)
	if err != nil {
		return err
	}
	return q.store(docs)
}

// store answers with the result of an upsert.
func (q *request) store(docs []engine.Document) error {
	col, err := q.open()
	if err != nil {
		return err
	}
	return q.admitted(q.s.writes, q.s.limits.WriteTimeout, func(ctx context.Context) error {
		out, err := q.upsert(ctx, q.keyed(col), docs)
		if err == nil {
			q.json(http.StatusOK, out)
		}
		return err
	})
}

// putDocument stores one document, from JSON or from a matrix with its text and
// attributes as parameters.
func putDocument(q *request) error {
	v, err := q.parameters("text", "attributes", "dtype", "dim")
	if err != nil {
		return err
	}
	doc := engine.Document{ID: q.r.PathValue("id")}
	switch mediaType(q.r) {
	case typeNPY, typeBinary:
		doc.Text = v.Get("text")
		if a := v.Get("attributes"); a != "" {
			doc.Attributes = json.RawMessage(a)
		}
		if doc.Vectors, err = q.matrixBody(v); err != nil {
			return err
		}
		if err := checkTokens("the document", doc.Vectors, q.s.limits.DocumentTokens); err != nil {
			return err
		}
	default:
		var body wire.Document
		if err := q.readJSON(&body, true); err != nil {
			return err
		}
		if body.ID != "" && body.ID != doc.ID {
			return unprocessable("the body's id is %.80q, the path's %.80q", body.ID, doc.ID)
		}
		body.ID = doc.ID
		docs, err := q.engineDocuments([]wire.Document{body})
		if err != nil {
			return err
		}
		doc = docs[0]
	}
	return q.store([]engine.Document{doc})
}

func wireDocument(d *engine.Document, vectors bool) wire.Document {
	out := wire.Document{ID: d.ID, Text: d.Text, Attributes: d.Attributes, Tokens: d.Vectors.Len()}
	if vectors {
		out.Rows = wire.Rows{Matrix: d.Vectors}
	}
	return out
}

// getDocument answers with JSON, or with the vectors alone where the client accepts
// octets.
func getDocument(q *request) error {
	v, err := q.parameters("vectors")
	if err != nil {
		return err
	}
	vectors, err := boolean(v, "vectors")
	if err != nil {
		return err
	}
	col, err := q.s.db.Collection(q.collection)
	if err != nil {
		return err
	}
	d, err := col.Get(q.r.Context(), q.r.PathValue("id"))
	if err != nil {
		return err
	}
	if strings.Contains(q.r.Header.Get("Accept"), typeBinary) {
		q.w.Header().Set("Content-Type", typeBinary)
		q.w.Header().Set("X-Shape", fmt.Sprintf("%d,%d", d.Vectors.Len(), d.Vectors.Dim))
		q.w.Header().Set("X-Dtype", "f32")
		_, err := q.w.Write(wire.F32Bytes(d.Vectors))
		return err
	}
	q.json(http.StatusOK, wireDocument(d, vectors))
	return nil
}

func deleteDocument(q *request) error {
	col, err := q.s.db.Collection(q.collection)
	if err != nil {
		return err
	}
	return q.answerDelete(func(ctx context.Context) (engine.DeleteResult, error) {
		return q.keyed(col).Delete(ctx, q.r.PathValue("id"))
	})
}

func (q *request) answerDelete(f func(ctx context.Context) (engine.DeleteResult, error)) error {
	return q.admitted(q.s.writes, q.s.limits.WriteTimeout, func(ctx context.Context) error {
		r, err := f(ctx)
		if err == nil {
			q.changed = r.Deleted
			q.json(http.StatusOK, wire.DeleteResult(r))
		}
		return err
	})
}

// deleteDocuments deletes ids, or what meets a filter.
func deleteDocuments(q *request) error {
	var body wire.Delete
	if err := q.readJSON(&body, true); err != nil {
		return err
	}
	f := body.Filter.Get()
	if (f == nil) == (len(body.IDs) == 0) {
		return unprocessable("give either ids or a filter")
	}
	if len(body.IDs) > q.s.limits.Documents {
		return tooLarge("give at most %d ids, not %d", q.s.limits.Documents, len(body.IDs))
	}
	col, err := q.s.db.Collection(q.collection)
	if err != nil {
		return err
	}
	return q.answerDelete(func(ctx context.Context) (engine.DeleteResult, error) {
		if f != nil {
			return q.keyed(col).DeleteWhere(ctx, f)
		}
		return q.keyed(col).Delete(ctx, body.IDs...)
	})
}

// purgeDocuments erases documents from every file of the store.
func purgeDocuments(q *request) error {
	var body wire.Delete
	if err := q.readJSON(&body, true); err != nil {
		return err
	}
	if body.Filter != nil || len(body.IDs) == 0 || len(body.IDs) > q.s.limits.Documents {
		return unprocessable("give 1 to %d ids", q.s.limits.Documents)
	}
	col, err := q.s.db.Collection(q.collection)
	if err != nil {
		return err
	}
	r, err := col.Purge(q.r.Context(), body.IDs...)
	if err != nil {
		return err
	}
	q.changed = r.Deleted
	q.json(http.StatusOK, wire.PurgeResult{Deleted: r.Deleted, Seq: r.Seq, Segments: r.Segments, LogFiles: r.LogFiles, Copies: r.Copies})
	return nil
}

// listDocuments gives a page of documents.
func listDocuments(q *request) error {
	v, err := q.parameters("cursor", "limit", "filter", "vectors", "include")
	if err != nil {
		return err
	}
	o := engine.PageOptions{}
	if o.Limit, err = number(v, "limit", 100); err != nil {
		return err
	}
	vectors, err := boolean(v, "vectors")
	if err != nil {
		return err
	}
	most := q.s.limits.Documents
	if vectors {
		most = min(most, 100)
	}
	if o.Limit < 1 || o.Limit > most {
		return unprocessable("limit must be 1 to %d", most)
	}
	o.WithoutVectors = !vectors
	if c := v.Get("cursor"); c != "" {
		if o.After, err = wire.ParseCursor(c); err != nil {
			return err
		}
	}
	if f := v.Get("filter"); f != "" {
		if o.Filter, err = engine.ParseFilter(f); err != nil {
			return err
		}
	}
	include, err := included(v["include"], "text", "attributes")
	if err != nil {
		return err
	}
	col, err := q.s.db.Collection(q.collection)
	if err != nil {
		return err
	}
	return q.admitted(q.s.searches, q.s.limits.MaxTimeout, func(ctx context.Context) error {
		p, err := readPage(ctx, col, o)
		if err != nil {
			return err
		}
		out := wire.Page{Documents: make([]wire.Document, len(p.Documents)), Seq: p.Seq}
		for i, d := range p.Documents {
			out.Documents[i] = wireDocument(d, vectors)
			if !include["text"] {
				out.Documents[i].Text = ""
			}
			if !include["attributes"] {
				out.Documents[i].Attributes = nil
			}
		}
		if p.Next != 0 {
			out.Next = wire.Cursor(p.Next)
		}
		q.json(http.StatusOK, out)
		return nil
	})
}

// Pages with vectors are read by a few documents at a time and end after so many
// numbers: a document may have a million.
const (
	pagePart    = 4
	pageNumbers = 2 << 20
)

// readPage reads a page, or the beginning of one where that is large.
func readPage(ctx context.Context, col *engine.Collection, o engine.PageOptions) (*engine.Page, error) {
	if o.WithoutVectors {
		return col.Page(ctx, o)
	}
	out := &engine.Page{}
	left, numbers := o.Limit, 0
	for {
		o.Limit = min(pagePart, left)
		p, err := col.Page(ctx, o)
		if err != nil {
			return nil, err
		}
		out.Documents = append(out.Documents, p.Documents...)
		out.Next, out.Seq = p.Next, p.Seq
		for _, d := range p.Documents {
			numbers += len(d.Vectors.Data)
		}
		if left -= o.Limit; left <= 0 || p.Next == 0 || numbers > pageNumbers {
			return out, nil
		}
		o.After = p.Next
	}
}

// included reads a list of names among those known; of nil, all of them.
func included(names []string, known ...string) (map[string]bool, error) {
	out := map[string]bool{}
	if names == nil {
		names = known
	}
	for _, list := range names {
		for name := range strings.SplitSeq(list, ",") {
			if !slices.Contains(known, name) && name != "" {
				return nil, unprocessable("include: %.40q is none of %v", name, known)
			}
			out[name] = true
		}
	}
	return out, nil
}

// badInput reports that an error is about what the client sent.
func badInput(err error) bool {
	var f *failure
	if errors.As(err, &f) {
		return f.status == http.StatusBadRequest || f.status == http.StatusUnprocessableEntity || f.status == http.StatusRequestEntityTooLarge
	}
	status, _, _ := wire.KindOf(err)
	return status == http.StatusUnprocessableEntity
}
