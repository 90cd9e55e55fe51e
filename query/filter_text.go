package query

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ParseFilterText reads the text form of a Filter:
//
//	expression = term { "or" term }
//	term       = factor { "and" factor }
//	factor     = "not" factor | "(" expression ")" | "exists" "(" path ")" | comparison
//	comparison = path ( "=" | "!=" | "<" | "<=" | ">" | ">=" | "prefix" ) value
//	           | path "in" "(" value { "," value } ")"
//	value      = "string" | number | true | false | null
func ParseFilterText(s string) (*Filter, error) {
	if len(s) > maxFilterBytes {
		return nil, fmt.Errorf("%w: filter of %d bytes, the limit is %d", ErrInvalid, len(s), maxFilterBytes)
	}
	if !utf8.ValidString(s) {
		return nil, fmt.Errorf("%w: filter is not valid UTF-8", ErrInvalid)
	}
	p := &textParser{in: s}
	p.next()
	f, err := p.expression(0)
	if err == nil && p.tok != "" {
		err = p.unexpected("the end")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: filter: %w", ErrInvalid, err)
	}
	return f, nil
}

// textParser is a recursive descent parser with one token of look-ahead.
type textParser struct {
	in    string
	at    int    // after the token
	start int    // of the token
	tok   string // empty at the end
	nodes int
}

// next reads a token: a quoted string with its quotes, an operator, a
// parenthesis or comma, or a word.
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
	case strings.ContainsRune("()=<>,", rune(rest[0])):
		n = 1
	default:
		n = strings.IndexFunc(rest, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("()=<>!,\"", r) })
		if n < 0 {
			n = len(rest)
		}
		n = max(n, 1)
	}
	p.tok = rest[:n]
	p.at += n
}

func (p *textParser) unexpected(want string) error {
	if p.tok == "" {
		return fmt.Errorf("ends where %s is expected", want)
	}
	return fmt.Errorf("%q at byte %d where %s is expected", p.tok, p.start, want)
}

// word reports whether the token is a keyword, and passes it.
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
	if len(all) == 1 {
		return all[0], nil
	}
	return &Filter{op: op, children: all}, nil
}

func (p *textParser) factor(depth int) (*Filter, error) {
	if p.nodes++; depth > maxFilterDepth || p.nodes > maxFilterNodes {
		return nil, fmt.Errorf("more than %d levels or %d conditions", maxFilterDepth, maxFilterNodes)
	}
	switch {
	case p.word("not"):
		f, err := p.factor(depth + 1)
		return &Filter{op: opNot, children: []*Filter{f}}, err
	case p.word("("):
		f, err := p.expression(depth + 1)
		if err != nil {
			return nil, err
		}
		return f, p.expect(")")
	case strings.EqualFold(p.tok, "exists") && strings.HasPrefix(strings.TrimSpace(p.in[p.at:]), "("):
		p.next()
		p.next()
		path, err := p.path()
		if err != nil {
			return nil, err
		}
		return &Filter{op: opExists, path: path}, p.expect(")")
	}
	return p.comparison()
}

var textOperators = map[string]operator{
	"=": opEq, "!=": opNe, "<": opLt, "<=": opLte, ">": opGt, ">=": opGte, "prefix": opPrefix, "in": opIn,
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
	f := &Filter{op: op, path: path}
	if op == opIn {
		if err := p.expect("("); err != nil {
			return nil, err
		}
	}
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		if err := scalar(op, v); err != nil {
			return nil, fmt.Errorf("%s of %q: %w", op, strings.Join(path, "."), err)
		}
		if f.values = append(f.values, v); op != opIn {
			return f, nil
		}
		if !p.word(",") {
			return f, p.expect(")")
		}
	}
}

func (p *textParser) path() ([]string, error) {
	if p.tok == "" || strings.ContainsAny(p.tok, "()=<>!,\"") {
		return nil, p.unexpected("the name of an attribute")
	}
	path := splitPath(p.tok)
	p.next()
	return path, nil
}

func (p *textParser) value() (any, error) {
	tok := p.tok
	switch {
	case strings.HasPrefix(tok, `"`):
		s, err := strconv.Unquote(tok)
		if err != nil || !utf8.ValidString(s) {
			return nil, p.unexpected("a quoted string")
		}
		p.next()
		return s, nil
	case strings.EqualFold(tok, "true"), strings.EqualFold(tok, "false"):
		p.next()
		return strings.EqualFold(tok, "true"), nil
	case strings.EqualFold(tok, "null"):
		p.next()
		return nil, nil
	}
	n, err := strconv.ParseFloat(tok, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return nil, p.unexpected(`a value ("text", number, true, false or null)`)
	}
	p.next()
	return n, nil
}
