package eval_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/colbertdb-go/colbertdb/query/eval"
)

// The expected values are SciPy's: scripts/check_eval.py.
func TestComparisonsAgreeWithSciPy(t *testing.T) {
	raw, err := os.ReadFile("testdata/comparisons.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Base, Other []float64
		Margin      float64
		Want        struct {
			Difference      float64
			T, P, Low, High *float64 // nil: SciPy gives no number
			PLoss           *float64 `json:"p_loss"`
			BLow            *float64 `json:"bootstrap_low"`
			BHigh           *float64 `json:"bootstrap_high"`
		}
	}
	if err := json.Unmarshal(raw, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases, %v", len(cases), err)
	}
	for i, c := range cases {
		got, err := eval.Compare(c.Base, c.Other, c.Margin, 1)
		if err != nil {
			t.Fatal(err)
		}
		near := func(name string, got float64, want *float64, within float64) {
			if want != nil && !(math.Abs(got-*want) <= within) {
				t.Errorf("case %d, %d queries: %s is %v, SciPy says %v", i, len(c.Base), name, got, *want)
			}
		}
		w := c.Want
		near("difference", got.Difference, &w.Difference, 1e-12)
		near("p", got.P, w.P, 1e-9)
		near("low", got.Low, w.Low, 1e-9)
		near("high", got.High, w.High, 1e-9)
		near("p of a loss", got.PLoss, w.PLoss, 1e-9)
		if w.T != nil {
			near("t", got.T, w.T, 1e-9*max(1, math.Abs(*w.T)))
		}
		if w.BLow != nil { // two random draws: within a tenth of the interval
			near("bootstrap low", got.BootstrapLow, w.BLow, (*w.BHigh-*w.BLow)/10)
			near("bootstrap high", got.BootstrapHigh, w.BHigh, (*w.BHigh-*w.BLow)/10)
		}
	}
}

func TestNoLossIsAStatement(t *testing.T) {
	few := []float64{0.9, 0.1, 0.5, 0.7}
	worse := []float64{0.1, 0.2, 0.9, 0.6}
	c, err := eval.Compare(few, worse, 0.01, 1)
	if err != nil || c.Differs() || c.NoLoss() {
		t.Errorf("four queries say neither: %+v, %v", c, err)
	}
	if c, err = eval.Compare(few, few, 0.01, 1); err != nil || c.Differs() || !c.NoLoss() || c.P != 1 {
		t.Errorf("the same values are no loss: %+v, %v", c, err)
	}
	if c, err = eval.Compare(few, few, 0, 1); err != nil || c.NoLoss() {
		t.Errorf("with margin 0 equality is not better: %+v, %v", c, err)
	}
	if c, err = eval.Compare([]float64{0.5, 0.25, 1}, []float64{0.25, 0, 0.75}, 0.01, 1); err != nil || !c.Differs() || c.NoLoss() || c.P != 0 {
		t.Errorf("a loss on every query: %+v, %v", c, err)
	}
}

func TestCompareRefuses(t *testing.T) {
	for _, c := range []struct {
		base, other []float64
		margin      float64
	}{{[]float64{1}, []float64{1}, 0}, {[]float64{1, 2}, []float64{1}, 0}, {[]float64{1, 2}, []float64{1, 2}, -1}, {[]float64{1, 2}, []float64{1, 2}, math.NaN()}} {
		if _, err := eval.Compare(c.base, c.other, c.margin, 1); err == nil {
			t.Errorf("%+v: no error", c)
		}
	}
}

func TestMeansAreOfTheQueries(t *testing.T) {
	judged := eval.Qrels{"a": {"x": 1}, "b": {"y": 2, "z": 1}, "c": {"w": 1}}
	run := eval.Run{"a": {{ID: "x", Score: 1}}, "b": {{ID: "z", Score: 2}, {ID: "y", Score: 1}}}
	each := eval.EvaluateEach(judged, run, 10)
	if len(each) != 3 || each["c"] != (eval.Measures{Queries: 1}) || each["b"].MRR != 1 {
		t.Errorf("%+v", each)
	}
	if got, want := eval.Mean(each), eval.Evaluate(judged, run, 10); got != want {
		t.Errorf("mean %+v, want %+v", got, want)
	}
	if m := eval.EvaluateQuery(judged["b"], run["b"], 10, eval.MinGrade(2)); m.MRR != 0.5 || m.Recall != 1 || m.NDCG == 1 {
		t.Errorf("grade 2: %+v", m)
	}
}
