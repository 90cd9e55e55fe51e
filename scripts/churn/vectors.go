package main

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/query/eval"
	"github.com/colbertdb-go/colbertdb/scripts/internal/beir"
)

// collection is the encoded part of a test collection that a run uses.
type collection struct {
	Name  string
	Model string // name and fingerprint of the encoder
	Docs  []doc
	Query []queryVectors
	Qrels eval.Qrels
}

type doc struct {
	ID  string
	F16 []byte // [tokens][dim] little-endian float16
}

func (d *doc) document(dim int) engine.Document {
	return engine.Document{ID: d.ID, Vectors: engine.MatrixFromF16(dim, d.F16)}
}

type queryVectors struct {
	ID      string
	Vectors engine.Matrix
	Weights []float32
}

// load returns a collection of at most limit documents, 0 for all, and the
// queries with judgments whose judged documents are all among them. It encodes once: the vectors are kept
// in the cache folder, with the name of the model that made them.
func load(ctx context.Context, data, cache, name, split string, limit int) (*collection, error) {
	path := filepath.Join(cache, fmt.Sprintf("%s-%s-%d.gob", name, split, limit))
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		c := new(collection)
		return c, gob.NewDecoder(bufio.NewReaderSize(f, 1<<20)).Decode(c)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	c, err := encode(ctx, filepath.Join(data, name), name, split, limit)
	if err != nil {
		return nil, err
	}
	return c, save(path, c)
}

func save(path string, c *collection) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err := errors.Join(gob.NewEncoder(w).Encode(c), w.Flush(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

func encode(ctx context.Context, dir, name, split string, limit int) (*collection, error) {
	qrels, err := eval.ReadQrelsFile(filepath.Join(dir, "qrels", split+".tsv"))
	if err != nil {
		return nil, err
	}
	docs, err := beir.Read(filepath.Join(dir, "corpus.jsonl"))
	if err != nil {
		return nil, err
	}
	queries, err := beir.Read(filepath.Join(dir, "queries.jsonl"))
	if err != nil {
		return nil, err
	}
	queries = slices.DeleteFunc(queries, func(q beir.Text) bool { return len(qrels[q.ID]) == 0 })
	judged := map[string]bool{}
	queries = slices.DeleteFunc(queries, func(q beir.Text) bool {
		if limit > 0 && len(judged)+len(qrels[q.ID]) > limit {
			delete(qrels, q.ID)
			return true
		}
		for id := range qrels[q.ID] {
			judged[id] = true
		}
		return false
	})
	// Judged documents first, then others at random, then all in a random order.
	r := rand.New(rand.NewPCG(1, 1))
	r.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
	slices.SortStableFunc(docs, func(a, b beir.Text) int { return rank(judged[a.ID]) - rank(judged[b.ID]) })
	if limit > 0 {
		docs = docs[:min(limit, len(docs))]
	}
	r.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })

	enc, err := bundled.Open()
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	info := enc.Info()
	c := &collection{Name: name, Qrels: qrels, Model: fmt.Sprintf("%s (%.12s)", info.Name, info.Fingerprint)}
	for part := range slices.Chunk(docs, 256) {
		out, err := enc.EncodeDocuments(ctx, beir.Texts(part))
		if err != nil {
			return nil, err
		}
		for i, d := range out {
			c.Docs = append(c.Docs, doc{ID: name + "/" + part[i].ID, F16: codec.AppendF16(nil, d.Vectors.Data)})
		}
		fmt.Fprintf(os.Stderr, "\r%s: %d of %d documents encoded", name, len(c.Docs), len(docs))
	}
	fmt.Fprintln(os.Stderr)
	for part := range slices.Chunk(queries, 256) {
		out, err := enc.EncodeQueries(ctx, beir.Texts(part))
		if err != nil {
			return nil, err
		}
		for i, q := range out {
			c.Query = append(c.Query, newQuery(name+"/"+part[i].ID, q))
		}
	}
	c.Qrels = eval.Qrels{}
	for q, list := range qrels {
		c.Qrels[name+"/"+q] = map[string]int{}
		for id, grade := range list {
			c.Qrels[name+"/"+q][name+"/"+id] = grade
		}
	}
	return c, nil
}

func newQuery(id string, q encoder.Query) queryVectors {
	return queryVectors{ID: id, Vectors: q.Vectors, Weights: q.Weights}
}

func rank(judged bool) int {
	if judged {
		return 0
	}
	return 1
}
