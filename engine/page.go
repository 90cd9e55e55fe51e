package engine

import (
	"context"
	"fmt"
	"sort"

	"github.com/colbertdb-go/colbertdb/query/filter"
	"github.com/colbertdb-go/colbertdb/segment"
)

// PageOptions say which documents Page returns.
type PageOptions struct {
	// After is where the page before ended: its Next. Default: 0, the beginning.
	After uint64
	// Limit is the most documents of a page. Default: 100.
	Limit int
	// Filter leaves out documents that do not meet it. It is evaluated for each
	// page anew over the segments that the page reads: without an index of the
	// attribute, a page reads the attributes of whole segments. Default: none.
	Filter *Filter
	// WithoutVectors leaves Document.Vectors empty.
	WithoutVectors bool
}

// Page is some of a collection's documents.
type Page struct {
	Documents []*Document
	Next      uint64 // After of the next page; 0: there are no more
	Seq       uint64 // newest change that the page saw
}

// Page returns documents of the collection's present version in the order of their
// last upsert, some at a time. Each page sees the version of its own moment: a
// document that is not written while the pages are read is on one of them, exactly
// once; one that is replaced moves to the end, and what a load that is open brings
// may come before where the reader is.
func (h *Collection) Page(ctx context.Context, o PageOptions) (*Page, error) {
	if o.Limit == 0 {
		o.Limit = 100
	}
	if o.Limit < 0 {
		return nil, fmt.Errorf("%w: a page of %d documents", ErrInvalid, o.Limit)
	}
	e := h.c.engine
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.exit()
	v, err := h.c.acquire()
	if err != nil {
		return nil, err
	}
	defer h.c.release(v)
	out := &Page{Seq: v.seq}
	var filters filter.Evaluator
	for _, src := range v.sources() {
		first := sort.Search(src.Len(), func(ord int) bool { return uint64(src.Num(ord)) >= o.After })
		if first == src.Len() {
			continue
		}
		var matches *segment.Bitset
		if o.Filter != nil {
			filters.Reset()
			if matches, err = filters.Select(ctx, o.Filter, src, nil); err != nil {
				return nil, err
			}
		}
		for ord := first; ord < src.Len(); ord++ {
			if !src.isLive(ord) || matches != nil && !matches.Get(ord) {
				continue
			}
			if len(out.Documents) == o.Limit {
				out.Next = uint64(src.Num(ord))
				return out, nil
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			d, err := v.load(src, ord, !o.WithoutVectors)
			if err != nil {
				return nil, err
			}
			out.Documents = append(out.Documents, d)
		}
	}
	return out, nil
}
