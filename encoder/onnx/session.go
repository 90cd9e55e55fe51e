//go:build cgo

package onnx

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/internal/simd"
)

// environment is ONNX Runtime in this process: loaded once, shared by all
// sessions, never unloaded, since other models may come.
var environment struct {
	sync.Mutex
	library string
}

func load(library string) error {
	path, err := Library(library)
	if err != nil {
		return err
	}
	environment.Lock()
	defer environment.Unlock()
	if ort.IsInitialized() {
		if library != "" && path != environment.library {
			return fmt.Errorf("%w: %s is loaded already, %s cannot be", ErrRuntime, environment.library, path)
		}
		return nil
	}
	ort.SetSharedLibraryPath(path)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return fmt.Errorf("%w: loading %s: %w", ErrRuntime, path, err)
	}
	environment.library = path
	return nil
}

// session is one graph, loaded.
type session struct {
	mu       sync.RWMutex // Close waits for runs
	run      *ort.DynamicAdvancedSession
	inputs   []string
	location string
	float16  bool
}

func newSession(f *encoder.Folder, o Options) (encoder.Session, error) {
	if err := load(o.Library); err != nil {
		return nil, err
	}
	where := fmt.Sprintf("%s in %s", f.GraphName, f.Config.Name)
	fail := func(err error) (encoder.Session, error) {
		return nil, fmt.Errorf("%w: %s: %w", encoder.ErrModel, where, err)
	}
	inputs, outputs, err := ort.GetInputOutputInfoWithONNXData(f.Graph)
	if err != nil {
		return fail(err)
	}
	s := &session{location: where}
	for _, in := range inputs {
		switch in.Name {
		case "input_ids", "attention_mask", "token_type_ids":
			s.inputs = append(s.inputs, in.Name)
		default:
			return fail(fmt.Errorf("unknown input %q; known are input_ids, attention_mask, token_type_ids", in.Name))
		}
	}
	out, err := pickOutput(outputs)
	if err != nil {
		return fail(err)
	}
	s.float16 = out.DataType == ort.TensorElementDataTypeFloat16
	so, err := ort.NewSessionOptions()
	if err != nil {
		return fail(err)
	}
	defer so.Destroy()
	threads := o.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	err = errors.Join(
		so.SetIntraOpNumThreads(threads),
		so.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll),
		// Weights that are stored as int8 are widened once, when the graph is
		// loaded, not in every run.
		so.AddSessionConfigEntry("session.disable_quant_qdq", "1"),
	)
	if err != nil {
		return fail(err)
	}
	if s.run, err = ort.NewDynamicAdvancedSessionWithONNXData(f.Graph, s.inputs, []string{out.Name}, so); err != nil {
		return fail(err)
	}
	return s, nil
}

// pickOutput finds the token vectors among a graph's outputs: by name, else the
// only one of rank three.
func pickOutput(outputs []ort.InputOutputInfo) (ort.InputOutputInfo, error) {
	var rank3 []ort.InputOutputInfo
	var names []string
	for _, o := range outputs {
		names = append(names, o.Name)
		if len(o.Dimensions) != 3 {
			continue
		}
		for _, name := range []string{"embeddings", "token_embeddings", "output", "contextual"} {
			if o.Name == name {
				return o, nil
			}
		}
		rank3 = append(rank3, o)
	}
	if len(rank3) == 1 {
		return rank3[0], nil
	}
	return ort.InputOutputInfo{}, fmt.Errorf("cannot tell which of the outputs %q are the token vectors", names)
}

// Run runs the graph on one batch.
func (s *session) Run(ctx context.Context, b encoder.Batch) ([]float32, int, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.run == nil {
		return nil, 0, fmt.Errorf("%w: %s is closed", ErrRuntime, s.location)
	}
	shape := ort.NewShape(int64(b.Rows), int64(b.Cols))
	values := make([]ort.Value, 0, len(s.inputs))
	defer func() {
		for _, v := range values {
			v.Destroy()
		}
	}()
	for _, name := range s.inputs {
		data := b.IDs
		switch name {
		case "attention_mask":
			data = b.Mask
		case "token_type_ids":
			data = b.Types
		}
		t, err := ort.NewTensor(shape, data)
		if err != nil {
			return nil, 0, s.fail(err)
		}
		values = append(values, t)
	}
	outputs := []ort.Value{nil}
	if err := s.run.Run(values, outputs); err != nil {
		return nil, 0, s.fail(err)
	}
	defer outputs[0].Destroy()
	return s.read(outputs[0])
}

// read copies an output out of the runtime's memory.
func (s *session) read(v ort.Value) ([]float32, int, error) {
	shape := v.GetShape()
	if len(shape) != 3 {
		return nil, 0, s.fail(fmt.Errorf("output of shape %v", shape))
	}
	dim := int(shape[2])
	switch t := v.(type) {
	case *ort.Tensor[float32]:
		return append([]float32(nil), t.GetData()...), dim, nil
	case *ort.CustomDataTensor:
		if s.float16 {
			raw := t.GetData()
			out := make([]float32, len(raw)/2)
			for i := range out {
				out[i] = simd.F16(uint16(raw[2*i]) | uint16(raw[2*i+1])<<8)
			}
			return out, dim, nil
		}
	}
	return nil, 0, s.fail(fmt.Errorf("output of type %T", v))
}

func (s *session) fail(err error) error {
	return fmt.Errorf("%w: running %s: %w", encoder.ErrModel, s.location, err)
}

// Close frees the graph once no run is in flight.
func (s *session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil {
		return nil
	}
	err := s.run.Destroy()
	s.run = nil
	return err
}
