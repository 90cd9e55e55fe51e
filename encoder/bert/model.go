package bert

import (
	"fmt"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// linear is a layer with packed int8 weights [in][out].
type linear struct {
	in, out       int
	weights       []int8
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
	pooled                        []pooled
}

// pooled projects the mean of a text, for the vector in the place of one token.
type pooled struct {
	id int64
	linear
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
	var layers int
	if m.heads, err = g.count("heads"); err != nil {
		return nil, err
	}
	if layers, err = g.count("layers"); err != nil {
		return nil, err
	}
	if m.eps, err = g.number("eps"); err != nil {
		return nil, err
	}
	if m.mix, err = g.number("mix"); err != nil {
		return nil, err
	}
	words, dims, scales, err := g.matrix("words", 0, 0, 0)
	if err != nil {
		return nil, err
	}
	m.words, m.wordScales, m.hidden = words, scales, dims[1]
	if m.hidden%m.heads != 0 || m.hidden/m.heads%16 != 0 {
		return nil, fmt.Errorf("%d heads of a hidden size of %d: a head must be a multiple of 16 wide", m.heads, m.hidden)
	}
	if m.places, err = g.floats("positions", 0, m.hidden); err != nil {
		return nil, err
	}
	m.positions = len(m.places) / m.hidden
	if m.start, err = g.norm("embeddings.LayerNorm", m.hidden); err != nil {
		return nil, err
	}
	for i := range layers {
		l, err := g.layer(i, m.hidden)
		if err != nil {
			return nil, err
		}
		m.layers = append(m.layers, l)
	}
	if next := fmt.Sprintf("l%d_query_int8", layers); g.has(next) {
		return nil, fmt.Errorf("metadata colbertdb.layers is %d, and there is a tensor %q", layers, next)
	}
	if m.projection, err = g.linear(m.hidden, 0, false, "projection"); err != nil {
		return nil, err
	}
	m.dim = m.projection.out
	ids, err := g.counts("pooled")
	if err != nil {
		return nil, err
	}
	for i, id := range ids {
		l, err := g.linear(m.hidden, m.dim, false, fmt.Sprintf("pooled%d", i))
		if err != nil {
			return nil, err
		}
		m.pooled = append(m.pooled, pooled{int64(id), l})
	}
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
