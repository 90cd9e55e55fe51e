package filter

import (
	"errors"
	"fmt"
	"math"

	"github.com/colbertdb-go/colbertdb/internal/attribute"
)

// Limits of a filter. A parsed one needs memory in proportion to its length, at
// most some 40 bytes for each.
const (
	MaxBytes      = 1 << 20
	MaxDepth      = 32     // of conditions in one another
	MaxConditions = 1000   // operators of any kind
	MaxValues     = 20_000 // constants, over all lists
)

// ErrInvalid is wrapped by every error about a filter's form.
var ErrInvalid = errors.New("colbertdb: invalid filter")

// SyntaxError says what is wrong with a filter, where, and what would be right.
// It wraps ErrInvalid.
type SyntaxError struct {
	Offset int // in bytes
	Msg    string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%v: at byte %d: %s", ErrInvalid, e.Offset, e.Msg)
}

// Unwrap returns ErrInvalid.
func (e *SyntaxError) Unwrap() error { return ErrInvalid }

// operator is an operator by its name in JSON.
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

const operatorNames = "eq, ne, in, lt, lte, gt, gte, prefix, exists, and, or, not"

// tests are what the comparisons ask of a value. ne asks the same as eq; the
// answer is turned around.
var tests = map[operator]attribute.Op{
	opEq: attribute.In, opNe: attribute.In, opIn: attribute.In, opLt: attribute.Lt, opLte: attribute.Lte,
	opGt: attribute.Gt, opGte: attribute.Gte, opPrefix: attribute.Prefix, opExists: attribute.Exists,
}

// Filter is a condition. It is immutable; parse one with Parse, or let
// encoding/json read one.
type Filter struct {
	op       operator
	children []*Filter         // of and, or, not
	depth    int               // of those below
	path     attribute.Path    // of the others
	values   []attribute.Value // as written
	test     attribute.Test
}

// Parse reads a filter in its text form, or in its JSON form where it begins
// with a brace.
func Parse(s string) (*Filter, error) {
	for i := range len(s) {
		switch s[i] {
		case ' ', '\t', '\r', '\n':
			continue
		case '{':
			f := new(Filter)
			return f, f.UnmarshalJSON([]byte(s))
		}
		break
	}
	return parseText(s)
}

// builder makes the tree, within the limits.
type builder struct{ conditions, values int }

// nested is checked on the way down, so that the parsers' own stacks are bounded.
// Parentheses and objects that say nothing leave no trace in the tree.
func (*builder) nested(depth int) error {
	if depth > 2*MaxDepth {
		return fmt.Errorf("more than %d conditions in one another", MaxDepth)
	}
	return nil
}

func (b *builder) add(f *Filter) (*Filter, error) {
	if b.conditions++; b.conditions > MaxConditions {
		return nil, fmt.Errorf("more than %d conditions; a list of values is one condition: use in", MaxConditions)
	}
	for _, c := range f.children {
		f.depth = max(f.depth, c.depth+1)
	}
	if f.depth >= MaxDepth {
		return nil, fmt.Errorf("more than %d conditions in one another", MaxDepth)
	}
	return f, nil
}

// value counts a constant.
func (b *builder) value() error {
	if b.values++; b.values > MaxValues {
		return fmt.Errorf("more than %d values; send several filters", MaxValues)
	}
	return nil
}

// comparison makes a leaf of the tree.
func (b *builder) comparison(op operator, path attribute.Path, values ...attribute.Value) (*Filter, error) {
	f := &Filter{op: op, path: path, values: values}
	f.test = attribute.NewTest(tests[op], append([]attribute.Value(nil), values...)...)
	return b.add(f)
}

// combined joins conditions; one alone is itself.
func (b *builder) combined(op operator, all []*Filter) (*Filter, error) {
	if len(all) == 1 {
		return all[0], nil
	}
	return b.add(&Filter{op: op, children: all})
}

func (b *builder) not(f *Filter) (*Filter, error) {
	return b.add(&Filter{op: opNot, children: []*Filter{f}})
}

// takes checks that an operator can take a value.
func (op operator) takes(v attribute.Value) error {
	switch op {
	case opPrefix:
		if v.Kind != attribute.String {
			return errors.New(`prefix needs a string such as "2020-"`)
		}
	case opLt, opLte, opGt, opGte:
		if v.Kind != attribute.String && v.Kind != attribute.Number {
			return fmt.Errorf("%s needs a number or a string: true, false and null have no order", op)
		}
	}
	if v.Kind == attribute.Number && math.Abs(v.Num) >= 1<<53 && v.Num == math.Trunc(v.Num) && math.Abs(v.Num) < 1<<64 {
		return errors.New("integers beyond ±9007199254740991 are not exact as numbers: store such ids as strings")
	}
	return nil
}

// Match reports whether attributes, a JSON object or nothing, meet the condition.
func (f *Filter) Match(attrs []byte) (bool, error) {
	switch f.op {
	case opAnd, opOr:
		for _, c := range f.children {
			if ok, err := c.Match(attrs); err != nil || ok == (f.op == opOr) {
				return ok, err
			}
		}
		return f.op == opAnd, nil
	case opNot:
		ok, err := f.children[0].Match(attrs)
		return !ok && err == nil, err
	case opNe:
		ok, err := f.test.Match(attrs, f.path)
		return !ok && err == nil, err
	}
	return f.test.Match(attrs, f.path)
}
