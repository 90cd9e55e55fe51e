package segment

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/codec"
)

// MaxDocuments is the number of documents that a segment can hold.
const MaxDocuments = 1 << 16

// Config says how the documents of a segment are encoded.
type Config struct {
	Dim          int
	Profile      codec.Profile
	RetainRaw    bool
	Codebook     *codec.Codebook // nil: flat
	Routing      *codec.Routing  // nil: flat
	CollectionID uint32
	Indexes      []IndexSpec
}

// Document is one document of a segment.
type Document struct {
	Num        DocNum
	ID         string // external id
	Text       string
	HasText    bool
	Attributes []byte // JSON object, nil without
	Seq        uint64
	Encoded    *codec.Encoded
	From       int // ordinal in the segment of Builder.CopyFrom
}

// Builder writes one segment as sstables in a folder, for Pebble to ingest.
// Documents come in ascending order of their number. Memory stays bounded: a
// column that outgrows spillSize is written to a file of its own as it grows,
// the small ones share files at the end.
type Builder struct {
	files tableFiles
	cfg   Config
	meta  Meta
	cols  []*columnWriter // in key order
	docs  *docTableWriter
	text  *textWriter
	posts *PostingsBuilder // nil for a flat segment
	index []indexBuilder
	from  *copied
	err   error
}

// spillSize is how much of a column a Builder keeps in memory.
const spillSize = 4 << 20

// NewBuilder returns a Builder for a segment of the given id.
func NewBuilder(fs vfs.FS, dir string, id ID, cfg Config) (*Builder, error) {
	if err := codec.ValidDim(cfg.Dim); err != nil {
		return nil, err
	}
	if (cfg.Codebook == nil) != (cfg.Routing == nil) {
		return nil, errors.New("colbertdb: a segment has a codebook and a routing, or neither")
	}
	b := &Builder{files: tableFiles{fs: fs, dir: dir, id: id}, cfg: cfg}
	b.meta = Meta{
		ID: id, Collection: cfg.CollectionID, Dim: cfg.Dim,
		Columns: codec.Columns(cfg.Dim, cfg.Profile, cfg.RetainRaw, cfg.Codebook != nil),
	}
	if cfg.Codebook != nil {
		if cfg.Codebook.ID == 0 || cfg.Routing.ID == 0 {
			return nil, errors.New("colbertdb: a codebook or routing needs an id: 0 stands for none")
		}
		b.meta.CodebookID = cfg.Codebook.ID
		b.meta.Residuals = new(codec.ResidualStats)
		b.posts = NewPostingsBuilder(cfg.Routing, cfg.Codebook.ID)
	}
	for _, c := range columnOrder {
		b.cols = append(b.cols, &columnWriter{files: &b.files, column: c, rule: ruleOf(c, b.meta.stride(c))})
	}
	var err error
	if b.index, err = newIndexBuilders(cfg.Indexes); err != nil {
		return nil, err
	}
	for _, s := range cfg.Indexes {
		b.meta.Indexes = append(b.meta.Indexes, s.ID)
	}
	b.docs = &docTableWriter{w: b.column(colDocs)}
	b.text = &textWriter{w: b.column(colText)}
	return b, nil
}

// columnOrder is the order of keys.
var columnOrder = []column{colA, colB, colC, colDocs, colIndex, colMeta, colPostings, colRaw, colText, colCodes, colPLAID}

func (b *Builder) column(c column) *columnWriter {
	return b.cols[slices.Index(columnOrder, c)]
}

// Add appends a document. ErrFull means that the segment has no room and is
// unchanged; after any other error the Builder must be aborted.
func (b *Builder) Add(d Document) error {
	if b.err != nil {
		return b.err
	}
	if b.meta.Docs == MaxDocuments {
		return ErrFull
	}
	b.err = b.add(d)
	return b.err
}

func (b *Builder) add(d Document) error {
	if b.meta.Docs > 0 && d.Num <= b.meta.Last {
		return fmt.Errorf("colbertdb: document number %d after %d", d.Num, b.meta.Last)
	}
	if d.Encoded == nil || d.Encoded.Tokens == 0 {
		return fmt.Errorf("colbertdb: document %q has no encoded vectors", d.ID)
	}
	if err := checkRow(&d); err != nil {
		return err
	}
	v := d.Encoded.View
	ordinal := uint32(b.meta.Docs)
	for _, s := range b.meta.Columns {
		c := columnByName(s.Name)
		data := columnData(v, c)
		if len(data) != v.Tokens*s.BytesPerToken {
			return fmt.Errorf("colbertdb: document %q: column %s has %d bytes for %d tokens, want %d a token", d.ID, s.Name, len(data), v.Tokens, s.BytesPerToken)
		}
		if err := b.column(c).addTokens(ordinal, data); err != nil {
			return err
		}
	}
	if b.meta.CodebookID != 0 {
		if n := len(d.Encoded.Centroids); n < 1 || n > v.Tokens {
			return fmt.Errorf("colbertdb: document %q has %d routing centroids for %d tokens", d.ID, n, v.Tokens)
		}
		if err := b.posts.Add(ordinal, d.Encoded.Centroids); err != nil {
			return fmt.Errorf("colbertdb: document %q: %w", d.ID, err)
		}
		b.meta.Residuals.AddNorms(d.Encoded.Norms, b.cfg.Codebook)
	}
	for _, x := range b.index {
		if !b.from.has(x) {
			x.add(d.Text, d.Attributes)
		}
	}
	b.from.note(d.From, ordinal)
	if err := b.text.add(ordinal, d.Text, d.Attributes); err != nil {
		return err
	}
	if err := b.docs.add(ordinal, &d); err != nil {
		return err
	}
	if b.meta.Docs == 0 {
		b.meta.First, b.meta.MinSeq = d.Num, d.Seq
	}
	b.meta.Docs++
	b.meta.Tokens += int64(v.Tokens)
	b.meta.Last = d.Num
	b.meta.MinSeq, b.meta.MaxSeq = min(b.meta.MinSeq, d.Seq), max(b.meta.MaxSeq, d.Seq)
	return nil
}

// AddResiduals counts in the residual norms of documents that were copied from
// a segment of the same codebook, which come without.
func (b *Builder) AddResiduals(s *codec.ResidualStats) {
	if b.meta.Residuals != nil {
		b.meta.Residuals.Add(s)
	}
}

// Len is the number of documents added so far, Tokens that of their vectors.
func (b *Builder) Len() int      { return b.meta.Docs }
func (b *Builder) Tokens() int64 { return b.meta.Tokens }

// Finish writes the rest and returns the metadata and the synced sstables, in
// key order. A segment without documents is an error.
func (b *Builder) Finish(ctx context.Context) (Meta, []string, error) {
	if b.err == nil {
		b.err = b.finish(ctx)
	}
	if b.err != nil {
		b.Abort()
		return Meta{}, nil, b.err
	}
	return b.meta, b.files.paths, nil
}

func (b *Builder) finish(ctx context.Context) error {
	if b.meta.Docs == 0 {
		return errors.New("colbertdb: a segment needs at least one document")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := errors.Join(b.text.finish(), b.docs.finish()); err != nil {
		return err
	}
	if b.posts != nil {
		if err := b.posts.write(b.column(colPostings)); err != nil {
			return err
		}
	}
	b.CopyFrom(nil, 0)
	for _, x := range b.index {
		if err := writeIndex(b.column(colIndex), x); err != nil {
			return err
		}
	}
	for _, w := range b.cols {
		if err := w.flush(); err != nil {
			return err
		}
		if !w.column.apart() {
			b.meta.Bytes += w.bytes
		}
	}
	b.meta.TextBlocks, b.meta.DocChunks = b.column(colText).chunks, b.column(colDocs).chunks
	if err := b.column(colMeta).put(0, 0, b.meta.encode()); err != nil {
		return err
	}
	return b.writeFiles(ctx)
}

// writeFiles closes the spilled columns and gathers the others, in key order,
// into files that do not overlap them.
func (b *Builder) writeFiles(ctx context.Context) error {
	var shared *tableFile
	closeShared := func() error {
		if shared == nil {
			return nil
		}
		f := shared
		shared = nil
		return f.close()
	}
	for _, w := range b.cols {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, closeShared())
		}
		if w.file != nil {
			if err := errors.Join(closeShared(), w.spill(), w.file.close()); err != nil {
				return err
			}
			w.file = nil
			continue
		}
		for _, c := range w.pending {
			if shared == nil {
				var err error
				if shared, err = b.files.create(w.column); err != nil {
					return err
				}
			}
			if err := shared.w.Set(c.key, c.value); err != nil {
				return errors.Join(err, closeShared())
			}
		}
		w.pending = nil
	}
	return closeShared()
}

// Abort closes and removes what was written. The Builder is of no use afterwards.
func (b *Builder) Abort() {
	for _, w := range b.cols {
		if w.file != nil {
			_ = w.file.close()
			w.file = nil
		}
	}
	b.files.remove()
	if b.err == nil {
		b.err = errors.New("colbertdb: segment builder was aborted")
	}
}

// tableFiles are the sstables of one segment, or of a part of it.
type tableFiles struct {
	fs    vfs.FS
	dir   string
	id    ID
	paths []string
}

// tableFile is one sstable being written.
type tableFile struct{ w *sstable.Writer }

func (t *tableFiles) create(first column) (*tableFile, error) {
	// By name: the letters of columns differ in case alone, which not every
	// file system tells apart.
	path := t.fs.PathJoin(t.dir, fmt.Sprintf("%d-%s.sst", t.id, first))
	f, err := t.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, fmt.Errorf("colbertdb: creating %s: %w", path, err)
	}
	t.paths = append(t.paths, path)
	return &tableFile{w: sstable.NewWriter(objstorageprovider.NewFileWritable(f), writerOptions(t.fs))}, nil
}

func (t *tableFiles) remove() {
	for _, p := range t.paths {
		_ = t.fs.Remove(p)
	}
	t.paths = nil
}

// close finishes and syncs the file.
func (f *tableFile) close() error { return f.w.Close() }
