package filter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/colbertdb-go/colbertdb/internal/attribute"
)

// The text form:
//
//	expression = term { "or" term }
//	term       = factor { "and" factor }
//	factor     = "not" factor | "(" expression ")" | "exists" "(" name ")" | comparison
//	comparison = name ( "=" | "!=" | "<" | "<=" | ">" | ">=" | "prefix" ) value
//	           | name "in" "(" [ value { "," value } ] ")"
//	name       = word | string
//	value      = string | number | "true" | "false" | "null"
//	string     = as in JSON
//
// Words are case-insensitive where they belong to the language. A name that has a
// space or an operator in it, or is such a word, is written as a string.
func parseText(s string) (*Filter, error) {
	if len(s) > MaxBytes {
		return nil, &SyntaxError{0, fmt.Sprintf("%d bytes, the limit is %d", len(s), MaxBytes)}
	}
	if !utf8.ValidString(s) {
		return nil, &SyntaxError{0, "not valid UTF-8"}
	}
	p := &textParser{in: s}
	p.next()
	f, err := p.expression(0)
	if err == nil && p.tok != "" {
		err = p.unexpected(`"and", "or" or the end`)
	}
	if err != nil {
		return nil, &SyntaxError{p.start, err.Error()}
	}
	return f, nil
}

// textParser is a recursive descent parser with one token of look-ahead.
type textParser struct {
	in    string
	at    int    // after the token
	start int    // of the token
	tok   string // empty at the end
	builder
}

// next reads a token: a string with its quotes, an operator, a parenthesis or
// comma, or a word.
func (p *textParser) next() {
	for p.at < len(p.in) {
		r, n := utf8.DecodeRuneInString(p.in[p.at:])
		if !unicode.IsSpace(r) {
			break
		}
		p.at += n
	}
	p.start = p.at
	rest := p.in[p.at:]
	n := 0
	switch {
	case rest == "":
	case rest[0] == '"':
		n = len(rest) // where the closing quote is missing
		for i := 1; i < len(rest); i++ {
			if rest[i] == '\\' {
				i++
			} else if rest[i] == '"' {
				n = i + 1
				break
			}
		}
	case strings.HasPrefix(rest, "<=") || strings.HasPrefix(rest, ">=") || strings.HasPrefix(rest, "!="):
		n = 2
	case strings.ContainsRune("()=<>!,", rune(rest[0])):
		n = 1
	default:
		if n = strings.IndexFunc(rest, endsWord); n < 0 {
			n = len(rest)
		}
	}
	p.tok = rest[:n]
	p.at += n
}

func endsWord(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`()=<>!,"`, r) }

func (p *textParser) unexpected(want string) error {
	if p.tok == "" {
		return fmt.Errorf("ends where %s is expected", want)
	}
	return fmt.Errorf("%.60s where %s is expected", p.tok, want)
}

// word reports whether the token is a word of the language, and passes it.
func (p *textParser) word(w string) bool {
	if !strings.EqualFold(p.tok, w) {
		return false
	}
	p.next()
	return true
}

func (p *textParser) expect(w string) error {
	if !p.word(w) {
		return p.unexpected(strconv.Quote(w))
	}
	return nil
}

func (p *textParser) expression(depth int) (*Filter, error) {
	return p.list(opOr, func() (*Filter, error) {
		return p.list(opAnd, func() (*Filter, error) { return p.factor(depth) })
	})
}

// list reads operands joined by one operator.
func (p *textParser) list(op operator, operand func() (*Filter, error)) (*Filter, error) {
	var all []*Filter
	for {
		f, err := operand()
		if err != nil {
			return nil, err
		}
		if all = append(all, f); !p.word(string(op)) {
			break
		}
	}
	return p.combined(op, all)
}

func (p *textParser) factor(depth int) (*Filter, error) {
	if err := p.nested(depth); err != nil {
		return nil, err
	}
	switch {
	case p.word("not"):
		f, err := p.factor(depth + 1)
		if err != nil {
			return nil, err
		}
		return p.not(f)
	case p.word("("):
		f, err := p.expression(depth + 1)
		if err != nil {
			return nil, err
		}
		return f, p.expect(")")
	case p.word("exists"):
		if err := p.expect("("); err != nil {
			return nil, err
		}
		path, err := p.path()
		if err != nil {
			return nil, err
		}
		if err := p.expect(")"); err != nil {
			return nil, err
		}
		return p.builder.comparison(opExists, path)
	}
	return p.comparison()
}

var textOperators = map[string]operator{
	"=": opEq, "!=": opNe, "<": opLt, "<=": opLte, ">": opGt, ">=": opGte, "prefix": opPrefix, "in": opIn,
}

var textSymbols = map[operator]string{
	opEq: "=", opNe: "!=", opLt: "<", opLte: "<=", opGt: ">", opGte: ">=", opPrefix: "prefix", opIn: "in",
}

// reserved are the words that a name in the text form must not be.
var reserved = map[string]bool{
	"and": true, "or": true, "not": true, "in": true, "prefix": true, "exists": true, "true": true, "false": true, "null": true,
}

func (p *textParser) comparison() (*Filter, error) {
	path, err := p.path()
	if err != nil {
		return nil, err
	}
	op, ok := textOperators[strings.ToLower(p.tok)]
	if !ok {
		return nil, p.unexpected("a comparison (=, !=, <, <=, >, >=, prefix, in)")
	}
	p.next()
	if op == opIn {
		values, err := p.valueList()
		if err != nil {
			return nil, err
		}
		return p.builder.comparison(opIn, path, values...)
	}
	v, err := p.value(op)
	if err != nil {
		return nil, err
	}
	return p.builder.comparison(op, path, v)
}

// valueList reads the values of an in.
func (p *textParser) valueList() ([]attribute.Value, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	var values []attribute.Value
	for !p.word(")") {
		if len(values) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		v, err := p.value(opIn)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

func (p *textParser) path() (attribute.Path, error) {
	name := p.tok
	switch {
	case strings.HasPrefix(name, `"`):
		if json.Unmarshal([]byte(name), &name) != nil {
			return attribute.Path{}, p.unexpected("the name of an attribute")
		}
	case name == "" || strings.ContainsAny(name, `()=<>!,`) || reserved[strings.ToLower(name)]:
		return attribute.Path{}, p.unexpected("the name of an attribute, in quotes if it is a word of the language,")
	}
	path, err := attribute.ParsePath(name)
	if err == nil {
		p.next()
	}
	return path, err
}

func (p *textParser) value(op operator) (v attribute.Value, err error) {
	const want = `a value ("text", number, true, false or null)`
	switch tok := p.tok; {
	case strings.HasPrefix(tok, `"`):
		var s string
		if json.Unmarshal([]byte(tok), &s) != nil {
			return v, p.unexpected("a string in double quotes, as in JSON,")
		}
		v = attribute.Value{Kind: attribute.String, Str: []byte(s)}
	case strings.EqualFold(tok, "true"):
		v.Kind = attribute.True
	case strings.EqualFold(tok, "false"):
		v.Kind = attribute.False
	case strings.EqualFold(tok, "null"):
		v.Kind = attribute.Null
	case json.Valid([]byte(tok)): // a number
		if v, err = number(tok); err != nil {
			return v, err
		}
	case tok != "" && !strings.ContainsAny(tok, `()=<>!,`):
		return v, p.unexpected(want + "; text stands in double quotes:")
	default:
		return v, p.unexpected(want)
	}
	if err := p.builder.value(); err != nil {
		return v, err
	}
	if err := op.takes(v); err != nil {
		return v, err
	}
	p.next()
	return v, nil
}

// number reads a number as JSON writes it.
func number(s string) (attribute.Value, error) {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(n, 0) {
		return attribute.Value{}, errors.New("a number beyond ±1.8e308")
	}
	return attribute.Value{Kind: attribute.Number, Num: n + 0}, nil
}

// String returns the text form, which Parse reads.
func (f *Filter) String() string {
	var b bytes.Buffer
	f.writeText(&b)
	return b.String()
}

// binds says how tightly an operator binds.
func (f *Filter) binds() int {
	switch f.op {
	case opOr:
		return 0
	case opAnd:
		return 1
	}
	return 2
}

func (f *Filter) writeText(b *bytes.Buffer) {
	switch f.op {
	case opAnd, opOr:
		for i, c := range f.children {
			if i > 0 {
				b.WriteString(" " + string(f.op) + " ")
			}
			c.writeOperand(b, c.binds() > f.binds())
		}
	case opNot:
		b.WriteString("not ")
		f.children[0].writeOperand(b, f.children[0].binds() == 2)
	case opExists:
		b.WriteString("exists(")
		writeName(b, f.path.String())
		b.WriteByte(')')
	default:
		writeName(b, f.path.String())
		b.WriteString(" " + textSymbols[f.op] + " ")
		if f.op == opIn {
			b.WriteByte('(')
		}
		for i, v := range f.values {
			if i > 0 {
				b.WriteString(", ")
			}
			writeValue(b, v)
		}
		if f.op == opIn {
			b.WriteByte(')')
		}
	}
}

func (f *Filter) writeOperand(b *bytes.Buffer, bare bool) {
	if !bare {
		b.WriteByte('(')
	}
	f.writeText(b)
	if !bare {
		b.WriteByte(')')
	}
}

func writeName(b *bytes.Buffer, name string) {
	if reserved[strings.ToLower(name)] || strings.IndexFunc(name, endsWord) >= 0 || name[0] == '{' { // a brace begins the JSON form
		writeString(b, name)
		return
	}
	b.WriteString(name)
}

func writeValue(b *bytes.Buffer, v attribute.Value) {
	switch v.Kind {
	case attribute.Null:
		b.WriteString("null")
	case attribute.False:
		b.WriteString("false")
	case attribute.True:
		b.WriteString("true")
	case attribute.Number:
		b.WriteString(strings.Replace(strconv.FormatFloat(v.Num, 'g', -1, 64), "e+", "e", 1))
	case attribute.String:
		writeString(b, string(v.Str))
	}
}

func writeString(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic("colbertdb: a string that JSON cannot hold: " + err.Error()) // impossible
	}
	b.Truncate(b.Len() - 1) // Encode ends in a newline
}
