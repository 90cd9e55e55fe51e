package langchaingo

import (
	"context"
	"errors"
	"testing"

	"github.com/tmc/langchaingo/chains"
	"github.com/tmc/langchaingo/embeddings"
	"github.com/tmc/langchaingo/llms/fake"
	"github.com/tmc/langchaingo/schema"
	"github.com/tmc/langchaingo/vectorstores"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
	"github.com/colbertdb-go/colbertdb/internal/adapter/adaptertest"
)

var ctx = context.Background()

func documents() (docs []schema.Document) {
	for _, d := range adaptertest.Documents {
		docs = append(docs, schema.Document{PageContent: d.Text, Metadata: map[string]any{"id": d.ID, "year": d.Year, "lang": d.Lang}})
	}
	return docs
}

func TestStore(t *testing.T) {
	adaptertest.Run(t, func(t *testing.T, db remote.Database, model encoder.Encoder) {
		s, err := New(ctx, db, adaptertest.Collection)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := s.AddDocuments(ctx, documents())
		if err != nil || len(ids) != len(adaptertest.Documents) || ids[adaptertest.Best] != "cat" {
			t.Fatal(ids, err)
		}
		all, err := s.SimilaritySearch(ctx, adaptertest.Query, 10)
		if err != nil || len(all) != len(ids) {
			t.Fatal(all, err)
		}
		// The scores are those of the model: the mean similarity, best first.
		rank, err := encoder.Rerank(ctx, model, adaptertest.Query, texts(), 0)
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range all {
			want := adaptertest.Documents[rank.Documents[i].Index]
			if d.PageContent != want.Text || d.Metadata["id"] != want.ID || d.Metadata["year"] != float64(want.Year) {
				t.Errorf("place %d is %+v, want %+v", i, d, want)
			}
			if diff := d.Score - rank.Documents[i].Similarity; diff > 0.01 || diff < -0.01 {
				t.Errorf("%v scores %v, want %v", d.Metadata["id"], d.Score, rank.Documents[i].Similarity)
			}
		}
		// A threshold keeps what is as good.
		limit := (all[1].Score + all[2].Score) / 2
		if got, err := s.SimilaritySearch(ctx, adaptertest.Query, 10, vectorstores.WithScoreThreshold(limit)); err != nil || len(got) != 2 {
			t.Errorf("above %v: %v, %v", limit, got, err)
		}
		// Filters in all their forms.
		parsed, err := engine.ParseFilter("year >= 2023")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []any{`lang = "de"`, parsed, map[string]any{"gte": map[string]any{"year": 2023}}} {
			if got, err := s.SimilaritySearch(ctx, adaptertest.Query, 10, vectorstores.WithFilters(f)); err != nil || len(got) != 1 || got[0].Metadata["id"] != "katze" {
				t.Errorf("filter %v: %v, %v", f, got, err)
			}
		}
		// Without ids a document is there once, however often it is added.
		plain := schema.Document{PageContent: "A lamp of brass."}
		first, err := s.AddDocuments(ctx, []schema.Document{plain, plain})
		if err != nil || len(first) != 2 || first[0] != first[1] {
			t.Fatal(first, err)
		}
		if again, err := s.AddDocuments(ctx, []schema.Document{plain}); err != nil || again[0] != first[0] {
			t.Error(again, err)
		}
		if got, err := s.SimilaritySearch(ctx, "brass lamp", 10); err != nil || len(got) != len(ids)+1 {
			t.Error(got, err)
		}
		skip := func(_ context.Context, d schema.Document) bool { return d.PageContent == "not this" }
		if got, err := s.AddDocuments(ctx, []schema.Document{{PageContent: "not this"}, plain}, vectorstores.WithDeduplicater(skip)); err != nil || len(got) != 1 {
			t.Error(got, err)
		}
		// By words: the model is not asked.
		words, err := New(ctx, db, adaptertest.Collection, WithMode(engine.ModeBM25))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := words.SimilaritySearch(ctx, "storm", 10); err != nil || len(got) != 1 || got[0].Metadata["id"] != "harbour" {
			t.Error(got, err)
		}
	})
}

func texts() (out []string) {
	for _, d := range adaptertest.Documents {
		out = append(out, d.Text)
	}
	return out
}

// Errors are the engine's, wherever the collection is, and a context ends a call.
func TestErrors(t *testing.T) {
	adaptertest.Run(t, func(t *testing.T, db remote.Database, _ encoder.Encoder) {
		if _, err := New(ctx, db, "none"); !errors.Is(err, engine.ErrCollectionNotFound) {
			t.Error(err)
		}
		s, err := New(ctx, db, adaptertest.Collection)
		if err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		search := func(ctx context.Context, k int, o ...vectorstores.Option) error {
			_, err := s.SimilaritySearch(ctx, "x", k, o...)
			return err
		}
		add := func(ctx context.Context, d schema.Document, o ...vectorstores.Option) error {
			_, err := s.AddDocuments(ctx, []schema.Document{d}, o...)
			return err
		}
		some := schema.Document{PageContent: "x"}
		embedder, err := embeddings.NewEmbedder(embeddings.EmbedderClientFunc(func(context.Context, []string) ([][]float32, error) { return nil, nil }))
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct{ got, want error }{
			"k":            {search(ctx, 0), engine.ErrInvalid},
			"threshold":    {search(ctx, 1, vectorstores.WithScoreThreshold(1.5)), engine.ErrInvalid},
			"filter":       {search(ctx, 1, vectorstores.WithFilters("year >")), engine.ErrFilter},
			"namespace":    {search(ctx, 1, vectorstores.WithNameSpace("none")), engine.ErrCollectionNotFound},
			"embedder":     {search(ctx, 1, vectorstores.WithEmbedder(embedder)), ErrUnsupported},
			"ended search": {search(ended, 1), context.Canceled},
			"ended write":  {add(ended, some), context.Canceled},
			"filter write": {add(ctx, some, vectorstores.WithFilters("x")), ErrUnsupported},
			"metadata":     {add(ctx, schema.Document{PageContent: "x", Metadata: map[string]any{"f": func() {}}}), engine.ErrInvalid},
		} {
			if !errors.Is(c.got, c.want) {
				t.Errorf("%s: %v, want %v", name, c.got, c.want)
			}
		}
	})
}

// The store under the host's retriever and in one of its chains.
func TestChain(t *testing.T) {
	adaptertest.Run(t, func(t *testing.T, db remote.Database, _ encoder.Encoder) {
		s, err := New(ctx, db, adaptertest.Collection)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.AddDocuments(ctx, documents()); err != nil {
			t.Fatal(err)
		}
		retriever := vectorstores.ToRetriever(s, 2, vectorstores.WithFilters(`lang = "en"`))
		docs, err := retriever.GetRelevantDocuments(ctx, adaptertest.Query)
		if err != nil || len(docs) != 2 || docs[0].Metadata["id"] != "cat" {
			t.Fatal(docs, err)
		}
		qa := chains.NewRetrievalQAFromLLM(fake.NewFakeLLM([]string{"On the windowsill."}), retriever)
		qa.ReturnSourceDocuments = true
		out, err := chains.Call(ctx, qa, map[string]any{"query": adaptertest.Query})
		if err != nil || out["text"] != "On the windowsill." || out["source_documents"].([]schema.Document)[0].PageContent != adaptertest.Documents[adaptertest.Best].Text {
			t.Errorf("%v, %v", out, err)
		}
	})
}

func TestDocumentation(t *testing.T) { adaptertest.Documented(t, "langchaingo") }
