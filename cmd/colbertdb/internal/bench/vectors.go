package bench

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/npy"
)

// Vectors writes a folder that Set reads: documents as float16.
type Vectors struct {
	dir                                             string
	docs, docLens, queries, queryLens, queryWeights *npy.Writer
	docIDs, queryIDs                                strings.Builder
	files                                           []*npy.Writer
}

// CreateVectors begins a folder.
func CreateVectors(dir string, dim int) (*Vectors, error) {
	v := &Vectors{dir: dir}
	for _, f := range []struct {
		at    **npy.Writer
		name  string
		kind  byte
		width int
		rest  []int
	}{
		{&v.docs, docsFile, 'f', 2, []int{dim}},
		{&v.docLens, docLensFile, 'i', 4, nil},
		{&v.queries, queriesFile, 'f', 4, []int{dim}},
		{&v.queryLens, queryLensFile, 'i', 4, nil},
		{&v.queryWeights, queryWeightsFile, 'f', 4, nil},
	} {
		w, err := npy.Create(filepath.Join(dir, f.name), f.kind, f.width, f.rest...)
		if err != nil {
			return nil, errors.Join(err, v.Close())
		}
		*f.at = w
		v.files = append(v.files, w)
	}
	return v, nil
}

// AddDocument appends a document.
func (v *Vectors) AddDocument(id string, m engine.Matrix) error {
	v.docIDs.WriteString(id + "\n")
	_, err := v.docs.Write(codec.AppendF16(nil, m.Data))
	return errors.Join(err, v.docLens.WriteInts(m.Len()))
}

// AddQuery appends a query.
func (v *Vectors) AddQuery(q Query) error {
	v.queryIDs.WriteString(q.ID + "\n")
	weights := q.Weights
	for len(weights) < q.Vectors.Len() {
		weights = append(weights, 1)
	}
	return errors.Join(v.queries.WriteFloats(q.Vectors.Data...), v.queryLens.WriteInts(q.Vectors.Len()), v.queryWeights.WriteFloats(weights...))
}

// Close ends the folder.
func (v *Vectors) Close() error {
	err := errors.Join(
		os.WriteFile(filepath.Join(v.dir, docIDsFile), []byte(v.docIDs.String()), 0o644),
		os.WriteFile(filepath.Join(v.dir, queryIDsFile), []byte(v.queryIDs.String()), 0o644),
	)
	for _, f := range v.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
