package segment

import (
	"slices"

	"github.com/colbertdb-go/colbertdb/codec"
)

// Token columns are cut into chunks: the hot ones, which are read for many
// documents at a time, at 64 documents or 256 KB; plane C and raw, which are
// read a document at a time, at every document. A document that is larger than
// a chunk has chunks of its own, each of them a piece of it; the chunk's key
// carries the first token.
type chunkRule struct {
	stride   int // bytes a token
	maxDocs  int
	maxBytes int
}

func ruleOf(c column, stride int) chunkRule {
	if c == colC || c == colRaw {
		return chunkRule{stride: stride, maxDocs: 1, maxBytes: 64 << 10}
	}
	return chunkRule{stride: stride, maxDocs: 64, maxBytes: 256 << 10}
}

// full reports whether a chunk with so much in it takes no document of size bytes.
func (r chunkRule) full(docs, bytes, size int) bool {
	return docs == r.maxDocs || bytes+size > r.maxBytes
}

// piece is the number of tokens in a piece of a document larger than a chunk.
func (r chunkRule) piece() int { return max(1, r.maxBytes/r.stride) }

// starts returns the first ordinal of every chunk, given the first token of
// every document and, at the end, the number of tokens.
func (r chunkRule) starts(tokenStart []int64) []uint32 {
	var out []uint32
	docs, bytes := r.maxDocs, 0
	for ord := range len(tokenStart) - 1 {
		size := int(tokenStart[ord+1]-tokenStart[ord]) * r.stride
		if r.full(docs, bytes, size) {
			out = append(out, uint32(ord))
			docs, bytes = 0, 0
		}
		docs++
		bytes += size
	}
	return out
}

// apart reports whether a column comes and goes while the segment stays: the
// metadata does not count it.
func (c column) apart() bool { return c == colPostings || c == colIndex }

func columnByName(name string) column {
	for c, n := range columnNames {
		if n == name {
			return c
		}
	}
	return 0
}

// known reports whether this program reads a column: token records of another
// size would be taken apart wrongly.
func known(s codec.ColumnSpec, dim int) bool {
	for p := codec.Exact; p <= codec.PLAID8; p++ {
		if slices.Contains(codec.Columns(dim, p, true, true), s) {
			return true
		}
	}
	return false
}

// slots is the number of columns of token records.
const slots = 6

// slot numbers the columns of token records, -1 for the others.
func (c column) slot() int {
	switch c {
	case colCodes:
		return 0
	case colA:
		return 1
	case colB:
		return 2
	case colC:
		return 3
	case colRaw:
		return 4
	case colPLAID:
		return 5
	}
	return -1
}

// columnData is the part of a view that a column stores.
func columnData(v codec.View, c column) []byte {
	switch c {
	case colCodes:
		return v.Codes
	case colA:
		return v.A
	case colB:
		return v.B
	case colC:
		return v.C
	case colRaw:
		return v.Raw
	case colPLAID:
		return v.PLAID
	}
	return nil
}

func setColumn(v *codec.View, c column, data []byte) {
	switch c {
	case colCodes:
		v.Codes = data
	case colA:
		v.A = data
	case colB:
		v.B = data
	case colC:
		v.C = data
	case colRaw:
		v.Raw = data
	case colPLAID:
		v.PLAID = data
	}
}

// planeColumns are the columns that scoring on a plane reads.
func planeColumns(p codec.Plane) []column {
	switch p {
	case codec.PlaneNone:
		return columnsCodes
	case codec.PlaneA:
		return columnsA
	case codec.PlaneB:
		return columnsB
	case codec.PlaneC:
		return columnsC
	case codec.PlaneRaw:
		return columnsRaw
	case codec.PlanePLAID:
		return columnsPLAID
	}
	return nil
}

var (
	columnsCodes = []column{colCodes}
	columnsA     = []column{colCodes, colA}
	columnsB     = []column{colCodes, colA, colB}
	columnsC     = []column{colC}
	columnsRaw   = []column{colRaw}

	columnsPLAID = []column{colPLAID}
)

// columnWriter cuts one column into chunks and passes them on.
type columnWriter struct {
	files   *tableFiles
	column  column
	rule    chunkRule
	chunk   []byte
	first   uint32 // ordinal of the chunk in hand
	docs    int
	pending []chunkValue
	size    int // of pending
	bytes   int64
	chunks  int
	file    *tableFile // once spilled
}

type chunkValue struct{ key, value []byte }

// addTokens appends a document's token records.
func (w *columnWriter) addTokens(ordinal uint32, data []byte) error {
	if w.docs > 0 && w.rule.full(w.docs, len(w.chunk), len(data)) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	if len(data) > w.rule.maxBytes {
		piece := w.rule.piece() * w.rule.stride
		for at := 0; at < len(data); at += piece {
			if err := w.put(ordinal, uint32(at/w.rule.stride), data[at:min(at+piece, len(data))]); err != nil {
				return err
			}
		}
		return nil
	}
	if w.docs == 0 {
		w.first = ordinal
	}
	w.docs++
	w.chunk = append(w.chunk, data...)
	return nil
}

// flush ends the chunk in hand.
func (w *columnWriter) flush() error {
	if w.docs == 0 {
		return nil
	}
	err := w.put(w.first, 0, w.chunk)
	w.chunk, w.docs = w.chunk[:0], 0
	return err
}

// put writes one chunk.
func (w *columnWriter) put(ordinal, token uint32, data []byte) error {
	key := chunkKey(w.files.id, w.column, ordinal, token)
	value := appendSum(key, append(make([]byte, 0, len(data)+sumSize), data...))
	w.pending = append(w.pending, chunkValue{key, value})
	w.size += len(value)
	w.bytes += int64(len(value))
	w.chunks++
	if w.size < spillSize {
		return nil
	}
	return w.spill()
}

// spill moves the pending chunks to the column's own file.
func (w *columnWriter) spill() (err error) {
	if w.file == nil {
		if w.file, err = w.files.create(w.column); err != nil {
			return err
		}
	}
	for _, c := range w.pending {
		if err := w.file.w.Set(c.key, c.value); err != nil {
			return err
		}
	}
	w.pending, w.size = w.pending[:0], 0
	return nil
}
