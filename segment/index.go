package segment

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/internal/envelope"
	"github.com/colbertdb-go/colbertdb/internal/lexical"
)

// IndexSpec declares an index of a collection: of an attribute, or with an analyzer
// of the terms that it makes of the documents' text. Ids are not used twice in a
// collection.
type IndexSpec struct {
	ID       uint32           `json:"id"`
	Path     string           `json:"path,omitempty"`
	Analyzer lexical.Analyzer `json:"analyzer,omitempty"`
}

// Index is one of a segment's indexes in memory: an *AttributeIndex or a
// *LexicalIndex. Like the segment it never changes.
type Index interface {
	// ID is the index's id in its collection.
	ID() uint32
	// Bytes is the size as stored, MemoryBytes about what it occupies.
	Bytes() int64
	MemoryBytes() int64
	// Dump prints what is in it.
	Dump(w io.Writer) error

	spec() IndexSpec
	header() any // comparable
	chunks() int // without the header
}

// indexBuilder makes an index of a segment's documents, one after the other.
type indexBuilder interface {
	spec() IndexSpec
	add(text string, attrs []byte)
	// stored returns the header, as Index.header and as it is stored, and the chunks
	// that follow.
	stored() (header any, encoded []byte, chunks [][]byte)
}

// newIndexBuilders returns builders in the order of their ids.
func newIndexBuilders(specs []IndexSpec) ([]indexBuilder, error) {
	out := make([]indexBuilder, len(specs))
	for i, s := range specs {
		var err error
		if s.Analyzer != "" {
			out[i], err = newLexicalIndexBuilder(s)
		} else {
			out[i], err = newAttributeIndexBuilder(s)
		}
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b indexBuilder) int { return int(a.spec().ID) - int(b.spec().ID) })
	return out, nil
}

// writeIndex writes what a builder has made. Indexes come in the order of their ids,
// which is that of their keys.
func writeIndex(w *columnWriter, b indexBuilder) error {
	id := b.spec().ID
	_, header, chunks := b.stored()
	if err := w.put(id, 0, header); err != nil {
		return err
	}
	for i, c := range chunks {
		if err := w.put(id, uint32(i+1), c); err != nil {
			return err
		}
	}
	return nil
}

// appendKeyAfter appends a key that follows another: the number of bytes that it
// shares with that, the number of the others, they.
func appendKeyAfter(dst []byte, last, key string) []byte {
	shared := 0
	for shared < len(key) && shared < len(last) && key[shared] == last[shared] {
		shared++
	}
	dst = binary.AppendUvarint(dst, uint64(shared))
	dst = binary.AppendUvarint(dst, uint64(len(key)-shared))
	return append(dst, key[shared:]...)
}

// keyAfter reads what appendKeyAfter wrote, of at most limit bytes beside the shared
// ones, into key, the one before.
func keyAfter(b, key []byte, limit int) (next, rest []byte, err error) {
	shared, n, b, err := twoUvarints(b)
	if err != nil {
		return nil, nil, err
	}
	if shared > uint64(len(key)) || n > uint64(len(b)) || n > uint64(limit) {
		return nil, nil, fmt.Errorf("a key shares %d bytes of %d and has %d more", shared, len(key), n)
	}
	return append(key[:shared:shared], b[:n]...), b[n:], nil
}

func twoUvarints(b []byte) (x, y uint64, rest []byte, err error) {
	x, n := binary.Uvarint(b)
	if n > 0 {
		var m int
		y, m = binary.Uvarint(b[n:])
		if m > 0 {
			return x, y, b[n+m:], nil
		}
	}
	return 0, 0, nil, errCutShort
}

// LoadIndex reads an index of the segment.
func (r *Reader) LoadIndex(id uint32) (Index, error) {
	raw, err := getChunk(r.db, chunkKey(r.meta.ID, colIndex, id, 0), nil)
	if err != nil {
		return nil, err
	}
	if _, _, err := envelope.Open(raw, lexicalMagic, Version); err == nil {
		return r.loadLexicalIndex(id, raw)
	}
	return r.loadAttributeIndex(id, raw)
}

// indexChunks reads the chunks after the header of an index.
func (r *Reader) indexChunks(id uint32, n int, chunk func([]byte) error, finish func() error) error {
	var raw []byte
	var err error
	for i := range n {
		key := chunkKey(r.meta.ID, colIndex, id, uint32(i+1))
		if raw, err = getChunk(r.db, key, raw[:0]); err != nil {
			return err
		}
		if err := chunk(raw); err != nil {
			return corrupt(describe(key), 0, "%w", err)
		}
	}
	if err := finish(); err != nil {
		return corrupt(describe(chunkKey(r.meta.ID, colIndex, id, 0)), 0, "%w", err)
	}
	return nil
}

// ListIndexes returns the ids of the indexes that a segment has in the store.
func ListIndexes(db *pebble.DB, id ID) ([]uint32, error) { return listVersions(db, id, colIndex) }

// BuildIndexes reads the segment's documents and writes indexes of them as a synced
// sstable in a folder, for Pebble to ingest beside what the segment has.
func (r *Reader) BuildIndexes(ctx context.Context, specs []IndexSpec, fs vfs.FS, dir string) (paths []string, err error) {
	builders, err := r.indexBuilders(ctx, specs)
	if err != nil {
		return nil, err
	}
	files := &tableFiles{fs: fs, dir: dir, id: r.meta.ID}
	defer func() {
		if err != nil {
			files.remove()
		}
	}()
	w := &columnWriter{files: files, column: colIndex}
	if w.file, err = files.create(colIndex); err != nil {
		return nil, err
	}
	for _, b := range builders {
		if err == nil {
			err = writeIndex(w, b)
		}
	}
	if err == nil {
		err = w.spill()
	}
	if cerr := w.file.close(); err == nil {
		err = cerr
	}
	return files.paths, err
}

// indexBuilders fills builders with the segment's documents.
func (r *Reader) indexBuilders(ctx context.Context, specs []IndexSpec) ([]indexBuilder, error) {
	builders, err := newIndexBuilders(specs)
	if err != nil {
		return nil, err
	}
	err = r.eachFields(ctx, nil, func(_ int, text, attrs []byte) error {
		s := string(text)
		for _, b := range builders {
			b.add(s, attrs)
		}
		return nil
	})
	return builders, err
}

// verifyIndex compares an index, where it was, with what the documents call for.
func (r *Reader) verifyIndex(ctx context.Context, from KeySource, x Index) (err error) {
	spec := x.spec()
	builders, err := r.indexBuilders(ctx, []IndexSpec{spec})
	if err != nil {
		return err
	}
	header, _, chunks := builders[0].stored()
	where := fmt.Sprintf("segment %d, index %d of %s", r.meta.ID, spec.ID, spec.of())
	if header != x.header() {
		return corrupt(where, 0, "%+v, the documents call for %+v", x.header(), header)
	}
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: chunkKey(r.meta.ID, colIndex, spec.ID, 1), UpperBound: IndexSpan(r.meta.ID, spec.ID).End})
	if err != nil {
		return readError(where, err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	it.First()
	for i, want := range chunks {
		key := chunkKey(r.meta.ID, colIndex, spec.ID, uint32(i+1))
		if !it.Valid() || !bytes.Equal(it.Key(), key) {
			return errors.Join(corrupt(describe(key), 0, "missing"), it.Error())
		}
		val, err := it.ValueAndErr()
		if err != nil {
			return readError(describe(key), err)
		}
		have, err := checkSum(key, val)
		if err != nil {
			return err
		}
		if !bytes.Equal(have, want) {
			return corrupt(where, 0, "chunk %d is not what the documents call for", i+1)
		}
		it.Next()
	}
	return it.Error()
}

// of names what the index is of.
func (s IndexSpec) of() string {
	if s.Analyzer != "" {
		return fmt.Sprintf("%s terms", s.Analyzer)
	}
	return fmt.Sprintf("attribute %q", s.Path)
}
