package encoder

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"

	"github.com/colbertdb-go/colbertdb/internal/simd"
)

var errNoTensor = errors.New("no such tensor")

// maxSafetensorsHeader bounds the header of a safetensors file.
const maxSafetensorsHeader = 100 << 20

// readTensor reads one tensor of a safetensors file, of the given shape, as
// float32. It reads no other.
func readTensor(fsys fs.FS, name, tensor string, shape ...int) ([]float32, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var size [8]byte
	if _, err := io.ReadFull(file, size[:]); err != nil {
		return nil, fmt.Errorf("the header is cut off: %w", err)
	}
	n := binary.LittleEndian.Uint64(size[:])
	if n > maxSafetensorsHeader {
		return nil, fmt.Errorf("this is not a safetensors file: a header of %d bytes", n)
	}
	head, err := io.ReadAll(io.LimitReader(file, int64(n)))
	if err != nil || uint64(len(head)) != n {
		return nil, errors.New("the header is cut off")
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(head, &entries); err != nil {
		return nil, fmt.Errorf("the header: %w", err)
	}
	raw, ok := entries[tensor]
	if !ok {
		return nil, fmt.Errorf("%w: %s", errNoTensor, tensor)
	}
	var e struct {
		Type    string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return nil, fmt.Errorf("%s: %w", tensor, err)
	}
	if !slices.Equal(e.Shape, shape) {
		return nil, fmt.Errorf("%s has shape %v, want %v", tensor, e.Shape, shape)
	}
	values := 1
	for _, d := range shape {
		values *= d
	}
	bytes := map[string]int{"F32": 4, "F16": 2, "BF16": 2}[e.Type]
	if bytes == 0 {
		return nil, fmt.Errorf("%s is of type %q; read are F32, F16 and BF16", tensor, e.Type)
	}
	if from, to := e.Offsets[0], e.Offsets[1]; from < 0 || to-from != int64(values*bytes) {
		return nil, fmt.Errorf("%s: shape %v of %s does not fit bytes %d to %d", tensor, shape, e.Type, from, to)
	}
	if seeker, ok := file.(io.Seeker); ok {
		_, err = seeker.Seek(e.Offsets[0], io.SeekCurrent)
	} else {
		_, err = io.CopyN(io.Discard, file, e.Offsets[0])
	}
	data := make([]byte, values*bytes)
	if err == nil {
		_, err = io.ReadFull(file, data)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is cut off: %w", tensor, err)
	}
	out := make([]float32, values)
	switch e.Type {
	case "F32":
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	case "F16":
		simd.F16ToF32(out, data)
	case "BF16":
		for i := range out {
			out[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(data[2*i:])) << 16)
		}
	}
	for i, x := range out {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return nil, fmt.Errorf("%s holds %v at %d", tensor, x, i)
		}
	}
	return out, nil
}
