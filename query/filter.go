package query

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/colbertdb-go/colbertdb/segment"
)

// Filter is a condition on a document's attributes. It has a JSON form,
//
//	{"and": [{"gte": {"year": 2020}}, {"in": {"lang": ["en", "de"]}}]}
//
// and a text form,
//
//	year >= 2020 and lang in ("en", "de")
//
// Operators: eq, ne, in, lt, lte, gt, gte, prefix, exists, and, or, not. An
// attribute is named by its path, a.b for {"a": {"b": …}}. Where it is an array,
// a comparison holds when it holds for one of its elements. Values of different
// types are never equal and have no order; ne is the opposite of eq, so it holds
// where the attribute is absent.
type Filter struct {
	op       operator
	path     []string
	values   []any // string, float64, bool or nil
	children []*Filter
}

type operator string

const (
	opEq     operator = "eq"
	opNe     operator = "ne"
	opIn     operator = "in"
	opLt     operator = "lt"
	opLte    operator = "lte"
	opGt     operator = "gt"
	opGte    operator = "gte"
	opPrefix operator = "prefix"
	opExists operator = "exists"
	opAnd    operator = "and"
	opOr     operator = "or"
	opNot    operator = "not"
)

// Limits of a filter.
const (
	maxFilterDepth = 32
	maxFilterNodes = 1000
	maxFilterBytes = 1 << 20
)

// ParseFilter reads the JSON form.
func ParseFilter(b []byte) (*Filter, error) {
	if len(b) > maxFilterBytes {
		return nil, fmt.Errorf("%w: filter of %d bytes, the limit is %d", ErrInvalid, len(b), maxFilterBytes)
	}
	nodes := 0
	f, err := parseJSON(b, 0, &nodes)
	if err != nil {
		return nil, fmt.Errorf("%w: filter: %w", ErrInvalid, err)
	}
	return f, nil
}

func parseJSON(b []byte, depth int, nodes *int) (*Filter, error) {
	if *nodes++; depth > maxFilterDepth || *nodes > maxFilterNodes {
		return nil, fmt.Errorf("more than %d levels or %d conditions", maxFilterDepth, maxFilterNodes)
	}
	var obj map[string]json.RawMessage
	if err := json.Unmarshal(b, &obj); err != nil || len(obj) == 0 {
		return nil, fmt.Errorf(`%.60q is not a condition such as {"eq": {"lang": "en"}}`, b)
	}
	var all []*Filter
	for _, name := range sortedKeys(obj) {
		f, err := parseOperator(operator(name), obj[name], depth, nodes)
		if err != nil {
			return nil, err
		}
		all = append(all, f...)
	}
	return conjunction(all), nil
}

func parseOperator(op operator, arg json.RawMessage, depth int, nodes *int) ([]*Filter, error) {
	switch op {
	case opAnd, opOr:
		var list []json.RawMessage
		if err := json.Unmarshal(arg, &list); err != nil || len(list) == 0 {
			return nil, fmt.Errorf("%s needs a list of conditions, not %.60q", op, arg)
		}
		f := &Filter{op: op}
		for _, c := range list {
			child, err := parseJSON(c, depth+1, nodes)
			if err != nil {
				return nil, err
			}
			f.children = append(f.children, child)
		}
		return []*Filter{f}, nil
	case opNot:
		child, err := parseJSON(arg, depth+1, nodes)
		if err != nil {
			return nil, err
		}
		return []*Filter{{op: opNot, children: []*Filter{child}}}, nil
	case opExists:
		var path string
		if err := json.Unmarshal(arg, &path); err != nil || path == "" {
			return nil, fmt.Errorf("exists needs the name of an attribute, not %.60q", arg)
		}
		return []*Filter{{op: opExists, path: splitPath(path)}}, nil
	case opEq, opNe, opLt, opLte, opGt, opGte, opPrefix, opIn:
		var obj map[string]json.RawMessage
		if err := json.Unmarshal(arg, &obj); err != nil || len(obj) == 0 {
			return nil, fmt.Errorf(`%s needs an object such as {"year": 2020}, not %.60q`, op, arg)
		}
		var out []*Filter
		for _, path := range sortedKeys(obj) {
			values, err := parseValues(op, obj[path])
			if err != nil {
				return nil, fmt.Errorf("%s of %q: %w", op, path, err)
			}
			out = append(out, &Filter{op: op, path: splitPath(path), values: values})
		}
		return out, nil
	}
	return nil, fmt.Errorf("unknown operator %q: use eq, ne, in, lt, lte, gt, gte, prefix, exists, and, or, not", op)
}

func parseValues(op operator, b []byte) ([]any, error) {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return nil, err
	}
	if op == opIn {
		list, ok := v.([]any)
		if !ok {
			return nil, fmt.Errorf("needs a list, not %.60q", b)
		}
		for _, x := range list {
			if err := scalar(opEq, x); err != nil {
				return nil, err
			}
		}
		return list, nil
	}
	return []any{v}, scalar(op, v)
}

// scalar checks that an operator can take a value.
func scalar(op operator, v any) error {
	_, isString := v.(string)
	_, isNumber := v.(float64)
	switch op {
	case opPrefix:
		if !isString {
			return fmt.Errorf("needs a string, not %v", v)
		}
	case opLt, opLte, opGt, opGte:
		if !isString && !isNumber {
			return fmt.Errorf("needs a number or a string, not %v", v)
		}
	default:
		switch v.(type) {
		case []any, map[string]any:
			return fmt.Errorf("needs a number, string, boolean or null, not %v", v)
		}
	}
	return nil
}

func conjunction(all []*Filter) *Filter {
	if len(all) == 1 {
		return all[0]
	}
	return &Filter{op: opAnd, children: all}
}

func splitPath(s string) []string { return strings.Split(s, ".") }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// MarshalJSON returns the JSON form.
func (f *Filter) MarshalJSON() ([]byte, error) {
	var arg any
	switch f.op {
	case opAnd, opOr:
		arg = f.children
	case opNot:
		arg = f.children[0]
	case opExists:
		arg = strings.Join(f.path, ".")
	case opIn:
		arg = map[string]any{strings.Join(f.path, "."): f.values}
	default:
		arg = map[string]any{strings.Join(f.path, "."): f.values[0]}
	}
	return json.Marshal(map[operator]any{f.op: arg})
}

// Match reports whether attributes, a JSON object or nil, meet the condition.
func (f *Filter) Match(attrs []byte) (bool, error) {
	var obj map[string]any
	if len(attrs) > 0 {
		if err := json.Unmarshal(attrs, &obj); err != nil {
			return false, fmt.Errorf("colbertdb: stored attributes are not a JSON object: %w", err)
		}
	}
	return f.match(obj), nil
}

func (f *Filter) match(obj map[string]any) bool {
	switch f.op {
	case opAnd:
		return !slices.ContainsFunc(f.children, func(c *Filter) bool { return !c.match(obj) })
	case opOr:
		return slices.ContainsFunc(f.children, func(c *Filter) bool { return c.match(obj) })
	case opNot:
		return !f.children[0].match(obj)
	}
	v, ok := lookup(obj, f.path)
	switch f.op {
	case opExists:
		return ok
	case opNe:
		return !ok || !f.holds(opEq, v)
	}
	return ok && f.holds(f.op, v)
}

// holds compares a value, or one element of an array, with the filter's values.
func (f *Filter) holds(op operator, v any) bool {
	if list, ok := v.([]any); ok {
		return slices.ContainsFunc(list, func(e any) bool { return f.holds(op, e) })
	}
	return slices.ContainsFunc(f.values, func(want any) bool { return compare(op, v, want) })
}

func compare(op operator, v, want any) bool {
	if op == opEq || op == opIn {
		switch v.(type) {
		case map[string]any, []any:
			return false
		}
		return v == want
	}
	switch a := v.(type) {
	case float64:
		b, ok := want.(float64)
		return ok && ordered(op, a, b)
	case string:
		b, ok := want.(string)
		if op == opPrefix {
			return ok && strings.HasPrefix(a, b)
		}
		return ok && ordered(op, a, b)
	}
	return false
}

func ordered[T float64 | string](op operator, a, b T) bool {
	switch op {
	case opLt:
		return a < b
	case opLte:
		return a <= b
	case opGt:
		return a > b
	case opGte:
		return a >= b
	}
	return false
}

func lookup(obj map[string]any, path []string) (any, bool) {
	if v, ok := obj[strings.Join(path, ".")]; ok { // an attribute may have a dot in its name
		return v, true
	}
	v, ok := obj[path[0]]
	for _, name := range path[1:] {
		inner, isObj := v.(map[string]any)
		if !isObj {
			return nil, false
		}
		v, ok = inner[name]
	}
	return v, ok
}

// bits evaluates the filter over a source.
func (f *Filter) bits(ctx context.Context, src Source) (*segment.Bitset, error) {
	out := segment.NewBitset(src.Len(), false)
	err := src.EachAttributes(ctx, func(ord int, attrs []byte) error {
		ok, err := f.Match(attrs)
		if ok {
			out.Set(ord)
		}
		return err
	})
	return out, err
}

// attribute returns the value of a top-level or nested attribute as JSON, empty
// where it is absent.
func attribute(attrs []byte, path string) string {
	var obj map[string]any
	if len(attrs) == 0 || json.Unmarshal(attrs, &obj) != nil {
		return ""
	}
	v, ok := lookup(obj, splitPath(path))
	if !ok {
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}
