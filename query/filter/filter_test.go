package filter

import (
	"encoding/json"
	"errors"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/colbertdb-go/colbertdb/internal/attribute"
)

// fromJSON reads the JSON form only.
func fromJSON(s string) (*Filter, error) {
	f := new(Filter)
	return f, f.UnmarshalJSON([]byte(s))
}

// same reports whether two filters are the same tree.
func same(a, b *Filter) bool {
	return cmp.Equal(a, b, cmp.AllowUnexported(Filter{}, attribute.Path{}), cmpopts.EquateEmpty())
}

func mustFilter(tb testing.TB, text string) *Filter {
	tb.Helper()
	f, err := Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

func TestFilterMatch(t *testing.T) {
	const doc = `{"year":2020,"lang":"en","tags":["go","db"],"sizes":[1,5],"open":true,"none":null,"meta":{"author":"ann","a.b":7},"dotted.name":"x","price":-1.5,"empty":""}`
	for _, c := range []struct {
		json, text string
		want       bool
	}{
		{`{"eq":{"year":2020}}`, `year = 2020`, true},
		{`{"eq":{"year":2020.0}}`, `year = 2020.0`, true},
		{`{"eq":{"year":"2020"}}`, `year = "2020"`, false},
		{`{"eq":{"open":true}}`, `open = true`, true},
		{`{"eq":{"open":1}}`, `open = 1`, false},
		{`{"eq":{"none":null}}`, `none = null`, true},
		{`{"eq":{"empty":""}}`, `empty = ""`, true},
		{`{"eq":{"absent":""}}`, `absent = ""`, false},
		{`{"eq":{"meta":"ann"}}`, `meta = "ann"`, false},
		{`{"eq":{"meta.author":"ann"}}`, `meta.author = "ann"`, true},
		{`{"eq":{"year.author":"ann"}}`, `year.author = "ann"`, false},
		{`{"eq":{"dotted.name":"x"}}`, `dotted.name = "x"`, true},
		{`{"eq":{"tags":"db"}}`, `tags = "db"`, true},
		{`{"eq":{"tags":"d"}}`, `tags = "d"`, false},
		{`{"ne":{"tags":"db"}}`, `tags != "db"`, false},
		{`{"ne":{"tags":"rust"}}`, `tags != "rust"`, true},
		{`{"ne":{"absent":1}}`, `absent != 1`, true},
		{`{"in":{"lang":["de","en"]}}`, `lang in ("de", "en")`, true},
		{`{"in":{"lang":["de",1,null]}}`, `lang in ("de", 1, null)`, false},
		{`{"in":{"tags":["rust","go"]}}`, `tags IN ("rust","go")`, true},
		{`{"lt":{"year":2020}}`, `year < 2020`, false},
		{`{"lte":{"year":2020}}`, `year <= 2020`, true},
		{`{"gt":{"year":2019.5}}`, `year>2019.5`, true},
		{`{"gte":{"year":2021}}`, `year >= 2021`, false},
		{`{"gt":{"price":-2}}`, `price > -2`, true},
		{`{"gt":{"lang":"de"}}`, `lang > "de"`, true},
		{`{"gt":{"lang":1}}`, `lang > 1`, false},
		{`{"lt":{"absent":1}}`, `absent < 1`, false},
		{`{"gt":{"sizes":4}}`, `sizes > 4`, true},
		{`{"gt":{"sizes":5}}`, `sizes > 5`, false},
		{`{"prefix":{"meta.author":"an"}}`, `meta.author prefix "an"`, true},
		{`{"prefix":{"lang":"eng"}}`, `lang prefix "eng"`, false},
		{`{"prefix":{"year":"2"}}`, `year prefix "2"`, false},
		{`{"exists":"meta"}`, `exists(meta)`, true},
		{`{"exists":"meta.editor"}`, `exists(meta.editor)`, false},
		{`{"not":{"exists":"absent"}}`, `not exists(absent)`, true},
		{`{"and":[{"eq":{"year":2020}},{"eq":{"lang":"de"}}]}`, `year = 2020 and lang = "de"`, false},
		{`{"or":[{"eq":{"year":2020}},{"eq":{"lang":"de"}}]}`, `year = 2020 or lang = "de"`, true},
		{`{"or":[{"eq":{"open":true}},{"and":[{"eq":{"year":1}},{"eq":{"lang":"de"}}]}]}`, `open = true or year = 1 and lang = "de"`, true},
		{`{"and":[{"or":[{"eq":{"open":true}},{"eq":{"year":1}}]},{"eq":{"lang":"de"}}]}`, `(open = true or year = 1) and lang = "de"`, false},
		{`{"and":[{"not":{"eq":{"open":false}}},{"eq":{"lang":"en"}}]}`, `not open = false and lang = "en"`, true},
	} {
		fromText := mustFilter(t, c.text)
		parsed, err := fromJSON(c.json)
		if err != nil {
			t.Errorf("%s: %v", c.json, err)
			continue
		}
		if !same(fromText, parsed) {
			t.Errorf("%s and %s are not the same", c.text, c.json)
		}
		if got, err := parsed.Match([]byte(doc)); err != nil || got != c.want {
			t.Errorf("%s: %v, %v", c.json, got, err)
		}
		back, err := json.Marshal(fromText)
		if err != nil || string(back) != strings.ReplaceAll(c.json, "2020.0", "2020") {
			t.Errorf("%s is written as %s, %v", c.json, back, err)
		}
	}
}

func TestFilterConjunctions(t *testing.T) {
	for short, long := range map[string]string{
		`{"eq":{"a":1,"b":2}}`:                `{"and":[{"eq":{"a":1}},{"eq":{"b":2}}]}`,
		`{"gte":{"y":1},"lt":{"y":5}}`:        `{"and":[{"gte":{"y":1}},{"lt":{"y":5}}]}`,
		`{"not":{"eq":{"a":1},"exists":"b"}}`: `{"not":{"and":[{"eq":{"a":1}},{"exists":"b"}]}}`,
	} {
		a, err := Parse(short)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Parse(long)
		if err != nil || !same(a, b) {
			t.Errorf("%s is not %s (%v)", short, long, err)
		}
	}
}

func TestFilterErrors(t *testing.T) {
	for in, want := range map[string]string{
		``: "ends before", `{}`: "empty condition", `null`: "a condition such as", `[1]`: "a condition such as",
		`{"lang":"en"}`: "byte 1: unknown operator", `{"eq":"en"}`: "eq takes an object", `{"eq":{"a":[1]}}`: "needs a string, number",
		`{"in":{"a":1}}`: "a list is needed", `{"in":{"a":[{}]}}`: "needs a string, number", `{"lt":{"a":true}}`: "needs a number or a string",
		`{"prefix":{"a":1}}`: "needs a string", `{"and":{}}`: "a list is needed", `{"or":[]}`: "at least one", `{"not":[]}`: "a condition such as",
		`{"exists":1}`: "name of an attribute", `{"eq":{"a":1}} x`: "", `{"eq":{"a":1}} {}`: "follows", `{"eq":{"a":1}`: "ends before",
		`{"eq":{}}`: "this one is empty", `{"eq":{"a..b":1}}`: "dot", `{"eq":{"a":1e999}}`: "beyond", `{"eq":{"a":9007199254740993}}`: "as strings",
		strings.Repeat(`{"not":`, 1000) + `{"exists":"a"}` + strings.Repeat(`}`, 1000): "in one another",
		strings.Repeat(`{"not":`, 32) + `{"exists":"a"}` + strings.Repeat(`}`, 32):     "in one another",
		`{"or":[` + strings.Repeat(`{"exists":"a"},`, 2000) + `{"exists":"a"}]}`:       "conditions",
		`{"in":{"a":[` + strings.Repeat(`1,`, 30_000) + `1]}}`:                         "values",
		`{"eq":{"a":"` + strings.Repeat("x", MaxBytes) + `"}}`:                         "the limit is",
	} {
		_, err := fromJSON(in)
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %v, want one with %q", in, err, want)
		}
	}
	for in, want := range map[string]string{
		``: "name of an attribute", `year`: "a comparison", `year = `: "a value", `year = en`: "text stands in double quotes", `year == 2020`: "byte 6: = where a value",
		`(year = 1`: `")"`, `year = 1)`: "the end", `year = 1 lang = 2`: "byte 9: lang where", `year = "open`: "double quotes", `lang in "en"`: `"("`,
		`lang in ("en"`: `","`, `year < true`: "number or a string", `a = 1 and`: "name of an attribute", `a = .5`: "a value", `a = 1e999`: "beyond",
		`a prefix 1`: "needs a string", `not`: "name of an attribute", `exists()`: "name of an attribute", `and = 1`: "in quotes", `a in (1,,2)`: "a value",
		`year ! 2020`: "a comparison", `a. = 1`: "dot", "a = \xff": "UTF-8", `a = 9007199254740993`: "as strings", `a = 'x'`: "double quotes",
		strings.Repeat("not ", 2000) + "a = 1":                          "in one another",
		strings.Repeat("(", 2000) + "a = 1" + strings.Repeat(")", 2000): "in one another",
	} {
		if _, err := Parse(in); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %v, want one with %q", in, err, want)
		}
	}
	var at *SyntaxError
	if _, err := Parse(`year >= 2020 and lang ~ "en"`); !errors.As(err, &at) || at.Offset != 22 {
		t.Errorf("an error at byte 22: %v", err)
	}
}

// Everything that a filter can be is written in both forms so that it is read
// as itself.
func TestFormsRoundTrip(t *testing.T) {
	names := []string{"a", "b.c", "and", "in", "EXISTS", "true", "with space", "größe", "a=b", `q"uote`, "-", "1", "not", "{"}
	rapid.Check(t, func(t *rapid.T) {
		b := &builder{}
		value := func() attribute.Value {
			switch k := attribute.Kind(rapid.IntRange(0, 4).Draw(t, "kind")); k {
			case attribute.Number:
				n := rapid.Float64().Draw(t, "n")
				if opEq.takes(attribute.Value{Kind: k, Num: n}) != nil || math.IsInf(n, 0) || math.IsNaN(n) {
					n = 7
				}
				return attribute.Value{Kind: k, Num: n + 0}
			case attribute.String:
				return attribute.Value{Kind: k, Str: []byte(rapid.String().Draw(t, "s"))}
			default:
				return attribute.Value{Kind: k}
			}
		}
		var tree func(depth int) *Filter
		tree = func(depth int) *Filter {
			var f *Filter
			var err error
			if depth > 0 && rapid.Bool().Draw(t, "inner") {
				op := rapid.SampledFrom([]operator{opAnd, opOr, opNot}).Draw(t, "op")
				if op == opNot {
					f, err = b.not(tree(depth - 1))
				} else {
					f, err = b.combined(op, []*Filter{tree(depth - 1), tree(depth - 1)})
				}
			} else {
				p, perr := attribute.ParsePath(rapid.SampledFrom(names).Draw(t, "name"))
				op := rapid.SampledFrom([]operator{opEq, opNe, opIn, opLt, opGte, opPrefix, opExists}).Draw(t, "op")
				var values []attribute.Value
				for n := map[operator]int{opIn: 3, opExists: 0}; len(values) < n[op] || op != opIn && op != opExists && len(values) < 1; {
					if v := value(); op.takes(v) == nil {
						values = append(values, v)
					}
				}
				f, err = b.comparison(op, p, values...)
				err = errors.Join(err, perr)
			}
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		f := tree(4)
		js, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{f.String(), string(js)} {
			if back, err := Parse(form); err != nil || !same(f, back) {
				t.Fatalf("%s is read as %v, %v", form, back, err)
			}
		}
	})
}

// Whatever is parsed, memory stays in proportion, and what is a filter is
// written so that it is read again.
func FuzzParse(f *testing.F) {
	f.Add(`year >= 2020 and lang in ("en", "de") or not exists(a.b)`)
	f.Add(`{"and":[{"gte":{"year":2020}},{"not":{"prefix":{"a":"x"}}}]}`)
	f.Add(`((((((a = 1))))))`)
	f.Add(`{"in":{"a":[1,2,"x",null]}}`)
	f.Fuzz(func(t *testing.T, s string) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		parsed, err := Parse(s)
		runtime.ReadMemStats(&after)
		if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(64<<10+600*len(s)); got > limit {
			t.Fatalf("%d bytes allocated for %d", got, len(s))
		}
		if err != nil {
			var at *SyntaxError
			if !errors.As(err, &at) || at.Offset < 0 || at.Offset > len(s) {
				t.Fatalf("%v", err)
			}
			return
		}
		js, _ := parsed.MarshalJSON()
		for _, form := range []string{parsed.String(), string(js)} {
			if back, err := Parse(form); err != nil || !same(parsed, back) {
				t.Fatalf("%q → %q: %v", s, form, err)
			}
		}
	})
}
