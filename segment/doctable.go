package segment

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
)

// The document table holds what is known of each document besides its vectors,
// text and attributes, in chunks of docChunk documents; a reader keeps it in
// memory. A document's row:
//
//	uvarint  number − previous number
//	uvarint  sequence number
//	uvarint  tokens
//	byte     scale exponent
//	byte     flags: 1 has text
//	uvarint  bytes of text, uvarint bytes of attributes
//	uvarint  bytes of id, id
const docChunk = 1024

const flagText = 1

// What a row can hold. Text and attributes together are decompressed in one
// piece; ids of a whole segment are addressed with 32 bits.
const (
	maxExp    = 15
	maxID     = 1<<16 - 1
	maxFields = 1 << 30
)

// checkRow reports what a reader would refuse.
func checkRow(d *Document) error {
	switch {
	case d.Encoded.Exp > maxExp:
		return fmt.Errorf("colbertdb: document %q has scale exponent %d, above %d", d.ID, d.Encoded.Exp, maxExp)
	case d.Encoded.Tokens > math.MaxInt32:
		return fmt.Errorf("colbertdb: document %q has %d tokens", d.ID, d.Encoded.Tokens)
	case len(d.ID) > maxID:
		return fmt.Errorf("colbertdb: document id %.40q has %d bytes, above %d", d.ID, len(d.ID), maxID)
	case len(d.Text)+len(d.Attributes) > maxFields:
		return fmt.Errorf("colbertdb: document %q has %d bytes of text and attributes, above %d", d.ID, len(d.Text)+len(d.Attributes), maxFields)
	}
	return nil
}

type docTableWriter struct {
	w    *columnWriter
	buf  []byte
	n    int
	last DocNum
}

func (t *docTableWriter) add(ordinal uint32, d *Document) error {
	delta := d.Num - t.last
	if t.n == 0 {
		delta = d.Num // every chunk starts anew
	}
	t.last = d.Num
	t.buf = binary.AppendUvarint(t.buf, uint64(delta))
	t.buf = binary.AppendUvarint(t.buf, d.Seq)
	t.buf = binary.AppendUvarint(t.buf, uint64(d.Encoded.Tokens))
	flags := byte(0)
	if d.HasText {
		flags |= flagText
	}
	t.buf = append(t.buf, d.Encoded.Exp, flags)
	t.buf = binary.AppendUvarint(t.buf, uint64(len(d.Text)))
	t.buf = binary.AppendUvarint(t.buf, uint64(len(d.Attributes)))
	t.buf = binary.AppendUvarint(t.buf, uint64(len(d.ID)))
	t.buf = append(t.buf, d.ID...)
	if t.n++; t.n == docChunk {
		return t.finishAt(ordinal + 1 - docChunk)
	}
	return nil
}

func (t *docTableWriter) finish() error {
	if t.n == 0 {
		return nil
	}
	return t.finishAt(uint32(t.w.chunks) * docChunk)
}

func (t *docTableWriter) finishAt(first uint32) error {
	err := t.w.put(first, 0, t.buf)
	t.buf, t.n = t.buf[:0], 0
	return err
}

// docTable is the table in memory, column by column.
type docTable struct {
	nums       []DocNum
	seqs       []uint64
	tokenStart []int64 // one more than documents
	exps       []uint8
	flags      []uint8
	textLen    []uint32
	attrLen    []uint32
	ids        string   // one after the other
	idEnd      []uint32 // of each in ids
	idBuf      []byte   // ids while they are being read
}

func loadDocTable(db *pebble.DB, m *Meta) (*docTable, error) {
	t := newDocTable(m.Docs)
	var buf []byte
	for first := 0; first < m.Docs; first += docChunk {
		key := chunkKey(m.ID, colDocs, uint32(first), 0)
		var err error
		if buf, err = getChunk(db, key, buf[:0]); err != nil {
			return nil, err
		}
		if err := t.decode(buf, min(docChunk, m.Docs-first)); err != nil {
			return nil, corrupt(describe(key), 0, "%w", err)
		}
	}
	t.ids, t.idBuf = string(t.idBuf), nil
	if got := t.tokenStart[len(t.nums)]; got != m.Tokens {
		return nil, corrupt(fmt.Sprintf("segment %d, column documents", m.ID), 0, "%d tokens, metadata says %d", got, m.Tokens)
	}
	if t.nums[0] != m.First || t.nums[len(t.nums)-1] != m.Last {
		return nil, corrupt(fmt.Sprintf("segment %d, column documents", m.ID), 0, "numbers %d to %d, metadata says %d to %d", t.nums[0], t.nums[len(t.nums)-1], m.First, m.Last)
	}
	return t, nil
}

func newDocTable(docs int) *docTable {
	return &docTable{
		nums: make([]DocNum, 0, docs), seqs: make([]uint64, 0, docs),
		tokenStart: append(make([]int64, 0, docs+1), 0),
		exps:       make([]uint8, 0, docs), flags: make([]uint8, 0, docs),
		textLen: make([]uint32, 0, docs), attrLen: make([]uint32, 0, docs),
		idEnd: make([]uint32, 0, docs),
	}
}

// decode appends the n rows of a chunk.
func (t *docTable) decode(b []byte, n int) error {
	next := func() uint64 {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			b = nil
			return math.MaxUint64
		}
		b = b[size:]
		return v
	}
	var last DocNum
	for i := range n {
		delta, seq, tokens := next(), next(), next()
		if len(b) < 2 {
			return fmt.Errorf("cut short in document %d of %d", i, n)
		}
		exp, flags := b[0], b[1]
		b = b[2:]
		text, attrs, id := next(), next(), next()
		if id > uint64(len(b)) {
			return fmt.Errorf("cut short in document %d of %d", i, n)
		}
		if id > maxID || text > maxFields || attrs > maxFields-text {
			return fmt.Errorf("document %d of %d: id of %d bytes, text of %d, attributes of %d", i, n, id, text, attrs)
		}
		if tokens == 0 || tokens > math.MaxInt32 || exp > maxExp {
			return fmt.Errorf("document %d of %d: %d tokens, exponent %d, number step %d", i, n, tokens, exp, delta)
		}
		last += DocNum(delta) // a sum that wraps around is not above the one before
		if k := len(t.nums); k > 0 && last <= t.nums[k-1] {
			return fmt.Errorf("document %d of %d: number %d after %d", i, n, last, t.nums[k-1])
		}
		t.nums, t.seqs = append(t.nums, last), append(t.seqs, seq)
		t.tokenStart = append(t.tokenStart, t.tokenStart[len(t.tokenStart)-1]+int64(tokens))
		t.exps, t.flags = append(t.exps, exp), append(t.flags, flags)
		t.textLen, t.attrLen = append(t.textLen, uint32(text)), append(t.attrLen, uint32(attrs))
		t.idBuf = append(t.idBuf, b[:id]...)
		t.idEnd = append(t.idEnd, uint32(len(t.idBuf)))
		b = b[id:]
	}
	if len(b) != 0 {
		return fmt.Errorf("%d bytes left over", len(b))
	}
	return nil
}

func (t *docTable) id(ord int) string {
	start := uint32(0)
	if ord > 0 {
		start = t.idEnd[ord-1]
	}
	return t.ids[start:t.idEnd[ord]]
}
