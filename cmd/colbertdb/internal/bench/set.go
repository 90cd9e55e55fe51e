package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/npy"
	"github.com/colbertdb-go/colbertdb/internal/resample"
	"github.com/colbertdb-go/colbertdb/query/eval"
)

// The files of a folder of vectors. Weights, ids and judgments may be missing:
// ids are then numbers from 0 on.
const (
	docsFile         = "docs.npy"         // [tokens][dim] float16 or float32
	docLensFile      = "doclens.npy"      // [documents] integers
	docIDsFile       = "docids.txt"       // one a line
	queriesFile      = "queries.npy"      // [tokens][dim], or [queries][tokens][dim]
	queryLensFile    = "querylens.npy"    // [queries]; not with three dimensions
	queryWeightsFile = "queryweights.npy" // [tokens]
	queryIDsFile     = "queryids.txt"     // one a line
)

// IsVectors tells whether a folder holds vectors.
func IsVectors(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, docsFile))
	return err == nil
}

// Set is documents, whose vectors stay on disk, and queries.
type Set struct {
	Name      string
	Dim       int
	Documents int
	Tokens    int64
	Queries   []Query
	Qrels     eval.Qrels // nil: the queries are not judged
	folders   []folder
	synthetic *resample.Source // instead of the folders' documents
}

// Query is a query as token vectors.
type Query struct {
	ID      string
	Vectors engine.Matrix
	Weights []float32 // nil: 1 each
}

type folder struct {
	dir, prefix string
	width       int // bytes of a number
	lens        []int
	ids         []string
	texts       map[string]string // by id; nil: not wanted
}

// Add adds a folder of vectors. judged names a file of judgments, or is empty;
// with it only the judged queries are taken. limit is the greatest number of
// queries taken, spread over all.
func (s *Set) Add(dir, name, judged string, limit int) error {
	f := folder{dir: dir}
	if s.Name != "" {
		s.Name += " + "
	}
	s.Name += name
	f.prefix = name + "/"
	h, err := npy.Stat(filepath.Join(dir, docsFile))
	if err != nil {
		return err
	}
	if h.Kind != 'f' || h.Width > 4 || len(h.Shape) != 2 {
		return fmt.Errorf("%s: want float16 or float32 of shape (tokens, dim)", filepath.Join(dir, docsFile))
	}
	f.width = h.Width
	if s.Dim != 0 && s.Dim != h.Shape[1] {
		return fmt.Errorf("%s has %d dimensions, the folders before it %d", dir, h.Shape[1], s.Dim)
	}
	s.Dim = h.Shape[1]
	if f.lens, err = npy.ReadInts(filepath.Join(dir, docLensFile)); err != nil {
		return err
	}
	tokens := 0
	for _, n := range f.lens {
		tokens += n
		if n > 0 { // one of no tokens can never be found: it is left out
			s.Documents++
		}
	}
	if tokens != h.Shape[0] {
		return fmt.Errorf("%s counts %d tokens, %s has %d", filepath.Join(dir, docLensFile), tokens, docsFile, h.Shape[0])
	}
	if f.ids, err = ids(filepath.Join(dir, docIDsFile), len(f.lens)); err != nil {
		return err
	}
	queries, err := readQueries(dir, s.Dim)
	if err != nil {
		return err
	}
	if judged != "" {
		q, err := eval.ReadQrelsFile(judged)
		if err != nil {
			return err
		}
		queries = slices.DeleteFunc(queries, func(x Query) bool { return len(q[x.ID]) == 0 })
		queries = spread(queries, limit)
		if s.Qrels == nil {
			s.Qrels = eval.Qrels{}
		}
		for _, x := range queries {
			grades := map[string]int{}
			for id, g := range q[x.ID] {
				grades[f.prefix+id] = g
			}
			s.Qrels[f.prefix+x.ID] = grades
		}
	}
	for _, q := range spread(queries, limit) {
		q.ID = f.prefix + q.ID
		s.Queries = append(s.Queries, q)
	}
	s.Tokens += int64(tokens)
	s.folders = append(s.folders, f)
	return nil
}

// AddTexts gives the documents added last their texts, by id.
func (s *Set) AddTexts(texts map[string]string) { s.folders[len(s.folders)-1].texts = texts }

// spread takes n of some things, evenly.
func spread[T any](q []T, n int) []T {
	if n <= 0 || len(q) <= n {
		return q
	}
	out := make([]T, n)
	for i := range out {
		out[i] = q[i*len(q)/n]
	}
	return out
}

// ids reads a file of ids, one a line, or numbers them.
func ids(path string, n int) ([]string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		out := make([]string, n)
		for i := range out {
			out[i] = strconv.Itoa(i)
		}
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	out := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(out) != n {
		return nil, fmt.Errorf("%s has %d ids, want %d", path, len(out), n)
	}
	return out, nil
}

func readQueries(dir string, dim int) ([]Query, error) {
	path := filepath.Join(dir, queriesFile)
	data, h, err := npy.ReadFloats(path)
	if err != nil {
		return nil, err
	}
	var lens []int
	switch {
	case len(h.Shape) == 3 && h.Shape[2] == dim:
		lens = slices.Repeat([]int{h.Shape[1]}, h.Shape[0])
	case len(h.Shape) == 2 && h.Shape[1] == dim:
		if lens, err = npy.ReadInts(filepath.Join(dir, queryLensFile)); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%s: shape %v, want (tokens, %d) or (queries, tokens, %d)", path, h.Shape, dim, dim)
	}
	names, err := ids(filepath.Join(dir, queryIDsFile), len(lens))
	if err != nil {
		return nil, err
	}
	weights, _, err := npy.ReadFloats(filepath.Join(dir, queryWeightsFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	out := make([]Query, len(lens))
	at := 0
	for i, n := range lens {
		if n < 0 || (at+n)*dim > len(data) || weights != nil && at+n > len(weights) {
			return nil, fmt.Errorf("%s: query %d ends beyond the vectors", filepath.Join(dir, queryLensFile), i)
		}
		out[i] = Query{ID: names[i], Vectors: engine.Matrix{Dim: dim, Data: data[at*dim : (at+n)*dim]}}
		if weights != nil {
			out[i].Weights = weights[at : at+n]
		}
		at += n
	}
	return out, nil
}

// maxResampled bounds the token vectors that documents are made of, in memory.
const maxResampled = 2 << 20

// Resample replaces the documents by synthetic ones of so many tokens, made of
// the real ones; what was judged no longer is. package resample tells how.
func (s *Set) Resample(documents, tokens int, seed uint64) error {
	all := engine.Matrix{Dim: s.Dim}
	for d, err := range s.Docs() {
		if err != nil {
			return err
		}
		all.Data = append(all.Data, d.Vectors.Data...)
		if all.Len() >= maxResampled {
			break
		}
	}
	source, err := resample.New(all, tokens)
	if err != nil {
		return err
	}
	source.Seed = seed
	s.synthetic, s.Qrels = source, nil
	s.Name = fmt.Sprintf("%s, resampled (synthetic, seed %d)", s.Name, seed)
	s.Documents, s.Tokens = documents, int64(documents)*int64(tokens)
	return nil
}

// Doc is a document of a Set; its vectors are valid until the next.
type Doc struct {
	ID, Text string
	Vectors  engine.Matrix
}

// Docs reads the documents in order.
func (s *Set) Docs() iter.Seq2[Doc, error] {
	return func(yield func(Doc, error) bool) {
		if s.synthetic != nil {
			for i := range s.Documents {
				d := s.synthetic.Document(i)
				if !yield(Doc{ID: d.ID, Vectors: d.Vectors}, nil) {
					return
				}
			}
			return
		}
		for _, f := range s.folders {
			if err := f.read(s.Dim, func(d Doc) bool { return yield(d, nil) }); err != nil {
				if !errors.Is(err, errStopped) {
					yield(Doc{}, err)
				}
				return
			}
		}
	}
}

var errStopped = errors.New("stopped")

func (f *folder) read(dim int, yield func(Doc) bool) (err error) {
	file, err := os.Open(filepath.Join(f.dir, docsFile))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	r := bufio.NewReaderSize(file, 1<<20)
	if _, err := npy.ReadHeader(r); err != nil {
		return err
	}
	var buf []byte
	for i, n := range f.lens {
		if n == 0 {
			continue
		}
		size := n * dim * f.width
		if cap(buf) < size {
			buf = make([]byte, size)
		}
		buf = buf[:size]
		if _, err := io.ReadFull(r, buf); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(f.dir, docsFile), err)
		}
		m := engine.Matrix{Dim: dim}
		if f.width == 2 {
			m = engine.MatrixFromF16(dim, buf)
		} else {
			m.Data = npy.Floats(buf, f.width)
		}
		if !yield(Doc{ID: f.prefix + f.ids[i], Text: f.texts[f.ids[i]], Vectors: m}) {
			return errStopped
		}
	}
	return nil
}
