//go:build cgo

package onnx

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
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

// newSession loads a folder's graph on the devices of the options, and says in them
// what tuning those ask for.
func newSession(f *encoder.Folder, o *Options) (_ encoder.Session, err error) {
	if err := load(o.Library); err != nil {
		return nil, err
	}
	where := fmt.Sprintf("%s in %s", f.GraphName, f.Config.Name)
	graph, err := encoder.ReadGraph(f.Graph)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", encoder.ErrModel, where, err)
	}
	fit, err := f.Fit(graph)
	if err != nil {
		return nil, err
	}
	threads := o.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	g := &group{version: ort.GetVersion()}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	add := func(d Device, threads int) error {
		s := &session{location: where, config: f.ConfigName(), inputs: graph.Inputs, dim: fit.Dim, float16: fit.Output.Type == "float16"}
		if err := s.open(f, o.dir, fit.Output.Name, d, threads); err != nil {
			return err
		}
		g.members = append(g.members, member{Session: s, device: d})
		return nil
	}
	devices := o.Devices
	if len(devices) == 1 && devices[0].Provider == Auto {
		devices = nil
		for i := range 256 {
			if refused := add(Device{CUDA, i}, 1); refused != nil {
				if i == 0 {
					reason, _, _ := strings.Cut(strings.TrimPrefix(refused.Error(), ErrDevice.Error()+": "), "\n")
					g.note = "no " + reason
				}
				break
			}
		}
	} else if len(devices) == 0 {
		devices = []Device{{Provider: CPU}}
	}
	if len(devices) == 0 && len(g.members) == 0 {
		devices = []Device{{Provider: CPU}}
	}
	if n := onCPU(devices); n > 0 {
		g.threads = threads
		threads = max(1, threads/n)
	} else if o.BatchTokens == 0 {
		o.BatchTokens = batchTokensGPU
	}
	for _, d := range devices {
		if err := add(d, threads); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// open loads a graph on one device.
func (s *session) open(f *encoder.Folder, dir, output string, d Device, threads int) error {
	so, err := ort.NewSessionOptions()
	if err != nil {
		return s.fail(err)
	}
	defer so.Destroy()
	err = errors.Join(
		so.SetIntraOpNumThreads(threads),
		so.SetGraphOptimizationLevel(ort.GraphOptimizationLevelEnableAll),
		// Weights that are stored as int8 are widened once, when the graph is
		// loaded, not in every run.
		so.AddSessionConfigEntry("session.disable_quant_qdq", "1"),
	)
	if err != nil {
		return s.fail(err)
	}
	if err := provide(so, d); err != nil {
		return refusedDevice(d, err)
	}
	switch outputs := []string{output}; {
	case len(f.External) == 0:
		s.run, err = ort.NewDynamicAdvancedSessionWithONNXData(f.Graph, s.inputs, outputs, so)
	case dir != "": // the runtime finds the files beside the graph
		s.run, err = ort.NewDynamicAdvancedSession(filepath.Join(dir, filepath.FromSlash(f.GraphName)), s.inputs, outputs, so)
	default:
		err = fmt.Errorf("its weights are in %s: it must be opened from a folder on disk", strings.Join(f.External, ", "))
	}
	switch {
	case err != nil && d.Provider != CPU: // its libraries or its memory, or the graph
		return refusedDevice(d, fmt.Errorf("loading %s: %w", s.location, err))
	case err != nil:
		return fmt.Errorf("%w: %s: %w", encoder.ErrModel, s.location, err)
	}
	return nil
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
		return s.runFloat16(ctx, values, b)
	}
	outputs := []ort.Value{nil}
	if err := s.runGraph(ctx, values, outputs); err != nil {
		return nil, 0, err
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
func (s *session) runFloat16(ctx context.Context, inputs []ort.Value, b encoder.Batch) ([]float32, int, error) {
	out := make([]float32, b.Rows*b.Cols*s.dim)
	raw := make([]byte, 2*len(out))
	shape := ort.NewShape(int64(b.Rows), int64(b.Cols), int64(s.dim))
	t, err := ort.NewCustomDataTensor(shape, raw, ort.TensorElementDataTypeFloat16)
	if err != nil {
		return nil, 0, s.fail(err)
	}
	defer t.Destroy()
	if err := s.runGraph(ctx, inputs, []ort.Value{t}); err != nil {
		return nil, 0, fmt.Errorf("for the dimension %d that %s says: %w", s.dim, s.config, err)
	}
	simd.F16ToF32(out, raw)
	return out, s.dim, nil
}

// runGraph runs the graph until it ends or the context does.
func (s *session) runGraph(ctx context.Context, inputs, outputs []ort.Value) error {
	o, err := ort.NewRunOptions()
	if err != nil {
		return s.fail(err)
	}
	defer o.Destroy()
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = o.Terminate() // then the run fails
	})
	err = s.run.RunWithOptions(inputs, outputs, o)
	if !stop() {
		<-ended // the options are in use until then
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return s.fail(err)
	}
	return nil
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
