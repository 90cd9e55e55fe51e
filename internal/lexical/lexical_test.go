package lexical

import (
	"bufio"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/query/eval"
)

func TestTerms(t *testing.T) {
	const text = "The wings' vibrations, in Mach 2.5 flows: CÀFÉ ọ̀rọ̀"
	for a, want := range map[Analyzer][]string{
		Plain:   {"the", "wings", "vibrations", "in", "mach", "2", "5", "flows", "càfé", "ọ̀rọ̀"},
		English: {"wing", "vibrat", "mach", "2", "5", "flow", "càfé", "ọ̀rọ̀"},
	} {
		if got := slices.Collect(a.Terms(text)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", a, got, want)
		}
		if err := a.Validate(); err != nil {
			t.Error(err)
		}
	}
	if Analyzer("latin").Validate() == nil {
		t.Error("an unknown analyzer is valid")
	}
}

// By hand: two documents of three and one terms.
func TestScore(t *testing.T) {
	x := NewIndex(Plain, BM25{K1: 1.2, B: .75})
	x.Upsert("a", "wing flow flow")
	x.Upsert("b", "wing")
	got := x.Search("flow", 10)
	want := math.Log(2) * 2 / (2 + 1.2*(.25+.75*3/2))
	if len(got) != 1 || got[0].ID != "a" || math.Abs(got[0].Score-want) > 1e-12 {
		t.Errorf("%v, want a with %v", got, want)
	}
}

// read calls f with the title and text of every record of a BEIR file.
func read(t *testing.T, name string, f func(id, text string)) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Skipf("no shared data: %v", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var r struct {
			ID    string `json:"_id"`
			Title string `json:"title"`
			Text  string `json:"text"`
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		f(r.ID, r.Title+" "+r.Text)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// An index that was changed scores as one that was made of what is left.
func TestChangesLeaveNothingBehind(t *testing.T) {
	changed, fresh := NewIndex(English, BM25{1.2, .75}), NewIndex(English, BM25{1.2, .75})
	dir := filepath.Join("..", "..", "..", "shared", "data", "cranfield")
	n := 0
	read(t, filepath.Join(dir, "corpus.jsonl"), func(id, text string) {
		if n++; n > 300 {
			return
		}
		changed.Upsert(id, "boundary layer "+text)
		if n%3 != 0 {
			changed.Upsert(id, text)
			fresh.Upsert(id, text)
		}
	})
	for id := range changed.docs {
		if fresh.docs[id] == nil {
			changed.Delete(id)
		}
	}
	for _, q := range []string{"boundary layer", "wing flow at high mach numbers", "heat transfer"} {
		a, b := changed.Search(q, 20), fresh.Search(q, 20)
		if len(a) == 0 || !slices.Equal(a, b) {
			t.Errorf("%q: %v, want %v", q, a, b)
		}
	}
}

// Quality on judged collections, against an independent BM25 with the same
// analysis and constants.
func TestQuality(t *testing.T) {
	for _, c := range []struct {
		name      string
		bm25      BM25
		want, off float64
	}{
		{"scifact", BM25{1.2, .75}, .687, .005},
		{"cranfield", BM25{1.2, .75}, .360, .005},
		{"cisi", BM25{1.2, .75}, .383, .005},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join("..", "..", "..", "shared", "data", c.name)
			x := NewIndex(English, c.bm25)
			read(t, filepath.Join(dir, "corpus.jsonl"), x.Upsert)
			judged, err := eval.ReadQrelsFile(filepath.Join(dir, "qrels", "test.tsv"))
			if err != nil {
				t.Fatal(err)
			}
			run := eval.Run{}
			read(t, filepath.Join(dir, "queries.jsonl"), func(id, text string) {
				if len(judged[id]) == 0 {
					return
				}
				for _, d := range x.Search(text, 10) {
					run[id] = append(run[id], eval.Scored{ID: d.ID, Score: d.Score})
				}
			})
			got := eval.Evaluate(judged, run, 10).NDCG
			t.Logf("nDCG@10 %.4f", got)
			if math.Abs(got-c.want) > c.off {
				t.Errorf("nDCG@10 is %.4f, want %.3f ± %.3f", got, c.want, c.off)
			}
		})
	}
}

// A Counter counts what Terms yields, text after text.
func TestCounter(t *testing.T) {
	texts := []string{"", "The", "wing Wing WINGS of winged flow; the flow", "ọ̀rọ̀ ỌRỌ 2.5 2 5", strings.Repeat("x", maxWordBytes+1) + " " + strings.Repeat("y", maxWordBytes)}
	dir := filepath.Join("..", "..", "..", "shared", "data", "cranfield")
	if _, err := os.Stat(dir); err == nil {
		read(t, filepath.Join(dir, "corpus.jsonl"), func(_, text string) { texts = append(texts, text) })
	}
	for _, a := range []Analyzer{Plain, English} {
		c := NewCounter(a)
		for _, text := range texts {
			want, n := map[string]uint32{}, uint32(0)
			for term := range a.Terms(text) {
				want[term]++
				n++
			}
			counts, length := c.Count(text)
			got := map[string]uint32{}
			for _, x := range counts {
				got[c.Term(x.Term)] += x.N
			}
			if length != n || len(counts) != len(want) || !maps.Equal(got, want) {
				t.Fatalf("%s, %q: %v and %d, want %v and %d", a, text, got, length, want, n)
			}
		}
	}
}
