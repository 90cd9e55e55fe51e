package bert

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/colbertdb-go/colbertdb/internal/protofield"
)

// tensor is an initializer of the graph as it is in the file; raw is part of it.
type tensor struct {
	dims []uint64
	kind uint64
	raw  []byte
}

// graph is what is read of an ONNX model: named initializers and metadata.
type graph struct {
	tensors  map[string]tensor
	metadata map[string]string
}

// Field numbers of onnx.proto (ModelProto, GraphProto, TensorProto,
// StringStringEntryProto) and its data types.
const (
	modelGraph, modelMetadata                     = 7, 14
	graphInitializer                              = 5
	tensorDims, tensorType, tensorName, tensorRaw = 1, 2, 8, 9
	entryKey, entryValue                          = 1, 2
	typeFloat, typeInt8                           = 1, 3
)

// maxValues bounds the values of a tensor.
const maxValues = 1 << 28

func readGraph(model []byte) (*graph, error) {
	g := &graph{tensors: map[string]tensor{}, metadata: map[string]string{}}
	err := protofield.Each(model, func(num protowire.Number, b []byte, _ uint64) error {
		switch num {
		case modelMetadata:
			var key, value string
			err := protofield.Each(b, func(num protowire.Number, b []byte, _ uint64) error {
				switch num {
				case entryKey:
					key = string(b)
				case entryValue:
					value = string(b)
				}
				return nil
			})
			g.metadata[key] = value
			return err
		case modelGraph:
			return protofield.Each(b, func(num protowire.Number, b []byte, _ uint64) error {
				if num != graphInitializer {
					return nil
				}
				return g.readTensor(b)
			})
		}
		return nil
	})
	return g, err
}

func (g *graph) readTensor(b []byte) error {
	var t tensor
	var name string
	err := protofield.Each(b, func(num protowire.Number, b []byte, v uint64) error {
		switch num {
		case tensorDims:
			if b == nil {
				t.dims = append(t.dims, v)
			}
			for len(b) > 0 { // packed
				v, n := protowire.ConsumeVarint(b)
				if n < 0 {
					return protofield.ErrDamaged
				}
				t.dims, b = append(t.dims, v), b[n:]
			}
		case tensorType:
			t.kind = v
		case tensorName:
			name = string(b)
		case tensorRaw:
			t.raw = b
		}
		return nil
	})
	if _, twice := g.tensors[name]; twice && err == nil {
		err = fmt.Errorf("tensor %q is there twice", name)
	}
	g.tensors[name] = t
	return err
}

// tensor returns the bytes and the shape of a tensor whose values have a given
// type, size and shape; 0 stands for any.
func (g *graph) tensor(name string, kind uint64, size int, shape []int) (raw []byte, dims []int, err error) {
	t, ok := g.tensors[name]
	if !ok {
		return nil, nil, fmt.Errorf("tensor %q is missing", name)
	}
	if t.kind != kind {
		return nil, nil, fmt.Errorf("tensor %q has ONNX data type %d, want %d", name, t.kind, kind)
	}
	fits, values := len(t.dims) == len(shape), 1
	for i := 0; fits && i < len(shape); i++ {
		fits = shape[i] == 0 || uint64(shape[i]) == t.dims[i]
	}
	if !fits {
		return nil, nil, fmt.Errorf("tensor %q has shape %v, want %v", name, t.dims, shape)
	}
	for _, d := range t.dims {
		if d == 0 || d > maxValues/uint64(values) {
			return nil, nil, fmt.Errorf("tensor %q has shape %v, which makes no sense", name, t.dims)
		}
		values *= int(d)
		dims = append(dims, int(d))
	}
	if len(t.raw) != size*values {
		return nil, nil, fmt.Errorf("tensor %q has %d bytes for shape %v, want %d", name, len(t.raw), dims, size*values)
	}
	return t.raw, dims, nil
}

// floats returns a tensor of a given shape; 0 stands for any size.
func (g *graph) floats(name string, shape ...int) ([]float32, error) {
	raw, _, err := g.tensor(name, typeFloat, 4, shape)
	if err != nil {
		return nil, err
	}
	out := make([]float32, len(raw)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		if v := float64(out[i]); math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("tensor %q holds %v", name, v)
		}
	}
	return out, nil
}

// matrix returns int8 values [rows][columns] and their scales, one an index of
// the given axis.
func (g *graph) matrix(name string, axis int, shape ...int) (values []int8, dims []int, scales []float32, err error) {
	raw, dims, err := g.tensor(name+"_int8", typeInt8, 1, shape)
	if err != nil {
		return nil, nil, nil, err
	}
	values = make([]int8, len(raw))
	for i, v := range raw {
		values[i] = int8(v)
	}
	scales, err = g.floats(name+"_scale", dims[axis])
	return values, dims, scales, err
}

func (g *graph) has(name string) bool {
	_, ok := g.tensors[name]
	return ok
}

// number reads a number of the metadata, 0 or more.
func (g *graph) number(key string) (float32, error) {
	text := g.metadata["colbertdb."+key]
	v, err := strconv.ParseFloat(text, 32)
	if err != nil || !(v >= 0 && v <= math.MaxFloat32) {
		return 0, fmt.Errorf("metadata colbertdb.%s is %q, want a number that is not negative", key, text)
	}
	return float32(v), nil
}

// count reads a whole number of the metadata, 1 or more.
func (g *graph) count(key string) (int, error) {
	all, err := g.counts(key)
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("metadata colbertdb.%s is %q, want a whole number from 1 to 1000", key, g.metadata["colbertdb."+key])
	}
	if err != nil {
		return 0, err
	}
	return all[0], nil
}

// counts reads whole numbers with spaces between; none where there is no such
// key.
func (g *graph) counts(key string) (out []int, err error) {
	text := g.metadata["colbertdb."+key]
	for _, word := range strings.Fields(text) {
		v, err := strconv.Atoi(word)
		if err != nil || v < 1 || v > 1000 {
			return nil, fmt.Errorf("metadata colbertdb.%s is %q, want a whole number from 1 to 1000", key, text)
		}
		out = append(out, v)
	}
	return out, nil
}
