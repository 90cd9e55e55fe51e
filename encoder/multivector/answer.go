package multivector

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/colbertdb-go/colbertdb/encoder"
)

// answer is what the route answers. The fields after the embeddings are colbertdb's
// own.
type answer struct {
	Model       string `json:"model"`
	Data        []item `json:"data"`
	Fingerprint string `json:"fingerprint"`
}

// item is one text's.
type item struct {
	Index      *int      `json:"index"`
	Embeddings rows      `json:"embeddings"`
	Weights    []float32 `json:"weights"`
	Tokens     []string  `json:"tokens"`
	Truncated  int       `json:"truncated"`
}

// rows are vectors, a list of numbers each or a string of little-endian float32 in
// base64.
type rows struct{ encoder.Matrix }

// UnmarshalJSON reads either.
func (r *rows) UnmarshalJSON(b []byte) error {
	var list []row
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	for i, v := range list {
		if i == 0 {
			r.Dim = len(v)
			r.Data = make([]float32, 0, len(list)*len(v))
		}
		if len(v) != r.Dim {
			return fmt.Errorf("vector %d has %d numbers, the first %d", i, len(v), r.Dim)
		}
		r.Data = append(r.Data, v...)
	}
	return nil
}

type row []float32

// UnmarshalJSON reads either form.
func (r *row) UnmarshalJSON(b []byte) error {
	if b[0] != '"' {
		return json.Unmarshal(b, (*[]float32)(r))
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw)%4 != 0 {
		return fmt.Errorf("a vector in base64 of %d bytes: %v", len(raw), err)
	}
	*r = make(row, len(raw)/4)
	for i := range *r {
		(*r)[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return nil
}

// check brings an answer's data into the order of the texts and its vectors to unit
// length, or says what is wrong with it.
func (e *Encoder) check(a *answer, query bool, texts []string) error {
	if len(a.Data) != len(texts) {
		return fmt.Errorf("%d texts were sent, it answers with %d", len(texts), len(a.Data))
	}
	if e.info.Name != "" && a.Model != "" && a.Model != e.info.Name {
		return fmt.Errorf("it answers with the model %.80q, not %q", a.Model, e.info.Name)
	}
	if e.knows && a.Fingerprint != "" && a.Fingerprint != e.info.Fingerprint {
		return fmt.Errorf("its model %s is another version now (%.12s, it was %.12s); open it again, and reindex", e.info.Name, a.Fingerprint, e.info.Fingerprint)
	}
	sorted := make([]item, len(texts))
	for k, d := range a.Data {
		i := k
		if d.Index != nil {
			i = *d.Index
		}
		if i < 0 || i >= len(texts) || sorted[i].Embeddings.Dim != 0 {
			return fmt.Errorf("it answers with index %d, out of place for %d texts", i, len(texts))
		}
		m := &d.Embeddings
		if len(m.Data) == 0 {
			return fmt.Errorf("text %d: it has no vectors", i)
		}
		if e.info.Dim != 0 && m.Dim != e.info.Dim {
			return fmt.Errorf("text %d: its vectors have dimension %d, not %d", i, m.Dim, e.info.Dim)
		}
		if err := m.Validate(); err != nil {
			return fmt.Errorf("text %d: %w", i, err)
		}
		if !unit(m.Matrix) { // most servers give unit vectors: they stay as they are
			m.Matrix = m.Normalized()
		}
		switch {
		case d.Truncated < 0:
			return fmt.Errorf("text %d: %d tokens are truncated", i, d.Truncated)
		case query && d.Weights != nil && (len(d.Weights) != m.Len() || slices.ContainsFunc(d.Weights, badWeight)):
			return fmt.Errorf("text %d: %d weights for %d vectors, or one below 0", i, len(d.Weights), m.Len())
		case d.Tokens != nil && len(d.Tokens) != m.Len():
			return fmt.Errorf("text %d: %d tokens for %d vectors", i, len(d.Tokens), m.Len())
		}
		sorted[i] = d
	}
	a.Data = sorted
	return nil
}

func badWeight(w float32) bool { return !(w >= 0 && w <= math.MaxFloat32) }

// unit reports whether all vectors have unit length.
func unit(m encoder.Matrix) bool {
	for i := range m.Len() {
		var norm float64
		for _, x := range m.Row(i) {
			norm += float64(x) * float64(x)
		}
		if math.Abs(norm-1) > 1e-6 {
			return false
		}
	}
	return true
}
