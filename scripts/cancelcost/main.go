// Command cancelcost measures how soon a search returns that is cancelled: from the
// cancelling to the return, at moments spread over the whole of the search, for each
// kind of search that takes long.
//
//	go run ./scripts/cancelcost [-tokens 1000000] [-times 40]
//
// The vectors are made of those that the bundled model gives the paragraphs of the
// documentation here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/resample"
)

func main() {
	tokens := flag.Int("tokens", 1_000_000, "token vectors stored")
	times := flag.Int("times", 40, "cancelled searches of each kind")
	flag.Parse()
	if err := run(*tokens, *times); err != nil {
		fmt.Fprintln(os.Stderr, "cancelcost:", err)
		os.Exit(1)
	}
}

// perDocument is the tokens of a document.
const perDocument = 70

func run(tokens, times int) (err error) {
	ctx := context.Background()
	model, err := bundled.Open()
	if err != nil {
		return err
	}
	defer model.Close()
	src, texts, err := source(ctx, model)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cancelcost-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	db, err := engine.Open(ctx, dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	col, err := db.CreateCollection(ctx, "c", engine.CollectionConfig{Encoder: model})
	if err != nil {
		return err
	}
	b, err := col.Bulk(ctx, engine.BulkOptions{})
	if err != nil {
		return err
	}
	defer b.Close()
	for i := range tokens / perDocument {
		d := src.Document(i)
		d.Text = texts[i%len(texts)]
		d.Attributes = fmt.Appendf(nil, `{"n":%d}`, i)
		if err := b.Add(ctx, d); err != nil {
			return err
		}
	}
	if err := b.Commit(ctx); err != nil {
		return err
	}
	if err := col.Compact(ctx); err != nil {
		return err
	}
	info := col.Info()
	fmt.Printf("%d documents, %d tokens, %d processors, %d cancelled searches of each kind\n\n", info.Documents, info.Tokens, runtime.NumCPU(), times)
	fmt.Println("| search | not cancelled | returns after: median | p99 | greatest |")
	fmt.Println("|---|---|---|---|---|")
	most, err := engine.ParseFilter("n >= 100")
	if err != nil {
		return err
	}
	query := texts[7]
	var batch []engine.SearchRequest
	for i := range 16 {
		batch = append(batch, engine.SearchRequest{Text: texts[i], Exact: true})
	}
	one := func(r engine.SearchRequest) func(context.Context) error {
		return func(ctx context.Context) error { _, err := col.Search(ctx, r); return err }
	}
	for _, k := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"exact, every document", one(engine.SearchRequest{Text: query, Exact: true})},
		{"effort full", one(engine.SearchRequest{Text: query, Effort: engine.EffortFull})},
		{"default, filter without an index", one(engine.SearchRequest{Text: query, Filter: most})},
		{"bm25", one(engine.SearchRequest{Text: query, Mode: engine.ModeBM25})},
		{"hybrid", one(engine.SearchRequest{Text: query, Mode: engine.ModeHybrid})},
		{"batch of 16, exact", func(ctx context.Context) error { _, err := col.SearchBatch(ctx, batch); return err }},
	} {
		whole, returns, err := measure(ctx, times, k.do)
		if err != nil {
			return fmt.Errorf("%s: %w", k.name, err)
		}
		at := func(q float64) time.Duration { return returns[min(int(q*float64(len(returns))), len(returns)-1)] }
		ms := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
		fmt.Printf("| %s | %s | %s | %s | %s |\n", k.name, ms(whole), ms(at(.5)), ms(at(.99)), ms(at(1)))
	}
	return nil
}

// measure returns the time of a search that is left alone, and of some that are
// cancelled the times from then to their returns, sorted.
func measure(ctx context.Context, times int, do func(context.Context) error) (whole time.Duration, returns []time.Duration, err error) {
	var alone []time.Duration
	for range 5 {
		start := time.Now()
		if err := do(ctx); err != nil {
			return 0, nil, err
		}
		alone = append(alone, time.Since(start))
	}
	slices.Sort(alone)
	whole = alone[len(alone)/2]
	r := rand.New(rand.NewPCG(1, 2))
	for range times {
		ctx, cancel := context.WithCancel(ctx)
		returned := make(chan error, 1)
		go func() { returned <- do(ctx) }()
		time.Sleep(time.Duration(r.Float64() * float64(whole)))
		start := time.Now()
		cancel()
		if err := <-returned; err != nil && !errors.Is(err, context.Canceled) {
			return 0, nil, err
		}
		returns = append(returns, time.Since(start)) // also of one that was done
	}
	slices.Sort(returns)
	return whole, returns, nil
}

// source makes documents of the vectors of paragraphs, and returns their texts.
func source(ctx context.Context, model encoder.Encoder) (*resample.Source, []string, error) {
	files, err := filepath.Glob("docs/*.md")
	if err != nil {
		return nil, nil, err
	}
	var texts []string
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, nil, err
		}
		for p := range strings.SplitSeq(string(b), "\n\n") {
			if p = strings.TrimSpace(p); len(p) > 200 && len(p) < 1500 && len(texts) < 400 {
				texts = append(texts, p)
			}
		}
	}
	var all encoder.Matrix
	for part := range slices.Chunk(texts, 32) {
		docs, err := model.EncodeDocuments(ctx, part)
		if err != nil {
			return nil, nil, err
		}
		for _, d := range docs {
			all.Dim = d.Vectors.Dim
			all.Data = append(all.Data, d.Vectors.Data...)
		}
	}
	src, err := resample.New(all, perDocument)
	return src, texts, err
}
