package vectorfile

import (
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Document is one document of a file.
type Document struct {
	ID         string
	Text       string
	Attributes json.RawMessage // JSON object, nil without
	Vectors    engine.Matrix
}

// Format is a kind of file.
type Format string

// The formats.
const (
	NPY         Format = "npy" // a file, or a folder of them
	NPZ         Format = "npz"
	Safetensors Format = "safetensors"
	Parquet     Format = "parquet"
	JSONL       Format = "jsonl" // written here, read by package ingest
)

// Formats lists them all.
var Formats = []Format{NPY, NPZ, Safetensors, Parquet, JSONL}

// FormatOf is the format that a file's name stands for, "" where none. A folder is
// NPY where it has docs.npy.
func FormatOf(path string) Format {
	for _, f := range Formats {
		if strings.EqualFold(filepath.Ext(path), "."+string(f)) {
			return f
		}
	}
	if _, err := os.Stat(filepath.Join(path, docsFile)); err == nil {
		return NPY
	}
	return ""
}

// Read yields the documents of a file, whose format its name tells. It ends with
// the first error.
func Read(path string, f Format) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		read := map[Format]func(string, func(Document) bool) error{
			NPY: readNPY, NPZ: readNPZ, Safetensors: readSafetensors, Parquet: readParquet,
		}[f]
		if read == nil {
			yield(Document{}, fmt.Errorf("%s: no format of vectors", path))
			return
		}
		stopped := false
		err := read(path, func(d Document) bool {
			stopped = !yield(d, nil)
			return !stopped
		})
		if err != nil && !stopped {
			yield(Document{}, fmt.Errorf("%s: %w", filepath.Base(path), err))
		}
	}
}

// Writer writes documents to a file.
type Writer interface {
	// Add appends a document.
	Add(d Document) error
	// Close ends the file.
	Close() error
}

// Create begins a file, or for NPY a folder, unless the name ends in .npy: a file of
// one document. It is complete once Close has returned
// without an error.
func Create(path string, f Format, dim int) (Writer, error) {
	switch f {
	case NPY:
		if strings.EqualFold(filepath.Ext(path), ".npy") {
			return &singleWriter{path: path}, nil
		}
		return createFolder(path, dim)
	case NPZ, Safetensors:
		return createPacked(path, f, dim)
	case Parquet:
		return createParquet(path)
	case JSONL:
		return createJSONL(path)
	}
	return nil, fmt.Errorf("unknown format %q of vectors: use one of %v", f, Formats)
}
