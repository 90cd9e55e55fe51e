package render

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at finds a word's n-th occurrence as a match of a query token.
func at(text, word, query string, sim float32) Match {
	i := strings.Index(text, word)
	if i < 0 {
		panic("no " + word)
	}
	return Match{Query: query, Start: i, End: i + len(word), Similarity: sim}
}

func marked(text string, marks []Mark) (out []string) {
	for _, m := range marks {
		out = append(out, text[m.Start:m.End])
	}
	return out
}

func TestMarks(t *testing.T) {
	const text = "The embeddings of the Réservoir_1 are unaffectable; 東京都 too."
	for _, c := range []struct {
		name    string
		matches []Match
		want    []string
	}{
		{"word pieces become words", []Match{at(text, "bedd", "embed", .9), at(text, "##"[:0]+"affect", "affect", .8)}, []string{"embeddings", "unaffectable"}},
		{"spaces and punctuation are no part", []Match{at(text, " Réservoir", "reservoir", .9), at(text, "able;", "able", .9)}, []string{"Réservoir_1", "unaffectable"}},
		{"special tokens mark nothing", []Match{at(text, "embeddings", "[MASK]", .99), at(text, "are", "<s>", .9), at(text, "too", "too", .5)}, []string{"too"}},
		{"markers have no span", []Match{{Query: "x", Similarity: 1}}, nil},
		{"function words", []Match{at(text, "The", "embed", .9), at(text, "embeddings", "the", .9)}, nil},
		{"weak beside strong", []Match{at(text, "embeddings", "a1", .95), at(text, "too", "b1", .5)}, []string{"embeddings"}},
		{"weak alone", []Match{at(text, "too", "b1", .3)}, nil},
		{"no spaces, no widening", []Match{at(text, "京", "kyo", .9)}, []string{"京"}},
		{"out of range", []Match{{Query: "x", Start: 5, End: 5000, Similarity: 1}, {Query: "x", Start: -1, End: 2, Similarity: 1}}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, marked(text, Marks(text, c.matches))); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestMarksKeepTheBestWeight(t *testing.T) {
	const text = "tokenizers"
	marks := Marks(text, []Match{{"token", 0, 5, .7}, {"izer", 5, 10, .9}})
	if d := cmp.Diff([]Mark{{0, 10, .9, []int{0, 1}}}, marks); d != "" {
		t.Error(d)
	}
}

func TestSnippetChoosesTheMatchingSentence(t *testing.T) {
	text := strings.Repeat("Nothing of note is said in this sentence. ", 30) + "The centrifugal pump moves water. " + strings.Repeat("More of the same follows here. ", 30)
	marks := Marks(text, []Match{at(text, "centrifugal", "centrifugal", .9), at(text, "pump", "pump", .9)})
	got := Snippet(Style{Width: 60}, text, marks, 4, 3, false)
	if len(got) != 3 {
		t.Fatalf("%d lines: %q", len(got), got)
	}
	if !strings.HasPrefix(got[0], "… ") || !strings.HasSuffix(got[2], " …") {
		t.Errorf("no sign that the text goes on: %q", got)
	}
	if all := strings.Join(got, " "); !strings.Contains(all, "«centrifugal» «pump» moves water.") {
		t.Errorf("%q", all)
	}
	for _, l := range got {
		if Columns(l) > 56 {
			t.Errorf("%d columns: %q", Columns(l), l)
		}
	}
}

func TestSnippetStartsInsideALongSentence(t *testing.T) {
	text := strings.Repeat("word ", 500) + "needle " + strings.Repeat("word ", 50)
	got := Snippet(Style{Width: 60}, text, Marks(text, []Match{at(text, "needle", "needle", .9)}), 0, 2, false)
	if !strings.Contains(strings.Join(got, " "), "«needle»") {
		t.Errorf("%q", got)
	}
}

func TestSnippetLayout(t *testing.T) {
	s := Style{Width: 24}
	for _, c := range []struct {
		name, text string
		lines      int
		code       bool
		want       []string
	}{
		{"reflow", "one two\nthree  four\n\nfive", 9, false, []string{"one two three four", "five"}},
		{"list", "one\n- two\n- three - four", 9, false, []string{"one", "- two", "- three - four"}},
		{"code", "func f() {\n\tif x {\n\n\t}\n}", 9, true, []string{"func f() {", "    if x {", "    }", "}"}},
		{"wrap", "aaaa bbbb cccc dddd eeee ffff", 9, false, []string{"aaaa bbbb cccc dddd eeee", "ffff"}},
		{"cut", "aaaa bbbb cccc dddd eeee ffff", 1, false, []string{"aaaa bbbb cccc dddd …"}},
		{"long word", strings.Repeat("x", 40), 2, false, []string{strings.Repeat("x", 23) + "…"}},
		{"wide", strings.Repeat("東", 20), 9, false, []string{strings.Repeat("東", 12), strings.Repeat("東", 8)}},
		{"control", "a\x1b[31mb\u202ec", 1, false, []string{"a[31mbc"}},
		{"empty", " \n", 1, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, Snippet(s, c.text, nil, 0, c.lines, c.code)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestColour(t *testing.T) {
	const text = "red and blue"
	marks := []Mark{{Start: 0, End: 3, Weight: .9}, {Start: 8, End: 12, Weight: .5}}
	got := Snippet(Style{Color: true}, text, marks, 0, 1, false)
	if d := cmp.Diff([]string{"\x1b[1;33mred\x1b[0m and \x1b[33mblue\x1b[0m"}, got); d != "" {
		t.Error(d)
	}
	if plain := stripMarks(got[0]); plain != text {
		t.Errorf("stripped: %q", plain)
	}
}

func TestBar(t *testing.T) {
	var out bytes.Buffer
	b := NewBar(&out, Style{Width: 120})
	now := b.start.Add(10 * time.Second)
	b.now = func() time.Time { return now }
	b.Update(25, 100, 1234, 200, 50_000)
	b.Update(26, 100, 1235, 200, 50_000) // too soon
	b.Close()
	want := "\r█████░░░░░░░░░░░░░░░  25%  1,234 passages, 200 encoded, 5,000 tokens/s, 30.0 s left\x1b[K\r\x1b[K"
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Error(d)
	}
	(*Bar)(nil).Update(1, 2, 3, 4, 5)
	(*Bar)(nil).Close()
}

func TestUnits(t *testing.T) {
	got := []string{Count(0), Count(-1234567), Count(999), Bytes(1023), Bytes(1536), Bytes(20 << 20), Bytes(999 << 30), Bytes(1 << 40),
		Duration(840 * time.Microsecond), Duration(12345 * time.Microsecond), Duration(4500 * time.Millisecond), Duration(185 * time.Second), Duration(125 * time.Minute)}
	want := []string{"0", "-1,234,567", "999", "1023 B", "1.50 KiB", "20.0 MiB", "999 GiB", "1.00 TiB",
		"840 µs", "12.3 ms", "4.5 s", "3 min 5 s", "2 h 5 min"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func FuzzSnippet(f *testing.F) {
	f.Add("some text\nwith 東京 lines\tand \x1b[0m", 3, 9, uint8(20), true)
	f.Fuzz(func(t *testing.T, text string, start, end int, width uint8, code bool) {
		text = strings.ToValidUTF8(text, "?")
		s := Style{Width: int(width)}
		marks := Marks(text, []Match{{"query", start, end, .9}, {"word", start / 2, start, .8}})
		for _, l := range Snippet(s, text, marks, 2, 3, code) {
			if Columns(l) > s.width()-2 {
				t.Errorf("%d columns in %q", Columns(l), l)
			}
			if strings.ContainsAny(l, "\x1b\n\r") {
				t.Errorf("control characters in %q", l)
			}
		}
	})
}
