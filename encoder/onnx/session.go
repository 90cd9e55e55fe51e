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
	config   string // the file that dim comes from
	dim      int    // of the graph's output
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
	g := encoder.Graph{}
	for _, in := range inputs {
		g.Inputs = append(g.Inputs, in.Name)
	}
	for _, out := range outputs {
		o := encoder.GraphOutput{Name: out.Name, Dims: out.Dimensions, Type: "float32"}
		if out.DataType == ort.TensorElementDataTypeFloat16 {
			o.Type = "float16"
		}
		g.Outputs = append(g.Outputs, o)
	}
	fit, err := f.Fit(g)
	if err != nil {
		return nil, err
	}
	s := &session{location: where, config: f.ConfigName(), inputs: g.Inputs, dim: fit.Dim, float16: fit.Output.Type == "float16"}
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
	if s.run, err = ort.NewDynamicAdvancedSessionWithONNXData(f.Graph, s.inputs, []string{fit.Output.Name}, so); err != nil {
		return fail(err)
	}
	return s, nil
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
	if s.float16 {
		return s.runFloat16(values, b)
	}
	outputs := []ort.Value{nil}
	if err := s.run.Run(values, outputs); err != nil {
		return nil, 0, s.fail(err)
	}
	defer outputs[0].Destroy()
	out, ok := outputs[0].(*ort.Tensor[float32])
	if !ok || len(out.GetShape()) != 3 {
		return nil, 0, s.fail(fmt.Errorf("an output of type %T and shape %v", outputs[0], outputs[0].GetShape()))
	}
	return append([]float32(nil), out.GetData()...), int(out.GetShape()[2]), nil
}

// runFloat16 runs a graph whose output the Go binding cannot allocate itself:
// it gets memory of the size that the conventions ask for, which the runtime
// checks.
func (s *session) runFloat16(inputs []ort.Value, b encoder.Batch) ([]float32, int, error) {
	out := make([]float32, b.Rows*b.Cols*s.dim)
	raw := make([]byte, 2*len(out))
	shape := ort.NewShape(int64(b.Rows), int64(b.Cols), int64(s.dim))
	t, err := ort.NewCustomDataTensor(shape, raw, ort.TensorElementDataTypeFloat16)
	if err != nil {
		return nil, 0, s.fail(err)
	}
	defer t.Destroy()
	if err := s.run.Run(inputs, []ort.Value{t}); err != nil {
		return nil, 0, s.fail(fmt.Errorf("for the dimension %d that %s says: %w", s.dim, s.config, err))
	}
	simd.F16ToF32(out, raw)
	return out, s.dim, nil
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
