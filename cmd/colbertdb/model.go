package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/encoder/onnx"
)

// modelBundled names the model that is compiled in.
const modelBundled = "bundled"

// fakePrefix names the model of the tests, "fake:128": hashed words, no
// meaning, no ONNX Runtime.
const fakePrefix = "fake:"

// loadModel loads what --model or a collection's record names.
func loadModel(location string) (encoder.Encoder, error) {
	if dim, ok := strings.CutPrefix(location, fakePrefix); ok {
		n, err := strconv.Atoi(dim)
		if err != nil || n <= 0 {
			return nil, usagef("model %q: want fake:DIMENSION", location)
		}
		return located{fake.New(n), location}, nil
	}
	if cmp.Or(location, modelBundled) == modelBundled {
		enc, err := bundled.Open()
		if err != nil {
			return nil, err
		}
		return located{enc, modelBundled}, nil
	}
	abs, err := modelFolder(location)
	if err != nil {
		return nil, err
	}
	enc, err := onnx.OpenDir(abs, onnx.Options{})
	if err != nil {
		return nil, err
	}
	return located{enc, abs}, nil
}

// modelFolder is the absolute path of a model's folder, which must be there.
func modelFolder(location string) (string, error) {
	abs, err := filepath.Abs(location)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(abs); err != nil {
		return "", fmt.Errorf("no model at %s: %w", location, err)
	}
	return abs, nil
}

// modelInfo is what loadModel's encoder of a location will be. It reads a folder's
// files and keeps none.
func modelInfo(location string) (encoder.Info, error) {
	if strings.HasPrefix(location, fakePrefix) || cmp.Or(location, modelBundled) == modelBundled {
		enc, err := loadModel(location) // small
		if err != nil {
			return encoder.Info{}, err
		}
		return enc.Info(), enc.Close()
	}
	abs, err := modelFolder(location)
	if err != nil {
		return encoder.Info{}, err
	}
	f, err := encoder.ReadFolder(os.DirFS(abs), abs)
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

func (l located) Info() encoder.Info {
	info := l.Encoder.Info()
	info.Location = l.location
	return info
}
