package filter

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/colbertdb-go/colbertdb/internal/attribute"
	"github.com/colbertdb-go/colbertdb/segment"
)

// doc is a document of a test, as Go values.
type doc map[string]any

// testSource is a source whose attributes have indexes as far as it says, which
// cannot tell of the odd documents.
type testSource struct {
	docs    []doc
	raw     [][]byte
	live    *segment.Bitset
	indexed map[string]bool
	odd     map[int]bool
	read    int // documents whose attributes were read
}

func (s *testSource) Len() int              { return len(s.docs) }
func (s *testSource) Live() *segment.Bitset { return s.live }

func (s *testSource) EachAttributes(_ context.Context, which *segment.Bitset, f func(int, []byte) error) error {
	for ord, b := range s.raw {
		if which == nil || which.Get(ord) {
			s.read++
			if err := f(ord, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *testSource) AttributeIndex(path string) Index {
	if !s.indexed[path] {
		return nil
	}
	return testIndex{s, path}
}

type testIndex struct {
	s    *testSource
	path string
}

func (x testIndex) Select(t *attribute.Test, must, may *segment.Bitset) {
	p, _ := attribute.ParsePath(x.path)
	for ord, b := range x.s.raw {
		ok, _ := t.Match(b, p)
		switch {
		case x.s.odd[ord]:
			may.Set(ord)
		case ok:
			must.Set(ord)
		}
	}
}

// values are what documents and filters hold, often the same.
var values = []any{"", "x", "xy", "y", 0.0, 1.0, 1.5, -2.0, true, false, nil}

// model is a condition over Go values.
type model func(doc) bool

// randomFilter returns a filter in its JSON form and the same as a function.
func randomFilter(r *rand.Rand, depth int) (any, model) {
	if depth > 0 && r.IntN(3) > 0 {
		a, ma := randomFilter(r, depth-1)
		b, mb := randomFilter(r, depth-1)
		switch r.IntN(3) {
		case 0:
			return map[string]any{"and": []any{a, b}}, func(d doc) bool { return ma(d) && mb(d) }
		case 1:
			return map[string]any{"or": []any{a, b}}, func(d doc) bool { return ma(d) || mb(d) }
		}
		return map[string]any{"not": a}, func(d doc) bool { return !ma(d) }
	}
	path := []string{"a", "b", "c.d", "absent"}[r.IntN(4)]
	anyOf := func(holds func(any) bool) model {
		return func(d doc) bool {
			list, _ := valuesAt(d, path)
			for _, v := range list {
				if holds(v) {
					return true
				}
			}
			return false
		}
	}
	leaf := func(op string, v any) any { return map[string]any{op: map[string]any{path: v}} }
	w := values[r.IntN(len(values))]
	switch r.IntN(6) {
	case 0:
		return leaf("eq", w), anyOf(func(v any) bool { return v == w })
	case 1:
		eq := anyOf(func(v any) bool { return v == w })
		return leaf("ne", w), func(d doc) bool { return !eq(d) }
	case 2:
		w2 := values[r.IntN(len(values))]
		return leaf("in", []any{w, w2}), anyOf(func(v any) bool { return v == w || v == w2 })
	case 3:
		return leaf("prefix", "x"), anyOf(func(v any) bool { s, ok := v.(string); return ok && strings.HasPrefix(s, "x") })
	case 4:
		return map[string]any{"exists": path}, func(d doc) bool { _, ok := valuesAt(d, path); return ok }
	}
	bound := []any{-2.0, 0.0, 1.0, "x", "xy"}[r.IntN(5)]
	op := []string{"lt", "lte", "gt", "gte"}[r.IntN(4)]
	return leaf(op, bound), anyOf(func(v any) bool {
		order := 0
		switch bound := bound.(type) {
		case float64:
			f, ok := v.(float64)
			if !ok {
				return false
			}
			order = compareAs(f, bound)
		case string:
			s, ok := v.(string)
			if !ok {
				return false
			}
			order = strings.Compare(s, bound)
		}
		return map[string]bool{"lt": order < 0, "lte": order <= 0, "gt": order > 0, "gte": order >= 0}[op]
	})
}

func compareAs(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// valuesAt returns what is at a path, arrays taken apart.
func valuesAt(d doc, path string) ([]any, bool) {
	v, ok := d[path]
	if path == "c.d" {
		inner, _ := d["c"].(map[string]any)
		v, ok = inner["d"]
	}
	if list, isList := v.([]any); isList {
		return list, ok
	}
	if !ok {
		return nil, false
	}
	return []any{v}, true
}

func randomDoc(r *rand.Rand) doc {
	d := doc{}
	value := func() any { return values[r.IntN(len(values))] }
	for _, name := range []string{"a", "b", "d"} {
		var v any
		switch r.IntN(5) {
		case 0:
			continue
		case 1:
			v = []any{value(), value()}
		case 2:
			v = []any{}
		default:
			v = value()
		}
		if name == "d" {
			d["c"] = map[string]any{"d": v}
		} else {
			d[name] = v
		}
	}
	return d
}

// Whatever is indexed, a filter selects what a model over Go values does, and
// reads no attributes where indexes answer.
func TestSelectAgreesWithModel(t *testing.T) {
	var e Evaluator
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		src := &testSource{indexed: map[string]bool{}, odd: map[int]bool{}}
		n := 1 + r.IntN(150)
		for ord := range n {
			d := randomDoc(r)
			raw, err := json.Marshal(d)
			if err != nil {
				rt.Fatal(err)
			}
			src.docs, src.raw = append(src.docs, d), append(src.raw, raw)
			if r.IntN(10) == 0 {
				src.odd[ord] = true
			}
		}
		if r.IntN(2) == 0 {
			src.live = segment.NewBitset(n, true)
			for range n / 4 {
				src.live.Clear(r.IntN(n))
			}
		}
		for _, path := range []string{"a", "b", "c.d", "absent"} {
			src.indexed[path] = r.IntN(2) == 0
		}
		tree, want := randomFilter(r, 3)
		form, err := json.Marshal(tree)
		if err != nil {
			rt.Fatal(err)
		}
		f, err := Parse(string(form))
		if err != nil {
			rt.Fatalf("%s: %v", form, err)
		}
		var plan Plan
		e.Reset()
		got, err := e.Select(context.Background(), f, src, &plan)
		if err != nil {
			rt.Fatal(err)
		}
		matches := 0
		for ord, d := range src.docs {
			live := src.live == nil || src.live.Get(ord)
			if got.Get(ord) != (live && want(d)) {
				rt.Fatalf("%s on %s (live %t): %t", f, src.raw[ord], live, got.Get(ord))
			}
			if got.Get(ord) {
				matches++
			}
		}
		if plan.Matches != matches || plan.Scanned != src.read || plan.Documents != liveCount(src) {
			rt.Fatalf("%+v: %d matches, %d read", plan, matches, src.read)
		}
		all := len(src.odd) == 0
		for _, c := range plan.Conditions {
			all = all && c.Indexed == 1
			if (c.Indexed == 1) != src.indexed[c.Attribute] || c.Sources != 1 {
				rt.Fatalf("%+v", c)
			}
		}
		if all && src.read > 0 {
			rt.Fatalf("%s: %d attributes read", f, src.read)
		}
	})
}

// A comparison without an index is looked at only where those with one leave the
// document in question.
func TestSelectReadsWhatIsUndecided(t *testing.T) {
	src := &testSource{indexed: map[string]bool{"n": true}}
	for i := range 1000 {
		src.raw = append(src.raw, fmt.Appendf(nil, `{"n":%d,"s":"%d"}`, i, i%7))
		src.docs = append(src.docs, nil)
	}
	var e Evaluator
	for text, reads := range map[string]int{
		`n < 10`:                                   0,
		`n < 10 and s = "3"`:                       10,
		`n >= 10 or s = "3"`:                       10,
		`not (n >= 10 or s = "3")`:                 10,
		`s = "3"`:                                  1000,
		`n in (1, 2, 5000) and not s != "1"`:       2,
		`n < 0 and s = "3"`:                        0,
		`n < 100 and (s = "1" or n < 50)`:          50,
		`exists(n) and exists(m) and n prefix "1"`: 0,
	} {
		src.read = 0
		e.Reset()
		if _, err := e.Select(context.Background(), mustFilter(t, text), src, nil); err != nil {
			t.Fatal(err)
		}
		if src.read != reads {
			t.Errorf("%s: attributes of %d documents read, want %d", text, src.read, reads)
		}
	}
}
