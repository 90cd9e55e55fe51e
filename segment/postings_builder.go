package segment

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/internal/envelope"
)

// PostingsMeta is the header of one version of a segment's postings.
type PostingsMeta struct {
	Routing   uint32 `json:"routing"`
	Codebook  uint32 `json:"codebook"`  // that the segment was encoded with
	Centroids int    `json:"centroids"` // of the routing
	Postings  int64  `json:"postings"`
	Chunks    int    `json:"chunks"` // without this one
	Bytes     int64  `json:"bytes"`  // of them
}

const postingsMagic = "CDBP"

func (m *PostingsMeta) encode() []byte {
	return envelope.Append(nil, postingsMagic, Version, func(b []byte) []byte {
		body, err := json.Marshal(m)
		if err != nil {
			panic(fmt.Sprintf("colbertdb: a header that JSON cannot hold: %v", err)) // impossible: a plain struct
		}
		return append(b, body...)
	})
}

func decodePostingsMeta(b []byte) (*PostingsMeta, error) {
	_, body, err := envelope.Open(b, postingsMagic, Version)
	if err != nil {
		return nil, err
	}
	m := new(PostingsMeta)
	return m, json.Unmarshal(body, m)
}

func (m *PostingsMeta) validate(routing uint32, s *Meta) error {
	if m.Routing != routing || m.Codebook != s.CodebookID {
		return fmt.Errorf("postings of routing %d of codebook %d, want %d of %d", m.Routing, m.Codebook, routing, s.CodebookID)
	}
	if m.Centroids < 0 || m.Centroids > 1<<24 {
		return fmt.Errorf("%d centroids", m.Centroids)
	}
	if m.Postings < 0 || m.Postings > s.Tokens || m.Chunks < 0 || int64(m.Chunks) > m.Postings {
		return fmt.Errorf("%d postings of %d tokens in %d chunks", m.Postings, s.Tokens, m.Chunks)
	}
	return nil
}

// PostingsBuilder collects the postings of a segment for one routing: those of a
// new segment, and those of one that moves to another routing.
type PostingsBuilder struct {
	meta  PostingsMeta
	pairs []uint64 // centroid << 16 | ordinal
	seen  []uint32
}

// NewPostingsBuilder returns a builder without postings, for a segment that was
// encoded with a codebook: the routing's, or one that the routing's extends.
func NewPostingsBuilder(rt *codec.Routing, codebook uint32) *PostingsBuilder {
	return &PostingsBuilder{meta: PostingsMeta{Routing: rt.ID, Codebook: codebook, Centroids: rt.NumCentroids()}}
}

// Add adds a document with the centroids of its tokens.
func (b *PostingsBuilder) Add(ordinal uint32, centroids []uint32) error {
	b.seen = append(b.seen[:0], centroids...)
	slices.Sort(b.seen)
	for _, c := range slices.Compact(b.seen) {
		if int(c) >= b.meta.Centroids {
			return fmt.Errorf("colbertdb: centroid %d of %d", c, b.meta.Centroids)
		}
		b.pairs = append(b.pairs, uint64(c)<<16|uint64(ordinal))
	}
	return nil
}

// Finish writes the postings as a synced sstable in a folder, for Pebble to
// ingest beside what the segment has.
func (b *PostingsBuilder) Finish(ctx context.Context, fs vfs.FS, dir string, id ID) (paths []string, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	files := &tableFiles{fs: fs, dir: dir, id: id}
	defer func() {
		if err != nil {
			files.remove()
		}
	}()
	w := &columnWriter{files: files, column: colPostings}
	if w.file, err = files.create(colPostings); err != nil {
		return nil, err
	}
	err = b.write(w)
	if err == nil {
		err = w.spill()
	}
	if cerr := w.file.close(); err == nil {
		err = cerr
	}
	return files.paths, err
}

// write sorts the collected pairs into lists and writes the header and them.
func (b *PostingsBuilder) write(w *columnWriter) error {
	slices.Sort(b.pairs)
	b.meta.Postings = int64(len(b.pairs))
	var chunks [][]byte
	var buf []byte
	last := uint32(0)
	for at := 0; at < len(b.pairs); {
		c := uint32(b.pairs[at] >> 16)
		end := at
		for end < len(b.pairs) && uint32(b.pairs[end]>>16) == c {
			end++
		}
		buf = binary.AppendUvarint(buf, uint64(c-last))
		buf = binary.AppendUvarint(buf, uint64(end-at))
		buf = appendList(buf, b.pairs[at:end])
		last, at = c, end
		if len(buf) >= postChunkSize || at == len(b.pairs) {
			chunks = append(chunks, buf)
			b.meta.Bytes += int64(len(buf)) + sumSize
			buf, last = nil, 0
		}
	}
	b.pairs = nil
	b.meta.Chunks = len(chunks)
	if err := w.put(b.meta.Routing, 0, b.meta.encode()); err != nil {
		return err
	}
	for i, c := range chunks {
		if err := w.put(b.meta.Routing, uint32(i+1), c); err != nil {
			return err
		}
	}
	return nil
}
