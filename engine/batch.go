package engine

import (
	"context"
	"fmt"

	"github.com/colbertdb-go/colbertdb/query/filter"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Batch is a list of changes of one collection that Apply makes in one step, in
// the order in which they were added. The zero value is empty.
type Batch struct {
	changes []batchChange
}

// batchChange is an upsert, or a delete where doc is nil.
type batchChange struct {
	doc *Document
	id  string
}

// Upsert adds documents to be stored, replacing those of the same id.
func (b *Batch) Upsert(docs ...Document) {
	for i := range docs {
		b.changes = append(b.changes, batchChange{doc: &docs[i], id: docs[i].ID})
	}
}

// Delete adds ids of documents to be removed. Ids that are not there are no error.
func (b *Batch) Delete(ids ...string) {
	for _, id := range ids {
		b.changes = append(b.changes, batchChange{id: id})
	}
}

// Len is the number of changes.
func (b *Batch) Len() int { return len(b.changes) }

// Apply makes the changes of a batch in one step: all or none, durable as
// Options.Sync says and visible to every search that starts after it returns.
func (h *Collection) Apply(ctx context.Context, b *Batch) (DeleteResult, error) {
	if len(b.changes) == 0 {
		return DeleteResult{}, fmt.Errorf("%w: an empty batch", ErrInvalid)
	}
	if len(b.changes) > MaxBatchDocuments {
		return DeleteResult{}, fmt.Errorf("%w: %d changes in one batch, the limit is %d", ErrInvalid, len(b.changes), MaxBatchDocuments)
	}
	key, err := b.key(h)
	if err != nil {
		return DeleteResult{}, err
	}
	if out, ok, err := h.made(key); ok || err != nil {
		return out, err
	}
	var docs []Document
	for _, c := range b.changes {
		if c.doc != nil {
			docs = append(docs, *c.doc)
		}
	}
	if docs, err = h.encodeTexts(ctx, docs); err != nil {
		return DeleteResult{}, err
	}
	p, err := h.begin(ctx, len(b.changes), b.memory(docs, &h.c.config), key)
	if err != nil {
		return DeleteResult{}, err
	}
	defer p.end()
	upserts := int64(len(docs))
	for i, c := range b.changes {
		if c.doc == nil {
			if p.ops[i], err = deleteOp(c.id); err != nil {
				return DeleteResult{}, err
			}
			continue
		}
		if p.ops[i], err = newUpsert(&docs[0], h.c.config.Dim); err != nil {
			return DeleteResult{}, err
		}
		docs = docs[1:]
	}
	if err := p.encode(); err != nil {
		return DeleteResult{}, err
	}
	if err := h.c.engine.commit(ctx, p); err != nil {
		return DeleteResult{}, err
	}
	if !p.repeat {
		h.c.engine.stats.upserts.Add(upserts)
		h.c.engine.stats.deletes.Add(int64(p.deleted))
	}
	return DeleteResult{Deleted: p.deleted, Seq: p.seq}, nil
}

// memory is at least what the batch will take; docs are its documents, encoded.
func (b *Batch) memory(docs []Document, r *collectionRecord) (n int64) {
	for i := range docs {
		n += memoryOf(&docs[i], r.Dim, r.RetainRaw)
	}
	for _, c := range b.changes {
		if c.doc == nil {
			n += deleteMemory(c.id)
		}
	}
	return n
}

func deleteOp(id string) (op, error) {
	if id == "" || len(id) > MaxIDBytes {
		return op{}, fmt.Errorf("%w: document id must have 1 to %d bytes, %.40q has %d", ErrInvalid, MaxIDBytes, id, len(id))
	}
	return op{kind: opDelete, id: id}, nil
}

// DeleteWhere removes the documents whose attributes meet a filter. They are
// found in one version of the collection and logged by their ids; a document
// that is replaced between that and the commit stays, whatever its new
// attributes. Each MaxBatchDocuments of them are removed in a step of their own:
// after an error the result says how many are gone. An idempotency key is
// remembered with the last step.
func (h *Collection) DeleteWhere(ctx context.Context, f *Filter) (DeleteResult, error) {
	if f == nil {
		return DeleteResult{}, fmt.Errorf("%w: DeleteWhere needs a filter", ErrInvalid)
	}
	key, err := h.filterKey(f)
	if err != nil {
		return DeleteResult{}, err
	}
	if out, ok, err := h.made(key); ok || err != nil {
		return out, err
	}
	found, seq, err := h.c.matching(ctx, f)
	out := DeleteResult{Seq: seq}
	for err == nil && (len(found) > 0 || key != nil) {
		n := min(len(found), MaxBatchDocuments)
		last := n == len(found)
		if last {
			err = h.deleteUnchanged(ctx, found, key, &out)
			break
		}
		err = h.deleteUnchanged(ctx, found[:n], nil, &out)
		found = found[n:]
	}
	return out, err
}

// foundDoc is a document as it was when it was found.
type foundDoc struct {
	id  string
	num segment.DocNum
}

// matching lists the documents of the current version that meet a filter.
func (c *collection) matching(ctx context.Context, f *Filter) (found []foundDoc, seq uint64, err error) {
	if err := c.engine.enter(); err != nil {
		return nil, 0, err
	}
	defer c.engine.exit()
	v, err := c.acquire()
	if err != nil {
		return nil, 0, err
	}
	defer c.release(v)
	var filters filter.Evaluator
	for _, src := range v.sources() {
		filters.Reset()
		matches, err := filters.Select(ctx, f, src, nil)
		if err != nil {
			return nil, 0, err
		}
		for ord := range src.Len() {
			if matches.Get(ord) {
				found = append(found, foundDoc{src.ExternalID(ord), src.Num(ord)})
			}
		}
	}
	return found, v.seq, nil
}

func (h *Collection) deleteUnchanged(ctx context.Context, docs []foundDoc, key *writeKey, out *DeleteResult) error {
	if key != nil {
		key.before = out.Deleted
	}
	var memory int64
	for _, d := range docs {
		memory += deleteMemory(d.id)
	}
	p, err := h.begin(ctx, len(docs), memory, key)
	if err != nil {
		return err
	}
	defer p.end()
	p.onlyIf = make(map[string]segment.DocNum, len(docs))
	for i, d := range docs {
		p.ops[i] = op{kind: opDelete, id: d.id}
		p.onlyIf[d.id] = d.num
	}
	if err := h.c.engine.commit(ctx, p); err != nil {
		return err
	}
	if p.repeat { // another was faster
		*out = DeleteResult{Deleted: p.deleted, Seq: p.seq}
		return nil
	}
	h.c.engine.stats.deletes.Add(int64(p.deleted))
	out.Deleted += p.deleted
	out.Seq = max(out.Seq, p.seq)
	return nil
}

// keepUnchanged drops the operations on documents that are no longer those that
// were found: replaced, or touched by an earlier batch of the same group. The
// caller has resolved the ids and holds Engine.mu.
func (p *pending) keepUnchanged(earlier []*pending) {
	if p.onlyIf == nil {
		return
	}
	for _, q := range earlier {
		if q.col == p.col && q.err == nil {
			for i := range q.ops {
				delete(p.onlyIf, q.ops[i].id)
			}
		}
	}
	kept := p.ops[:0]
	for _, o := range p.ops {
		if want, ok := p.onlyIf[o.id]; ok {
			if num, there := p.col.numberOf(o.id); there && num == want {
				kept = append(kept, o)
			}
		}
	}
	p.ops = kept
}

// numberOf is the number of the newest document with an id that has been
// resolved. The caller holds Engine.mu.
func (c *collection) numberOf(id string) (segment.DocNum, bool) {
	for _, m := range append(c.frozen[:len(c.frozen):len(c.frozen)], c.active) {
		if ord, ok := m.byID[id]; ok {
			return m.docs[ord].op.num, true
		}
	}
	ref := c.refs[id]
	return ref.num, ref.ok
}
