package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/query/eval"
	"github.com/colbertdb-go/colbertdb/scripts/internal/beir"
)

type item struct {
	id, text string
	vectors  engine.Matrix
	weights  []float32 // of a query
}

type collection struct {
	name, split   string
	judgments     string // the file
	dim           int
	docs, queries []item
	qrels         eval.Qrels // of the queries
}

func (c *collection) tokens() (n int) {
	for _, d := range c.docs {
		n += d.vectors.Len()
	}
	return n
}

// load reads a collection and encodes it; at most limit queries are taken, evenly
// spread, 0 for all.
func load(ctx context.Context, enc encoder.Encoder, dir, split, cache string, limit int) (*collection, error) {
	c := &collection{name: filepath.Base(dir), split: split, judgments: filepath.Join(dir, "qrels", split+".tsv"), dim: enc.Info().Dim}
	qrels, err := eval.ReadQrelsFile(c.judgments)
	if err != nil {
		return nil, err
	}
	if c.docs, err = items(filepath.Join(dir, "corpus.jsonl")); err != nil {
		return nil, err
	}
	c.docs = slices.DeleteFunc(c.docs, func(d item) bool { return d.text == "" })
	if c.queries, err = items(filepath.Join(dir, "queries.jsonl")); err != nil {
		return nil, err
	}
	c.queries = slices.DeleteFunc(c.queries, func(q item) bool { return len(qrels[q.id]) == 0 })
	if limit > 0 && len(c.queries) > limit {
		var some []item
		for i := range limit {
			some = append(some, c.queries[i*len(c.queries)/limit])
		}
		c.queries = some
	}
	c.qrels = eval.Qrels{}
	for _, q := range c.queries {
		c.qrels[q.id] = qrels[q.id]
	}
	if err := c.encodeDocuments(ctx, enc, cache); err != nil {
		return nil, err
	}
	for batch := range slices.Chunk(c.queries, 256) {
		out, err := enc.EncodeQueries(ctx, texts(batch))
		if err != nil {
			return nil, err
		}
		for i, q := range out {
			batch[i].vectors, batch[i].weights = q.Vectors, q.Weights
		}
	}
	return c, nil
}

// encodeDocuments encodes, or reads what an earlier call with this model kept.
func (c *collection) encodeDocuments(ctx context.Context, enc encoder.Encoder, cache string) error {
	path := filepath.Join(cache, c.name+"-"+enc.Info().Fingerprint[:12]+".gob")
	if cache != "" {
		kept, err := read(path)
		if err == nil && len(kept) == len(c.docs) {
			for i, raw := range kept {
				c.docs[i].vectors = engine.Matrix{Dim: c.dim, Data: make([]float32, len(raw)/4)}
				if _, err := binary.Decode(raw, binary.LittleEndian, c.docs[i].vectors.Data); err != nil {
					return err
				}
			}
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for batch := range slices.Chunk(c.docs, 512) {
		out, err := enc.EncodeDocuments(ctx, texts(batch))
		if err != nil {
			return err
		}
		for i, d := range out {
			batch[i].vectors = d.Vectors
		}
	}
	if cache == "" {
		return nil
	}
	var keep [][]byte
	for _, d := range c.docs {
		raw, err := binary.Append(nil, binary.LittleEndian, d.vectors.Data)
		if err != nil {
			return err
		}
		keep = append(keep, raw)
	}
	return write(path, keep)
}

func read(path string) (out [][]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return out, gob.NewDecoder(bufio.NewReaderSize(f, 1<<20)).Decode(&out)
}

func write(path string, vectors [][]byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.Create(path + ".tmp")
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	if err := errors.Join(gob.NewEncoder(w).Encode(vectors), w.Flush(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

func texts(items []item) []string {
	out := make([]string, len(items))
	for i, d := range items {
		out[i] = d.text
	}
	return out
}

// items reads a corpus or queries.
func items(path string) (out []item, err error) {
	rows, err := beir.Read(path)
	for _, r := range rows {
		out = append(out, item{id: r.ID, text: r.Text})
	}
	return out, err
}
