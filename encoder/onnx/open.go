package onnx

import (
	"errors"
	"io/fs"
	"os"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// ErrRuntime is wrapped by errors about ONNX Runtime itself.
var ErrRuntime = errors.New("colbertdb: ONNX Runtime is not available")

// Options configure a model. The zero value is ready to use.
type Options struct {
	// Library is the path of ONNX Runtime's shared library. All models of a
	// process share one. Default: looked for, see Library.
	Library string
	// Overrides are settings that take the place of what the folder says.
	Overrides encoder.Overrides
	// Threads is the number of threads of the processor, in all. Default: one a core.
	Threads int
	// Devices are where the graph runs: on several, each has a session of its own and
	// batches are shared out. One that is not available is an error that wraps
	// ErrDevice. Default: the processor.
	Devices []Device
	// Cutter makes what cuts texts of a tokenizer.json, such as package hf's Load.
	// Default: package tokenizer.
	Cutter func(tokenizerJSON []byte) (encoder.Cutter, error)
	// dir is the folder on disk, where it has one.
	dir string
	// Tuning says how texts come to the graph; BatchTokens is 32,768 where it runs on
	// other devices than the processor, by default.
	encoder.Tuning
}

// OpenDir opens a model folder.
func OpenDir(dir string, o Options) (encoder.Encoder, error) {
	o.dir = dir
	return Open(os.DirFS(dir), dir, o)
}

// Open opens a model folder in any file system; location names it for errors
// and for opening it again. A graph that keeps weights in files of their own takes
// OpenDir.
func Open(fsys fs.FS, location string, o Options) (encoder.Encoder, error) {
	f, err := encoder.ReadFolder(fsys, location, o.Overrides)
	if err != nil {
		return nil, err
	}
	if o.Cutter != nil && f.TokenizerJSON != nil {
		if f.Cutter, err = o.Cutter(f.TokenizerJSON); err != nil {
			return nil, err
		}
	}
	closeCutter := func() error {
		if f.Cutter == nil {
			return nil
		}
		return f.Cutter.Close()
	}
	s, err := newSession(f, &o)
	if err != nil {
		return nil, errors.Join(err, closeCutter())
	}
	c, err := encoder.NewColBERT(f, s, o.Tuning)
	if err != nil {
		return nil, errors.Join(err, s.Close(), closeCutter())
	}
	return c, nil
}
