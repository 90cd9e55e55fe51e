package ingest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/colbertdb-go/colbertdb/engine"
)

// ReadVectors reads the token vectors of one query or document from a file:
// JSON ([tokens][dim] numbers, alone or as the field "vectors") or NumPy's .npy
// (shape (tokens, dim), float16, float32 or float64).
func ReadVectors(name string) (m engine.Matrix, weights []float32, err error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return m, nil, err
	}
	if bytes.HasPrefix(data, []byte(npyMagic)) {
		m, err = parseNPY(data)
	} else {
		m, weights, err = parseVectorJSON(data)
	}
	if err != nil {
		return engine.Matrix{}, nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, weights, nil
}

func parseVectorJSON(data []byte) (m engine.Matrix, weights []float32, err error) {
	data = bytes.TrimSpace(data)
	if bytes.HasPrefix(data, []byte("{")) {
		var object struct {
			Vectors json.RawMessage `json:"vectors"`
			Weights []float32       `json:"weights"`
		}
		if err := json.Unmarshal(data, &object); err != nil {
			return m, nil, jsonError(data, err)
		}
		if object.Vectors == nil {
			return m, nil, errors.New(`no field "vectors"`)
		}
		data, weights = object.Vectors, object.Weights
	}
	if !json.Valid(data) {
		var v any
		return m, nil, jsonError(data, json.Unmarshal(data, &v))
	}
	m, err = parseVectors(data)
	return m, weights, err
}

const npyMagic = "\x93NUMPY"

var (
	npyDescr = regexp.MustCompile(`'descr':\s*'([<|=])f([248])'`)
	npyOrder = regexp.MustCompile(`'fortran_order':\s*False`)
	npyShape = regexp.MustCompile(`'shape':\s*\((\d+),\s*(\d+),?\s*\)`)
)

// parseNPY reads NumPy's array format, versions 1 to 3
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
func parseNPY(data []byte) (engine.Matrix, error) {
	var none engine.Matrix
	if len(data) < 12 {
		return none, errors.New("the .npy header is cut off")
	}
	size, at := int(binary.LittleEndian.Uint16(data[8:])), 10
	if data[6] >= 2 {
		size, at = int(binary.LittleEndian.Uint32(data[8:])), 12
	}
	if size > len(data)-at {
		return none, errors.New("the .npy header is cut off")
	}
	header, body := string(data[at:at+size]), data[at+size:]
	descr := npyDescr.FindStringSubmatch(header)
	shape := npyShape.FindStringSubmatch(header)
	if descr == nil || shape == nil || !npyOrder.MatchString(header) {
		return none, fmt.Errorf("want a little-endian float array of shape (tokens, dim) in C order, have %s", strings.TrimSpace(header))
	}
	width := int(descr[2][0] - '0')
	rows, err1 := strconv.Atoi(shape[1])
	dim, err2 := strconv.Atoi(shape[2])
	if err1 != nil || err2 != nil || rows < 1 || dim < 1 || dim > len(body) || rows > len(body)/width/dim || len(body) != rows*dim*width {
		return none, fmt.Errorf("shape (%s, %s) of %d-byte floats does not fit %d bytes", shape[1], shape[2], width, len(body))
	}
	if err := engine.ValidDim(dim); err != nil {
		return none, err
	}
	if width == 2 {
		return engine.MatrixFromF16(dim, body), nil
	}
	m := engine.Matrix{Dim: dim, Data: make([]float32, rows*dim)}
	switch width {
	case 4:
		for i := range m.Data {
			m.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(body[4*i:]))
		}
	case 8:
		for i := range m.Data {
			m.Data[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(body[8*i:])))
		}
	}
	return m, nil
}
