package onnx

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrDevice is wrapped by errors about devices that a model cannot be run on.
var ErrDevice = errors.New("colbertdb: device is not available")

// Providers of ONNX Runtime that a device may name.
const (
	CPU      = "cpu"
	CUDA     = "cuda"     // of a build of ONNX Runtime for CUDA
	TensorRT = "tensorrt" // of such a build with TensorRT's libraries
	CoreML   = "coreml"   // on Apple's systems
	Auto     = "auto"     // all that CUDA has, else the processor
)

var providers = []string{CPU, CUDA, TensorRT, CoreML}

// Device is a place where a graph runs: a provider of ONNX Runtime and, of several
// that it has, which one. Several on the processor share its threads.
type Device struct {
	Provider string
	Index    int
}

// String is the form that ParseDevices reads, such as cuda:0.
func (d Device) String() string {
	if d.Provider == Auto {
		return Auto
	}
	return fmt.Sprintf("%s:%d", d.Provider, d.Index)
}

// ParseDevices reads a list such as "cuda:0,cuda:1", "cpu" or "auto". Empty is none,
// which Options takes for the processor.
func ParseDevices(list string) ([]Device, error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	var out []Device
	for _, name := range strings.Split(list, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		d := Device{Provider: name}
		if provider, index, ok := strings.Cut(name, ":"); ok {
			n, err := strconv.ParseUint(index, 10, 8)
			if err != nil {
				return nil, fmt.Errorf("%w: %q: the number after the colon must be 0 to 255", ErrDevice, name)
			}
			d = Device{provider, int(n)}
		}
		switch {
		case name == Auto && list != name && strings.Contains(list, ","):
			return nil, fmt.Errorf("%w: %q: auto stands alone", ErrDevice, list)
		case name != Auto && !slices.Contains(providers, d.Provider):
			return nil, fmt.Errorf("%w: %q: known are %s, each with a number such as %s:0, and %s", ErrDevice, name, strings.Join(providers, ", "), CUDA, Auto)
		case slices.Contains(out, d):
			return nil, fmt.Errorf("%w: %q comes twice", ErrDevice, d)
		}
		out = append(out, d)
	}
	return out, nil
}

// onCPU is how many of some devices are the processor.
func onCPU(devices []Device) (n int) {
	for _, d := range devices {
		if d.Provider == CPU {
			n++
		}
	}
	return n
}
