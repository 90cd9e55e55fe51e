package encoder

import (
	"cmp"
	"context"
	"math"
	"slices"
)

// Ranked is a document that was compared with a query.
type Ranked struct {
	Index      int     // among those given
	Score      float32 // MaxSim
	Similarity float32 // the mean similarity of the query's tokens, 0 to 1
}

// Ranking is the outcome of Rerank: documents best first, and the tokens encoded.
type Ranking struct {
	Documents []Ranked
	Tokens    int
}

// rerankTexts is how many texts are encoded in one call of a model: a context is looked
// at in between, and their vectors are all that is in memory at once. rerankOverlap is
// the tokens that neighbouring windows of a long document share.
const rerankTexts, rerankOverlap = 32, 32

// Rerank compares documents with a query by MaxSim of their float32 vectors. A document
// that is longer than the model's window is cut into windows and counts by its best; of
// one, about maxTokens tokens are looked at (0: all). Documents of equal scores keep
// their order.
func Rerank(ctx context.Context, m Encoder, query string, documents []string, maxTokens int) (*Ranking, error) {
	qs, err := m.EncodeQueries(ctx, []string{query})
	if err != nil {
		return nil, err
	}
	q := qs[0]
	weights := float32(q.Vectors.Len())
	if q.Weights != nil {
		weights = 0
		for _, w := range q.Weights {
			weights += w
		}
	}
	out := &Ranking{Documents: make([]Ranked, len(documents)), Tokens: q.Vectors.Len()}
	most := math.MaxInt
	if maxTokens > 0 {
		most = max(1, (maxTokens+m.Info().DocMaxLen-1)/m.Info().DocMaxLen)
	}
	var texts []string
	var of []int // the document of each
	flush := func() error {
		if err := ctx.Err(); err != nil || len(texts) == 0 {
			return err
		}
		vs, err := m.EncodeDocuments(ctx, texts)
		if err != nil {
			return err
		}
		for i, v := range vs {
			d := &out.Documents[of[i]]
			d.Score = max(d.Score, maxSim(q.Vectors, v.Vectors, q.Weights))
			out.Tokens += v.Vectors.Len()
		}
		texts, of = texts[:0], of[:0]
		return nil
	}
	for i, text := range documents {
		out.Documents[i] = Ranked{Index: i, Score: float32(math.Inf(-1))}
		windows := m.Windows(text, rerankOverlap)
		for _, w := range windows[:min(len(windows), most)] {
			texts, of = append(texts, text[w.Start:w.End]), append(of, i)
			if len(texts) == rerankTexts {
				if err := flush(); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := flush(); err != nil {
		return nil, err
	}
	for i := range out.Documents {
		d := &out.Documents[i]
		d.Similarity = min(max(d.Score/weights, 0), 1)
	}
	slices.SortStableFunc(out.Documents, func(a, b Ranked) int { return cmp.Compare(b.Score, a.Score) })
	return out, nil
}

// maxSim is the sum over the query's tokens, weighted, of the greatest dot product
// with a document's token.
func maxSim(q, d Matrix, weights []float32) (sum float32) {
	for i := range q.Len() {
		best := float32(math.Inf(-1))
		row := q.Row(i)
		for j := range d.Len() {
			best = max(best, dot(row, d.Row(j)))
		}
		if weights != nil {
			best *= weights[i]
		}
		sum += best
	}
	return sum
}

// dot takes four sums side by side, which the processor overlaps.
func dot(a, b []float32) float32 {
	var s0, s1, s2, s3 float32
	b = b[:len(a)]
	for ; len(a) >= 4; a, b = a[4:], b[4:] {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
	}
	for i := range a {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}
