package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func mustFilter(tb testing.TB, text string) *Filter {
	tb.Helper()
	f, err := ParseFilterText(text)
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
		fromJSON, err := ParseFilter([]byte(c.json))
		if err != nil {
			t.Errorf("%s: %v", c.json, err)
			continue
		}
		if !reflect.DeepEqual(fromText, fromJSON) {
			t.Errorf("%s and %s are not the same", c.text, c.json)
		}
		if got, err := fromJSON.Match([]byte(doc)); err != nil || got != c.want {
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
		a, err := ParseFilter([]byte(short))
		if err != nil {
			t.Fatal(err)
		}
		b, err := ParseFilter([]byte(long))
		if err != nil || !reflect.DeepEqual(a, b) {
			t.Errorf("%s is not %s (%v)", short, long, err)
		}
	}
}

func TestFilterErrors(t *testing.T) {
	for in, want := range map[string]string{
		``: "not a condition", `{}`: "not a condition", `null`: "not a condition", `[1]`: "not a condition",
		`{"lang":"en"}`: "unknown operator", `{"eq":"en"}`: "eq needs an object", `{"eq":{"a":[1]}}`: "needs a number, string",
		`{"in":{"a":1}}`: "needs a list", `{"in":{"a":[{}]}}`: "needs a number, string", `{"lt":{"a":true}}`: "needs a number or a string",
		`{"prefix":{"a":1}}`: "needs a string", `{"and":{}}`: "needs a list", `{"or":[]}`: "needs a list", `{"not":[]}`: "not a condition",
		`{"exists":1}`: "name of an attribute", `{"eq":{"a":1}} x`: "not a condition",
		strings.Repeat(`{"not":`, 1000) + `{"exists":"a"}` + strings.Repeat(`}`, 1000): "levels",
		`{"or":[` + strings.Repeat(`{"exists":"a"},`, 2000) + `{"exists":"a"}]}`:       "conditions",
	} {
		if _, err := ParseFilter([]byte(in)); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %v, want one with %q", in, err, want)
		}
	}
	for in, want := range map[string]string{
		``: "name of an attribute", `year`: "a comparison", `year = `: "a value", `year = en`: "a value", `year == 2020`: "a value",
		`(year = 1`: `")"`, `year = 1)`: "the end", `year = 1 lang = 2`: "the end", `year = "open`: "quoted string", `lang in "en"`: `"("`,
		`lang in ()`: "a value", `lang in ("en"`: `")"`, `year < true`: "number or a string", `a = 1 and`: "name of an attribute",
		`a prefix 1`: "needs a string", `"a" = 1`: "name of an attribute", `not`: "name of an attribute", `exists()`: "name of an attribute",
		`year ! 2020`:                          "a comparison",
		strings.Repeat("not ", 2000) + "a = 1": "levels",
		strings.Repeat("(", 2000) + "a = 1" + strings.Repeat(")", 2000): "levels",
	} {
		if _, err := ParseFilterText(in); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: error %v, want one with %q", in, err, want)
		}
	}
}

// A filter's answer on a random document is that of a model over Go values.
func TestFilterAgreesWithModel(t *testing.T) {
	fields := []string{"a", "b", "c.d"}
	values := []any{"", "x", "xy", 0.0, 1.0, 1.5, -2.0, true, false, nil}
	rapid.Check(t, func(rt *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		value := func() any { return values[r.IntN(len(values))] }
		var doc map[string]any
		set := func(f string, v any) {
			if f == "c.d" {
				doc["c"] = map[string]any{"d": v}
				return
			}
			doc[f] = v
		}
		doc = map[string]any{}
		for _, f := range fields {
			switch r.IntN(4) {
			case 0:
				set(f, []any{value(), value()})
			case 1, 2:
				set(f, value())
			}
		}
		f, model := randomFilter(r, fields, value, 3)
		attrs, err := json.Marshal(doc)
		if err != nil {
			rt.Fatal(err)
		}
		text, err := json.Marshal(f)
		if err != nil {
			rt.Fatal(err)
		}
		parsed, err := ParseFilter(text)
		if err != nil {
			rt.Fatalf("%s: %v", text, err)
		}
		if d := cmp.Diff(f, parsed, cmp.AllowUnexported(Filter{})); d != "" {
			rt.Fatalf("%s is read as another filter: %s", text, d)
		}
		if got, err := parsed.Match(attrs); err != nil || got != model(doc) {
			rt.Fatalf("%s on %s: %v (%v), the model says %v", text, attrs, got, err, model(doc))
		}
	})
}

// randomFilter returns a filter and the same as a function over Go values.
func randomFilter(r *rand.Rand, fields []string, value func() any, depth int) (*Filter, func(map[string]any) bool) {
	if depth > 0 && r.IntN(2) == 0 {
		a, ma := randomFilter(r, fields, value, depth-1)
		b, mb := randomFilter(r, fields, value, depth-1)
		switch r.IntN(3) {
		case 0:
			return &Filter{op: opAnd, children: []*Filter{a, b}}, func(d map[string]any) bool { return ma(d) && mb(d) }
		case 1:
			return &Filter{op: opOr, children: []*Filter{a, b}}, func(d map[string]any) bool { return ma(d) || mb(d) }
		}
		return &Filter{op: opNot, children: []*Filter{a}}, func(d map[string]any) bool { return !ma(d) }
	}
	field := fields[r.IntN(len(fields))]
	get := func(d map[string]any) (values []any, present bool) {
		v, ok := d[field]
		if field == "c.d" {
			inner, _ := d["c"].(map[string]any)
			v, ok = inner["d"]
		}
		if list, isList := v.([]any); isList {
			return list, ok
		}
		return []any{v}, ok
	}
	anyOf := func(holds func(v any) bool) func(map[string]any) bool {
		return func(d map[string]any) bool {
			values, present := get(d)
			for _, v := range values {
				if present && holds(v) {
					return true
				}
			}
			return false
		}
	}
	leaf := func(op operator, values ...any) *Filter {
		return &Filter{op: op, path: strings.Split(field, "."), values: values}
	}
	switch r.IntN(6) {
	case 0:
		w := value()
		return leaf(opEq, w), anyOf(func(v any) bool { return v == w })
	case 1:
		w := value()
		eq := anyOf(func(v any) bool { return v == w })
		return leaf(opNe, w), func(d map[string]any) bool { return !eq(d) }
	case 2:
		w1, w2 := value(), value()
		return leaf(opIn, w1, w2), anyOf(func(v any) bool { return v == w1 || v == w2 })
	case 3:
		return leaf(opPrefix, "x"), anyOf(func(v any) bool { return v == "x" || v == "xy" })
	case 4:
		return leaf(opExists), func(d map[string]any) bool { _, ok := get(d); return ok }
	}
	w := []any{-2.0, 0.0, 1.0, "x", "xy"}[r.IntN(5)]
	op := []operator{opLt, opLte, opGt, opGte}[r.IntN(4)]
	return leaf(op, w), anyOf(func(v any) bool {
		if fmt.Sprintf("%T", v) != fmt.Sprintf("%T", w) {
			return false
		}
		less, same := false, v == w
		switch w := w.(type) {
		case float64:
			less = v.(float64) < w
		case string:
			less = v.(string) < w
		}
		switch op {
		case opLt:
			return less
		case opLte:
			return less || same
		case opGt:
			return !less && !same
		}
		return !less
	})
}

func TestMatchOfNoAttributes(t *testing.T) {
	f := mustFilter(t, "a = 1")
	for _, attrs := range []string{"", "{}", "null"} {
		if ok, err := f.Match([]byte(attrs)); ok || err != nil {
			t.Errorf("%q: %v, %v", attrs, ok, err)
		}
	}
	if ok, err := mustFilter(t, "a != 1").Match(nil); !ok || err != nil {
		t.Errorf("a != 1 of nothing: %v, %v", ok, err)
	}
	if _, err := f.Match([]byte("{")); err == nil {
		t.Error("no error for attributes that are not JSON")
	}
}

func FuzzParseFilter(f *testing.F) {
	f.Add(`{"and":[{"gte":{"year":2020}},{"in":{"lang":["en","de"]}}]}`)
	f.Add(`{"not":{"exists":"a.b"}}`)
	f.Fuzz(func(t *testing.T, in string) {
		parsed, err := ParseFilter([]byte(in))
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("error %v", err)
			}
			return
		}
		roundTrip(t, parsed)
	})
}

func FuzzParseFilterText(f *testing.F) {
	f.Add(`year >= 2020 and lang in ("en", "de")`)
	f.Add("a = nan or \xff = 1 or b = \"\\xff\"")
	f.Add(`not (a.b prefix "x" or exists(c))`)
	f.Fuzz(func(t *testing.T, in string) {
		parsed, err := ParseFilterText(in)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("error %v", err)
			}
			return
		}
		roundTrip(t, parsed)
	})
}

// roundTrip checks that a filter's JSON form is read as an equal filter.
func roundTrip(t *testing.T, f *Filter) {
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatalf("cannot be written: %v", err)
	}
	back, err := ParseFilter(b)
	if err != nil {
		t.Fatalf("%s cannot be read: %v", b, err)
	}
	again, err := json.Marshal(back)
	if err != nil || string(again) != string(b) {
		t.Fatalf("%s is read as %s (%v)", b, again, err)
	}
}
