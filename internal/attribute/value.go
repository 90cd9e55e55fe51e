package attribute

import (
	"bytes"
	"cmp"
	"slices"
)

// Kind is the kind of a value, in the order in which an index sorts them.
type Kind uint8

// The kinds.
const (
	Null Kind = iota
	False
	True
	Number
	String
	Object
)

// Value is one value that a path leads to. What a walk yields is valid during
// the call.
type Value struct {
	Kind Kind
	Num  float64 // of a Number, never NaN or -0
	Str  []byte  // of a String
}

// Compare orders values by kind, then by value.
func Compare(a, b Value) int {
	if a.Kind != b.Kind {
		return cmp.Compare(a.Kind, b.Kind)
	}
	if a.Kind == Number {
		return cmp.Compare(a.Num, b.Num)
	}
	return bytes.Compare(a.Str, b.Str)
}

// Op is a comparison.
type Op uint8

// The comparisons. Exists holds wherever the path leads to anything at all, an
// object, null and an empty array included.
const (
	In Op = iota // equal to one of the test's values
	Lt
	Lte
	Gt
	Gte
	Prefix
	Exists
)

// Test is a comparison with constants. It holds for a document when it holds for
// one of the values that its path leads to.
type Test struct {
	Op     Op
	Values []Value // of In: any number, sorted; of Exists none; else one
}

// NewTest returns a test. Only numbers and strings have an order, only strings
// prefixes: the caller has checked that.
func NewTest(op Op, values ...Value) Test {
	if op == In {
		slices.SortFunc(values, Compare)
		values = slices.CompactFunc(values, func(a, b Value) bool { return Compare(a, b) == 0 })
	}
	return Test{Op: op, Values: values}
}

// Holds reports whether a value meets the test. Exists is not about a value: it
// is not asked.
func (t *Test) Holds(v Value) bool {
	if v.Kind == Object {
		return false
	}
	if t.Op == In {
		if len(t.Values) == 1 {
			return Compare(v, t.Values[0]) == 0
		}
		_, ok := slices.BinarySearchFunc(t.Values, v, Compare)
		return ok
	}
	want := t.Values[0]
	if v.Kind != want.Kind {
		return false
	}
	switch t.Op {
	case Lt:
		return Compare(v, want) < 0
	case Lte:
		return Compare(v, want) <= 0
	case Gt:
		return Compare(v, want) > 0
	case Gte:
		return Compare(v, want) >= 0
	case Prefix:
		return bytes.HasPrefix(v.Str, want.Str)
	}
	return false
}

// Match reports whether attributes, a JSON object or nothing, meet the test at a
// path.
func (t *Test) Match(attrs []byte, p Path) (bool, error) {
	if t.Op == Exists {
		return p.Each(attrs, func(Value) bool { return false })
	}
	holds := false
	_, err := p.Each(attrs, func(v Value) bool {
		holds = holds || t.Holds(v)
		return !holds
	})
	return holds, err
}
