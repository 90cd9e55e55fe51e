// Command bulkload measures bulk loads: documents a second, memory and bytes
// written, for synthetic documents made of real token vectors. docs/benchmarks.md
// has its figures.
//
//	go run ./scripts/bulkload -data DIR [-documents 1000000] [-tokens 70] [-profile exact] [-upserts | -compare] [-dir STORE] [-search 20]
//
// With -search it then opens the store anew and measures what searches take, in
// time and memory, and what they find (search.go). A folder that holds the whole
// load already is measured alone.
//
// DIR has emb/docs_recon.f16, [vectors][128] float16. Every token is one of them
// moved by noise of 0.4 of its length; a document's tokens come from one place.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"time"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/bytecount"
	"github.com/colbertdb-go/colbertdb/internal/resample"
)

const dim = 128

func main() {
	data := flag.String("data", "", "folder with emb/docs_recon.f16")
	documents := flag.Int("documents", 1_000_000, "documents to load")
	tokens := flag.Int("tokens", 70, "token vectors of each")
	profile := flag.String("profile", "exact", "exact, balanced or compact")
	expected := flag.Int("expected", 0, "documents that the load says it brings, to measure the beginning of a longer one. Default: -documents")
	upserts := flag.Bool("upserts", false, "store by Upsert in batches of 100 instead, compacting at the end")
	compare := flag.Bool("compare", false, "do both, one after the other")
	heap := flag.String("heap", "", "file for a heap profile of the end of the load. Default: none")
	dir := flag.String("dir", "", "where the store is made. Default: a temporary folder, removed afterwards")
	searches := flag.Int("search", 0, "queries to measure afterwards. Default: none")
	recall := flag.Bool("recall", true, "with -search: scan all documents for what should be found")
	effort := flag.String("effort", "default", "of the searches: fast, default, high or full")
	budget := flag.Int64("budget", 256, "memory budget of the store, MiB")
	flag.Parse()
	m := measurement{
		dir: *dir, profile: *profile, documents: *documents, expected: max(*documents, *expected),
		upserts: *upserts, heap: *heap, searches: *searches, recall: *recall, budget: *budget << 20,
	}
	var err error
	if m.effort, err = engine.ParseEffort(*effort); err == nil {
		err = m.run(context.Background(), *data, *tokens, *compare)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bulkload:", err)
		os.Exit(1)
	}
}

// measurement is what is asked for.
type measurement struct {
	dir, profile        string
	documents, expected int
	upserts             bool
	heap                string
	searches            int
	recall              bool
	effort              engine.Effort
	budget              int64
	src                 *resample.Source
}

func (m *measurement) run(ctx context.Context, data string, tokens int, compare bool) (err error) {
	if m.src, err = newSource(data, tokens); err != nil {
		return err
	}
	if m.dir == "" {
		if m.dir, err = os.MkdirTemp("", "bulkload-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(m.dir)) }()
	}
	if compare {
		return m.compare(ctx)
	}
	if err := m.store(ctx); err != nil || m.searches == 0 {
		return err
	}
	return m.search(ctx, filepath.Join(data, "emb", "queries.f32"))
}

// compare loads and upserts the same documents.
func (m *measurement) compare(ctx context.Context) error {
	dir := m.dir
	var took [2]time.Duration
	for i, upserts := range []bool{false, true} {
		m.upserts, m.dir = upserts, filepath.Join(dir, fmt.Sprint(i))
		start := time.Now()
		if err := m.store(ctx); err != nil {
			return err
		}
		took[i] = time.Since(start)
	}
	fmt.Printf("the load is %.2f times as fast\n", took[1].Seconds()/took[0].Seconds())
	return nil
}

// store loads or upserts the documents.
func (m *measurement) store(ctx context.Context) (err error) {
	p, err := engine.ParseProfile(m.profile)
	if err != nil {
		return err
	}
	fs := bytecount.OS()
	db, err := engine.Open(ctx, m.dir, &engine.Options{FS: fs, MemoryBudget: m.budget})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	col, err := db.CreateCollection(ctx, "load", engine.CollectionConfig{Dim: dim, Profile: p})
	if err != nil {
		return err
	}
	if col.Info().Documents == int64(m.documents) {
		return nil
	}
	start := time.Now()
	if m.upserts {
		err = upsert(ctx, col, m.src, m.documents)
	} else {
		err = m.load(ctx, col, start)
	}
	if err != nil {
		return err
	}
	took := time.Since(start)
	raw := float64(m.src.Raw(m.documents))
	info := col.Info()
	fmt.Printf("%s, upserts %t: %d documents of %d tokens in %.0f s, %.0f documents a second; peak RSS %d MB; %d segments, %.0f bytes a token; written %.2f × the float16 vectors\n",
		m.profile, m.upserts, info.Documents, m.src.Tokens, took.Seconds(), float64(m.documents)/took.Seconds(), rss("VmHWM")>>20,
		info.Segments, float64(info.Bytes)/float64(info.Tokens), float64(fs.Written())/raw)
	return nil
}

func (m *measurement) load(ctx context.Context, col *engine.Collection, start time.Time) error {
	b, err := col.Bulk(ctx, engine.BulkOptions{
		Token: "bulkload", ExpectedTokens: int64(m.expected) * int64(m.src.Tokens),
		OnPublish: func(p engine.BulkProgress) {
			var mem runtime.MemStats
			runtime.ReadMemStats(&mem)
			fmt.Fprintf(os.Stderr, "%6.0f s: %d documents, RSS %d MB, peak %d MB, live after the last collection %d MB\n", time.Since(start).Seconds(),
				p.Documents, rss("VmRSS")>>20, rss("VmHWM")>>20, mem.NextGC*100/200>>20)
		},
	})
	if err != nil {
		return err
	}
	defer b.Close()
	for i := int(b.Documents()); i < m.documents; i++ {
		if err := b.Add(ctx, m.src.Document(i)); err != nil {
			return err
		}
	}
	if err := b.Commit(ctx); err != nil || m.heap == "" {
		return err
	}
	f, err := os.Create(m.heap)
	if err != nil {
		return err
	}
	runtime.GC()
	return errors.Join(pprof.WriteHeapProfile(f), f.Close())
}

func upsert(ctx context.Context, col *engine.Collection, src *resample.Source, n int) error {
	for i := 0; i < n; i += 100 {
		var batch []engine.Document
		for j := i; j < min(i+100, n); j++ {
			batch = append(batch, src.Document(j))
		}
		if _, err := col.Upsert(ctx, batch...); err != nil {
			return err
		}
	}
	return col.Compact(ctx)
}

// newSource reads the vectors that documents are made of.
func newSource(data string, tokens int) (*resample.Source, error) {
	b, err := os.ReadFile(filepath.Join(data, "emb", "docs_recon.f16"))
	if err != nil {
		return nil, err
	}
	return resample.New(engine.MatrixFromF16(dim, b), tokens)
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
