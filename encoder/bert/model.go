package bert

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// linear is a layer with packed int8 weights [in][out].
type linear struct {
	in, out       int
	weights       []int16
	columns, bias []float32
}

type norm struct{ gain, bias []float32 }

type layer struct {
	qkv, merge, up, down linear
	attended, fed        norm
}

// model is a BERT encoder with a projection.
type model struct {
	hidden, heads, dim, positions int
	eps, mix                      float32
	words                         []int8    // [vocabulary][hidden]
	wordScales                    []float32 // [vocabulary]
	places                        []float32 // [positions][hidden]
	start                         norm
	layers                        []layer
	projection                    linear
}

// newModel takes the weights out of an ONNX graph.
func newModel(onnx []byte) (*model, error) {
	g, err := readGraph(onnx)
	if err != nil {
		return nil, err
	}
	if a := g.metadata["colbertdb.architecture"]; a != "bert" {
		return nil, fmt.Errorf("its metadata does not say that it is a BERT encoder of colbertdb (colbertdb.architecture is %q); run it with ONNX Runtime", a)
	}
	m := &model{}
	var heads, layers, eps, mix float64
	for _, v := range []struct {
		key string
		to  *float64
	}{{"heads", &heads}, {"layers", &layers}, {"eps", &eps}, {"mix", &mix}} {
		if *v.to, err = g.number(v.key); err != nil {
			return nil, err
		}
	}
	m.heads, m.eps, m.mix = int(heads), float32(eps), float32(mix)
	words, dims, scales, err := g.matrix("words", 0, 0, 0)
	if err != nil {
		return nil, err
	}
	m.words, m.wordScales, m.hidden = words, scales, dims[1]
	if m.heads < 1 || m.hidden%m.heads != 0 || m.hidden/m.heads%16 != 0 {
		return nil, fmt.Errorf("%d heads of a hidden size of %d: a head must be a multiple of 16 wide", m.heads, m.hidden)
	}
	if layers < 1 || layers > 1000 {
		return nil, fmt.Errorf("metadata colbertdb.layers is %v", layers)
	}
	if m.places, err = g.floats("positions", 0, m.hidden); err != nil {
		return nil, err
	}
	m.positions = len(m.places) / m.hidden
	if m.start, err = g.norm("embeddings.LayerNorm", m.hidden); err != nil {
		return nil, err
	}
	for i := range int(layers) {
		l, err := g.layer(i, m.hidden)
		if err != nil {
			return nil, err
		}
		m.layers = append(m.layers, l)
	}
	if m.projection, err = g.linear(m.hidden, 0, false, "projection"); err != nil {
		return nil, err
	}
	m.dim = m.projection.out
	return m, nil
}

func (g *graph) norm(name string, n int) (out norm, err error) {
	if out.gain, err = g.floats(name+".weight", n); err == nil {
		out.bias, err = g.floats(name+".bias", n)
	}
	return out, err
}

// linear joins matrices with the same input side by side; out 0 is any width.
func (g *graph) linear(in, out int, bias bool, names ...string) (l linear, err error) {
	l.in = in
	for _, name := range names {
		w, dims, columns, err := g.matrix(name, 1, in, out)
		if err != nil {
			return l, err
		}
		n := dims[1]
		if in%16 != 0 || n%16 != 0 {
			return l, fmt.Errorf("tensor %q has shape %v: both must be multiples of 16", name+"_int8", dims)
		}
		add := make([]float32, n)
		if bias {
			if add, err = g.floats(name+"_bias", n); err != nil {
				return l, err
			}
		}
		l.weights = append(l.weights, simd.PackColumns(w, in, n)...)
		l.columns, l.bias, l.out = append(l.columns, columns...), append(l.bias, add...), l.out+n
	}
	return l, nil
}

func (g *graph) layer(i, hidden int) (l layer, err error) {
	name := func(s string) string { return fmt.Sprintf("l%d_%s", i, s) }
	if l.qkv, err = g.linear(hidden, hidden, true, name("query"), name("key"), name("value")); err != nil {
		return l, err
	}
	if l.merge, err = g.linear(hidden, hidden, true, name("out")); err != nil {
		return l, err
	}
	if l.up, err = g.linear(hidden, 0, true, name("up")); err != nil {
		return l, err
	}
	if l.down, err = g.linear(l.up.out, hidden, true, name("down")); err != nil {
		return l, err
	}
	p := fmt.Sprintf("encoder.layer.%d.", i)
	if l.attended, err = g.norm(p+"attention.output.LayerNorm", hidden); err != nil {
		return l, err
	}
	l.fed, err = g.norm(p+"output.LayerNorm", hidden)
	return l, err
}

// text is one sequence of tokens. Tokens with mask 0 are not attended to, but
// have vectors.
type text struct {
	ids, mask []int64
	out       []float32 // [len(ids)][dim], to be filled
}

// scratch is the memory of one run. Matrices have rows up to the next multiple
// of four, and three more that the last text's tiles may read.
type scratch struct {
	x, y, wide, scores, keys, head []float32
	ints                           []int16
	scales                         []float32
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
		l.qkv.apply(s, qkv, x, rows)
		clear(y[:rows*h])
		m.attend(s, y, qkv, texts)
		l.merge.apply(s, y, y, rows)
		m.addNorm(x, y, rows, l.attended)
		up := s.wide[:rows*l.up.out]
		l.up.apply(s, up, x, rows)
		simd.Gelu(up)
		l.down.apply(s, y, up, rows)
		m.addNorm(x, y, rows, l.fed)
	}
	if m.mix != 0 {
		m.addMeans(x, texts)
	}
	out := grow(&s.wide, rows*m.dim)
	m.projection.apply(s, out, x, rows)
	for _, t := range texts {
		out = out[copy(t.out, out[:len(t.ids)*m.dim]):]
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

// apply computes out = x·W + b for rows; out may be x.
func (l *linear) apply(s *scratch, out, x []float32, rows int) {
	ints, scales := grow(&s.ints, rows*l.in), grow(&s.scales, rows)
	limit := simd.QuantizeLimit(l.in)
	for r := range rows {
		scales[r] = simd.Quantize(ints[r*l.in:], x[r*l.in:(r+1)*l.in], limit)
	}
	simd.Linear(out, ints, scales, rows, l.in, l.weights, l.columns, l.bias)
}

func (m *model) addNorm(x, y []float32, rows int, n norm) {
	for r := range rows {
		row := x[r*m.hidden : (r+1)*m.hidden]
		simd.LayerNorm(row, row, y[r*m.hidden:], n.gain, n.bias, m.eps)
	}
}

// unattended is added to the scores of tokens that are not attended to, and
// nothing to those that are not there at all.
const unattended, absent = -10000, -1e30

// attend sets out to the heads' weighted values, for each text by itself.
func (m *model) attend(s *scratch, out, qkv []float32, texts []text) {
	h, width := m.hidden, m.hidden/m.heads
	wide := 3 * h
	factor := float32(1 / math.Sqrt(float64(width)))
	at := 0
	for _, t := range texts {
		n := len(t.ids)
		columns, rows := pad(n, 16), pad(n, 4)
		scores, keys, values := grow(&s.scores, rows*columns), grow(&s.keys, width*columns), grow(&s.head, rows*width)
		masked := slices.Contains(t.mask, 0)
		for head := range m.heads {
			query, key, value := qkv[at*wide+head*width:], qkv[at*wide+h+head*width:], qkv[at*wide+2*h+head*width:]
			for d := range width {
				column := keys[d*columns : (d+1)*columns]
				for i := range n {
					column[i] = key[i*wide+d] * factor
				}
				clear(column[n:])
			}
			simd.MatMul(scores, columns, query, wide, keys, columns, rows, width, columns)
			for i := range n {
				row := scores[i*columns : (i+1)*columns]
				if masked {
					for j, v := range t.mask {
						if v == 0 {
							row[j] += unattended
						}
					}
				}
				for j := n; j < columns; j++ {
					row[j] = absent
				}
				simd.Softmax(row)
			}
			simd.MatMul(values, width, scores, columns, value, wide, rows, n, width)
			for i := range n {
				copy(out[(at+i)*h+head*width:], values[i*width:(i+1)*width])
			}
		}
		at += n
	}
}

// addMeans brings every token vector to unit length and adds the unit mean of
// its text's attended tokens.
func (m *model) addMeans(x []float32, texts []text) {
	h := m.hidden
	for _, t := range texts {
		mean := make([]float32, h)
		for i, v := range t.mask {
			if v != 0 {
				for j, y := range x[i*h : (i+1)*h] {
					mean[j] += y
				}
			}
		}
		scale(mean, m.mix)
		for i := range t.ids {
			row := x[i*h : (i+1)*h]
			scale(row, 1)
			for j, y := range mean {
				row[j] += y
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
