package attribute

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// oracle follows a path through unmarshalled attributes.
func oracle(v any, parts []string) (out []string, exists bool) {
	switch v := v.(type) {
	case []any:
		exists = len(parts) == 0
		for _, e := range v {
			more, there := oracle(e, parts)
			out, exists = append(out, more...), exists || there
		}
		return out, exists
	case map[string]any:
		if len(parts) == 0 {
			return []string{"object"}, true
		}
		for n := 1; n <= len(parts); n++ {
			if e, ok := v[strings.Join(parts[:n], ".")]; ok {
				more, there := oracle(e, parts[n:])
				out, exists = append(out, more...), exists || there
			}
		}
		return out, exists
	}
	if len(parts) > 0 {
		return nil, false
	}
	switch v := v.(type) {
	case string:
		return []string{"s" + v}, true
	case json.Number:
		f, _ := v.Float64()
		return []string{fmt.Sprint("n", f+0)}, true
	}
	return []string{fmt.Sprint(v)}, true
}

func show(v Value) string {
	switch v.Kind {
	case Null:
		return "<nil>"
	case False:
		return "false"
	case True:
		return "true"
	case Number:
		return fmt.Sprint("n", v.Num)
	case String:
		return "s" + string(v.Str)
	}
	return "object"
}

func compareWithOracle(t interface{ Fatalf(string, ...any) }, attrs []byte, name string) {
	p, err := ParsePath(name)
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	d := json.NewDecoder(bytes.NewReader(attrs))
	d.UseNumber()
	var obj map[string]any
	if err := d.Decode(&obj); err != nil {
		t.Fatalf("%s: %v", attrs, err)
	}
	want, wantExists := oracle(obj, strings.Split(name, "."))
	got := []string{}
	exists, err := p.Each(attrs, func(v Value) bool {
		got = append(got, show(v))
		return true
	})
	if err != nil || exists != wantExists {
		t.Fatalf("%s at %q: exists %t, want %t: %v", attrs, name, exists, wantExists, err)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("%s at %q: %q, want %q", attrs, name, got, want)
	}
}

// genJSON draws attributes with few names, odd spacing, escapes and duplicates.
func genJSON(t *rapid.T, depth int) string {
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t"})
	kind := rapid.IntRange(0, 9).Draw(t, "kind")
	if depth == 0 {
		kind = 0
	}
	if depth < 0 || kind > 4 {
		return rapid.SampledFrom([]string{
			"null", "true", "false", "0", "-0", "-0.0", "12", "-7", "1.5", "1e3", "1e-400", "1e400", "-1E+400", "9007199254740993", "123456789012345678",
			`""`, `"x"`, `"en"`, `"\u00e4"`, `"ä"`, `"\ud800"`, `"a\"b\\"`, `"[{,"`, "\"\xff\"", `"a.b"`,
		}).Draw(t, "scalar")
	}
	var b strings.Builder
	n := rapid.IntRange(0, 4).Draw(t, "n")
	open, end := "{", "}"
	if kind > 2 {
		open, end = "[", "]"
	}
	b.WriteString(open + space.Draw(t, "s"))
	for i := range n {
		if i > 0 {
			b.WriteString("," + space.Draw(t, "s"))
		}
		if open == "{" {
			key := rapid.SampledFrom([]string{`"a"`, `"b"`, `"a.b"`, `"c"`, `"a.b.c"`, `"\u0061"`, `"b.c"`, `""`}).Draw(t, "key")
			b.WriteString(key + space.Draw(t, "s") + ":" + space.Draw(t, "s"))
		}
		b.WriteString(genJSON(t, max(depth-1, -1)) + space.Draw(t, "s"))
		if depth == 0 {
			continue
		}
	}
	return b.String() + end
}

func TestEachAgainstUnmarshal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		b.WriteString("{")
		for i := range rapid.IntRange(0, 4).Draw(t, "members") {
			if i > 0 {
				b.WriteString(",")
			}
			key := rapid.SampledFrom([]string{`"a"`, `"b"`, `"a.b"`, `"c"`, `"a.b.c"`}).Draw(t, "key")
			b.WriteString(key + ":" + genJSON(t, 3))
		}
		b.WriteString("}")
		name := rapid.SampledFrom([]string{"a", "b", "a.b", "a.b.c", "b.c", "x"}).Draw(t, "path")
		compareWithOracle(t, []byte(b.String()), name)
	})
}

func FuzzEach(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,{"c":"x"}]},"a.b":null}`), "a.b")
	f.Add([]byte(`{"a":[[],[[2]]],"a":"\u0000"}`), "a")
	f.Add([]byte(`{"a`), "a")
	f.Fuzz(func(t *testing.T, attrs []byte, name string) {
		p, err := ParsePath(name)
		if err != nil {
			return
		}
		_, _ = p.Each(attrs, func(Value) bool { return true }) // whatever it is, no panic
		var obj map[string]any
		if json.Unmarshal(attrs, &obj) == nil && obj != nil && bytes.HasPrefix(bytes.TrimLeft(attrs, " \t\r\n"), []byte("{")) {
			compareWithOracle(t, attrs, name)
		}
	})
}

func TestHolds(t *testing.T) {
	num := func(f float64) Value { return Value{Kind: Number, Num: f} }
	str := func(s string) Value { return Value{Kind: String, Str: []byte(s)} }
	for _, c := range []struct {
		test Test
		v    Value
		want bool
	}{
		{NewTest(In, num(3), str("x"), num(1)), num(1), true},
		{NewTest(In, num(3), str("x"), num(1)), str("1"), false},
		{NewTest(In), num(1), false},
		{NewTest(In, Value{Kind: Null}), Value{Kind: Null}, true},
		{NewTest(In, Value{Kind: False}), num(0), false},
		{NewTest(In, Value{Kind: Object}), Value{Kind: Object}, false},
		{NewTest(Lt, num(2)), num(1.9), true},
		{NewTest(Lt, num(2)), num(2), false},
		{NewTest(Lte, num(2)), num(2), true},
		{NewTest(Gt, num(2)), num(math.Inf(1)), true},
		{NewTest(Gte, num(2)), str("3"), false},
		{NewTest(Gt, str("b")), str("ba"), true},
		{NewTest(Prefix, str("ab")), str("abc"), true},
		{NewTest(Prefix, str("ab")), str("a"), false},
	} {
		if got := c.test.Holds(c.v); got != c.want {
			t.Errorf("%+v of %+v: %t", c.test, c.v, got)
		}
	}
}

func TestParsePath(t *testing.T) {
	for _, bad := range []string{"", ".", "a.", ".a", "a..b", strings.Repeat("a.", 16) + "a", strings.Repeat("a", 513), "\xff"} {
		if _, err := ParsePath(bad); err == nil {
			t.Errorf("%.20q was read", bad)
		}
	}
}

func BenchmarkEach(b *testing.B) {
	attrs := []byte(`{"id":"4983","title":"Microstructural development of human newborn cerebral white matter","year":2019,"lang":"en","tags":["medicine","imaging"],"score":0.25}`)
	p, _ := ParsePath("year")
	test := NewTest(Gte, Value{Kind: Number, Num: 2018})
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := test.Match(attrs, p); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
