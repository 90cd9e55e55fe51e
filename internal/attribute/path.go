package attribute

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// Limits of a path.
const (
	MaxParts     = 16
	MaxPathBytes = 512
)

// Path names an attribute.
type Path struct {
	name string
	ends []int // of the parts in name
}

// ParsePath reads a path.
func ParsePath(name string) (Path, error) {
	if name == "" || len(name) > MaxPathBytes || !utf8.ValidString(name) {
		return Path{}, fmt.Errorf("the name of an attribute has 1 to %d bytes of UTF-8, not %d", MaxPathBytes, len(name))
	}
	p := Path{name: name}
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '.' {
			continue
		}
		if i == 0 || name[i-1] == '.' {
			return Path{}, fmt.Errorf("attribute %q: nothing before or after a dot; a.b is b in the object a", name)
		}
		if p.ends = append(p.ends, i); len(p.ends) > MaxParts {
			return Path{}, fmt.Errorf("attribute %.60q has more than %d parts", name, MaxParts)
		}
	}
	return p, nil
}

// String returns the path as it was read.
func (p Path) String() string { return p.name }

// from is where part i begins.
func (p Path) from(i int) int {
	if i == 0 {
		return 0
	}
	return p.ends[i-1] + 1
}

var errMalformed = errors.New("colbertdb: stored attributes are not a JSON object")

// Each calls f for every value that the path leads to, until f returns false. It
// reports whether the path leads anywhere: also an empty array does. Attributes
// are checked when they are stored; of others it returns what it can, or an
// error, and never reads beyond them.
func (p Path) Each(attrs []byte, f func(Value) bool) (exists bool, err error) {
	if len(attrs) == 0 {
		return false, nil
	}
	w := walk{p: p, b: attrs, f: f}
	at := w.space(0)
	if at == len(attrs) || attrs[at] != '{' {
		return false, errMalformed
	}
	_, err = w.object(at, 0, 0)
	return w.exists, err
}

// walk is one pass over a document. Its methods take the place of a value and
// return the place after it.
type walk struct {
	p      Path
	b      []byte
	f      func(Value) bool
	exists bool
	done   bool // f wants no more
}

// maxNesting is what encoding/json allows, too.
const maxNesting = 10_000

// value visits a value that the first parts of the path led to.
func (w *walk) value(at, part, depth int) (int, error) {
	if depth > maxNesting {
		return 0, errMalformed
	}
	if at = w.space(at); at >= len(w.b) {
		return 0, errMalformed
	}
	last := part == len(w.p.ends)
	w.exists = w.exists || last
	switch c := w.b[at]; {
	case c == '[':
		return w.array(at, part, depth)
	case c == '{' && !last:
		return w.object(at, part, depth)
	case !last:
		return w.skip(at)
	case c == '{':
		w.yield(Value{Kind: Object})
		return w.skip(at)
	case c == '"':
		end, err := w.text(at)
		if err == nil {
			w.yield(Value{Kind: String, Str: unquote(w.b[at:end])})
		}
		return end, err
	default:
		end := w.word(at)
		v, err := scalar(w.b[at:end])
		if err == nil {
			w.yield(v)
		}
		return end, err
	}
}

func (w *walk) yield(v Value) {
	if !w.done {
		w.done = !w.f(v)
	}
}

func (w *walk) array(at, part, depth int) (int, error) {
	at = w.space(at + 1)
	if at < len(w.b) && w.b[at] == ']' {
		return at + 1, nil
	}
	for {
		end, err := w.value(at, part, depth+1)
		if err != nil {
			return 0, err
		}
		at = w.space(end)
		switch {
		case at >= len(w.b):
			return 0, errMalformed
		case w.b[at] == ']':
			return at + 1, nil
		case w.b[at] != ',':
			return 0, errMalformed
		}
		at++
	}
}

// object looks for the next part of the path, and for several in one key.
func (w *walk) object(at, part, depth int) (int, error) {
	var found [MaxParts + 1]int // by the part after the key: where the value is
	any := false
	from := w.p.from(part)
	at = w.space(at + 1)
	if at < len(w.b) && w.b[at] == '}' {
		return at + 1, nil
	}
	for {
		if at >= len(w.b) || w.b[at] != '"' {
			return 0, errMalformed
		}
		end, err := w.text(at)
		if err != nil {
			return 0, err
		}
		key := unquote(w.b[at:end])
		if at = w.space(end); at >= len(w.b) || w.b[at] != ':' {
			return 0, errMalformed
		}
		at = w.space(at + 1)
		for i := part; i < len(w.p.ends); i++ {
			if string(key) == w.p.name[from:w.p.ends[i]] {
				found[i+1], any = at, true
			}
		}
		if at, err = w.skip(at); err != nil {
			return 0, err
		}
		if at = w.space(at); at >= len(w.b) {
			return 0, errMalformed
		}
		if w.b[at] == '}' {
			at++
			break
		}
		if w.b[at] != ',' {
			return 0, errMalformed
		}
		at = w.space(at + 1)
	}
	for i := part + 1; any && i <= len(w.p.ends); i++ {
		if found[i] > 0 && !w.done {
			if _, err := w.value(found[i], i, depth+1); err != nil {
				return 0, err
			}
		}
	}
	return at, nil
}

func (w *walk) space(at int) int {
	for at < len(w.b) && (w.b[at] == ' ' || w.b[at] == '\n' || w.b[at] == '\t' || w.b[at] == '\r') {
		at++
	}
	return at
}

// text passes a string with its quotes.
func (w *walk) text(at int) (int, error) {
	at++
	n := bytes.IndexByte(w.b[at:], '"')
	if n < 0 {
		return 0, errMalformed
	}
	if bytes.IndexByte(w.b[at:at+n], '\\') < 0 {
		return at + n + 1, nil
	}
	for ; at < len(w.b); at++ {
		switch w.b[at] {
		case '\\':
			at++
		case '"':
			return at + 1, nil
		}
	}
	return 0, errMalformed
}

// word passes a number or a name: what ends at a delimiter.
func (w *walk) word(at int) int {
	for at < len(w.b) {
		switch w.b[at] {
		case ',', ']', '}', ':', ' ', '\n', '\t', '\r':
			return at
		}
		at++
	}
	return at
}

// skip passes a value without looking into it.
func (w *walk) skip(at int) (int, error) {
	if at >= len(w.b) {
		return 0, errMalformed
	}
	switch w.b[at] {
	case '"':
		return w.text(at)
	case '{', '[':
	default:
		return w.word(at), nil
	}
	for depth := 0; at < len(w.b); {
		switch w.b[at] {
		case '"':
			end, err := w.text(at)
			if err != nil {
				return 0, err
			}
			at = end
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1, nil
			}
		}
		at++
	}
	return 0, errMalformed
}

// unquote returns the content of a JSON string: a part of it where nothing is
// escaped.
func unquote(quoted []byte) []byte {
	inner := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return inner
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return inner
	}
	return []byte(s)
}

// scalar reads null, true, false or a number.
func scalar(b []byte) (Value, error) {
	switch string(b) {
	case "null":
		return Value{Kind: Null}, nil
	case "true":
		return Value{Kind: True}, nil
	case "false":
		return Value{Kind: False}, nil
	}
	n, err := number(b)
	return Value{Kind: Number, Num: n}, err
}

// number reads a JSON number. Most are short integers.
func number(b []byte) (float64, error) {
	if digits := bytes.TrimPrefix(b, []byte("-")); len(digits) > 0 && len(digits) <= 15 {
		n, short := int64(0), true
		for _, c := range digits {
			short = short && c >= '0' && c <= '9'
			n = 10*n + int64(c-'0')
		}
		if short {
			if len(digits) < len(b) {
				n = -n
			}
			return float64(n), nil
		}
	}
	n, err := strconv.ParseFloat(string(b), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(n) {
		return 0, errMalformed
	}
	return n + 0, nil // not -0
}
