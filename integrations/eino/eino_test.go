package eino

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/cloudwego/eino/callbacks"
	"github.com/cloudwego/eino/components/embedding"
	"github.com/cloudwego/eino/components/indexer"
	"github.com/cloudwego/eino/components/retriever"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
	"github.com/colbertdb-go/colbertdb/internal/adapter/adaptertest"
)

var ctx = context.Background()

func documents() (docs []*schema.Document) {
	for _, d := range adaptertest.Documents {
		docs = append(docs, &schema.Document{ID: d.ID, Content: d.Text, MetaData: map[string]any{"year": d.Year, "lang": d.Lang}})
	}
	docs[0].WithScore(0.5).WithDenseVector([]float64{1}) // the host's, not to be stored
	return docs
}

// both returns the components over a database, with the documents stored.
func both(t *testing.T, db remote.Database, c RetrieverConfig) (*Indexer, *Retriever) {
	t.Helper()
	c.Database, c.Collection = db, adaptertest.Collection
	i, err := NewIndexer(ctx, &IndexerConfig{Database: db, Collection: adaptertest.Collection})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := i.Store(ctx, documents())
	if err != nil || len(ids) != len(adaptertest.Documents) || ids[adaptertest.Best] != "cat" {
		t.Fatal(ids, err)
	}
	r, err := NewRetriever(ctx, &c)
	if err != nil {
		t.Fatal(err)
	}
	return i, r
}

func TestComponents(t *testing.T) {
	adaptertest.Run(t, func(t *testing.T, db remote.Database, model encoder.Encoder) {
		i, r := both(t, db, RetrieverConfig{TopK: 10})
		all, err := r.Retrieve(ctx, adaptertest.Query)
		if err != nil || len(all) != len(adaptertest.Documents) {
			t.Fatal(all, err)
		}
		var texts []string
		for _, d := range adaptertest.Documents {
			texts = append(texts, d.Text)
		}
		rank, err := encoder.Rerank(ctx, model, adaptertest.Query, texts, 0)
		if err != nil {
			t.Fatal(err)
		}
		for n, d := range all {
			want := adaptertest.Documents[rank.Documents[n].Index]
			if d.ID != want.ID || d.Content != want.Text || d.MetaData["year"] != float64(want.Year) || d.DenseVector() != nil {
				t.Errorf("place %d is %+v, want %+v", n, d, want)
			}
			if diff := d.Score() - float64(rank.Documents[n].Similarity); diff > 0.01 || diff < -0.01 {
				t.Errorf("%s scores %v, want %v", d.ID, d.Score(), rank.Documents[n].Similarity)
			}
		}
		for name, c := range map[string]struct {
			o    retriever.Option
			want []string
		}{
			"top k":     {retriever.WithTopK(1), []string{"cat"}},
			"threshold": {retriever.WithScoreThreshold((all[1].Score() + all[2].Score()) / 2), []string{all[0].ID, all[1].ID}},
			"text":      {WithFilter(`lang = "de"`), []string{"katze"}},
			"map":       {WithFilter(map[string]any{"gte": map[string]any{"year": 2023}}), []string{"katze"}},
			"index":     {retriever.WithIndex(adaptertest.Collection), ids(all)},
		} {
			if got, err := r.Retrieve(ctx, adaptertest.Query, c.o); err != nil || !slices.Equal(ids(got), c.want) {
				t.Errorf("%s: %v, %v; want %v", name, ids(got), err, c.want)
			}
		}
		plain := &schema.Document{Content: "A lamp of brass."}
		first, err := i.Store(ctx, []*schema.Document{plain})
		if err != nil || first[0] == "" {
			t.Fatal(first, err)
		}
		if again, err := i.Store(ctx, []*schema.Document{plain}); err != nil || again[0] != first[0] {
			t.Error(again, err)
		}
	})
}

func ids(docs []*schema.Document) (out []string) {
	for _, d := range docs {
		out = append(out, d.ID)
	}
	return out
}

// Errors are the engine's, wherever the collection is, and a context ends a call.
func TestErrors(t *testing.T) {
	adaptertest.Run(t, func(t *testing.T, db remote.Database, _ encoder.Encoder) {
		i, r := both(t, db, RetrieverConfig{})
		_, none := NewRetriever(ctx, &RetrieverConfig{Database: db, Collection: "none"})
		_, noDatabase := NewIndexer(ctx, &IndexerConfig{Collection: "notes"})
		ended, cancel := context.WithCancel(ctx)
		cancel()
		search := func(ctx context.Context, o ...retriever.Option) error {
			_, err := r.Retrieve(ctx, "x", o...)
			return err
		}
		store := func(ctx context.Context, d *schema.Document, o ...indexer.Option) error {
			_, err := i.Store(ctx, []*schema.Document{d}, o...)
			return err
		}
		some := &schema.Document{Content: "x"}
		for name, c := range map[string]struct{ got, want error }{
			"collection":   {none, engine.ErrCollectionNotFound},
			"database":     {noDatabase, engine.ErrInvalid},
			"k":            {search(ctx, retriever.WithTopK(-1)), engine.ErrInvalid},
			"threshold":    {search(ctx, retriever.WithScoreThreshold(1.5)), engine.ErrInvalid},
			"filter":       {search(ctx, WithFilter("year >")), engine.ErrFilter},
			"index":        {search(ctx, retriever.WithIndex("none")), engine.ErrCollectionNotFound},
			"sub-index":    {search(ctx, retriever.WithSubIndex("x")), ErrUnsupported},
			"embedder":     {search(ctx, retriever.WithEmbedding(noEmbedder{})), ErrUnsupported},
			"ended search": {search(ended), context.Canceled},
			"ended write":  {store(ended, some), context.Canceled},
			"sub-indexes":  {store(ctx, some, indexer.WithSubIndexes([]string{"x"})), ErrUnsupported},
			"nil":          {store(ctx, nil), engine.ErrInvalid},
			"metadata":     {store(ctx, &schema.Document{Content: "x", MetaData: map[string]any{"f": func() {}}}), engine.ErrInvalid},
		} {
			if !errors.Is(c.got, c.want) {
				t.Errorf("%s: %v, want %v", name, c.got, c.want)
			}
		}
	})
}

type noEmbedder struct{}

func (noEmbedder) EmbedStrings(context.Context, []string, ...embedding.Option) ([][]float64, error) {
	return nil, nil
}

// The components as nodes of a graph of the host's, with its callbacks.
func TestGraph(t *testing.T) {
	adaptertest.Run(t, func(t *testing.T, db remote.Database, _ encoder.Encoder) {
		_, r := both(t, db, RetrieverConfig{TopK: 2, Filter: `lang = "en"`})
		chain := compose.NewChain[string, string]()
		chain.AppendRetriever(r).AppendLambda(compose.InvokableLambda(func(_ context.Context, docs []*schema.Document) (string, error) {
			return docs[0].Content, nil
		}))
		run, err := chain.Compile(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var seen []string
		note := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, s)
		}
		handler := callbacks.NewHandlerBuilder().
			OnStartFn(func(ctx context.Context, info *callbacks.RunInfo, in callbacks.CallbackInput) context.Context {
				if c := retriever.ConvCallbackInput(in); info.Type == "ColBERTDB" && c != nil {
					note("asked " + c.Query + " " + c.Filter)
				}
				return ctx
			}).
			OnEndFn(func(ctx context.Context, info *callbacks.RunInfo, out callbacks.CallbackOutput) context.Context {
				if c := retriever.ConvCallbackOutput(out); info.Type == "ColBERTDB" && c != nil {
					note("found " + c.Docs[0].ID)
				}
				return ctx
			}).Build()
		got, err := run.Invoke(ctx, adaptertest.Query, compose.WithCallbacks(handler))
		if err != nil || got != adaptertest.Documents[adaptertest.Best].Text {
			t.Errorf("%q, %v", got, err)
		}
		if want := []string{"asked " + adaptertest.Query + ` lang = "en"`, "found cat"}; !slices.Equal(seen, want) {
			t.Errorf("callbacks %q, want %q", seen, want)
		}
	})
}

func TestDocumentation(t *testing.T) { adaptertest.Documented(t, "Eino") }
