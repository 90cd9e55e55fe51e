package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/npy"
)

// ReadVectors reads the token vectors of one query or document from a file:
// JSON ([tokens][dim] numbers, alone or as the field "vectors") or NumPy's .npy
// (shape (tokens, dim), float16, float32 or float64).
func ReadVectors(name string) (m engine.Matrix, weights []float32, err error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return m, nil, err
	}
	if bytes.HasPrefix(data, []byte(npy.Magic)) {
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

// parseNPY reads NumPy's array format.
func parseNPY(data []byte) (engine.Matrix, error) {
	var none engine.Matrix
	r := bytes.NewReader(data)
	h, err := npy.ReadHeader(r)
	if err != nil {
		return none, err
	}
	body := data[len(data)-r.Len():]
	if h.Kind != 'f' || len(h.Shape) != 2 || h.Len() < 1 {
		return none, fmt.Errorf("want floats of shape (tokens, dim), have %c%d of shape %v", h.Kind, h.Width, h.Shape)
	}
	if h.Bytes() != int64(len(body)) {
		return none, fmt.Errorf("shape %v of %d-byte floats does not fit %d bytes", h.Shape, h.Width, len(body))
	}
	dim := h.Shape[1]
	if err := engine.ValidDim(dim); err != nil {
		return none, err
	}
	if h.Width == 2 {
		return engine.MatrixFromF16(dim, body), nil
	}
	return engine.Matrix{Dim: dim, Data: npy.Floats(body, h.Width)}, nil
}
