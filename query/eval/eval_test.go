package eval_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/colbertdb-go/colbertdb/internal/testdata"
	"github.com/colbertdb-go/colbertdb/query/eval"
)

// The expected values come from trec_eval by pytrec-eval-terrier:
// scripts/check_eval.py.
func TestMeasuresAgreeWithTrecEval(t *testing.T) {
	judged, err := eval.ReadQrelsFile(filepath.Join("testdata", "hostile.qrels"))
	if err != nil {
		t.Fatal(err)
	}
	run, err := eval.ReadRunFile(filepath.Join("testdata", "hostile.run"))
	if err != nil {
		t.Fatal(err)
	}
	expected, err := os.ReadFile(filepath.Join("testdata", "hostile.expected"))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(expected)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var query string
		var grade, k int
		var want eval.Measures
		if _, err := fmt.Sscan(line, &grade, &query, &k, &want.NDCG, &want.Recall, &want.MRR, &want.Success, &want.MAP); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		got := eval.Evaluate(judged, run, k, eval.MinGrade(grade))
		if query != "all" {
			got = eval.EvaluateQuery(judged[query], run[query], k, eval.MinGrade(grade))
		} else if got.Queries != len(judged) {
			t.Errorf("mean over %d queries, %d are judged", got.Queries, len(judged))
		}
		for _, v := range []struct {
			name      string
			got, want float64
		}{
			{"nDCG", got.NDCG, want.NDCG}, {"recall", got.Recall, want.Recall}, {"MRR", got.MRR, want.MRR},
			{"success", got.Success, want.Success}, {"MAP", got.MAP, want.MAP},
		} {
			if !(math.Abs(v.got-v.want) < 5e-5) {
				t.Errorf("grade %d, query %s: %s@%d is %.6f, want %.6f", grade, query, v.name, k, v.got, v.want)
			}
		}
		rows++
	}
	if want := 2 * 4 * (len(judged) + 1); rows != want {
		t.Errorf("%d rows of expected values, want %d", rows, want)
	}
}

func TestNDCGByHand(t *testing.T) {
	judged := map[string]int{"a": 3, "b": 2, "c": 0, "d": 1}
	ranking := []eval.Scored{{ID: "b", Score: 9}, {ID: "c", Score: 8}, {ID: "a", Score: 7}}
	m := eval.EvaluateQuery(judged, ranking, 3)
	want := (2 + 3/2.0) / (3 + 2/math.Log2(3) + 1/2.0)
	if math.Abs(m.NDCG-want) > 1e-12 {
		t.Errorf("nDCG@3 %v, want %v", m.NDCG, want)
	}
	if m.Recall != 2/3.0 || m.MRR != 1 || m.Success != 1 || math.Abs(m.MAP-(1+2/3.0)/3) > 1e-12 {
		t.Errorf("%+v", m)
	}
	if m := eval.EvaluateQuery(judged, ranking, 0); m.Recall != 2/3.0 {
		t.Errorf("without a cut-off: %+v", m)
	}
}

func TestEvaluateWithoutJudgments(t *testing.T) {
	if m := eval.Evaluate(nil, eval.Run{"q": {{ID: "d", Score: 1}}}, 10); m != (eval.Measures{}) {
		t.Errorf("%+v", m)
	}
}

func TestADocumentCountsOnce(t *testing.T) {
	twice := []eval.Scored{{ID: "a", Score: 1}, {ID: "a", Score: 3}, {ID: "b", Score: 2}}
	m := eval.EvaluateQuery(map[string]int{"a": 1, "b": 1}, twice, 10)
	if m.NDCG != 1 || m.Recall != 1 || m.MAP != 1 {
		t.Errorf("%+v", m)
	}
	if len(twice) != 3 || twice[0].Score != 1 {
		t.Errorf("the ranking given was changed: %v", twice)
	}
}

func TestReadQrels(t *testing.T) {
	want := eval.Qrels{"q 1": {"d1": 2, "d 2": 0}, "q2": {"d1": -1}}
	for name, in := range map[string]string{
		"BEIR":             "query-id\tcorpus-id\tscore\nq 1\td1\t2\nq 1\td 2\t0\nq2\td1\t-1\n",
		"BEIR, CRLF":       "query-id\tcorpus-id\tscore\r\nq 1\td1\t2\r\nq 1\td 2\t0\r\nq2\td1\t-1",
		"BEIR, BOM":        "\ufeffquery-id\tcorpus-id\tscore\nq 1\td1\t2\nq 1\td 2\t0\n\nq2\td1\t-1\n",
		"without headings": "q 1\td1\t2\nq 1\td1\t2\nq 1\td 2\t0\nq2\td1\t-1\n",
	} {
		got, err := eval.ReadQrels(strings.NewReader(in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
	got, err := eval.ReadQrels(strings.NewReader("1 0 d1 1\n1 Q0  d2\t0\n"))
	if d := cmp.Diff(eval.Qrels{"1": {"d1": 1, "d2": 0}}, got); err != nil || d != "" {
		t.Errorf("TREC: %v %s", err, d)
	}
	for name, in := range map[string]string{
		"line 2":        "q\td\t1\nq\td2\tmany\n",
		"2 columns":     "q d\n",
		"judged 1 here": "q\td\t0\nq\td\t1\n",
		"id is empty":   "q\t\t0\n",
		"4 columns":     "q\td\t0\nq 0 d 1\n",
	} {
		if _, err := eval.ReadQrels(strings.NewReader(in)); !errors.Is(err, eval.ErrFormat) || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: error %v, want one with %q", in, err, name)
		}
	}
	if _, err := eval.ReadQrelsFile("testdata/absent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: %v", err)
	}
}

func TestRunRoundTrip(t *testing.T) {
	run := eval.Run{"q2": {{ID: "a", Score: 1}, {ID: "b", Score: 1.0 / 3}}, "q1": {{ID: "c", Score: -1e-9}, {ID: "d", Score: 16777217}}}
	var b bytes.Buffer
	if err := eval.WriteRun(&b, run, "tag"); err != nil {
		t.Fatal(err)
	}
	want := "q1 Q0 d 1 1.6777217e+07 tag\nq1 Q0 c 2 -1e-09 tag\nq2 Q0 a 1 1 tag\nq2 Q0 b 2 0.3333333333333333 tag\n"
	if b.String() != want {
		t.Errorf("wrote\n%s", b.String())
	}
	got, err := eval.ReadRun(&b)
	run["q1"][0], run["q1"][1] = run["q1"][1], run["q1"][0]
	if d := cmp.Diff(run, got); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
}

func TestRunErrors(t *testing.T) {
	for name, in := range map[string]string{
		"line 1: 5 columns": "q Q0 d 1 2.0\n",
		"not a number":      "q Q0 d 1 NaN t\n",
		"twice":             "q Q0 d 1 2 t\nq Q0 d 2 1 t\n",
	} {
		if _, err := eval.ReadRun(strings.NewReader(in)); !errors.Is(err, eval.ErrFormat) || !strings.Contains(err.Error(), name) {
			t.Errorf("%q: error %v, want one with %q", in, err, name)
		}
	}
	for _, r := range []eval.Run{{"a b": {{ID: "d"}}}, {"q": {{ID: "d\n"}}}, {"q": {{ID: ""}}}} {
		if err := eval.WriteRun(&bytes.Buffer{}, r, "tag"); !errors.Is(err, eval.ErrFormat) {
			t.Errorf("%v: error %v", r, err)
		}
	}
}

func TestRealQrels(t *testing.T) {
	for _, name := range []string{"scifact", "cranfield", "cosqa", "msmarco-dl19-20-pool", "miracl-yo"} {
		t.Run(name, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(testdata.Dir(t, name), "qrels", "*.tsv"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no qrels: %v", err)
			}
			for _, f := range files {
				q, err := eval.ReadQrelsFile(f)
				if err != nil || len(q) == 0 {
					t.Errorf("%s: %d queries, %v", f, len(q), err)
				}
			}
		})
	}
}

func FuzzReadQrels(f *testing.F) {
	f.Add("query-id\tcorpus-id\tscore\nq\td\t1\n")
	f.Add("q 0 d 1\n")
	f.Fuzz(func(t *testing.T, in string) {
		q, err := eval.ReadQrels(strings.NewReader(in))
		if err != nil {
			return
		}
		for id, docs := range q {
			if id == "" || len(docs) == 0 {
				t.Errorf("query %q with %d judgments", id, len(docs))
			}
		}
	})
}
