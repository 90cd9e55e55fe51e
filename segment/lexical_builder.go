package segment

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/colbertdb-go/colbertdb/internal/lexical"
)

// lexicalIndexBuilder collects the terms of a segment's documents.
type lexicalIndexBuilder struct {
	meta    lexicalMeta
	counter *lexical.Counter
	lists   [][]TermPosting // by Counter's number
	lengths []uint32        // of the documents, in terms
	scratch []TermPosting
}

func newLexicalIndexBuilder(s IndexSpec) (*lexicalIndexBuilder, error) {
	if err := s.Analyzer.Validate(); err != nil {
		return nil, fmt.Errorf("colbertdb: lexical index %d: %w", s.ID, err)
	}
	return &lexicalIndexBuilder{meta: lexicalMeta{ID: s.ID, Analyzer: s.Analyzer}, counter: lexical.NewCounter(s.Analyzer)}, nil
}

func (b *lexicalIndexBuilder) spec() IndexSpec {
	return IndexSpec{ID: b.meta.ID, Analyzer: b.meta.Analyzer}
}

// add adds the next document; one without text, too.
func (b *lexicalIndexBuilder) add(text string, _ []byte) {
	counts, length := b.counter.Count(text)
	for _, c := range counts {
		b.put(c.Term, TermPosting{Ord: uint16(len(b.lengths)), N: c.N})
	}
	b.lengths = append(b.lengths, length)
}

func (b *lexicalIndexBuilder) put(term int32, p TermPosting) {
	for int(term) >= len(b.lists) {
		b.lists = append(b.lists, nil)
	}
	b.lists[term] = append(b.lists[term], p)
}

// copy adds documents of another index, which were not added: ords has the ordinal
// here of each of its documents, ascending, -1 of those that are left behind.
func (b *lexicalIndexBuilder) copy(x *LexicalIndex, ords []int32) {
	for i := range x.Terms() {
		number := int32(-1)
		b.scratch = x.list(i, b.scratch[:0])
		for _, p := range b.scratch {
			if ord := ords[p.Ord]; ord >= 0 {
				if number < 0 {
					number = b.counter.Number(x.term(i))
				}
				b.put(number, TermPosting{Ord: uint16(ord), N: p.N})
			}
		}
	}
	for ord, length := range x.lengths {
		if ords[ord] >= 0 {
			b.lengths = append(b.lengths, length)
		}
	}
}

func (b *lexicalIndexBuilder) stored() (header any, encoded []byte, chunks [][]byte) {
	order := make([]int32, 0, len(b.lists))
	for t, list := range b.lists {
		if len(list) > 0 {
			order = append(order, int32(t))
		}
	}
	slices.SortFunc(order, func(x, y int32) int { return strings.Compare(b.counter.Term(x), b.counter.Term(y)) })
	m := b.meta
	m.Docs, m.Terms = len(b.lengths), len(order)
	var buf []byte
	put := func() {
		chunks = append(chunks, buf)
		m.Bytes += int64(len(buf)) + sumSize
		buf = nil
	}
	for _, n := range b.lengths {
		buf = binary.AppendUvarint(buf, uint64(n))
		m.Length += int64(n)
	}
	put()
	last := ""
	for i, t := range order {
		term, list := b.counter.Term(t), b.lists[t]
		buf = appendKeyAfter(buf, last, term)
		buf = binary.AppendUvarint(buf, uint64(len(list)))
		buf = appendTermPostings(buf, list)
		m.Postings += int64(len(list))
		last = term
		if len(buf) >= postChunkSize || i == len(order)-1 {
			put()
			last = ""
		}
	}
	m.Chunks = len(chunks)
	return m, m.encode(), chunks
}

// appendTermPostings appends a list: for each document twice what its ordinal is
// above the one before, less one, and whether it has the term more than once; then,
// if so, how often. Uvarints.
func appendTermPostings(dst []byte, list []TermPosting) []byte {
	last := -1
	for _, p := range list {
		step := uint64(int(p.Ord)-last-1) << 1
		if p.N == 1 {
			dst = binary.AppendUvarint(dst, step)
		} else {
			dst = binary.AppendUvarint(binary.AppendUvarint(dst, step|1), uint64(p.N))
		}
		last = int(p.Ord)
	}
	return dst
}

// copied is where the documents of a Builder come from, for the indexes that are
// copied rather than made again.
type copied struct {
	indexes []Index
	ords    []int32 // of its documents in the new segment, -1: none
}

// CopyFrom says that the documents that are added next are those of a segment of
// docs documents with indexes, in its order: Document.From says which. What lexical
// indexes have of them is copied. Without indexes, they come from nowhere.
func (b *Builder) CopyFrom(indexes []Index, docs int) {
	if b.from != nil {
		for _, x := range b.index {
			if l, ok := x.(*lexicalIndexBuilder); ok {
				if from := b.from.lexical(l); from != nil {
					l.copy(from, b.from.ords)
				}
			}
		}
	}
	b.from = nil
	if len(indexes) > 0 {
		b.from = &copied{indexes: indexes, ords: slices.Repeat([]int32{-1}, docs)}
	}
}

// lexical is the index to copy from, nil without.
func (c *copied) lexical(b *lexicalIndexBuilder) *LexicalIndex {
	for _, x := range c.indexes {
		if l, ok := x.(*LexicalIndex); ok && l.spec() == b.spec() {
			return l
		}
	}
	return nil
}

// has reports whether an index is copied.
func (c *copied) has(b indexBuilder) bool {
	l, ok := b.(*lexicalIndexBuilder)
	return ok && c != nil && c.lexical(l) != nil
}

func (c *copied) note(from int, ordinal uint32) {
	if c != nil {
		c.ords[from] = int32(ordinal)
	}
}
