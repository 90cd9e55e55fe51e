package query

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/colbertdb-go/colbertdb/codec"
)

// Trial is a query whose answers are known to be worth measuring.
type Trial struct {
	Query *codec.Query
	// Except is the id of the document that the query was taken from, which is no
	// hit; empty for a query of another origin.
	Except string
}

// Recall is the recall of searches with K = CalibrationK, over trials.
type Recall struct {
	// Candidate is against an exact search over the deciding plane.
	Candidate float64
	// Raw is against exact MaxSim of the raw float32 vectors: expected, from the
	// plane's error.
	Raw float64
	// Below80 is the share of trials whose expected recall is less than 0.8.
	Below80 float64
}

// CalibrationK is the number of hits of a trial.
const CalibrationK = 10

const (
	trialDepth = 100 // of at most 256 documents of the exact ranking that may trade places
	trialDraws = 32  // of the plane's error, a trial
	trialBatch = 8   // trials that scan the documents together
)

// Measured is the recall of searches, by their place on the Ladder.
type Measured struct {
	// Rungs begins with rung 0. It ends where EffortHigh is when EffortDefault is at
	// Default.
	Rungs []Recall
	Full  Recall // of exact search
	// Default is the first rung from 1 on whose candidate recall reaches the target,
	// else the last; Reached says which.
	Default int
	Reached bool
}

// Measure searches for every trial exactly, and with rung after rung of the Ladder
// until one reaches a target.
//
// The raw vectors are gone, but their error on the deciding plane is known: a plane
// stores how much of every vector's length it lost, and an error that has no direction
// of its own changes the score of a document by a normal variable. With MSE_j the
// squared error of the document's token j,
//
//	variance = Σ_j MSE_j/dim · |Σ of weight·query token, over those that token j matches best|²
//
// and the rounding of the query's own tokens comes on top. So the exact ranking over
// the plane, with that error drawn anew for each document, is distributed as the raw
// ranking is, given what is stored: recall is the expected share of its first ten.
func Measure(ctx context.Context, sources []Source, trials []Trial, target float64) (*Measured, error) {
	m := &measuring{sources: sources, s: NewSearcher(), random: rand.New(rand.NewPCG(1, uint64(len(trials))))}
	for batch := range slices.Chunk(trials, trialBatch) {
		if err := m.scan(ctx, batch); err != nil {
			return nil, err
		}
	}
	out := &Measured{Full: m.full(), Default: len(Ladder) - 1}
	for rung := 0; rung < len(Ladder); rung++ {
		if out.Reached && rung > RungOf(EffortHigh, out.Default) {
			break
		}
		r, err := m.rung(ctx, rung)
		if err != nil {
			return nil, err
		}
		if out.Rungs = append(out.Rungs, r); rung > 0 && !out.Reached && r.Candidate >= target {
			out.Default, out.Reached = rung, true
		}
	}
	return out, nil
}

// measuring is a Measure on its way.
type measuring struct {
	sources []Source
	s       *Searcher
	scans   []*Searcher
	random  *rand.Rand
	known   []answered
}

// answered is a trial with the exact ranking over the deciding plane, of at least
// CalibrationK documents, and draws of the raw one.
type answered struct {
	Trial
	exact []string
	raw   [][CalibrationK]uint8 // places in exact
}

// scan finds exact rankings.
func (m *measuring) scan(ctx context.Context, trials []Trial) error {
	for len(m.scans) < len(trials) {
		m.scans = append(m.scans, NewSearcher())
	}
	queries, params := make([]*codec.Query, len(trials)), make([]Params, len(trials))
	for i, t := range trials {
		queries[i], params[i] = t.Query, Params{K: trialDepth, Exact: true}
	}
	results, err := SearchBatch(ctx, m.scans, queries, m.sources, params)
	if err != nil {
		return err
	}
	for i, t := range trials {
		hits := t.others(results[i].Hits)
		if len(hits) < CalibrationK {
			continue // nothing to tell rankings apart by
		}
		noise, err := m.noise(t.Query, hits[0])
		if err != nil {
			return err
		}
		a := answered{Trial: t, raw: m.draw(hits, noise)}
		for _, h := range hits {
			a.exact = append(a.exact, h.ID)
		}
		m.known = append(m.known, a)
	}
	return nil
}

// rung searches for all trials with the budgets of a rung.
func (m *measuring) rung(ctx context.Context, rung int) (sum Recall, err error) {
	for i := range m.known {
		a := &m.known[i]
		b := BudgetsOf(rung, a.Query.Tokens)
		r, err := m.s.Search(ctx, a.Query, m.sources, Params{
			K: CalibrationK + 1, Cells: b.Cells, NProbe: b.NProbe, NA: b.NA, NFullScores: b.NFullScores,
		})
		if err != nil {
			return sum, err
		}
		hits := a.others(r.Hits)
		ids := map[string]bool{}
		for _, h := range hits[:min(CalibrationK, len(hits))] {
			ids[h.ID] = true
		}
		a.add(&sum, ids, len(m.known))
	}
	return sum, nil
}

// full is the recall of exact search.
func (m *measuring) full() (sum Recall) {
	for i := range m.known {
		ids := map[string]bool{}
		for _, id := range m.known[i].exact[:CalibrationK] {
			ids[id] = true
		}
		m.known[i].add(&sum, ids, len(m.known))
	}
	return sum
}

// add counts in the recall of the documents found, for one of n trials.
func (a *answered) add(sum *Recall, found map[string]bool, n int) {
	candidate, raw := 0, 0
	for _, id := range a.exact[:CalibrationK] {
		if found[id] {
			candidate++
		}
	}
	for _, draw := range a.raw {
		for _, at := range draw {
			if found[a.exact[at]] {
				raw++
			}
		}
	}
	recall := float64(raw) / float64(CalibrationK*len(a.raw))
	sum.Candidate += float64(candidate) / CalibrationK / float64(n)
	sum.Raw += recall / float64(n)
	if recall < 0.8 {
		sum.Below80 += 1 / float64(n)
	}
}

// others are the hits without the document that the trial was taken from.
func (t Trial) others(hits []Hit) []Hit {
	return slices.DeleteFunc(hits, func(h Hit) bool { return t.Except != "" && h.ID == t.Except })
}

// draw returns the first places of rankings by scores with an error of the given
// standard deviation.
func (m *measuring) draw(exact []Hit, noise float64) [][CalibrationK]uint8 {
	out := make([][CalibrationK]uint8, trialDraws)
	scores, order := make([]float64, len(exact)), make([]uint8, len(exact))
	for d := range out {
		for i, h := range exact {
			scores[i], order[i] = float64(h.Score)+noise*m.random.NormFloat64(), uint8(i)
		}
		slices.SortFunc(order, func(a, b uint8) int { return cmp.Or(cmp.Compare(scores[b], scores[a]), int(a)-int(b)) })
		copy(out[d][:], order)
	}
	return out
}

// noise is the standard deviation of a document's score on its deciding plane.
func (m *measuring) noise(q *codec.Query, h Hit) (float64, error) {
	space := m.sources[h.Source].Space()
	if space.Representation == codec.PlaneRaw {
		return 0, nil
	}
	v, err := m.sources[h.Source].View(h.Ord, space.Representation, &m.s.buf)
	if err != nil {
		return 0, err
	}
	tokens, sims := make([]int32, q.Tokens), make([]float32, q.Tokens)
	m.s.scorer.Reset(q, space.Codebook)
	m.s.scorer.Explain(space.Representation, v, tokens, sims)
	sums := map[int32][]float64{} // by document token
	variance := 0.0
	for t, j := range tokens {
		if sums[j] == nil {
			sums[j] = make([]float64, q.Dim)
		}
		w := float64(q.Weights[t])
		for d, x := range q.F32[t*q.Dim : (t+1)*q.Dim] {
			sums[j][d] += w * float64(x)
		}
		variance += w * w * float64(q.Scale[t]) * float64(q.Scale[t]) / 12
	}
	mse := codec.SquaredError(v, q.Dim, space.Representation) / float64(q.Dim)
	for _, sum := range sums {
		for _, x := range sum {
			variance += mse * x * x
		}
	}
	return math.Sqrt(variance), nil
}
