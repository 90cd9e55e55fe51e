package segment

import (
	"bytes"
	"context"
	"fmt"
	"sort"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/offheap"
)

// Reader serves one segment from a store. The document table is in memory from
// the start; postings are loaded apart, since a segment can have them for two
// routings; token columns are read from Pebble by chunk
// until Pin loads them. Its methods may be called from many goroutines; Close
// comes after the last of them.
type Reader struct {
	db        *pebble.DB
	serial    uint64 // tells readers apart: ids are unique in a store only
	meta      *Meta
	docs      *docTable
	textStart []uint32
	columns   [slots]*tokenColumn
	lastText  atomic.Pointer[decodedText]
}

var readers atomic.Uint64

// tokenColumn is one column of token records.
type tokenColumn struct {
	column column
	rule   chunkRule
	starts []uint32                      // first ordinals of chunks; nil: every document starts one
	pinned atomic.Pointer[offheap.Block] // the whole column, tokens in order
}

// Open opens an ingested segment.
func Open(db *pebble.DB, id ID) (*Reader, error) {
	key := chunkKey(id, colMeta, 0, 0)
	raw, err := getChunk(db, key, nil)
	if err != nil {
		return nil, err
	}
	m, err := DecodeMeta(raw)
	if err != nil {
		return nil, err
	}
	if m.ID != id {
		return nil, corrupt(describe(key), 0, "metadata of segment %d", m.ID)
	}
	r := &Reader{db: db, meta: m, serial: readers.Add(1)}
	if r.docs, err = loadDocTable(db, m); err != nil {
		return nil, err
	}
	if r.textStart = r.docs.textBlocks(); len(r.textStart) != m.TextBlocks {
		return nil, corrupt(describe(key), 0, "%d text blocks, the document table makes %d", m.TextBlocks, len(r.textStart))
	}
	for _, s := range m.Columns {
		if !known(s, m.Dim) {
			return nil, fmt.Errorf("colbertdb: segment %d has a column %+v that this program does not know", id, s)
		}
		c := columnByName(s.Name)
		col := &tokenColumn{column: c, rule: ruleOf(c, s.BytesPerToken)}
		if col.rule.maxDocs > 1 {
			col.starts = col.rule.starts(r.docs.tokenStart)
		}
		r.columns[c.slot()] = col
	}
	return r, nil
}

// Meta describes the segment.
func (r *Reader) Meta() *Meta { return r.meta }

// Len is the number of documents, dead ones included.
func (r *Reader) Len() int { return r.meta.Docs }

// Num returns the number of a document.
func (r *Reader) Num(ord int) DocNum { return r.docs.nums[ord] }

// Find returns the ordinal of a document number.
func (r *Reader) Find(n DocNum) (ord int, ok bool) {
	ord = sort.Search(len(r.docs.nums), func(i int) bool { return r.docs.nums[i] >= n })
	return ord, ord < len(r.docs.nums) && r.docs.nums[ord] == n
}

// ExternalID returns the id that the user gave a document.
func (r *Reader) ExternalID(ord int) string { return r.docs.id(ord) }

// Tokens is the number of token vectors of a document.
func (r *Reader) Tokens(ord int) int {
	return int(r.docs.tokenStart[ord+1] - r.docs.tokenStart[ord])
}

// Seq is the sequence number of a document's upsert.
func (r *Reader) Seq(ord int) uint64 { return r.docs.seqs[ord] }

// TextBytes is the length of a document's text.
func (r *Reader) TextBytes(ord int) int { return int(r.docs.textLen[ord]) }

// Text returns a document's text, and whether it has one.
func (r *Reader) Text(ord int) (string, bool, error) {
	if r.docs.flags[ord]&flagText == 0 {
		return "", false, nil
	}
	text, _, err := r.fields(ord)
	return string(text), err == nil, err
}

// Attributes returns a document's attributes, nil without.
func (r *Reader) Attributes(ord int) ([]byte, error) {
	if r.docs.attrLen[ord] == 0 {
		return nil, nil
	}
	_, attrs, err := r.fields(ord)
	return bytes.Clone(attrs), err
}

// EachAttributes calls f with the attributes of the documents in a set, nil: of
// all, in order, reading each text block once and only where it holds one of them;
// they are valid during the call.
func (r *Reader) EachAttributes(ctx context.Context, which *Bitset, f func(ord int, attrs []byte) error) error {
	return r.eachFields(ctx, which, func(ord int, _, attrs []byte) error { return f(ord, attrs) })
}

// EachText calls f with the text of every document in order, "" where there is none.
func (r *Reader) EachText(ctx context.Context, f func(ord int, text string) error) error {
	return r.eachFields(ctx, nil, func(ord int, text, _ []byte) error { return f(ord, string(text)) })
}

// eachFields is EachAttributes with the text.
func (r *Reader) eachFields(ctx context.Context, which *Bitset, f func(ord int, text, attrs []byte) error) error {
	for block, first := range r.textStart {
		if err := ctx.Err(); err != nil {
			return err
		}
		if which != nil && !which.Any(int(first), r.blockEnd(block)) {
			continue
		}
		raw, err := r.textBlock(block)
		if err != nil {
			return err
		}
		for ord := int(first); ord < r.blockEnd(block); ord++ {
			n, m := r.docs.textLen[ord], r.docs.attrLen[ord]
			if which == nil || which.Get(ord) {
				if err := f(ord, raw[:n:n], raw[n:n+m]); err != nil {
					return err
				}
			}
			raw = raw[n+m:]
		}
	}
	return nil
}

// View returns what scoring a document on plane p needs. Where the columns are
// pinned it aliases them; else they are read into buf, and the view is valid
// until buf has served BufferedViews more.
func (r *Reader) View(ord int, p codec.Plane, buf *Buffer) (codec.View, error) {
	v := codec.View{Tokens: r.Tokens(ord), Exp: r.docs.exps[ord]}
	for _, c := range planeColumns(p) {
		data, err := r.tokens(c, ord, buf)
		if err != nil {
			return v, err
		}
		setColumn(&v, c, data)
	}
	return v, nil
}

// Pinned reports whether the columns that View reads for plane p are pinned.
func (r *Reader) Pinned(p codec.Plane) bool {
	for _, c := range planeColumns(p) {
		if col := r.columns[c.slot()]; col == nil || col.pinned.Load() == nil {
			return false
		}
	}
	return true
}

// Full returns every stored column of a document, for merging.
func (r *Reader) Full(ord int, buf *Buffer) (codec.View, error) {
	v := codec.View{Tokens: r.Tokens(ord), Exp: r.docs.exps[ord]}
	for _, s := range r.meta.Columns {
		c := columnByName(s.Name)
		data, err := r.tokens(c, ord, buf)
		if err != nil {
			return v, err
		}
		setColumn(&v, c, data)
	}
	return v, nil
}

// BufferedViews is how many documents' views of a plane a Buffer holds at once.
const BufferedViews = 4

// Buffer holds the chunks that Views have read, of each column those used last.
// The zero value is ready; it belongs to one goroutine.
type Buffer struct {
	chunks [slots][BufferedViews]bufferedChunk
	clock  uint64
}

type bufferedChunk struct {
	reader uint64 // serial
	first  uint32
	used   uint64 // by the clock
	data   []byte
}

// chunk returns where a chunk is, or the least recently used place for it.
func (b *Buffer) chunk(slot int, reader uint64, first uint32) (c *bufferedChunk, found bool) {
	b.clock++
	c = &b.chunks[slot][0]
	for i := range b.chunks[slot] {
		at := &b.chunks[slot][i]
		if at.reader == reader && at.first == first {
			at.used = b.clock
			return at, true
		}
		if at.used < c.used {
			c = at
		}
	}
	c.used = b.clock
	return c, false
}

// tokens returns the records of a document in one column.
func (r *Reader) tokens(c column, ord int, buf *Buffer) ([]byte, error) {
	col := r.columns[c.slot()]
	if col == nil {
		return nil, fmt.Errorf("colbertdb: segment %d has no column %s", r.meta.ID, c)
	}
	stride := int64(col.rule.stride)
	from, to := r.docs.tokenStart[ord]*stride, r.docs.tokenStart[ord+1]*stride
	if p := col.pinned.Load(); p != nil {
		return p.Data[from:to:to], nil
	}
	first := uint32(ord)
	if col.starts != nil {
		first = col.starts[sort.Search(len(col.starts), func(i int) bool { return int(col.starts[i]) > ord })-1]
	}
	b, found := buf.chunk(c.slot(), r.serial, first)
	if !found {
		b.reader = 0 // until it is read whole
		var err error
		if b.data, err = r.readChunk(col, int(first), int(to-from), b.data[:0]); err != nil {
			return nil, err
		}
		b.reader, b.first = r.serial, first
	}
	at := from - r.docs.tokenStart[first]*stride
	if at+to-from > int64(len(b.data)) {
		return nil, corrupt(describe(chunkKey(r.meta.ID, c, first, 0)), 0, "%d bytes, document %d ends at %d", len(b.data), ord, at+to-from)
	}
	return b.data[at : at+to-from : at+to-from], nil
}

// readChunk reads the chunk that starts with a document; of a document of size
// bytes that is larger than a chunk, all pieces.
func (r *Reader) readChunk(col *tokenColumn, first, size int, dst []byte) ([]byte, error) {
	dst, err := getChunk(r.db, chunkKey(r.meta.ID, col.column, uint32(first), 0), dst)
	if err != nil || size <= col.rule.maxBytes {
		return dst, err
	}
	for at := col.rule.piece(); at < r.Tokens(first); at += col.rule.piece() {
		if dst, err = getChunk(r.db, chunkKey(r.meta.ID, col.column, uint32(first), uint32(at)), dst); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// ColumnSize is a column and what it takes to pin it.
type ColumnSize struct {
	Name   string
	Bytes  int64
	Pinned bool
}

// ColumnSizes lists the token columns, hottest first.
func (r *Reader) ColumnSizes() []ColumnSize {
	out := make([]ColumnSize, len(r.meta.Columns))
	for i, s := range r.meta.Columns {
		pinned := r.columns[columnByName(s.Name).slot()].pinned.Load() != nil
		out[i] = ColumnSize{Name: s.Name, Bytes: r.meta.Tokens * int64(s.BytesPerToken), Pinned: pinned}
	}
	return out
}

// Unpinned is the number of token columns that are read from the store.
func (r *Reader) Unpinned() int {
	n := 0
	for _, c := range r.columns {
		if c != nil && c.pinned.Load() == nil {
			n++
		}
	}
	return n
}

// MemoryBytes is what the reader keeps in memory besides pinned columns and
// postings.
func (r *Reader) MemoryBytes() int64 {
	return int64(r.Len())*44 + int64(len(r.docs.ids)) + textBytes
}

// Pin loads a column, so that views of it alias memory.
func (r *Reader) Pin(ctx context.Context, name string) error {
	c := columnByName(name)
	if c.slot() < 0 || r.columns[c.slot()] == nil {
		return fmt.Errorf("colbertdb: segment %d has no column %q", r.meta.ID, name)
	}
	col := r.columns[c.slot()]
	if col.pinned.Load() != nil {
		return nil
	}
	block := offheap.Alloc(int(r.meta.Tokens * int64(col.rule.stride)))
	all := block.Data[:0]
	err := r.eachChunk(ctx, c, func(key, body []byte) error {
		if len(all)+len(body) > cap(all) {
			return corrupt(describe(key), 0, "more data than the metadata says")
		}
		all = append(all, body...)
		return nil
	})
	if err == nil && len(all) != cap(all) {
		err = corrupt(fmt.Sprintf("segment %d, column %s", r.meta.ID, name), 0, "%d bytes, want %d", len(all), cap(all))
	}
	if err != nil || !col.pinned.CompareAndSwap(nil, block) { // another call was first
		block.Free()
	}
	return err
}

// eachChunk reads the chunks of a column in order, checking each.
func (r *Reader) eachChunk(ctx context.Context, c column, f func(key, body []byte) error) (err error) {
	span := prefixRange(append(segmentKeys(r.meta.ID), byte(c)))
	it, err := r.db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return err
	}
	defer func() {
		if cerr := it.Close(); err == nil {
			err = cerr
		}
	}()
	for it.First(); it.Valid(); it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		val, err := it.ValueAndErr()
		if err != nil {
			return readError(describe(it.Key()), err)
		}
		body, err := checkSum(it.Key(), val)
		if err != nil {
			return err
		}
		if err := f(it.Key(), body); err != nil {
			return err
		}
	}
	if err := it.Error(); err != nil {
		return readError(fmt.Sprintf("segment %d, column %s", r.meta.ID, c), err)
	}
	return nil
}

// Close gives pinned memory back: no View of it may be used any more.
func (r *Reader) Close() {
	for _, c := range r.columns {
		if c != nil {
			if p := c.pinned.Swap(nil); p != nil {
				p.Free()
			}
		}
	}
	r.lastText.Store(nil)
}
