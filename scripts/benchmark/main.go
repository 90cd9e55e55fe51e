// Command benchmark measures what colbertdb bench does not: with -filters searches
// that are restricted to a share of the documents, with -batches batches of searches
// against single ones. docs/benchmarks.md has its output.
//
//	go run ./scripts/benchmark -data DIR [-split test] [-queries 100] [-resample 20000 [-tokens 30]] -filters | -batches
package main

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/query/eval"
	"github.com/colbertdb-go/colbertdb/scripts/internal/beir"
)

const k = 10

type item struct {
	id, text string
	vectors  engine.Matrix
	weights  []float32 // of a query

	source     int // of a resampled document: the place of the real one
	attributes []byte
}

func main() {
	data := flag.String("data", "", "folder in BEIR layout; with emb/docs_recon.f16 its vectors are taken instead of the model's")
	split := flag.String("split", "test", "qrels to take")
	limit := flag.Int("queries", 100, "queries to measure, at most")
	resample := flag.Int("resample", 0, "measure so many synthetic documents instead, resampled from the real ones with noise")
	tokens := flag.Int("tokens", 0, "cut resampled documents to so many tokens; 0: not")
	filtering := flag.Bool("filters", false, "measure searches with filters")
	batching := flag.Bool("batches", false, "measure batches of searches")
	flag.Parse()
	if *filtering == *batching {
		fmt.Fprintln(os.Stderr, "benchmark: give -filters or -batches; colbertdb bench measures plain searches")
		os.Exit(2)
	}
	if err := run(context.Background(), *data, *split, *limit, *resample, *tokens, *batching); err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, split string, limit, resample, cut int, batching bool) error {
	docs, queries, err := load(ctx, dir)
	if err != nil {
		return err
	}
	qrels, err := eval.ReadQrelsFile(filepath.Join(dir, "qrels", split+".tsv"))
	if err != nil {
		return err
	}
	queries = slices.DeleteFunc(queries, func(q item) bool { return len(qrels[q.id]) == 0 })
	queries = queries[:min(limit, len(queries))]
	name := filepath.Base(dir)
	sources := len(docs)
	for i := range docs {
		docs[i].source = i
	}
	if resample > 0 {
		docs = resampled(docs, resample, cut)
		name = fmt.Sprintf("%s resampled to %d (synthetic)", name, resample)
	}
	tokens := 0
	for _, d := range docs {
		tokens += d.vectors.Len()
	}
	fmt.Printf("%s: %d documents, %d token vectors, %d queries; %s, %d cores, %s\n\n", name, len(docs), tokens, len(queries), runtime.GOARCH, runtime.GOMAXPROCS(0), runtime.Version())
	if batching {
		return batches(ctx, docs, queries)
	}
	return filters(ctx, docs, queries, sources)
}

func build(ctx context.Context, db *engine.Engine, docs []item, cfg engine.CollectionConfig) (*engine.Collection, error) {
	col, err := db.CreateCollection(ctx, "bench", cfg)
	if err != nil {
		return nil, err
	}
	for batch := range slices.Chunk(docs, 200) {
		b := make([]engine.Document, len(batch))
		for i, d := range batch {
			b[i] = engine.Document{ID: d.id, Vectors: d.vectors, Attributes: d.attributes}
		}
		if _, err := col.Upsert(ctx, b...); err != nil {
			return nil, err
		}
	}
	return col, col.Compact(ctx)
}

func ms(t []time.Duration, q float64) float64 {
	s := slices.Sorted(slices.Values(t))
	return float64(s[int(q*float64(len(s)-1))]) / 1e6
}

// resampled makes n documents: each a real one whose vectors are moved at random,
// or cut neighbouring ones of them.
func resampled(docs []item, n, cut int) []item {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]item, n)
	for i := range out {
		source := r.IntN(len(docs))
		from := docs[source]
		m := engine.Matrix{Dim: from.vectors.Dim, Data: from.vectors.Data}
		if n := m.Len(); cut > 0 && cut < n {
			at := r.IntN(n - cut + 1)
			m.Data = m.Data[at*m.Dim : (at+cut)*m.Dim]
		}
		m.Data = slices.Clone(m.Data)
		for j := range m.Data {
			m.Data[j] += 0.4 * float32(r.NormFloat64()/math.Sqrt(float64(m.Dim)))
		}
		out[i] = item{id: fmt.Sprintf("%s#%d", from.id, i), vectors: m.Normalized(), source: source}
	}
	return out
}

// load reads documents and queries and encodes them, or takes real vectors.
func load(ctx context.Context, dir string) (docs, queries []item, err error) {
	if docs, err = items(filepath.Join(dir, "corpus.jsonl")); err != nil {
		return nil, nil, err
	}
	if queries, err = items(filepath.Join(dir, "queries.jsonl")); err != nil {
		return nil, nil, err
	}
	emb := filepath.Join(dir, "emb")
	if _, err := os.Stat(filepath.Join(emb, "docs_recon.f16")); err == nil {
		return docs, queries, vectors(emb, docs, queries)
	}
	enc, err := bundled.Open()
	if err != nil {
		return nil, nil, err
	}
	defer enc.Close()
	start, tokens := time.Now(), 0
	err = encode(docs, func(texts []string) ([]engine.Matrix, error) {
		out, err := enc.EncodeDocuments(ctx, texts)
		return matrices(out, func(d encoder.Document) engine.Matrix { tokens += d.Vectors.Len(); return d.Vectors }), err
	})
	if err != nil {
		return nil, nil, err
	}
	fmt.Printf("encoded %d document tokens, %.0f a second\n", tokens, float64(tokens)/time.Since(start).Seconds())
	at := 0
	return docs, queries, encode(queries, func(texts []string) ([]engine.Matrix, error) {
		out, err := enc.EncodeQueries(ctx, texts)
		return matrices(out, func(q encoder.Query) engine.Matrix {
			queries[at].weights = q.Weights
			at++
			return q.Vectors
		}), err
	})
}

func matrices[T any](in []T, f func(T) engine.Matrix) (out []engine.Matrix) {
	for _, x := range in {
		out = append(out, f(x))
	}
	return out
}

// encode fills in the vectors of items.
func encode(all []item, f func([]string) ([]engine.Matrix, error)) error {
	for batch := range slices.Chunk(all, 256) {
		texts := make([]string, len(batch))
		for i := range batch {
			texts[i] = batch[i].text
		}
		m, err := f(texts)
		if err != nil {
			return err
		}
		for i := range m {
			batch[i].vectors = m[i]
		}
	}
	return nil
}

// items reads a corpus or queries.
func items(path string) ([]item, error) {
	texts, err := beir.Read(path)
	out := make([]item, len(texts))
	for i, t := range texts {
		out[i] = item{id: t.ID, text: t.Text}
	}
	return out, err
}

// vectors reads the token vectors of a ColBERT model that lie beside a
// collection: docs_recon.f16 and doclens.i32, queries.f32 of 32 tokens each.
func vectors(dir string, docs, queries []item) error {
	const dim, queryTokens = 128, 32
	recon, err := os.ReadFile(filepath.Join(dir, "docs_recon.f16"))
	if err != nil {
		return err
	}
	lens, err := os.ReadFile(filepath.Join(dir, "doclens.i32"))
	if err != nil {
		return err
	}
	for i := range docs {
		n := 2 * dim * int(binary.LittleEndian.Uint32(lens[4*i:]))
		docs[i].vectors = engine.MatrixFromF16(dim, recon[:n])
		recon = recon[n:]
	}
	q, err := os.ReadFile(filepath.Join(dir, "queries.f32"))
	if err != nil {
		return err
	}
	for i := range queries {
		m := engine.Matrix{Dim: dim, Data: make([]float32, queryTokens*dim)}
		for j := range m.Data {
			m.Data[j] = math.Float32frombits(binary.LittleEndian.Uint32(q[4*(i*len(m.Data)+j):]))
		}
		queries[i].vectors = m
	}
	return nil
}
