package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/colbertdb-go/colbertdb/internal/attribute"
)

// UnmarshalJSON reads the JSON form. An object of several operators, or of
// several attributes in one, means all of them.
func (f *Filter) UnmarshalJSON(b []byte) error {
	if len(b) > MaxBytes {
		return &SyntaxError{0, fmt.Sprintf("%d bytes, the limit is %d", len(b), MaxBytes)}
	}
	if !utf8.Valid(b) {
		return &SyntaxError{0, "not valid UTF-8"}
	}
	p := &jsonParser{dec: json.NewDecoder(bytes.NewReader(b))}
	p.dec.UseNumber()
	parsed, err := p.condition(0)
	if err == nil {
		p.at = int(p.dec.InputOffset())
		if _, more := p.dec.Token(); more != io.EOF {
			err = errors.New("something follows the condition")
		}
	}
	if err != nil {
		var syntax *json.SyntaxError
		switch {
		case errors.As(err, &syntax):
			p.at = int(syntax.Offset)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			p.at, err = len(b), errors.New("ends before the condition does")
		}
		return &SyntaxError{p.at, err.Error()}
	}
	*f = *parsed
	return nil
}

// jsonParser reads conditions token by token: nothing is held twice.
type jsonParser struct {
	dec *json.Decoder
	at  int // of the last token
	builder
}

func (p *jsonParser) token() (json.Token, error) {
	p.at = int(p.dec.InputOffset())
	return p.dec.Token()
}

// open passes the beginning of an object or array.
func (p *jsonParser) open(what json.Delim, needed string) error {
	t, err := p.token()
	if err == nil && t != what {
		err = fmt.Errorf("%s is needed here", needed)
	}
	return err
}

// key reads a key; Decoder has checked that it is one.
func (p *jsonParser) key() (string, error) {
	t, err := p.token()
	s, _ := t.(string)
	return s, err
}

// condition reads an object of operators.
func (p *jsonParser) condition(depth int) (*Filter, error) {
	if err := p.open('{', `a condition such as {"eq": {"lang": "en"}}`); err != nil {
		return nil, err
	}
	if err := p.nested(depth); err != nil {
		return nil, err
	}
	var all []*Filter
	for p.dec.More() {
		name, err := p.key()
		if err != nil {
			return nil, err
		}
		if all, err = p.operator(all, operator(name), depth); err != nil {
			return nil, err
		}
	}
	if len(all) == 0 {
		return nil, errors.New(`an empty condition; one such as {"eq": {"lang": "en"}} is needed`)
	}
	if _, err := p.token(); err != nil {
		return nil, err
	}
	return p.combined(opAnd, all)
}

// operator appends what one operator says.
func (p *jsonParser) operator(all []*Filter, op operator, depth int) ([]*Filter, error) {
	switch op {
	case opAnd, opOr:
		if err := p.open('[', string(op)+" takes a list of conditions: a list"); err != nil {
			return nil, err
		}
		var list []*Filter
		for p.dec.More() {
			c, err := p.condition(depth + 1)
			if err != nil {
				return nil, err
			}
			list = append(list, c)
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("%s needs at least one condition", op)
		}
		if _, err := p.token(); err != nil {
			return nil, err
		}
		f, err := p.combined(op, list)
		return append(all, f), err
	case opNot:
		c, err := p.condition(depth + 1)
		if err != nil {
			return nil, err
		}
		f, err := p.not(c)
		return append(all, f), err
	case opExists:
		t, err := p.token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok {
			return nil, errors.New("exists takes the name of an attribute: a string")
		}
		path, err := attribute.ParsePath(name)
		if err != nil {
			return nil, err
		}
		f, err := p.comparison(opExists, path)
		return append(all, f), err
	}
	if _, ok := tests[op]; !ok {
		return nil, fmt.Errorf("unknown operator %.40q: use one of %s", op, operatorNames)
	}
	return p.comparisons(all, op)
}

// comparisons reads {"name": value, …}.
func (p *jsonParser) comparisons(all []*Filter, op operator) ([]*Filter, error) {
	if err := p.open('{', fmt.Sprintf(`%s takes an object such as {"year": 2020}: an object`, op)); err != nil {
		return nil, err
	}
	before := len(all)
	for p.dec.More() {
		name, err := p.key()
		if err != nil {
			return nil, err
		}
		path, err := attribute.ParsePath(name)
		if err != nil {
			return nil, err
		}
		values, err := p.values(op)
		if err != nil {
			return nil, err
		}
		f, err := p.comparison(op, path, values...)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	if len(all) == before {
		return nil, fmt.Errorf(`%s takes an object such as {"year": 2020}, this one is empty`, op)
	}
	_, err := p.token()
	return all, err
}

// values reads the constants of a comparison.
func (p *jsonParser) values(op operator) (out []attribute.Value, err error) {
	if op != opIn {
		v, err := p.value(op)
		return []attribute.Value{v}, err
	}
	if err := p.open('[', "in takes a list of values: a list"); err != nil {
		return nil, err
	}
	for p.dec.More() {
		v, err := p.value(op)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err = p.token()
	return out, err
}

func (p *jsonParser) value(op operator) (v attribute.Value, err error) {
	t, err := p.token()
	if err != nil {
		return v, err
	}
	switch t := t.(type) {
	case nil:
		v.Kind = attribute.Null
	case bool:
		v.Kind = attribute.False
		if t {
			v.Kind = attribute.True
		}
	case string:
		v = attribute.Value{Kind: attribute.String, Str: []byte(t)}
	case json.Number:
		if v, err = number(string(t)); err != nil {
			return v, err
		}
	default:
		return v, fmt.Errorf("%s needs a string, number, true, false or null here", op)
	}
	if err := p.builder.value(); err != nil {
		return v, err
	}
	return v, op.takes(v)
}

// MarshalJSON writes the JSON form.
func (f *Filter) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	f.writeJSON(&b)
	return b.Bytes(), nil
}

func (f *Filter) writeJSON(b *bytes.Buffer) {
	b.WriteByte('{')
	writeString(b, string(f.op))
	b.WriteByte(':')
	switch f.op {
	case opAnd, opOr:
		b.WriteByte('[')
		for i, c := range f.children {
			if i > 0 {
				b.WriteByte(',')
			}
			c.writeJSON(b)
		}
		b.WriteByte(']')
	case opNot:
		f.children[0].writeJSON(b)
	case opExists:
		writeString(b, f.path.String())
	default:
		b.WriteByte('{')
		writeString(b, f.path.String())
		b.WriteByte(':')
		if f.op == opIn {
			b.WriteByte('[')
		}
		for i, v := range f.values {
			if i > 0 {
				b.WriteByte(',')
			}
			writeValue(b, v)
		}
		if f.op == opIn {
			b.WriteByte(']')
		}
		b.WriteByte('}')
	}
	b.WriteByte('}')
}
