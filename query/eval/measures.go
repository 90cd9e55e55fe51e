package eval

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// Measures are the qualities of one ranking, or their means over queries, at
// one cut-off.
type Measures struct {
	// Queries is the number of judged queries.
	Queries int
	// NDCG is the discounted cumulative gain of the first k documents over that
	// of an ideal ranking; the gain is the judgment, the discount log2(rank + 1)
	// (Järvelin and Kekäläinen 2002, in trec_eval's form: ndcg_cut).
	NDCG float64
	// Recall is the share of the relevant documents among the first k.
	Recall float64
	// MRR is 1 / rank of the first relevant document, 0 where it is not among
	// the first k.
	MRR float64
	// Success is 1 where a relevant document is among the first k, else 0.
	Success float64
	// MAP is the mean, over all relevant documents, of the precision at their
	// ranks. It looks at the whole ranking, whatever k is.
	MAP float64
}

// Option changes how rankings are measured.
type Option func(*options)

type options struct{ minGrade int }

// MinGrade is the lowest grade that counts as relevant in the measures that know
// only relevant and not: all but NDCG, whose gain is the grade (trec_eval's -l). The
// judgments of TREC's Deep Learning tracks are read so, with 2. Default: 1.
func MinGrade(grade int) Option { return func(o *options) { o.minGrade = grade } }

func optionsOf(opts []Option) options {
	o := options{minGrade: 1}
	for _, set := range opts {
		set(&o)
	}
	return o
}

// Evaluate returns the means over all judged queries at cut-off k. Queries of
// the run without judgments do not count. With k < 1 there is no cut-off.
func Evaluate(q Qrels, r Run, k int, opts ...Option) Measures {
	return Mean(EvaluateEach(q, r, k, opts...))
}

// EvaluateEach returns the measures of every judged query at cut-off k; where the run
// has no ranking they are 0.
func EvaluateEach(q Qrels, r Run, k int, opts ...Option) map[string]Measures {
	each := make(map[string]Measures, len(q))
	for id := range q {
		each[id] = EvaluateQuery(q[id], r[id], k, opts...)
	}
	return each
}

// Mean returns the means of measures of queries.
func Mean(each map[string]Measures) Measures {
	sum := Measures{Queries: len(each)}
	if len(each) == 0 {
		return sum
	}
	// In a fixed order, so that the last digits are, too.
	for _, id := range sortedKeys(each) {
		m := each[id]
		sum.NDCG += m.NDCG
		sum.Recall += m.Recall
		sum.MRR += m.MRR
		sum.Success += m.Success
		sum.MAP += m.MAP
	}
	n := float64(len(each))
	for _, v := range []*float64{&sum.NDCG, &sum.Recall, &sum.MRR, &sum.Success, &sum.MAP} {
		*v /= n
	}
	return sum
}

// EvaluateQuery measures one ranking against the judgments of its query. A
// document is relevant where its judgment is at least MinGrade; documents that are
// not judged are not relevant. The ranking is by descending score, equal scores by
// descending id, as trec_eval has it; of a document given twice the better
// place counts.
func EvaluateQuery(judged map[string]int, ranking []Scored, k int, opts ...Option) Measures {
	m := Measures{Queries: 1}
	least := optionsOf(opts).minGrade
	var gains []int
	relevant := 0
	for _, grade := range judged {
		if grade > 0 {
			gains = append(gains, grade)
		}
		if grade >= least {
			relevant++
		}
	}
	slices.SortFunc(gains, func(a, b int) int { return b - a })
	cut := func(rank int) bool { return k >= 1 && rank > k }
	var ideal float64
	for i, gain := range gains {
		if cut(i + 1) {
			break
		}
		ideal += discounted(gain, i+1)
	}
	found := 0
	for i, d := range Ranked(ranking) {
		rank := i + 1
		grade, known := judged[d.ID]
		if grade > 0 && !cut(rank) {
			m.NDCG += discounted(grade, rank)
		}
		if !known || grade < least {
			continue
		}
		found++
		m.MAP += float64(found) / float64(rank)
		if cut(rank) {
			continue
		}
		m.Recall++
		if m.Success == 0 {
			m.MRR, m.Success = 1/float64(rank), 1
		}
	}
	if ideal > 0 {
		m.NDCG /= ideal
	}
	if relevant > 0 {
		m.Recall /= float64(relevant)
		m.MAP /= float64(relevant)
	}
	return m
}

func discounted(gain, rank int) float64 { return float64(gain) / math.Log2(float64(rank)+1) }

// Ranked returns the documents in trec_eval's order: descending score, which it
// keeps as a float32, equal scores by descending id; each document once.
func Ranked(ranking []Scored) []Scored {
	out := slices.Clone(ranking)
	slices.SortFunc(out, func(a, b Scored) int {
		return cmp.Or(cmp.Compare(float32(b.Score), float32(a.Score)), strings.Compare(b.ID, a.ID))
	})
	seen := make(map[string]bool, len(out))
	return slices.DeleteFunc(out, func(d Scored) bool {
		again := seen[d.ID]
		seen[d.ID] = true
		return again
	})
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
