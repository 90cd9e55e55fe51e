package encoder

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/colbertdb-go/colbertdb/internal/protofield"
)

// Graph is what an ONNX graph takes and gives.
type Graph struct {
	Inputs  []string
	Outputs []GraphOutput
	// Weights are the bytes of the weights by their type, such as "float16".
	// Empty where it is not known.
	Weights map[string]int64
	// External are the files that hold weights beside the graph's own, by their
	// paths from its folder.
	External []string
}

// GraphOutput is an output of a graph.
type GraphOutput struct {
	Name string
	Dims []int64 // -1: not known
	Type string  // of its numbers, "float32" or another
}

// Fit is how a graph serves a model folder.
type Fit struct {
	Output   GraphOutput
	Dim      int  // of the vectors that it gives
	Projects bool // they go through the folder's projection
}

// knownInputs are what a session can feed.
var knownInputs = []string{"input_ids", "attention_mask", "token_type_ids"}

// hidden is what transformers name the output before any projection.
const hidden = "last_hidden_state"

// outputNames are what exports name token vectors.
var outputNames = []string{"embeddings", "token_embeddings", "output", "contextual"}

// Fit compares a graph with the folder: its inputs must be known ones, and its
// output have the folder's dimension or that before the folder's projection.
func (f *Folder) Fit(g Graph) (Fit, error) {
	fit, err := f.fit(g)
	if err != nil {
		return fit, fmt.Errorf("%w: %s in %s: %w", ErrModel, f.GraphName, cmp.Or(f.location, f.Config.Name), err)
	}
	f.projects = fit.Projects
	return fit, nil
}

func (f *Folder) fit(g Graph) (Fit, error) {
	if err := checkInputs(g.Inputs, f.Config.UsesTokenTypes, f.said.source("uses_token_type_ids", f.Config.cfgName)); err != nil {
		return Fit{}, err
	}
	out, err := pickOutput(g.Outputs, f.Config.Output)
	if err != nil {
		return Fit{}, err
	}
	full, p := cmp.Or(f.Config.FullDim, f.Config.Dim), f.projection
	fit := Fit{Output: out, Dim: full}
	if d := out.Dims[2]; d > 0 {
		fit.Dim = int(d)
	} else if p != nil && out.Name == hidden {
		fit.Dim = p.in()
	}
	said := f.said.source("embedding_dim", f.Config.cfgName)
	switch {
	case fit.Dim == full && (p == nil || p.in() != full || out.Name != hidden):
		return fit, nil
	case p == nil:
		return fit, fmt.Errorf("its output %q has dimension %d, %s says %d", out.Name, fit.Dim, said, full)
	case fit.Dim != p.in():
		return fit, fmt.Errorf("its output %q has dimension %d, %s says %d, and %s says in_features is %d", out.Name, fit.Dim, said, full, p[0].file, p.in())
	case p.missing() != "":
		return fit, fmt.Errorf("its output %q has dimension %d, and %s, which brings it to %d, is not there", out.Name, fit.Dim, p.missing(), full)
	}
	fit.Projects = true
	return fit, nil
}

// checkInputs compares a graph's inputs with what the folder's conventions say.
func checkInputs(names []string, usesTypes *bool, source string) error {
	for _, name := range names {
		if !slices.Contains(knownInputs, name) {
			return fmt.Errorf("unknown input %q; known are %s", name, strings.Join(knownInputs, ", "))
		}
	}
	for _, name := range knownInputs[:2] {
		if !slices.Contains(names, name) {
			return fmt.Errorf("no input %s", name)
		}
	}
	if has := slices.Contains(names, knownInputs[2]); usesTypes != nil && has != *usesTypes {
		return fmt.Errorf("uses_token_type_ids is %v in %s, and the graph's inputs are %s", *usesTypes, source, strings.Join(names, ", "))
	}
	return nil
}

// pickOutput finds the token vectors among a graph's outputs: the chosen one,
// else by name, else the only one of rank three.
func pickOutput(outputs []GraphOutput, chosen string) (GraphOutput, error) {
	var rank3 []GraphOutput
	var names []string
	for _, o := range outputs {
		names = append(names, o.Name)
		switch {
		case chosen != "" && o.Name == chosen:
			if len(o.Dims) != 3 {
				return GraphOutput{}, fmt.Errorf("output %q has rank %d, not 3", chosen, len(o.Dims))
			}
			return o, nil
		case len(o.Dims) == 3 && chosen == "":
			rank3 = append(rank3, o)
		}
	}
	if chosen != "" {
		return GraphOutput{}, fmt.Errorf("output is %q, and the graph's outputs are %q", chosen, names)
	}
	for _, o := range rank3 {
		if slices.Contains(outputNames, o.Name) {
			return o, nil
		}
	}
	if len(rank3) == 1 {
		return rank3[0], nil
	}
	return GraphOutput{}, fmt.Errorf("cannot tell which of the outputs %q are the token vectors; override output to choose", names)
}

// Field numbers of onnx.proto.
const (
	modelGraph       = 7
	graphInitializer = 5
	graphInput       = 11
	graphOutput      = 12
	tensorType       = 2
	tensorName       = 8
	tensorRaw        = 9
	tensorExternal   = 13
	tensorLocation   = 14
	entryKey         = 1
	entryValue       = 2
	infoName         = 1
	infoType         = 2
	typeTensor       = 1
	tensorElement    = 1
	tensorShape      = 2
	shapeDim         = 1
	dimValue         = 1
)

// elementTypes are ONNX's types by number.
var elementTypes = map[uint64]string{1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64", 16: "bfloat16"}

var errGraph = errors.New("the file is no ONNX graph, or is damaged")

// ReadGraph reads what an ONNX file takes and gives, without a runtime.
func ReadGraph(b []byte) (Graph, error) {
	g := Graph{Weights: map[string]int64{}}
	weights := map[string]bool{}
	var found bool
	err := protofield.Each(b, func(num protowire.Number, b []byte, _ uint64) error {
		if num != modelGraph {
			return nil
		}
		found = true
		return protofield.Each(b, func(num protowire.Number, b []byte, _ uint64) error {
			switch num {
			case graphInitializer:
				return g.initializer(b, weights)
			case graphInput:
				in, err := valueInfo(b)
				g.Inputs = append(g.Inputs, in.Name)
				return err
			case graphOutput:
				out, err := valueInfo(b)
				g.Outputs = append(g.Outputs, out)
				return err
			}
			return nil
		})
	})
	if err == nil && (!found || len(g.Outputs) == 0) {
		err = errGraph
	}
	// Old files list weights among the inputs.
	g.Inputs = slices.DeleteFunc(g.Inputs, func(name string) bool { return weights[name] })
	return g, err
}

func (g *Graph) initializer(b []byte, names map[string]bool) error {
	var kind uint64
	var size int64
	external, entries := false, map[string]string{}
	err := protofield.Each(b, func(num protowire.Number, b []byte, v uint64) error {
		switch num {
		case tensorType:
			kind = v
		case tensorName:
			names[string(b)] = true
		case tensorLocation:
			external = v == 1
		case tensorExternal:
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
			entries[key] = value
			return err
		case tensorRaw:
			size += int64(len(b))
		}
		return nil
	})
	if err == nil && external {
		if entries["location"] == "" {
			return errGraph
		}
		if !slices.Contains(g.External, entries["location"]) {
			g.External = append(g.External, entries["location"])
		}
		n, _ := strconv.ParseInt(entries["length"], 10, 64)
		size += n
	}
	g.Weights[cmp.Or(elementTypes[kind], fmt.Sprintf("type %d", kind))] += size
	return err
}

// valueInfo reads a ValueInfoProto.
func valueInfo(b []byte) (out GraphOutput, err error) {
	err = protofield.Each(b, func(num protowire.Number, b []byte, _ uint64) error {
		switch num {
		case infoName:
			out.Name = string(b)
		case infoType:
			return protofield.Each(b, func(num protowire.Number, b []byte, _ uint64) error {
				if num != typeTensor {
					return nil
				}
				return protofield.Each(b, func(num protowire.Number, b []byte, v uint64) error {
					switch num {
					case tensorElement:
						out.Type = cmp.Or(elementTypes[v], fmt.Sprintf("type %d", v))
					case tensorShape:
						return protofield.Each(b, func(num protowire.Number, b []byte, _ uint64) error {
							if num != shapeDim {
								return nil
							}
							out.Dims = append(out.Dims, -1)
							return protofield.Each(b, func(num protowire.Number, _ []byte, v uint64) error {
								if num == dimValue && v <= 1<<31 {
									out.Dims[len(out.Dims)-1] = int64(v)
								}
								return nil
							})
						})
					}
					return nil
				})
			})
		}
		return nil
	})
	return out, err
}
