package query

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

// Recall against the raw vectors is told from what is stored, and is that of a
// search of the raw vectors.
func TestMeasureTellsTheRecallAgainstRawVectors(t *testing.T) {
	defer func(l []Budgets) { Ladder = l }(Ladder)
	Ladder = []Budgets{{Cells: 1, NProbe: 1, NA: 40, NFullScores: 12}, {Cells: 8, NProbe: 8, NA: 150, NFullScores: 32}}
	queries, docs := testdata.Lotte(t)
	if raceEnabled {
		queries = queries[:10]
	}
	raw := rawRankings(t, queries, docs)
	for _, p := range []codec.Profile{codec.Exact, codec.Balanced, codec.Compact} {
		c := encodeAll(t, concat(docs), codec.TrainOptions{Cells: 256, Centroids: 1024, Iterations: 3}, p, docs, queries)
		srcs := spread(c.docs, 3, true)
		for _, s := range srcs {
			s.(*testSource).space = &c.space
		}
		var trials []Trial
		for _, q := range c.queries {
			trials = append(trials, Trial{Query: q})
		}
		got, err := Measure(context.Background(), srcs, trials, 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Rungs) != len(Ladder) || got.Reached || got.Default != len(Ladder)-1 {
			t.Fatalf("%d rungs of %d; default %d, %t", len(got.Rungs), len(Ladder), got.Default, got.Reached)
		}
		for i, r := range append(got.Rungs, got.Full) {
			params := Params{K: 10, Exact: true}
			if i < len(Ladder) {
				b := Ladder[i]
				params = Params{K: 10, Cells: b.Cells, NProbe: b.NProbe, NA: b.NA, NFullScores: b.NFullScores}
			}
			var want Recall
			for q, query := range c.queries {
				s := NewSearcher()
				found := idSet(mustSearch(t, s, query, srcs, c.space, params).Hits)
				exact := mustSearch(t, s, query, srcs, c.space, Params{K: 10, Exact: true}).Hits
				want.Candidate += share(exact, found) / float64(len(queries))
				want.Raw += share(raw[q], found) / float64(len(queries))
			}
			t.Logf("%s, %v: candidate recall %.3f, in truth %.3f; recall %.3f, in truth %.3f; %.2f under 0.8", p, params, r.Candidate, want.Candidate, r.Raw, want.Raw, r.Below80)
			// A trial asks for one hit more, which may bring another candidate in.
			if math.Abs(r.Candidate-want.Candidate) > 0.005 {
				t.Errorf("%s, rung %d: candidate recall %.4f, in truth %.4f", p, i, r.Candidate, want.Candidate)
			}
			if !raceEnabled && math.Abs(r.Raw-want.Raw) > 0.02 {
				t.Errorf("%s, rung %d: recall %.4f, in truth %.4f", p, i, r.Raw, want.Raw)
			}
		}
	}
}

// share is that of the hits whose ids are given.
func share(hits []Hit, ids map[string]bool) float64 {
	n := 0
	for _, h := range hits {
		if ids[h.ID] {
			n++
		}
	}
	return float64(n) / float64(len(hits))
}

// rawRankings are the ten documents with the greatest MaxSim in float32.
func rawRankings(t *testing.T, queries, docs []codec.Matrix) (out [][]Hit) {
	s := codec.NewScorer()
	views := make([]codec.View, len(docs))
	for i, d := range docs {
		unit := d.Normalized()
		views[i] = codec.View{Tokens: unit.Len(), Raw: codec.AppendF16(nil, unit.Data)}
	}
	for _, m := range queries {
		q, err := codec.NewQuery(m, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.Reset(q, nil)
		var all []Hit
		for i, v := range views {
			all = append(all, Hit{ID: fmt.Sprint(i), Score: s.MaxSim(codec.PlaneRaw, v)})
		}
		slices.SortFunc(all, func(a, b Hit) int { return cmp.Compare(b.Score, a.Score) })
		out = append(out, all[:10])
	}
	return out
}

func idSet(hits []Hit) map[string]bool {
	out := map[string]bool{}
	for _, h := range hits {
		out[h.ID] = true
	}
	return out
}

// The document that a trial was taken from is not counted: alone it would find
// itself.
func TestMeasureLeavesOutTheTrialsOwnDocument(t *testing.T) {
	trial := Trial{Except: "b"}
	got := trial.others([]Hit{{ID: "a"}, {ID: "b"}, {ID: "c"}})
	if len(got) != 2 || got[0].ID != "a" || got[1].ID != "c" {
		t.Error(got)
	}
}

func TestRungs(t *testing.T) {
	for _, c := range []struct {
		effort     Effort
		rung, want int
	}{
		{EffortDefault, DefaultRung, 3}, {EffortFast, DefaultRung, 0}, {EffortHigh, DefaultRung, 6},
		{EffortFast, 1, 0}, {EffortHigh, 1, 4}, {EffortHigh, 8, 8}, {EffortFast, 8, 5},
	} {
		if got := RungOf(c.effort, c.rung); got != c.want {
			t.Errorf("%s at %d: rung %d, want %d", c.effort, c.rung, got, c.want)
		}
	}
	twice, four := Ladder[3], Ladder[3]
	twice.Cells, twice.NProbe = 2*twice.Cells, 2*twice.NProbe
	four.Cells, four.NProbe = 4*four.Cells, 4*four.NProbe
	for tokens, want := range map[int]Budgets{
		512: Ladder[3], 16: Ladder[3], 15: twice, 10: twice, 9: four, 6: four, 5: Ladder[7], 3: Ladder[7], 2: Ladder[8], 1: Ladder[8],
	} {
		if got := BudgetsOf(3, tokens); got != want {
			t.Errorf("%d tokens: %+v, want %+v", tokens, got, want)
		}
	}
	if got := BudgetsOf(8, 8); got.NProbe != MaxNProbe || got.NA != Ladder[8].NA {
		t.Errorf("more probes than there may be: %+v", got)
	}
	if got := BudgetsOf(8, 3); got != Ladder[8] {
		t.Errorf("beyond the ladder: %+v", got)
	}
	for i, b := range Ladder[1:] {
		if a := Ladder[i]; b.Cells < a.Cells || b.NProbe < a.NProbe || b.NA < a.NA || b.NFullScores < a.NFullScores {
			t.Errorf("rung %d spends less than rung %d", i+1, i)
		}
	}
}
