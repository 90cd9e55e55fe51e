// Command bulkload measures bulk loads: documents a second, memory and bytes
// written, for synthetic documents made of real token vectors. docs/benchmarks.md
// has its figures.
//
//	go run ./scripts/bulkload -data DIR [-documents 1000000] [-tokens 70] [-profile exact] [-upserts] [-dir STORE]
//
// DIR has emb/docs_recon.f16, [vectors][128] float16. Every token is one of them
// moved by noise of 0.4 of its length; a document's tokens come from one place.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/bytecount"
)

const dim = 128

func main() {
	data := flag.String("data", "", "folder with emb/docs_recon.f16")
	documents := flag.Int("documents", 1_000_000, "documents to load")
	tokens := flag.Int("tokens", 70, "token vectors of each")
	profile := flag.String("profile", "exact", "exact, balanced or compact")
	expected := flag.Int("expected", 0, "documents that the load says it brings, to measure the beginning of a longer one. Default: -documents")
	upserts := flag.Bool("upserts", false, "store by Upsert in batches of 100 instead")
	dir := flag.String("dir", "", "where the store is made. Default: a temporary folder, removed afterwards")
	flag.Parse()
	if err := run(context.Background(), *data, *dir, *profile, *documents, *tokens, max(*documents, *expected), *upserts); err != nil {
		fmt.Fprintln(os.Stderr, "bulkload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, data, dir, profile string, documents, tokens, expected int, upserts bool) (err error) {
	p, err := engine.ParseProfile(profile)
	if err != nil {
		return err
	}
	src, err := newSource(data, tokens)
	if err != nil {
		return err
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "bulkload-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	fs := bytecount.OS()
	db, err := engine.Open(ctx, dir, &engine.Options{FS: fs, MemoryBudget: 256 << 20})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	col, err := db.CreateCollection(ctx, "load", engine.CollectionConfig{Dim: dim, Profile: p})
	if err != nil {
		return err
	}
	start := time.Now()
	if upserts {
		err = upsert(ctx, col, src, documents)
	} else {
		err = load(ctx, col, src, documents, expected, start)
	}
	if err != nil {
		return err
	}
	took := time.Since(start)
	raw := float64(documents) * float64(tokens) * dim * 2
	info := col.Info()
	fmt.Printf("%s, upserts %t: %d documents of %d tokens in %.0f s, %.0f documents a second; peak RSS %d MB; %d segments, %.0f bytes a token; written %.2f × the float16 vectors\n",
		profile, upserts, info.Documents, tokens, took.Seconds(), float64(documents)/took.Seconds(), rss("VmHWM")>>20,
		info.Segments, float64(info.Bytes)/float64(info.Tokens), float64(fs.Written())/raw)
	return nil
}

func load(ctx context.Context, col *engine.Collection, src *source, n, expected int, start time.Time) error {
	b, err := col.Bulk(ctx, engine.BulkOptions{
		Token: "bulkload", ExpectedTokens: int64(expected) * int64(src.tokens),
		OnPublish: func(p engine.BulkProgress) {
			fmt.Fprintf(os.Stderr, "%6.0f s: %d documents, RSS %d MB, peak %d MB\n", time.Since(start).Seconds(), p.Documents, rss("VmRSS")>>20, rss("VmHWM")>>20)
		},
	})
	if err != nil {
		return err
	}
	defer b.Close()
	for i := int(b.Documents()); i < n; i++ {
		if err := b.Add(ctx, src.document(i)); err != nil {
			return err
		}
	}
	return b.Commit(ctx)
}

func upsert(ctx context.Context, col *engine.Collection, src *source, n int) error {
	for i := 0; i < n; i += 100 {
		var batch []engine.Document
		for j := i; j < min(i+100, n); j++ {
			batch = append(batch, src.document(j))
		}
		if _, err := col.Upsert(ctx, batch...); err != nil {
			return err
		}
	}
	return col.Compact(ctx)
}

// source makes documents; the same for the same number.
type source struct {
	tokens  int
	vectors engine.Matrix
	noise   []float32
}

func newSource(data string, tokens int) (*source, error) {
	b, err := os.ReadFile(filepath.Join(data, "emb", "docs_recon.f16"))
	if err != nil {
		return nil, err
	}
	s := &source{tokens: tokens, vectors: engine.MatrixFromF16(dim, b), noise: make([]float32, 1<<20)}
	if s.vectors.Len() < tokens {
		return nil, fmt.Errorf("%s has %d vectors, a document needs %d", data, s.vectors.Len(), tokens)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range s.noise {
		s.noise[i] = 0.4 * float32(r.NormFloat64()/math.Sqrt(dim))
	}
	return s, nil
}

func (s *source) document(i int) engine.Document {
	r := rand.New(rand.NewPCG(7, uint64(i)))
	at := r.IntN(s.vectors.Len() - s.tokens + 1)
	m := engine.Matrix{Dim: dim, Data: make([]float32, s.tokens*dim)}
	for t := range s.tokens {
		row, noise := m.Row(t), s.noise[r.IntN(len(s.noise)-dim):]
		for d, x := range s.vectors.Row(at + t) {
			row[d] = x + noise[d]
		}
	}
	return engine.Document{ID: fmt.Sprintf("doc-%07d", i), Vectors: m}
}

var warned atomic.Bool

// rss is a figure of the process's memory, in bytes: VmRSS now, VmHWM at most.
func rss(name string) int64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		if !warned.Swap(true) {
			fmt.Fprintln(os.Stderr, "bulkload: no memory figures:", err)
		}
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var kb int64
		if _, err := fmt.Sscanf(line, name+": %d kB", &kb); err == nil {
			return kb << 10
		}
	}
	return 0
}
