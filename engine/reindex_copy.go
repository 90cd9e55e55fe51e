package engine

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/colbertdb-go/colbertdb/segment"
)

// from calls f with the live documents of a version whose number is at least
// num, ascending, until it returns false.
func (v *version) from(ctx context.Context, num segment.DocNum, f func(src source, ord int) (bool, error)) error {
	for _, src := range v.sources() {
		first := sort.Search(src.Len(), func(ord int) bool { return src.Num(ord) >= num })
		for ord := first; ord < src.Len(); ord++ {
			if !src.isLive(ord) {
				continue
			}
			if ord%1024 == 0 {
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			if more, err := f(src, ord); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

// Num returns the number of a document.
func (v *memView) Num(ord int) segment.DocNum { return v.docs[ord].op.num }

func (v *memView) textBytes(ord int) int { return len(v.docs[ord].op.text) }

func (s segView) textBytes(ord int) int { return s.TextBytes(ord) }

// copyRound is N3: it encodes and stores, batch by batch, what the source has from
// the saved position on, and returns how many documents that were. What is
// written after its start is the next round's: writers may be faster.
func (r *reindexRun) copyRound(ctx context.Context) (copied int, err error) {
	r.e.mu.Lock()
	end := r.source.nextNum
	r.e.mu.Unlock()
	for {
		if r.state.Next >= end {
			return copied, nil
		}
		n, err := r.copyBatch(ctx)
		copied += n
		if err != nil || n == 0 {
			return copied, err
		}
		if r.opts.Progress != nil {
			r.opts.Progress(r.progress())
		}
	}
}

// copyBatch copies one batch and saves the position after it.
func (r *reindexRun) copyBatch(ctx context.Context) (int, error) {
	docs, textless, next, err := r.batch(ctx)
	n := len(docs) + len(textless)
	if err != nil || n == 0 {
		return 0, err
	}
	if len(textless) > 0 && !r.opts.SkipTextless {
		plan := ReindexPlan{Source: r.source.title(), Documents: int64(n), Textless: int64(len(textless)), Examples: textless[:1]}
		return 0, plan.noText()
	}
	var tokens, truncated int64
	if len(docs) > 0 {
		if tokens, truncated, err = r.encode(ctx, docs); err != nil {
			return 0, err
		}
		if _, err := r.target.Upsert(ctx, docs...); err != nil {
			return 0, err
		}
	}
	// Where a document without text has replaced one with text, that one goes.
	if err := r.remove(ctx, textless); err != nil {
		return 0, err
	}
	s := &r.state
	s.Next = next
	s.Documents, s.Skipped = s.Documents+int64(n), s.Skipped+int64(len(textless))
	s.Tokens, s.Truncated = s.Tokens+tokens, s.Truncated+truncated
	r.left = max(0, r.left-int64(n))
	return n, r.save(ctx)
}

// batch reads the next documents, the ids of those without text, and the
// position after them.
func (r *reindexRun) batch(ctx context.Context) (docs []Document, textless []string, next segment.DocNum, err error) {
	if err := r.e.enter(); err != nil {
		return nil, nil, 0, err
	}
	defer r.e.exit()
	v, err := r.source.acquire()
	if err != nil {
		return nil, nil, 0, err
	}
	defer r.source.release(v)
	if r.source.dropped.Load() {
		return nil, nil, 0, fmt.Errorf("%w: %q was dropped", ErrCollectionNotFound, r.source.title())
	}
	next = r.state.Next
	err = v.from(ctx, r.state.Next, func(src source, ord int) (bool, error) {
		next = src.Num(ord) + 1
		if src.textBytes(ord) == 0 {
			textless = append(textless, src.ExternalID(ord))
		} else {
			d, err := v.load(src, ord, false)
			if err != nil {
				return false, err
			}
			docs = append(docs, *d)
		}
		return len(docs)+len(textless) < r.opts.BatchDocuments, nil
	})
	return docs, textless, next, err
}

// encode gives documents the vectors of the new model, and returns how many
// these are and how many documents were too long for it.
func (r *reindexRun) encode(ctx context.Context, docs []Document) (tokens, truncated int64, err error) {
	texts := make([]string, len(docs))
	for i := range docs {
		texts[i] = docs[i].Text
	}
	encoded, err := encodeDocuments(ctx, r.enc, texts)
	if err != nil {
		return 0, 0, fmt.Errorf("documents from %q on: %w", docs[0].ID, err)
	}
	for i := range docs {
		docs[i].Vectors = encoded[i].Vectors
		tokens += int64(encoded[i].Vectors.Len())
		if encoded[i].Truncated > 0 {
			truncated++
		}
	}
	return tokens, truncated, nil
}

// drain is N4: it carries noted deletes over.
func (r *reindexRun) drain(ctx context.Context) error {
	r.e.mu.Lock()
	ids, lost := r.source.notes.take()
	r.e.mu.Unlock()
	if lost {
		return r.compare(ctx)
	}
	slices.Sort(ids)
	return r.removeDead(ctx, ids)
}

// compare is N2: it deletes from the target what is not alive in the source.
func (r *reindexRun) compare(ctx context.Context) error {
	c := r.target.c
	v, err := c.acquire()
	if err != nil {
		return err
	}
	defer c.release(v)
	var ids []string
	err = v.from(ctx, 0, func(src source, ord int) (bool, error) {
		if ids = append(ids, src.ExternalID(ord)); len(ids) < deadBatch {
			return true, nil
		}
		err := r.removeDead(ctx, ids)
		ids = ids[:0]
		return true, err
	})
	if err != nil {
		return err
	}
	return r.removeDead(ctx, ids)
}

// deadBatch is how many ids are looked up under one hold of Engine.mu.
const deadBatch = 256

// removeDead deletes from the target those ids that are not alive in the source.
func (r *reindexRun) removeDead(ctx context.Context, ids []string) error {
	for part := range slices.Chunk(ids, deadBatch) {
		dead, err := r.source.dead(part)
		if err != nil {
			return err
		}
		if err := r.remove(ctx, dead); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes ids from the target.
func (r *reindexRun) remove(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	res, err := r.target.Delete(ctx, ids...)
	r.state.Deleted += int64(res.Deleted)
	return err
}

// dead returns those ids that name no live document of the newest version. The
// caller keeps the collection open.
func (c *collection) dead(ids []string) (out []string, err error) {
	if err := c.engine.enter(); err != nil {
		return nil, err
	}
	defer c.engine.exit()
	c.engine.mu.Lock() // the ids of the buffers belong to the current version
	defer c.engine.mu.Unlock()
	for _, id := range ids {
		alive, err := c.isAlive(id)
		if err != nil {
			return nil, err
		}
		if !alive {
			out = append(out, id)
		}
	}
	return out, nil
}

// isAlive reports whether an id names a live document. The caller holds Engine.mu
// and keeps the collection open.
func (c *collection) isAlive(id string) (bool, error) {
	if _, ok := c.active.byID[id]; ok {
		return true, nil
	}
	for _, m := range c.frozen {
		if _, ok := m.byID[id]; ok {
			return true, nil
		}
	}
	num, ok, err := c.lookup(id)
	if err != nil || !ok {
		return false, err
	}
	i, ord, ok := c.current.find(num)
	return ok && c.current.segs[i].isLive(ord), nil
}
