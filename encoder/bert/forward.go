package bert

import (
	"context"
	"math"
	"slices"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// text is one sequence of tokens. Tokens with mask 0 are not attended to, but
// have vectors.
type text struct {
	ids, mask []int64
	out       []float32 // [len(ids)][dim], to be filled
}

// scratch is the memory of one run, and who works on it. Matrices have rows up
// to the next multiple of four, and three more that the last text's tiles may
// read.
type scratch struct {
	crew       *crew
	workers    int
	x, y, wide []float32
	ints       []int16
	scales     []float32
	means      []float32     // [texts][hidden], then [texts][dim] of a projection
	heads      []headScratch // one a worker
}

// headScratch is the memory of one attention head.
type headScratch struct{ scores, keys, values, out []float32 }

// helpWorth is how many multiplications are worth a helper, about 100 µs:
// waking one takes 20 µs. Tests lower it.
var helpWorth = 8 << 20

// share calls f for each i below n; together the calls make so many
// multiplications.
func (s *scratch) share(multiplications, n int, f func(worker, i int)) {
	s.crew.share(min(s.workers, 1+multiplications/helpWorth), n, f)
}

func grow[T any](s *[]T, n int) []T {
	*s = slices.Grow((*s)[:0], n)[:n]
	return *s
}

func pad(n, to int) int { return (n + to - 1) / to * to }

// run computes the vectors of some texts.
func (m *model) run(ctx context.Context, s *scratch, texts []text) error {
	rows := 0
	for _, t := range texts {
		rows += len(t.ids)
	}
	rows = pad(rows, 4)
	h := m.hidden
	x, y := grow(&s.x, (rows+4)*h), grow(&s.y, (rows+4)*h)
	clear(x)
	m.embed(x, texts)
	for i := range m.layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		l := &m.layers[i]
		qkv := grow(&s.wide, (rows+4)*max(l.qkv.out, l.up.out))
		clear(qkv[rows*l.qkv.out:])
		l.qkv.apply(s, qkv, x, rows, nil)
		clear(y[:rows*h])
		m.attend(s, y, qkv, texts)
		l.merge.apply(s, y, y, rows, nil)
		m.addNorm(x, y, rows, l.attended)
		up := s.wide[:rows*l.up.out]
		l.up.apply(s, up, x, rows, simd.Gelu)
		l.down.apply(s, y, up, rows, nil)
		m.addNorm(x, y, rows, l.fed)
	}
	means, projected := m.means(s, x, texts)
	m.addMeans(x, means, texts)
	out := grow(&s.wide, rows*m.dim)
	m.projection.apply(s, out, x, rows, nil)
	for _, t := range texts {
		out = out[copy(t.out, out[:len(t.ids)*m.dim]):]
	}
	for _, p := range m.pooled {
		p.apply(s, projected, means, pad(len(texts), 4), nil)
		for i, t := range texts {
			for j, id := range t.ids {
				if id == p.id {
					copy(t.out[j*m.dim:], projected[i*m.dim:(i+1)*m.dim])
				}
			}
		}
	}
	return nil
}

// embed sets x to the normalised sum of word and position vectors.
func (m *model) embed(x []float32, texts []text) {
	h, at := m.hidden, 0
	for _, t := range texts {
		for i, id := range t.ids {
			row, scale := x[at*h:(at+1)*h], m.wordScales[id]
			for j, w := range m.words[int(id)*h : (int(id)+1)*h] {
				row[j] = float32(w) * scale
			}
			simd.LayerNorm(row, row, m.places[i*h:], m.start.gain, m.start.bias, m.eps)
			at++
		}
	}
}

// panelColumns is how many columns of a matrix a worker takes at a time.
const panelColumns = 64

// apply computes out = f(x·W + b) for rows; out may be x, f nil.
func (l *linear) apply(s *scratch, out, x []float32, rows int, f func([]float32)) {
	ints, scales := grow(&s.ints, rows*l.in), grow(&s.scales, rows)
	limit := simd.QuantizeLimit(l.in)
	for r := range rows {
		scales[r] = simd.Quantize(ints[r*l.in:], x[r*l.in:(r+1)*l.in], limit)
	}
	s.share(rows*l.in*l.out, pad(l.out, panelColumns)/panelColumns, func(_, i int) {
		from, to := i*panelColumns, min((i+1)*panelColumns, l.out)
		simd.Linear(out[from:], l.out, ints, scales, rows, l.in, l.weights[from*l.in:], l.columns[from:to], l.bias[from:to])
		if f != nil {
			for r := range rows {
				f(out[r*l.out+from : r*l.out+to])
			}
		}
	})
}

func (m *model) addNorm(x, y []float32, rows int, n norm) {
	for r := range rows {
		row := x[r*m.hidden : (r+1)*m.hidden]
		simd.LayerNorm(row, row, y[r*m.hidden:], n.gain, n.bias, m.eps)
	}
}

// attend sets out to the heads' weighted values, for each text by itself.
func (m *model) attend(s *scratch, out, qkv []float32, texts []text) {
	for len(s.heads) < s.workers {
		s.heads = append(s.heads, headScratch{})
	}
	multiplications := 0
	for _, t := range texts {
		multiplications += 2 * m.hidden * len(t.ids) * len(t.ids)
	}
	s.share(multiplications, m.heads, func(worker, head int) {
		at := 0
		for _, t := range texts {
			m.attendHead(&s.heads[worker], out[at*m.hidden:], qkv[at*3*m.hidden:], t, head)
			at += len(t.ids)
		}
	})
}

// unattended is added to the scores of tokens that are not attended to; absent
// is the score of those that are not there at all.
const unattended, absent = -10000, -1e30

// attendHead computes softmax(q·kᵀ/√width)·v for one head of one text, whose
// rows of qkv are [query][key][value], each [heads][width].
func (m *model) attendHead(s *headScratch, out, qkv []float32, t text, head int) {
	h, width, n := m.hidden, m.hidden/m.heads, len(t.ids)
	stride := 3 * h
	query, key, value := qkv[head*width:], qkv[h+head*width:], qkv[2*h+head*width:]
	columns, rows := pad(n, 16), pad(n, 4)
	scores, keys := grow(&s.scores, rows*columns), grow(&s.keys, width*columns)
	values, sums := grow(&s.values, n*width), grow(&s.out, rows*width)
	// Keys become panels of 16, [columns/16][width][16]. Rows of the qkv matrix
	// are so far apart that a head's would share few lines of the cache.
	factor := float32(1 / math.Sqrt(float64(width)))
	clear(keys[(columns-16)*width:])
	for i := range n {
		panel := keys[i/16*16*width+i%16:]
		for d, x := range key[i*stride : i*stride+width] {
			panel[d*16] = x * factor
		}
		copy(values[i*width:], value[i*stride:i*stride+width])
	}
	for c := 0; c < columns; c += 16 {
		simd.MatMul(scores[c:], columns, query, stride, keys[c*width:], 16, rows, width, 16)
	}
	masked := slices.Contains(t.mask, 0)
	for i := range n {
		row := scores[i*columns : i*columns+pad(n, 8)]
		if masked {
			for j, v := range t.mask {
				if v == 0 {
					row[j] += unattended
				}
			}
		}
		for j := n; j < len(row); j++ {
			row[j] = absent
		}
		simd.Softmax(row)
	}
	simd.MatMul(sums, width, scores, columns, values, width, rows, n, width)
	for i := range n {
		copy(out[i*h+head*width:], sums[i*width:(i+1)*width])
	}
}

// means returns the unit means of the texts' attended tokens, [texts][hidden],
// and room for a projection of them, both with rows as a scratch's matrices have.
func (m *model) means(s *scratch, x []float32, texts []text) (means, projected []float32) {
	h, rows := m.hidden, pad(len(texts), 4)+4
	all := grow(&s.means, rows*(h+m.dim))
	clear(all)
	for r, t := range texts {
		mean := all[r*h : (r+1)*h]
		for i, v := range t.mask {
			if v != 0 {
				for j, y := range x[i*h : (i+1)*h] {
					mean[j] += y
				}
			}
		}
		scale(mean, 1)
		x = x[len(t.ids)*h:]
	}
	return all[:rows*h], all[rows*h:]
}

// addMeans brings every token vector to unit length and adds a share of its
// text's mean.
func (m *model) addMeans(x, means []float32, texts []text) {
	h := m.hidden
	if m.mix == 0 {
		return
	}
	for r, t := range texts {
		for i := range t.ids {
			row := x[i*h : (i+1)*h]
			scale(row, 1)
			for j, y := range means[r*h : (r+1)*h] {
				row[j] += m.mix * y
			}
		}
		x = x[len(t.ids)*h:]
	}
}

// scale brings a vector to a length; zeros stay.
func scale(v []float32, length float32) {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if sum == 0 {
		return
	}
	f := length / float32(math.Sqrt(sum))
	for i := range v {
		v[i] *= f
	}
}
