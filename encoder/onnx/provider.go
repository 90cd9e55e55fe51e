//go:build cgo

package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	ort "github.com/yalue/onnxruntime_go"
)

// provide makes a session run on a device.
func provide(so *ort.SessionOptions, d Device) error {
	index := strconv.Itoa(d.Index)
	switch d.Provider {
	case CPU:
		return nil
	case TensorRT:
		o, err := ort.NewTensorRTProviderOptions()
		if err != nil {
			return err
		}
		defer o.Destroy()
		// Engines take minutes to build: they are kept. What TensorRT cannot run, CUDA
		// does.
		settings := map[string]string{"device_id": index}
		if cache, err := os.UserCacheDir(); err == nil {
			if dir := filepath.Join(cache, "colbertdb", "tensorrt"); os.MkdirAll(dir, 0o755) == nil {
				settings["trt_engine_cache_enable"] = "1"
				settings["trt_engine_cache_path"] = dir
			}
		}
		if err := o.Update(settings); err != nil {
			return err
		}
		if err := so.AppendExecutionProviderTensorRT(o); err != nil {
			return err
		}
		return provide(so, Device{CUDA, d.Index})
	case CUDA:
		o, err := ort.NewCUDAProviderOptions()
		if err != nil {
			return err
		}
		defer o.Destroy()
		// Batches have many shapes: memory grows by what is asked for, not to the next
		// power of two, and no time goes into trying convolutions.
		if err := o.Update(map[string]string{"device_id": index, "arena_extend_strategy": "kSameAsRequested", "cudnn_conv_algo_search": "HEURISTIC"}); err != nil {
			return err
		}
		return so.AppendExecutionProviderCUDA(o)
	case CoreML:
		return so.AppendExecutionProviderCoreMLV2(nil)
	}
	return fmt.Errorf("provider %q is not known", d.Provider)
}

// refusedDevice is the error of a device that is not available, with what mends it.
func refusedDevice(d Device, err error) error {
	mend := "Take a build of ONNX Runtime that has it"
	switch d.Provider {
	case CUDA, TensorRT:
		mend = "It takes a GPU with its driver, and a build of ONNX Runtime for GPUs with its provider libraries beside it (the Python package onnxruntime-gpu holds one, in onnxruntime/capi)"
	case CoreML:
		mend = "It takes macOS and a build of ONNX Runtime for it"
	}
	environment.Lock()
	library := environment.library
	environment.Unlock()
	return fmt.Errorf("%w: %s: %w\nThe library is %s. %s; COLBERTDB_ONNXRUNTIME names another, and the device cpu needs neither", ErrDevice, d, err, library, mend)
}
