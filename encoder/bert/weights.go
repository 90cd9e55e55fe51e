package bert

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// tensor is an initializer of the graph; either ints or floats is set.
type tensor struct {
	dims   []int
	ints   []int8
	floats []float32
}

// graph is what is read of an ONNX model: named initializers and metadata.
type graph struct {
	tensors  map[string]tensor
	metadata map[string]string
}

// Field numbers of onnx.proto (ModelProto, GraphProto, TensorProto,
// StringStringEntryProto) and its data types.
const (
	modelGraph, modelMetadata                         = 7, 14
	graphInitializer                                  = 5
	tensorDims, tensorType, tensorName, tensorRaw     = 1, 2, 8, 9
	entryKey, entryValue                              = 1, 2
	typeFloat, typeInt8                               = 1, 3
	maxTensorValues                               int = 1 << 28
)

var errTruncated = errors.New("the file is cut short or damaged")

// fields calls f with each length-delimited field and each varint of a message.
func fields(b []byte, f func(num protowire.Number, bytes []byte, varint uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errTruncated
		}
		b = b[n:]
		var bytes []byte
		var varint uint64
		switch typ {
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			varint, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return errTruncated
		}
		b = b[n:]
		if err := f(num, bytes, varint); err != nil {
			return err
		}
	}
	return nil
}

func readGraph(model []byte) (*graph, error) {
	g := &graph{tensors: map[string]tensor{}, metadata: map[string]string{}}
	err := fields(model, func(num protowire.Number, b []byte, _ uint64) error {
		switch num {
		case modelMetadata:
			var key, value string
			err := fields(b, func(num protowire.Number, b []byte, _ uint64) error {
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
			return fields(b, func(num protowire.Number, b []byte, _ uint64) error {
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

// readTensor keeps an initializer of floats or int8.
func (g *graph) readTensor(b []byte) error {
	var t tensor
	var name string
	var raw []byte
	var kind uint64
	size := 1
	dim := func(d uint64) error {
		if d == 0 || d > uint64(maxTensorValues) || size > maxTensorValues/int(d) {
			return fmt.Errorf("tensor %q: a dimension of %d makes no sense", name, d)
		}
		size *= int(d)
		t.dims = append(t.dims, int(d))
		return nil
	}
	err := fields(b, func(num protowire.Number, b []byte, v uint64) error {
		switch num {
		case tensorDims:
			if b == nil {
				return dim(v)
			}
			for len(b) > 0 { // packed
				v, n := protowire.ConsumeVarint(b)
				if n < 0 {
					return errTruncated
				}
				if err := dim(v); err != nil {
					return err
				}
				b = b[n:]
			}
		case tensorType:
			kind = v
		case tensorName:
			name = string(b)
		case tensorRaw:
			raw = b
		}
		return nil
	})
	if err != nil {
		return err
	}
	switch kind {
	case typeFloat:
		if len(raw) != 4*size {
			return fmt.Errorf("tensor %q: %d bytes for %d floats", name, len(raw), size)
		}
		t.floats = make([]float32, size)
		for i := range t.floats {
			t.floats[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	case typeInt8:
		if len(raw) != size {
			return fmt.Errorf("tensor %q: %d bytes for %d values", name, len(raw), size)
		}
		t.ints = make([]int8, size)
		for i, v := range raw {
			t.ints[i] = int8(v)
		}
	}
	g.tensors[name] = t
	return nil
}

// floats returns a tensor of a given shape; 0 stands for any size.
func (g *graph) floats(name string, shape ...int) ([]float32, error) {
	t, err := g.tensor(name, shape)
	if err != nil {
		return nil, err
	}
	if t.floats == nil {
		return nil, fmt.Errorf("tensor %q is not of float32", name)
	}
	for _, v := range t.floats {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return nil, fmt.Errorf("tensor %q holds %v", name, v)
		}
	}
	return t.floats, nil
}

func (g *graph) tensor(name string, shape []int) (tensor, error) {
	t, ok := g.tensors[name]
	if !ok {
		return t, fmt.Errorf("tensor %q is missing", name)
	}
	fits := len(t.dims) == len(shape)
	for i := 0; fits && i < len(shape); i++ {
		fits = shape[i] == 0 || shape[i] == t.dims[i]
	}
	if !fits {
		return t, fmt.Errorf("tensor %q has shape %v, want %v", name, t.dims, shape)
	}
	return t, nil
}

// matrix returns int8 values [rows][columns] and their scales, one an index of
// the given axis.
func (g *graph) matrix(name string, axis int, shape ...int) (values []int8, dims []int, scales []float32, err error) {
	t, err := g.tensor(name+"_int8", shape)
	if err != nil {
		return nil, nil, nil, err
	}
	if t.ints == nil {
		return nil, nil, nil, fmt.Errorf("tensor %q is not of int8", name+"_int8")
	}
	scales, err = g.floats(name+"_scale", t.dims[axis])
	return t.ints, t.dims, scales, err
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
	text := g.metadata["colbertdb."+key]
	v, err := strconv.Atoi(text)
	if err != nil || v < 1 || v > 1000 {
		return 0, fmt.Errorf("metadata colbertdb.%s is %q, want a whole number from 1 to 1000", key, text)
	}
	return v, nil
}
