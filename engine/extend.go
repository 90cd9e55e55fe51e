package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/colbertdb-go/colbertdb/codec"
)

// A collection that keeps no originals (balanced and compact without RetainRaw)
// cannot make good later what a codebook that does not fit has lost. Its buffers
// hold float16 vectors: so before a buffer of documents of a kind that the
// codebook does not know becomes a segment, the codebook is extended by cells for
// them (codec.Extend), and they are encoded with those. Segments stay as they
// are, and are read in the extended versions from then on.
//
//	X1  measure the buffers that are about to be sealed; train on their documents
//	X2  encode the buffers anew while writers go on
//	X3  one synced batch: the extended codebook and routing, the collection's
//	    record with every segment in them; the versions that they extend go
//	X4  publish, buffers and segments alike
//
// It does not wait for merges: one that ends after it has written in versions
// that the extended ones read, and its output comes in there. A training that
// ends after it is dropped.

// extendShare bounds what rewriting codebook and routing costs: a buffer has to
// be at least one in so many tokens of the collection.
const extendShare = 64

// fit extends the codebooks that the buffers which force names, and others that
// a seal would take with them, call for.
func (e *Engine) fit(ctx context.Context, force func(*collection) bool) error {
	if e.opts.DisableRetraining || e.opts.DisableAutoCompaction || e.opts.ReadOnly {
		return nil
	}
	e.mu.Lock()
	var due []*collection
	all := byID(e.unsealed)
	if !slices.ContainsFunc(all, force) {
		all = nil
	}
	for _, c := range all {
		if force(c) || c.active.full(&e.opts) || c.active.bytes >= smallBuffer {
			due = append(due, c)
		}
	}
	e.mu.Unlock()
	for _, c := range due {
		if err := e.extend(ctx, c); err != nil && c.alive.Err() == nil {
			return fmt.Errorf("colbertdb: extending the codebook of collection %q: %w", c.name, err)
		}
	}
	return nil
}

// extend extends the collection's codebook if its buffers call for it.
func (e *Engine) extend(ctx context.Context, c *collection) (err error) {
	if err := e.extending.LockContext(ctx); err != nil {
		return err
	}
	defer e.extending.Unlock()
	v, err := c.acquire()
	if err != nil {
		return err
	}
	defer c.release(v)
	tokens := v.liveTokens()
	if !v.extensionDue(&e.opts, tokens) || c.loading() {
		return nil
	}
	defer e.training(c, false, tokens)(&err)
	o := codec.TrainOptions{TotalTokens: tokens, Seed: 1, CodebookID: v.space.codebookID() + 1, RoutingID: v.space.routingID() + 1}
	cb, rt, err := codec.Extend(ctx, v.space.codebook, v.space.routing, v.sampleBuffers(e.opts.TrainSample), o)
	if errors.Is(err, codec.ErrExtend) {
		return nil // what drift there is will be trained for
	}
	if err != nil {
		return err
	}
	to := v.space.extended(cb, rt)
	w := &mergeWork{engine: e, col: c, from: v.space, to: to, trained: to}
	moved := &moveBuffers{to: to, indexes: c.declared(), into: map[*memtable]*memtable{}}
	if err := c.catchUp(ctx, moved); err != nil {
		return err
	}
	return e.publishing(ctx, func(ctx context.Context) error { return w.publish(ctx, moved) })
}

// extensionDue reports whether the buffers hold documents of a kind that the
// codebook does not know, and enough of them, and their detail would be lost.
func (v *version) extensionDue(o *Options, tokens int64) bool {
	if !v.space.coded() || v.space.representation() >= codec.PlaneC {
		return false
	}
	recent := new(codec.ResidualStats)
	for _, m := range v.mems {
		for ord, d := range m.docs {
			if m.isLive(ord) {
				recent.AddNorms(d.enc.Norms, v.space.codebook)
			}
		}
	}
	return recent.Tokens >= max(o.DriftTokens/4, tokens/extendShare) && o.unlike(recent, v.space.codebook)
}

// sampleBuffers draws whole live documents evenly over the buffers, about limit
// of their tokens, as they were written.
func (v *version) sampleBuffers(limit int) codec.Matrix {
	out := codec.Matrix{Dim: v.space.dim}
	var all int64
	for _, m := range v.mems {
		all += m.liveTokens
	}
	stride, n := int(all/int64(limit))+1, 0
	for _, m := range v.mems {
		for ord, d := range m.docs {
			if !m.isLive(ord) {
				continue
			}
			if n%stride == 0 { // the first, whatever the stride
				out.Data = append(out.Data, d.op.matrix().Data...)
			}
			n++
		}
	}
	return out
}

// extend moves what is in the codebook of a space to one that extends it; a
// routing that segments have yet to leave stays. The caller holds Engine.mu.
func (v *version) extend(from, to *space) {
	older := map[uint32]*space{}
	for i := range v.segs {
		s := &v.segs[i]
		switch routing := s.space.routingID(); {
		case s.space.codebookID() != from.codebookID():
		case routing == from.routingID():
			s.space = to
		default:
			if older[routing] == nil {
				rt, _ := s.space.routing.For(to.codebook) // it is of from's codebook
				older[routing] = to.with(to.codebook, rt)
			}
			s.space = older[routing]
		}
	}
}
