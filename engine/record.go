package engine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
)

// The types of log records.
const (
	// recordBatch is a batch of upserts and deletes of one collection, applied
	// wholly or not at all.
	recordBatch uint8 = 1
	// recordForward is what is left of a batch when a rotation copies it to a new
	// file: the documents that are still live.
	recordForward uint8 = 2
	// recordCollection and recordTime are notes (notes.go).
	recordCollection uint8 = 3
	recordTime       uint8 = 4
)

type opKind uint8

const (
	opUpsert opKind = 1
	opDelete opKind = 2
	opKey    opKind = 3 // no change of a document: the batch's idempotency key
	opErased opKind = 4 // as many zeros as an operation had that was purged
)

// loggedBatch is what a batch record holds.
type loggedBatch struct {
	collection uint32
	key        *writeKey // nil without one
	ops        []op
}

// op is one change of one document, as logged. Layout: docs/format/wal.md.
type op struct {
	kind opKind
	id   string
	// The rest belongs to upserts.
	num   segment.DocNum // assigned at commit
	text  string
	attrs []byte
	dim   int
	raw   []byte // [tokens][dim] little-endian float16 unit vectors
	// enc is what is stored of it, where that is not made of vectors: of an import,
	// which is not logged.
	enc *codec.Encoded
}

// newUpsert checks a document and returns its upsert, but for the number.
func newUpsert(d *Document, dim int) (op, error) {
	if err := d.validate(dim); err != nil {
		return op{}, err
	}
	unit := d.Vectors.Normalized()
	return op{
		kind: opUpsert, id: d.ID, text: d.Text, attrs: bytes.Clone(d.Attributes),
		dim: unit.Dim, raw: codec.AppendF16(make([]byte, 0, 2*len(unit.Data)), unit.Data),
	}, nil
}

func (o *op) tokens() int {
	if o.enc != nil {
		return o.enc.Tokens
	}
	return len(o.raw) / (2 * o.dim)
}

// bytes is what the operation weighs in the log and in the buffer.
func (o *op) bytes() int {
	n := len(o.id) + len(o.text) + len(o.attrs) + len(o.raw) + opOverhead
	if o.enc != nil {
		n += len(o.enc.PLAID) + 4*len(o.enc.Centroids)
	}
	return n
}

// opOverhead is about what an operation weighs besides what the caller gave.
const opOverhead = 32

// matrix widens the logged vectors. Encoding always starts from them, so that
// a document replayed from the log is encoded to the same bytes.
func (o *op) matrix() codec.Matrix {
	m := codec.NewMatrix(o.tokens(), o.dim)
	codec.DecodeF16(m.Data, o.raw)
	return m
}

// append appends the payload of one batch record.
func (l *loggedBatch) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(l.collection))
	n := len(l.ops)
	if l.key != nil {
		n++
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	if l.key != nil {
		dst = l.key.append(append(dst, byte(opKey)))
	}
	for i := range l.ops {
		o := &l.ops[i]
		dst = append(dst, byte(o.kind))
		dst = appendBytes(dst, o.id)
		if o.kind == opDelete {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(o.num))
		dst = appendBytes(dst, o.text)
		dst = appendBytes(dst, o.attrs)
		dst = binary.AppendUvarint(dst, uint64(o.dim))
		dst = appendBytes(dst, o.raw)
	}
	return dst
}

func appendBytes[T string | []byte](dst []byte, b T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

var errBatch = errors.New("colbertdb: malformed batch record")

// decodeBatch reads what append wrote. It allocates no more than the payload's
// own size, whatever the payload says.
func decodeBatch(payload []byte) (out loggedBatch, err error) {
	d := decoder{b: payload}
	out.collection = uint32(d.uvarint())
	n := d.uvarint()
	if d.err != nil || n > uint64(len(payload)) {
		return loggedBatch{}, errBatch
	}
	out.ops = make([]op, 0, min(n, 1024))
	for i := range n {
		o := op{kind: opKind(d.byte())}
		switch o.kind {
		case opKey:
			if i > 0 {
				return loggedBatch{}, fmt.Errorf("%w: the key is operation %d", errBatch, i)
			}
			if out.key = d.writeKey(); d.err != nil {
				return loggedBatch{}, d.err
			}
			continue
		case opErased:
			if d.bytes(); d.err != nil {
				return loggedBatch{}, d.err
			}
			continue
		case opDelete:
			o.id = string(d.bytes())
		case opUpsert:
			o.id = string(d.bytes())
			o.num = segment.DocNum(d.uvarint())
			o.text = string(d.bytes())
			o.attrs = append([]byte(nil), d.bytes()...)
			o.dim = int(min(d.uvarint(), codec.MaxDim+1))
			o.raw = append([]byte(nil), d.bytes()...)
			if d.err == nil && (codec.ValidDim(o.dim) != nil || len(o.raw) == 0 || len(o.raw)%(2*o.dim) != 0) {
				return loggedBatch{}, fmt.Errorf("%w: document %q: %d bytes of %d-dimensional vectors", errBatch, o.id, len(o.raw), o.dim)
			}
		default:
			return loggedBatch{}, fmt.Errorf("%w: operation %d", errBatch, o.kind)
		}
		if d.err != nil {
			return loggedBatch{}, d.err
		}
		out.ops = append(out.ops, o)
	}
	if len(d.b) != 0 {
		return loggedBatch{}, fmt.Errorf("%w: %d bytes left over", errBatch, len(d.b))
	}
	return out, nil
}

// eraseOps returns a batch record's payload with the operations on some ids of a
// collection erased, in place of them and of the same length; nil where it has none.
func eraseOps(payload []byte, collection uint32, ids map[string]bool) ([]byte, error) {
	d := decoder{b: payload}
	if uint32(d.uvarint()) != collection {
		return nil, d.err
	}
	var out []byte
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		start := len(payload) - len(d.b)
		kind, erase := opKind(d.byte()), false
		switch kind {
		case opKey:
			d.writeKey()
		case opErased:
			d.bytes()
		case opDelete, opUpsert:
			erase = ids[string(d.bytes())]
			if kind == opUpsert {
				d.uvarint()
				d.bytes()
				d.bytes()
				d.uvarint()
				d.bytes()
			}
		default:
			return nil, fmt.Errorf("%w: operation %d", errBatch, kind)
		}
		if erase && d.err == nil {
			if out == nil {
				out = bytes.Clone(payload)
			}
			fillErased(out[start : len(payload)-len(d.b)])
		}
	}
	return out, d.err
}

// fillErased makes an operation of any length an erased one. Its length may take
// more bytes than it need.
func fillErased(b []byte) {
	clear(b)
	b[0] = byte(opErased)
	for n := 1; ; n++ {
		rest := len(b) - 1 - n
		if rest < 0 || uint64(rest) >= 1<<(7*n) {
			continue
		}
		for i := 1; i < n; i++ {
			b[i] = byte(rest) | 0x80
			rest >>= 7
		}
		b[n] = byte(rest)
		return
	}
}

// decoder reads uvarints and length-prefixed bytes, remembering the first error.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) fail() {
	if d.err == nil {
		d.err = errBatch
	}
	d.b = nil
}
