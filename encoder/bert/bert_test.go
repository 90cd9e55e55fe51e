package bert

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/internal/simd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A small model: 32 wide, two heads, one layer, 40 tokens, 24 positions, 16
// dimensions.
const (
	hidden, inner, vocabulary, places, dim = 32, 48, 40, 24, 16
)

func floatTensor(name string, values []float32, dims ...int) []byte {
	raw := make([]byte, 4*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
	}
	return rawTensor(name, typeFloat, raw, dims...)
}

func rawTensor(name string, kind uint64, raw []byte, dims ...int) []byte {
	var b []byte
	for _, d := range dims {
		b = protowire.AppendVarint(protowire.AppendTag(b, tensorDims, protowire.VarintType), uint64(d))
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, tensorType, protowire.VarintType), kind)
	b = protowire.AppendString(protowire.AppendTag(b, tensorName, protowire.BytesType), name)
	return protowire.AppendBytes(protowire.AppendTag(b, tensorRaw, protowire.BytesType), raw)
}

// parts are the model's tensors and metadata by name, to be edited by tests.
type parts struct {
	tensors  map[string][]byte
	metadata map[string]string
}

func smallModel() parts {
	r := rand.New(rand.NewPCG(5, 5))
	p := parts{map[string][]byte{}, map[string]string{"architecture": "bert", "heads": "2", "layers": "1", "eps": "1e-12", "mix": "1.0", "pooled": "3 5"}}
	floats := func(name string, around float32, dims ...int) {
		n := 1
		for _, d := range dims {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = around + 0.1*float32(r.NormFloat64())
		}
		p.tensors[name] = floatTensor(name, v, dims...)
	}
	matrix := func(name string, axis int, dims ...int) {
		raw := make([]byte, dims[0]*dims[1])
		for i := range raw {
			raw[i] = byte(r.IntN(255) - 127)
		}
		p.tensors[name+"_int8"] = rawTensor(name+"_int8", typeInt8, raw, dims...)
		scales := make([]float32, dims[axis])
		for i := range scales {
			scales[i] = 0.003
		}
		p.tensors[name+"_scale"] = floatTensor(name+"_scale", scales, dims[axis])
	}
	norm := func(name string) { floats(name+".weight", 1, hidden); floats(name+".bias", 0, hidden) }
	matrix("words", 0, vocabulary, hidden)
	floats("positions", 0, places, hidden)
	norm("embeddings.LayerNorm")
	for _, m := range []struct {
		name    string
		in, out int
	}{{"query", hidden, hidden}, {"key", hidden, hidden}, {"value", hidden, hidden}, {"out", hidden, hidden}, {"up", hidden, inner}, {"down", inner, hidden}} {
		matrix("l0_"+m.name, 1, m.in, m.out)
		floats("l0_"+m.name+"_bias", 0, m.out)
	}
	norm("encoder.layer.0.attention.output.LayerNorm")
	norm("encoder.layer.0.output.LayerNorm")
	matrix("projection", 1, hidden, dim)
	matrix("pooled0", 1, hidden, dim)
	matrix("pooled1", 1, hidden, dim)
	return p
}

func (p parts) bytes() []byte {
	var g, out []byte
	for _, name := range slices.Sorted(maps.Keys(p.tensors)) {
		g = protowire.AppendBytes(protowire.AppendTag(g, graphInitializer, protowire.BytesType), p.tensors[name])
	}
	out = protowire.AppendBytes(protowire.AppendTag(out, modelGraph, protowire.BytesType), g)
	for _, key := range slices.Sorted(maps.Keys(p.metadata)) {
		var e []byte
		e = protowire.AppendString(protowire.AppendTag(e, entryKey, protowire.BytesType), "colbertdb."+key)
		e = protowire.AppendString(protowire.AppendTag(e, entryValue, protowire.BytesType), p.metadata[key])
		out = protowire.AppendBytes(protowire.AppendTag(out, modelMetadata, protowire.BytesType), e)
	}
	return out
}

func smallSession(t *testing.T, threads int) *session {
	t.Helper()
	m, err := newModel(smallModel().bytes())
	if err != nil {
		t.Fatal(err)
	}
	return &session{model: m, threads: threads}
}

// batch makes a rectangle of texts of given lengths; mask0 are the places that
// are not attended to.
func batch(seed uint64, cols int, lengths []int, mask0 ...int) encoder.Batch {
	r := rand.New(rand.NewPCG(seed, 1))
	b := encoder.Batch{Rows: len(lengths), Cols: cols, Lengths: lengths}
	for _, n := range lengths {
		for t := range cols {
			id, mask := int64(0), int64(0)
			if t < n {
				id, mask = int64(r.IntN(vocabulary)), 1
				if slices.Contains(mask0, t) {
					mask = 0
				}
			}
			b.IDs, b.Mask, b.Types = append(b.IDs, id), append(b.Mask, mask), append(b.Types, 0)
		}
	}
	return b
}

// reference computes a text's vectors plainly, in float64.
func reference(m *model, ids, mask []int64) [][]float64 {
	h := m.hidden
	norm := func(x []float64, n norm) {
		var mean, v float64
		for _, y := range x {
			mean += y / float64(len(x))
		}
		for _, y := range x {
			v += (y - mean) * (y - mean) / float64(len(x))
		}
		for i := range x {
			x[i] = (x[i]-mean)/math.Sqrt(v+float64(m.eps))*float64(n.gain[i]) + float64(n.bias[i])
		}
	}
	apply := func(l linear, x []float64) []float64 {
		out := make([]float64, l.out)
		for c := range out {
			for i, y := range x {
				out[c] += y * float64(l.weights[c/16*l.in*16+i/2*32+c%16*2+i%2])
			}
			out[c] = out[c]*float64(l.columns[c]) + float64(l.bias[c])
		}
		return out
	}
	x := make([][]float64, len(ids))
	for t, id := range ids {
		for d := range h {
			x[t] = append(x[t], float64(m.words[int(id)*h+d])*float64(m.wordScales[id])+float64(m.places[t*h+d]))
		}
		norm(x[t], m.start)
	}
	for _, l := range m.layers {
		qkv := make([][]float64, len(x))
		for t := range x {
			qkv[t] = apply(l.qkv, x[t])
		}
		w := h / m.heads
		for t := range x {
			ctx := make([]float64, h)
			for head := range m.heads {
				p := make([]float64, len(x))
				var sum float64
				for u := range x {
					for d := range w {
						p[u] += qkv[t][head*w+d] * qkv[u][h+head*w+d] / math.Sqrt(float64(w))
					}
					if mask[u] == 0 {
						p[u] -= 10000
					}
					p[u] = math.Exp(p[u])
					sum += p[u]
				}
				for u := range x {
					for d := range w {
						ctx[head*w+d] += p[u] / sum * qkv[u][2*h+head*w+d]
					}
				}
			}
			for d, y := range apply(l.merge, ctx) {
				x[t][d] += y
			}
			norm(x[t], l.attended)
			up := apply(l.up, x[t])
			for i, y := range up {
				up[i] = y / 2 * (1 + math.Erf(y/math.Sqrt2))
			}
			for d, y := range apply(l.down, up) {
				x[t][d] += y
			}
			norm(x[t], l.fed)
		}
	}
	length := func(v []float64) float64 {
		var s float64
		for _, y := range v {
			s += y * y
		}
		return math.Sqrt(s)
	}
	mean := make([]float64, h)
	for t := range x {
		for d := range mean {
			mean[d] += x[t][d] * float64(mask[t])
		}
	}
	n := length(mean)
	for d := range mean {
		mean[d] /= n
	}
	out := make([][]float64, len(x))
	for t := range x {
		l := length(x[t])
		for d := range mean {
			x[t][d] = x[t][d]/l + float64(m.mix)*mean[d]
		}
		out[t] = apply(m.projection, x[t])
		for _, p := range m.pooled {
			if ids[t] == p.id {
				out[t] = apply(p.linear, mean)
			}
		}
	}
	return out
}

func TestEqualsPlainArithmetic(t *testing.T) {
	s := smallSession(t, 2)
	b := batch(1, 24, []int{24, 1, 7, 13, 24, 2}, 3, 5, 11)
	got, d, err := s.Run(context.Background(), b)
	if err != nil || d != dim {
		t.Fatal(d, err)
	}
	for r, n := range b.Lengths {
		at := r * b.Cols
		for i, want := range reference(s.model, b.IDs[at:at+n], b.Mask[at:at+n]) {
			var dot, l1, l2 float64
			for j, y := range want {
				x := float64(got[(at+i)*dim+j])
				dot, l1, l2 = dot+x*y, l1+x*x, l2+y*y
			}
			if cos := dot / math.Sqrt(l1*l2); cos < 0.99999 {
				t.Errorf("text %d, token %d: cosine %v", r, i, cos)
			}
		}
	}
}

// Every kernel tier gives the same bits.
func TestTiersAgree(t *testing.T) {
	s := smallSession(t, 2)
	b := batch(6, 24, []int{24, 1, 16, 9, 22}, 2, 3)
	want, _, err := s.Run(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	for _, tier := range simd.Tiers() {
		restore, err := simd.Force(tier)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := s.Run(context.Background(), b)
		restore()
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s differs, error %v", tier, err)
		}
	}
}

// A text's vectors are the same to the bit in any batch, on any number of cores.
func TestNeighboursDoNotMatter(t *testing.T) {
	defer func(old int) { helpWorth = old }(helpWorth)
	helpWorth = 1
	var lengths []int
	for i := range 60 {
		lengths = append(lengths, 1+i*7%24)
	}
	b := batch(2, 24, lengths)
	all, _, err := smallSession(t, 3).Run(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	for r, n := range lengths {
		at := r * b.Cols
		// Alone, a text is shared by the goroutines.
		one, _, err := smallSession(t, 1+r%5).Run(context.Background(), encoder.Batch{Rows: 1, Cols: n, IDs: b.IDs[at : at+n], Mask: b.Mask[at : at+n], Lengths: []int{n}})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(one, all[at*dim:(at+n)*dim]) {
			t.Fatalf("text %d differs alone", r)
		}
		if slices.ContainsFunc(all[(at+n)*dim:(at+b.Cols)*dim], func(x float32) bool { return x != 0 }) {
			t.Fatalf("text %d: padding has vectors", r)
		}
	}
}

func TestConcurrentRuns(t *testing.T) {
	s := smallSession(t, 2)
	b := batch(3, 24, []int{24, 3, 17})
	want, _, err := s.Run(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				got, _, err := s.Run(context.Background(), b)
				if err != nil || !slices.Equal(got, want) {
					t.Error("another result", err)
				}
			}
		})
	}
	wg.Wait()
}

func TestRunRefuses(t *testing.T) {
	s := smallSession(t, 1)
	long := batch(4, 25, []int{25})
	if _, _, err := s.Run(context.Background(), long); !errors.Is(err, encoder.ErrModel) || !strings.Contains(err.Error(), "24 positions") {
		t.Error(err)
	}
	foreign := batch(4, 4, []int{4})
	foreign.IDs[2] = vocabulary
	if _, _, err := s.Run(context.Background(), foreign); !errors.Is(err, encoder.ErrModel) || !strings.Contains(err.Error(), "token 40") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := s.Run(ctx, batch(4, 4, []int{4})); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestModelRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(p parts)
		want string
	}{
		"another architecture": {func(p parts) { delete(p.metadata, "architecture") }, "ONNX Runtime"},
		"no heads":             {func(p parts) { delete(p.metadata, "heads") }, "colbertdb.heads"},
		"half a head":          {func(p parts) { p.metadata["heads"] = "1.5" }, `colbertdb.heads is "1.5"`},
		"no layers":            {func(p parts) { p.metadata["layers"] = "0" }, `colbertdb.layers is "0"`},
		"negative mix":         {func(p parts) { p.metadata["mix"] = "-1" }, `colbertdb.mix is "-1"`},
		"infinite eps":         {func(p parts) { p.metadata["eps"] = "inf" }, `colbertdb.eps is "inf"`},
		"hidden layer": {func(p parts) {
			p.tensors["l1_query_int8"] = rawTensor("l1_query_int8", typeInt8, make([]byte, 1), 1, 1)
		}, `layers is 1, and there is a tensor "l1_query_int8"`},
		"odd heads":    {func(p parts) { p.metadata["heads"] = "3" }, "3 heads"},
		"absent layer": {func(p parts) { p.metadata["layers"] = "2" }, `"l1_query_int8" is missing`},
		"missing bias": {func(p parts) { delete(p.tensors, "l0_up_bias") }, `"l0_up_bias" is missing`},
		"wrong shape": {func(p parts) {
			p.tensors["l0_down_bias"] = floatTensor("l0_down_bias", make([]float32, 8), 8)
		}, "has shape [8], want [32]"},
		"short bytes": {func(p parts) {
			p.tensors["positions"] = rawTensor("positions", typeFloat, make([]byte, 10), places, hidden)
		}, "positions\" has 10 bytes for shape [24 32], want 3072"},
		"another type": {func(p parts) {
			p.tensors["words_int8"] = floatTensor("words_int8", make([]float32, vocabulary*hidden), vocabulary, hidden)
		}, "words_int8\" has ONNX data type 1, want 3"},
		"not a number": {func(p parts) {
			v := make([]float32, hidden)
			v[3] = float32(math.NaN())
			p.tensors["embeddings.LayerNorm.bias"] = floatTensor("embeddings.LayerNorm.bias", v, hidden)
		}, "NaN"},
		"twice": {func(p parts) { p.tensors["other"] = p.tensors["positions"] }, `"positions" is there twice`},
		"huge": {func(p parts) {
			p.tensors["positions"] = rawTensor("positions", typeFloat, nil, 1<<30, hidden)
		}, "makes no sense"},
	} {
		p := smallModel()
		c.edit(p)
		if _, err := newModel(p.bytes()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	b := smallModel().bytes()
	if _, err := newModel(b[:len(b)-300]); err == nil {
		t.Error("a model cut short was taken")
	}
	foreign, err := os.ReadFile("../onnx/testdata/half.onnx")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newModel(foreign); err == nil || !strings.Contains(err.Error(), "ONNX Runtime") {
		t.Errorf("another graph: %v", err)
	}
}

// folder holds a model with 40 tokens and the given conventions.
func folder(p parts, config string) fstest.MapFS {
	pieces := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
	for len(pieces) < vocabulary {
		pieces = append(pieces, string(rune('a'-5+len(pieces))))
	}
	return fstest.MapFS{
		"onnx_config.json": {Data: []byte(config)},
		"vocab.txt":        {Data: []byte(strings.Join(pieces, "\n"))},
		"model.onnx":       {Data: p.bytes()},
	}
}

const conventions = `{"query_length":12,"document_length":24,"do_query_expansion":true,"embedding_dim":16}`

func TestOpen(t *testing.T) {
	enc, err := Open(folder(smallModel(), conventions), "models/small", Options{})
	if err != nil {
		t.Fatal(err)
	}
	q, err := enc.EncodeQueries(context.Background(), []string{"a b c"})
	if err != nil || q[0].Vectors.Len() != 12 || enc.Info().Dim != dim {
		t.Errorf("%d vectors, %+v, error %v", q[0].Vectors.Len(), enc.Info(), err)
	}
	if err := enc.Close(); err != nil {
		t.Error(err)
	}
}

// What does not fit is an error that names the folder and the file.
func TestOpenRefuses(t *testing.T) {
	overflow := smallModel()
	huge := slices.Repeat([]float32{3e38}, hidden)
	overflow.tensors["embeddings.LayerNorm.weight"] = floatTensor("embeddings.LayerNorm.weight", huge, hidden)
	foreign := smallModel()
	clear(foreign.metadata)
	for name, c := range map[string]struct {
		fsys fstest.MapFS
		want []string
		err  error
	}{
		"architecture": {folder(foreign, conventions), []string{"models/small", "model.onnx", "ONNX Runtime"}, encoder.ErrModel},
		"positions":    {folder(smallModel(), strings.Replace(conventions, "24", "25", 1)), []string{"models/small", "onnx_config.json", "25", "model.onnx", "24 positions"}, encoder.ErrModel},
		"dimension":    {folder(smallModel(), strings.Replace(conventions, "16", "32", 1)), []string{"models/small", "onnx_config.json", "32", "model.onnx", "16"}, encoder.ErrModel},
		"overflow":     {folder(overflow, conventions), []string{"NaN"}, codec.ErrBadVector},
	} {
		_, err := Open(c.fsys, "models/small", Options{Threads: 1})
		if !errors.Is(err, c.err) {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not say %s", name, err, want)
			}
		}
	}
}

// Damaged files are refused or run; they never panic.
func FuzzModel(f *testing.F) {
	b := smallModel().bytes()
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add([]byte{0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := newModel(b)
		if err != nil {
			return
		}
		s := &session{model: m, threads: 1}
		n := min(5, m.positions)
		ids := make([]int64, n)
		if _, _, err := s.Run(context.Background(), encoder.Batch{Rows: 1, Cols: n, IDs: ids, Mask: slices.Repeat([]int64{1}, n), Lengths: []int{n}}); err != nil {
			t.Fatal(fmt.Errorf("loaded, but: %w", err))
		}
	})
}
