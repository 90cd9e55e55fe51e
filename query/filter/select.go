package filter

import (
	"context"

	"github.com/colbertdb-go/colbertdb/internal/attribute"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Source is the documents that a filter chooses among: a segment or a memory
// buffer as one version sees it.
type Source interface {
	// Len is the number of documents; ordinals are below it.
	Len() int
	// Live says which documents exist; nil: all.
	Live() *segment.Bitset
	// EachAttributes calls f with the attributes of the documents in a set, in
	// order; they are valid during the call.
	EachAttributes(ctx context.Context, which *segment.Bitset, f func(ord int, attrs []byte) error) error
	// AttributeIndex returns the index of an attribute, nil where there is none.
	AttributeIndex(path string) Index
}

// Index answers tests of one attribute.
type Index interface {
	// Select adds to must the documents that meet a test, and to may those that
	// the index cannot tell; both are sets over the source.
	Select(t *attribute.Test, must, may *segment.Bitset)
}

// Plan says how a filter was evaluated.
type Plan struct {
	Filter string `json:"filter"` // text form
	// Documents are live, Matches of them meet the filter; of Scanned ones the
	// attributes were read.
	Documents  int             `json:"documents"`
	Matches    int             `json:"matches"`
	Scanned    int             `json:"scanned"`
	Conditions []ConditionPlan `json:"conditions"`
}

// ConditionPlan is one comparison of a filter.
type ConditionPlan struct {
	Condition string `json:"condition"`
	Attribute string `json:"attribute"`
	// Of Sources segments and buffers, Indexed have an index of the attribute,
	// which says that Matches of their live documents meet the comparison.
	Sources int `json:"sources"`
	Indexed int `json:"indexed"`
	Matches int `json:"matches"`
}

// Evaluator evaluates filters over sources, keeping its memory from one to the
// next. It is used by one goroutine at a time.
type Evaluator struct {
	free, used []*segment.Bitset
	plan       *Plan // nil: not asked for
	next       int   // condition of plan
}

// Reset takes back the sets that Select has returned.
func (e *Evaluator) Reset() {
	e.free, e.used = append(e.free, e.used...), e.used[:0]
}

// set returns an empty set over n ordinals.
func (e *Evaluator) set(n int) *segment.Bitset {
	var b *segment.Bitset
	if last := len(e.free) - 1; last >= 0 {
		b, e.free = e.free[last], e.free[:last]
		b.Reset(n)
	} else {
		b = segment.NewBitset(n, false)
	}
	e.used = append(e.used, b)
	return b
}

// answer is what is known of each document without its attributes: those in must
// meet the condition, those outside may do not.
type answer struct{ must, may *segment.Bitset }

// Select returns the live documents of a source that meet a filter, valid until
// Reset. Comparisons with an index are answered by it; attributes are read of the
// documents alone that they leave undecided. plan gathers over sources; nil: none.
func (e *Evaluator) Select(ctx context.Context, f *Filter, src Source, plan *Plan) (*segment.Bitset, error) {
	e.plan, e.next = plan, 0
	defer func() { e.plan = nil }()
	a := e.eval(f, src)
	if live := src.Live(); live != nil {
		a.must.IntersectWith(live)
		a.may.IntersectWith(live)
	}
	undecided := a.may
	undecided.Subtract(a.must)
	scanned := undecided.Count()
	if scanned > 0 {
		err := src.EachAttributes(ctx, undecided, func(ord int, attrs []byte) error {
			ok, err := f.Match(attrs)
			if ok {
				a.must.Set(ord)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if plan != nil {
		plan.Filter = f.String()
		plan.Documents += liveCount(src)
		plan.Matches += a.must.Count()
		plan.Scanned += scanned
	}
	return a.must, nil
}

func liveCount(src Source) int {
	if live := src.Live(); live != nil {
		return live.Count()
	}
	return src.Len()
}

// eval answers by indexes alone. It owns the sets that it returns.
func (e *Evaluator) eval(f *Filter, src Source) answer {
	switch f.op {
	case opAnd, opOr:
		a := e.eval(f.children[0], src)
		for _, c := range f.children[1:] {
			b := e.eval(c, src)
			if f.op == opAnd {
				a.must.IntersectWith(b.must)
				a.may.IntersectWith(b.may)
			} else {
				a.must.UnionWith(b.must)
				a.may.UnionWith(b.may)
			}
		}
		return a
	case opNot:
		return complement(e.eval(f.children[0], src))
	}
	a := answer{e.set(src.Len()), e.set(src.Len())}
	index := src.AttributeIndex(f.path.String())
	if index != nil {
		index.Select(&f.test, a.must, a.may)
		a.may.UnionWith(a.must)
	} else {
		a.may.Complement()
	}
	if f.op == opNe {
		a = complement(a)
	}
	e.note(f, src, index != nil, a)
	return a
}

func complement(a answer) answer {
	a.must.Complement()
	a.may.Complement()
	return answer{must: a.may, may: a.must}
}

// note counts a comparison in the plan. Comparisons come in the same order for
// every source.
func (e *Evaluator) note(f *Filter, src Source, indexed bool, a answer) {
	if e.plan == nil {
		return
	}
	if e.next == len(e.plan.Conditions) {
		e.plan.Conditions = append(e.plan.Conditions, ConditionPlan{Condition: f.String(), Attribute: f.path.String()})
	}
	c := &e.plan.Conditions[e.next]
	e.next++
	c.Sources++
	if indexed {
		c.Indexed++
		c.Matches += a.must.CountIn(src.Live())
	}
}
