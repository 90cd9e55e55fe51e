package ingest

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/colbertdb-go/colbertdb/internal/npy"
)

// npy writes an array as NumPy does.
func npyFile(descr, shape string, body []byte) string {
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape)
	header += strings.Repeat(" ", 63-(10+len(header))%64) + "\n"
	size := binary.LittleEndian.AppendUint16(nil, uint16(len(header)))
	return npy.Magic + "\x01\x00" + string(size) + header + string(body)
}

func TestReadVectors(t *testing.T) {
	var f4, f8 []byte
	want := []float32{1, 2, 3, 4, 5, -6.5, 0, 0, 1, 2, 3, 4, 5, -6.5, 0, 0}
	rows := `[[1,2,3,4,5,-6.5,0,0],[1,2,3,4,5,-6.5,0,0]]`
	for _, v := range want {
		f4 = binary.LittleEndian.AppendUint32(f4, math.Float32bits(v))
		f8 = binary.LittleEndian.AppendUint64(f8, math.Float64bits(float64(v)))
	}
	f2 := []byte{0x00, 0x3c, 0x00, 0x40, 0x00, 0x42, 0x00, 0x44, 0x00, 0x45, 0x80, 0xc6, 0, 0, 0, 0}
	f2 = append(f2, f2...)
	for name, data := range map[string]string{
		"rows.json":   " " + rows + "\n",
		"object.json": `{"text": "x", "vectors": ` + rows + `, "weights": [1.5, 0.5]}`,
		"f2.npy":      npyFile("<f2", "(2, 8)", f2),
		"f4.npy":      npyFile("<f4", "(2, 8)", f4),
		"f8.npy":      npyFile("<f8", "(2, 8)", f8),
	} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		m, weights, err := ReadVectors(file)
		if err != nil || m.Dim != 8 {
			t.Errorf("%s: dimension %d, %v", name, m.Dim, err)
		}
		if want := name == "object.json"; (weights != nil) != want || want && (len(weights) != 2 || weights[1] != 0.5) {
			t.Errorf("%s: weights %v", name, weights)
		}
		diff(t, want, m.Data)
	}
	for name, data := range map[string]string{
		"nan":       "[[1, NaN]]",
		"truncated": "[[1, 2",
		"no field":  `{"vector": [1]}`,
		"ragged":    "[[1],[1,2]]",
		"short":     npyFile("<f4", "(2, 8)", f4[:20]),
		"long":      npyFile("<f4", "(2, 8)", append(f4, 0)),
		"huge":      npyFile("<f4", "(9999999999, 9999999999)", f4),
		"ints":      npyFile("<i4", "(2, 8)", f4),
		"one axis":  npyFile("<f4", "(16,)", f4),
		"cut":       npy.Magic + "\x01\x00\xff\xff{",
		"empty":     "",
		"dimension": npyFile("<f2", "(4, 3)", f2[:24]),
	} {
		file := filepath.Join(t.TempDir(), "v")
		if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
		if m, _, err := ReadVectors(file); err == nil {
			t.Errorf("%s: read as %v", name, m)
		}
	}
}

func FuzzNPY(f *testing.F) {
	f.Add([]byte(npyFile("<f4", "(1, 1)", []byte{0, 0, 0, 0})))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := parseNPY(data); err == nil && (m.Dim < 1 || len(m.Data)%m.Dim != 0) {
			t.Errorf("%+v", m)
		}
	})
}

// FuzzVectorJSON: vectors are whole rows, weights are numbers, or there is an error.
func FuzzVectorJSON(f *testing.F) {
	f.Add([]byte(`[[1,2],[3,4]]`))
	f.Add([]byte(`{"vectors":[[1,2]],"weights":[0.5]}`))
	f.Add([]byte(`{"vectors":[[1],[2,3]]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, _, err := parseVectorJSON(b)
		if err == nil && len(m.Data) > 0 && (m.Dim < 1 || len(m.Data)%m.Dim != 0) {
			t.Errorf("%d values of dimension %d", len(m.Data), m.Dim)
		}
	})
}
