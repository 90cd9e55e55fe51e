package wire

import (
	"encoding/json"
	"math"
	"testing"
)

// Rows reads what encoding/json reads as a list of lists of equal length, to the same
// numbers, and nothing else; what it read it writes so that it is read the same.
func FuzzRows(f *testing.F) {
	for _, s := range []string{`[[1,2],[3,4]]`, `[]`, `null`, `[[]]`, `[[1],[1,2]]`, ` [ [ -0.5e-3 , 1E2 ] ] `, `[[1e39]]`, `[["1"]]`, `[[1,2],3]`, `{"a":1}`, `[[null]]`, `[[1e-60,3.4028235e38]]`, `[[0x1p3,1_0,inf]]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got Rows
		err := json.Unmarshal(b, &got)
		var want [][]*float32
		werr := json.Unmarshal(b, &want)
		for _, row := range want {
			for _, x := range row {
				if x == nil && werr == nil {
					werr = ErrVectors // null is no number
				}
			}
			if (len(row) == 0 || len(row) != len(want[0])) && werr == nil {
				werr = ErrVectors
			}
		}
		if (err == nil) != (werr == nil) {
			t.Fatalf("%q: %v, encoding/json: %v", b, err, werr)
		}
		if err != nil {
			return
		}
		if got.Len() != len(want) {
			t.Fatalf("%q: %d rows, want %d", b, got.Len(), len(want))
		}
		for i, row := range want {
			for j, x := range row {
				if math.Float32bits(got.Row(i)[j]) != math.Float32bits(*x) {
					t.Fatalf("%q: [%d][%d] is %g, want %g", b, i, j, got.Row(i)[j], *x)
				}
			}
		}
		out, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var again Rows
		if err := json.Unmarshal(out, &again); err != nil || again.Len() != got.Len() {
			t.Fatalf("%q was written as %q: %v", b, out, err)
		}
		for i := range got.Data {
			if math.Float32bits(again.Data[i]) != math.Float32bits(got.Data[i]) {
				t.Fatalf("%q was written as %q", b, out)
			}
		}
	})
}

// Binary never reads beyond its bytes, and what it reads F32Bytes writes.
func FuzzBinary(f *testing.F) {
	f.Add("f32", 1, 2, []byte("12345678"))
	f.Add("f16", -1, 2, []byte("12345678"))
	f.Add("f32", math.MaxInt, math.MaxInt, []byte("1234"))
	f.Add("f8", 1, 1, []byte("1"))
	f.Fuzz(func(t *testing.T, dtype string, tokens, dim int, b []byte) {
		m, err := Binary(dtype, []int{tokens, dim}, b)
		if err != nil {
			return
		}
		if m.Dim != dim || len(m.Data) != m.Len()*dim || tokens > 0 && m.Len() != tokens || len(m.Data) > len(b) {
			t.Fatalf("%s [%d,%d] of %d bytes: %d × %d", dtype, tokens, dim, len(b), m.Len(), m.Dim)
		}
		if out := F32Bytes(m); dtype == "f32" && string(out) != string(b) {
			t.Fatalf("%x was read as %x", b, out)
		}
	})
}
