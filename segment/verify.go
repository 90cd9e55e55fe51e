package segment

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sort"

	"github.com/cockroachdb/pebble/v2"
)

// Verify reads every byte of the segment: that each chunk that the metadata and
// the document table call for is there, whole and of the right size, and no
// other; that codes are below the number of cells; that text blocks decompress
// to their length; that posting lists fit the documents; that indexes are
// what attributes and text call for. It returns all that is wrong, joined, each a
// CorruptionError that names column and chunk.
func (r *Reader) Verify(ctx context.Context, want Contents) (err error) {
	span := Span(r.meta.ID)
	from := want.From
	if from == nil {
		from = r.db
	}
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return readError(fmt.Sprintf("segment %d", r.meta.ID), err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	var errs []error
	var total int64
	it.First()
	surplus := func(key []byte) {
		for _, span := range want.Stale {
			if bytes.HasPrefix(key, span.Start) {
				return
			}
		}
		errs = append(errs, corrupt(describe(key), 0, "does not belong to the segment"))
	}
	for ref := range r.chunks(&want) {
		if err := ctx.Err(); err != nil {
			return err
		}
		key := chunkKey(r.meta.ID, ref.column, ref.ordinal, ref.token)
		for ; it.Valid() && slices.Compare(it.Key(), key) < 0; it.Next() {
			surplus(it.Key())
		}
		if !it.Valid() && it.Error() != nil {
			return errors.Join(append(errs, readError(describe(key), it.Error()))...)
		}
		if !it.Valid() || !slices.Equal(it.Key(), key) {
			errs = append(errs, corrupt(describe(key), 0, "missing"))
			continue
		}
		val, err := it.ValueAndErr()
		if err != nil {
			errs = append(errs, readError(describe(key), err))
		} else if err := r.verifyChunk(ref, key, val, want.Cells); err != nil {
			errs = append(errs, err)
		}
		if ref.column != colMeta && !ref.column.apart() {
			total += int64(len(val))
		}
		it.Next()
	}
	for ; it.Valid(); it.Next() {
		surplus(it.Key())
	}
	if err := it.Error(); err != nil {
		errs = append(errs, readError(fmt.Sprintf("segment %d", r.meta.ID), err))
	}
	if len(errs) == 0 && total != r.meta.Bytes {
		errs = append(errs, corrupt(fmt.Sprintf("segment %d", r.meta.ID), 0, "%d bytes, metadata says %d", total, r.meta.Bytes))
	}
	errs = append(errs, r.verifyPostings(want.Postings))
	if errors.Join(errs...) == nil { // else the documents may not be readable
		for _, x := range want.Indexes {
			errs = append(errs, r.verifyIndex(ctx, from, x))
		}
	}
	return errors.Join(errs...)
}

// KeySource is a store, or what it held at some time.
type KeySource interface {
	NewIter(*pebble.IterOptions) (*pebble.Iterator, error)
}

// Contents is what a segment is to have beside its own metadata's columns.
type Contents struct {
	// From is where it is to have it: postings and indexes come and go. nil: the
	// store as it is.
	From     KeySource
	Cells    int        // or centroids, that codes are of: Codebook.NumCodes, 0 for a flat segment
	Postings *Postings  // in use; nil for a flat segment
	Indexes  []Index    // in use, ascending ids
	Stale    []KeyRange // of others, which are on their way out
}

// chunkRef is a chunk that a segment must have.
type chunkRef struct {
	column         column
	ordinal, token uint32
	size           int64 // without checksum; -1: follows from nothing else
}

// chunks yields the chunks of a segment in key order.
func (r *Reader) chunks(want *Contents) iter.Seq[chunkRef] {
	return func(yield func(chunkRef) bool) {
		for _, c := range columnOrder {
			var more bool
			switch c {
			case colMeta:
				more = yield(chunkRef{column: c, size: -1})
			case colDocs:
				more = yieldNumbered(yield, c, r.meta.DocChunks, docChunk)
			case colIndex:
				more = true
				for _, x := range want.Indexes {
					more = more && yieldVersion(yield, c, x.ID(), x.chunks())
				}
			case colPostings:
				p := want.Postings
				more = p == nil || yieldVersion(yield, c, p.meta.Routing, p.meta.Chunks)
			case colText:
				more = r.yieldText(yield)
			default:
				more = r.yieldTokens(yield, r.columns[c.slot()])
			}
			if !more {
				return
			}
		}
	}
}

func yieldNumbered(yield func(chunkRef) bool, c column, n, step int) bool {
	for i := range n {
		if !yield(chunkRef{column: c, ordinal: uint32(i * step), size: -1}) {
			return false
		}
	}
	return true
}

// yieldVersion yields a header and its chunks.
func yieldVersion(yield func(chunkRef) bool, c column, version uint32, chunks int) bool {
	for i := range chunks + 1 {
		if !yield(chunkRef{column: c, ordinal: version, token: uint32(i), size: -1}) {
			return false
		}
	}
	return true
}

func (r *Reader) yieldText(yield func(chunkRef) bool) bool {
	for _, first := range r.textStart {
		if !yield(chunkRef{column: colText, ordinal: first, size: -1}) {
			return false
		}
	}
	return true
}

func (r *Reader) yieldTokens(yield func(chunkRef) bool, col *tokenColumn) bool {
	if col == nil {
		return true
	}
	for first := 0; first < r.Len(); {
		end := first + 1
		if col.starts != nil {
			end = r.Len()
			if i := sort.Search(len(col.starts), func(i int) bool { return int(col.starts[i]) > first }); i < len(col.starts) {
				end = int(col.starts[i])
			}
		}
		tokens := r.docs.tokenStart[end] - r.docs.tokenStart[first]
		piece := tokens
		if tokens*int64(col.rule.stride) > int64(col.rule.maxBytes) {
			piece = int64(col.rule.piece())
		}
		for at := int64(0); at < tokens; at += piece {
			size := min(piece, tokens-at) * int64(col.rule.stride)
			if !yield(chunkRef{column: col.column, ordinal: uint32(first), token: uint32(at), size: size}) {
				return false
			}
		}
		first = end
	}
	return true
}

// verifyChunk checks what one chunk holds. The document table and the postings
// were decoded when the segment was opened: here only their bytes are in doubt.
func (r *Reader) verifyChunk(want chunkRef, key, value []byte, cells int) error {
	body, err := checkSum(key, value)
	if err != nil {
		return err
	}
	if want.size >= 0 && int64(len(body)) != want.size {
		return corrupt(describe(key), 0, "%d bytes, want %d", len(body), want.size)
	}
	switch want.column {
	case colCodes:
		for i := 0; i < len(body); i += 2 {
			if code := binary.LittleEndian.Uint16(body[i:]); int(code) >= cells {
				return corrupt(describe(key), int64(i), "cell %d of %d", code, cells)
			}
		}
	case colPLAID:
		for stride, i := r.meta.stride(colPLAID), 0; i+4 <= len(body); i += stride {
			if code := binary.LittleEndian.Uint32(body[i:]); int64(code) >= int64(cells) {
				return corrupt(describe(key), int64(i), "centroid %d of %d", code, cells)
			}
		}
	case colText:
		block, _ := slices.BinarySearch(r.textStart, want.ordinal)
		_, err = r.decodeText(block, key, body)
	}
	return err
}

// verifyPostings checks that every document has between one posting and one a token.
func (r *Reader) verifyPostings(p *Postings) error {
	if p == nil {
		return nil
	}
	counts := make([]int, r.Len())
	for c := range p.Centroids() {
		p.List(uint32(c)).Each(func(o uint16) { counts[o]++ })
	}
	for ord, n := range counts {
		if n < 1 || n > r.Tokens(ord) {
			return corrupt(fmt.Sprintf("segment %d, column postings", r.meta.ID), 0, "document %d of %d tokens has %d postings", ord, r.Tokens(ord), n)
		}
	}
	return nil
}
