package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/encoder/hub"
	"github.com/colbertdb-go/colbertdb/encoder/onnx"
	"github.com/colbertdb-go/colbertdb/encoder/tokenizer/hf"
)

// modelBundled names the model that is compiled in.
const modelBundled = "bundled"

// fakePrefix names the model of the tests, "fake:128": hashed words, no
// meaning, no ONNX Runtime.
const fakePrefix = "fake:"

// loadModel loads what --model or a collection's record names, on the devices that
// --devices names.
func (a *app) loadModel(location string) (encoder.Encoder, error) {
	enc, err := loadModel(a.ctx, location, a.modelRun)
	if err == nil && a.Devices != "" && !a.JSON {
		a.note("%s runs on %s", enc.Info().Name, runtimeOf(enc))
	}
	return enc, err
}

// runtimeOf says what a model runs on, "" where that is nothing to tell.
func runtimeOf(enc encoder.Encoder) string {
	if r, ok := enc.(interface{ Runtime() string }); ok {
		return r.Runtime()
	}
	return ""
}

// loadModel loads a model.
func loadModel(ctx context.Context, location string, run modelRun) (encoder.Encoder, error) {
	if isAddress(location) {
		return openServer(ctx, location)
	}
	on, err := onnx.ParseDevices(run.Devices)
	if err != nil {
		return nil, usageError{err}
	}
	if run.BatchTokens < 0 {
		return nil, usagef("--batch-tokens must not be negative")
	}
	o := onnx.Options{Devices: on, Tuning: encoder.Tuning{BatchTokens: run.BatchTokens}}
	if run.Tokenizer == "hf" {
		o.Cutter = func(raw []byte) (encoder.Cutter, error) { return hf.Load(raw) }
	}
	if dim, ok := strings.CutPrefix(location, fakePrefix); ok {
		n, err := strconv.Atoi(dim)
		if err != nil || n <= 0 {
			return nil, usagef("model %q: want fake:DIMENSION", location)
		}
		return located{fake.New(n), location}, nil
	}
	if cmp.Or(location, modelBundled) == modelBundled {
		open := bundled.Open
		if len(on) > 0 || o.Cutter != nil { // of ONNX Runtime
			open = func() (encoder.Encoder, error) { return bundled.OpenONNX(o) }
		}
		enc, err := open()
		if err != nil {
			return nil, err
		}
		return located{enc, modelBundled}, nil
	}
	m, err := findModel(location)
	if err != nil {
		return nil, err
	}
	o.Overrides = m.overrides
	enc, err := onnx.OpenDir(m.dir, o)
	if err != nil {
		return nil, err
	}
	return located{enc, m.location()}, nil
}

// foundModel is the folder of a model and what is overridden in it.
type foundModel struct {
	dir       string // absolute
	given     string // the overrides as they were given
	overrides encoder.Overrides
}

// location is what finds the model again.
func (m foundModel) location() string {
	if m.given == "" {
		return m.dir
	}
	return m.dir + "?" + m.given
}

// findModel finds a model: the path of a folder, or the name of one that model
// pull fetched. Settings that take the place of its own may follow after a
// question mark, as in DIR?query_length=64&graph=onnx/model.onnx.
func findModel(location string) (m foundModel, err error) {
	dir := location
	if _, err := os.Stat(location); err != nil {
		dir, m.given, _ = strings.Cut(location, "?")
	}
	if m.given != "" {
		if m.overrides, err = encoder.ParseOverrides(m.given); err != nil {
			return m, err
		}
	}
	if m.dir, err = filepath.Abs(dir); err != nil {
		return m, err
	}
	_, err = os.Stat(m.dir)
	if err == nil {
		return m, nil
	}
	ref, notRef := hub.ParseRef(dir)
	if !errors.Is(err, fs.ErrNotExist) || notRef != nil {
		return m, fmt.Errorf("no model at %s: %w", dir, err)
	}
	cache, err := modelCache("")
	if err != nil {
		return m, err
	}
	found, err := hub.Find(cache, ref)
	if err != nil {
		return m, fmt.Errorf("no model at %s: %w", m.dir, err)
	}
	m.dir = found.Dir
	return m, nil
}

// modelCache is the folder that models are fetched to.
func modelCache(given string) (string, error) {
	if dir := cmp.Or(given, os.Getenv("COLBERTDB_MODELS")); dir != "" {
		return filepath.Abs(dir)
	}
	return hub.CacheFolder()
}

// modelInfo is what loadModel's encoder of a location will be. It reads a folder's
// files and keeps none.
func modelInfo(ctx context.Context, location string) (encoder.Info, error) {
	if isAddress(location) || strings.HasPrefix(location, fakePrefix) || cmp.Or(location, modelBundled) == modelBundled {
		enc, err := loadModel(ctx, location, modelRun{}) // small
		if err != nil {
			return encoder.Info{}, err
		}
		return enc.Info(), enc.Close()
	}
	m, err := findModel(location)
	if err != nil {
		return encoder.Info{}, err
	}
	f, err := encoder.ReadFolder(os.DirFS(m.dir), m.location(), m.overrides)
	if err != nil {
		return encoder.Info{}, err
	}
	return f.Info(), nil
}

// located is an encoder that says where it was loaded from, so that the
// collection's record can load it again.
type located struct {
	encoder.Encoder
	location string
}

// Runtime says what the model runs on.
func (l located) Runtime() string { return runtimeOf(l.Encoder) }

func (l located) Info() encoder.Info {
	info := l.Encoder.Info()
	info.Location = l.location
	return info
}
