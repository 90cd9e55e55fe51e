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

// Evaluate returns the means over all judged queries at cut-off k. Queries of
// the run without judgments do not count. With k < 1 there is no cut-off.
func Evaluate(q Qrels, r Run, k int) Measures {
	sum := Measures{Queries: len(q)}
	if len(q) == 0 {
		return sum
	}
	// In a fixed order, so that the last digits are, too.
	for _, id := range sortedKeys(q) {
		m := EvaluateQuery(q[id], r[id], k)
		sum.NDCG += m.NDCG
		sum.Recall += m.Recall
		sum.MRR += m.MRR
		sum.Success += m.Success
		sum.MAP += m.MAP
	}
	n := float64(len(q))
	for _, v := range []*float64{&sum.NDCG, &sum.Recall, &sum.MRR, &sum.Success, &sum.MAP} {
		*v /= n
	}
	return sum
}

// EvaluateQuery measures one ranking against the judgments of its query. A
// document is relevant where its judgment is above zero; documents that are not
// judged are not relevant. The ranking is by descending score, equal scores by
// descending id, as trec_eval has it; of a document given twice the better
// place counts.
func EvaluateQuery(judged map[string]int, ranking []Scored, k int) Measures {
	m := Measures{Queries: 1}
	var ideal []int
	for _, j := range judged {
		if j > 0 {
			ideal = append(ideal, j)
		}
	}
	if len(ideal) == 0 {
		return m
	}
	slices.SortFunc(ideal, func(a, b int) int { return b - a })
	cut := func(rank int) bool { return k >= 1 && rank > k }
	var best float64
	for i, gain := range ideal {
		if cut(i + 1) {
			break
		}
		best += discounted(gain, i+1)
	}
	relevant := 0
	for i, d := range Ranked(ranking) {
		rank, gain := i+1, judged[d.ID]
		if gain <= 0 {
			continue
		}
		relevant++
		m.MAP += float64(relevant) / float64(rank)
		if cut(rank) {
			continue
		}
		m.NDCG += discounted(gain, rank)
		m.Recall++
		if m.Success == 0 {
			m.MRR, m.Success = 1/float64(rank), 1
		}
	}
	m.NDCG /= best
	m.Recall /= float64(len(ideal))
	m.MAP /= float64(len(ideal))
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
