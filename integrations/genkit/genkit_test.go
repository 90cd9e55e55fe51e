package genkit

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/firebase/genkit/go/ai"
	"github.com/firebase/genkit/go/core/api"
	"github.com/firebase/genkit/go/genkit"

	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
	"github.com/colbertdb-go/colbertdb/internal/adapter/adaptertest"
)

var ctx = context.Background()

func documents() (docs []*ai.Document) {
	for _, d := range adaptertest.Documents {
		docs = append(docs, ai.DocumentFromText(d.Text, map[string]any{"id": d.ID, "year": d.Year, "lang": d.Lang}))
	}
	return docs
}

// initialised is a Genkit with the plugin, whose collection has the documents.
func initialised(t *testing.T, db remote.Database, model encoder.Encoder, c Config) (*genkit.Genkit, *Docstore, ai.Retriever) {
	t.Helper()
	p := &Plugin{Database: db}
	if _, server := db.(*remote.Client); !server {
		p.Encoder = model
	}
	g := genkit.Init(ctx, genkit.WithPlugins(p))
	c.Collection = adaptertest.Collection
	ds, r, err := DefineRetriever(ctx, g, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ds.Index(ctx, documents()...)
	if err != nil || len(ids) != len(adaptertest.Documents) || ids[adaptertest.Best] != "cat" {
		t.Fatal(ids, err)
	}
	return g, ds, r
}

func ids(docs []*ai.Document) (out []string) {
	for _, d := range docs {
		out = append(out, d.Metadata[MetadataID].(string))
	}
	return out
}

func TestPlugin(t *testing.T) {
	adaptertest.Run(t, func(t *testing.T, db remote.Database, model encoder.Encoder) {
		g, ds, r := initialised(t, db, model, Config{K: 10})
		retrieve := func(o ...ai.RetrieverOption) []*ai.Document {
			t.Helper()
			resp, err := genkit.Retrieve(ctx, g, append(o, ai.WithRetriever(r), ai.WithTextDocs(adaptertest.Query))...)
			if err != nil {
				t.Fatal(err)
			}
			return resp.Documents
		}
		var texts []string
		for _, d := range adaptertest.Documents {
			texts = append(texts, d.Text)
		}
		rank, err := encoder.Rerank(ctx, model, adaptertest.Query, texts, 0)
		if err != nil {
			t.Fatal(err)
		}
		near := func(got float64, want float32) bool { d := got - float64(want); return d < 0.01 && d > -0.01 }
		all := retrieve()
		if len(all) != len(texts) {
			t.Fatal(ids(all))
		}
		for i, d := range all {
			want := adaptertest.Documents[rank.Documents[i].Index]
			if d.Metadata["id"] != want.ID || d.Content[0].Text != want.Text || d.Metadata["year"] != float64(want.Year) || !near(d.Metadata[MetadataScore].(float64), rank.Documents[i].Similarity) {
				t.Errorf("place %d is %+v, want %+v", i, d.Metadata, want)
			}
		}
		between := (all[1].Metadata[MetadataScore].(float64) + all[2].Metadata[MetadataScore].(float64)) / 2
		for name, c := range map[string]struct {
			config any
			want   []string
		}{
			"k":         {&RetrieverOptions{K: 1}, []string{"cat"}},
			"threshold": {&RetrieverOptions{ScoreThreshold: between}, ids(all)[:2]},
			"text":      {RetrieverOptions{Filter: `lang = "de"`}, []string{"katze"}},
			"map":       {&RetrieverOptions{Filter: map[string]any{"gte": map[string]any{"year": 2023}}}, []string{"katze"}},
			"JSON":      {map[string]any{"k": 1, "filter": "year < 2020"}, []string{"tax"}},
		} {
			if got := ids(retrieve(ai.WithConfig(c.config))); !slices.Equal(got, c.want) {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		}
		if Retriever(g, adaptertest.Collection) == nil || Retriever(g, "none") != nil {
			t.Error("the retriever is not found by its name, or another is")
		}
		// The reranker, which stores nothing.
		ranked, err := Rerank(ctx, g, ai.DocumentFromText(adaptertest.Query, nil), documents())
		if err != nil || len(ranked.Documents) != len(texts) {
			t.Fatal(ranked, err)
		}
		for i, d := range ranked.Documents {
			if want := rank.Documents[i]; d.Content[0].Text != texts[want.Index] || !near(d.Metadata.Score, want.Similarity) {
				t.Errorf("rank %d is %q, %v; want %q, %v", i, d.Content[0].Text, d.Metadata.Score, texts[want.Index], want.Similarity)
			}
		}
		// The actions as Genkit's own tools run them: with JSON.
		call := func(a api.Action, in any, out any) {
			t.Helper()
			b, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			res, err := a.RunJSON(ctx, b, nil)
			if err == nil {
				err = json.Unmarshal(res, out)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		lamp := ai.DocumentFromText("A lamp of brass.", nil)
		var stored, again IndexerResponse
		call(ds.indexer("indexer"), &IndexerRequest{Documents: []*ai.Document{lamp}}, &stored)
		if again.IDs, err = ds.Index(ctx, lamp); err != nil || len(stored.IDs) != 1 || !slices.Equal(stored.IDs, again.IDs) {
			t.Error(stored, again, err)
		}
		var byKey ai.RerankerResponse
		call(genkit.LookupPlugin(g, Provider).Init(ctx)[0], &ai.RerankerRequest{Query: ai.DocumentFromText("brass lamp", nil), Documents: append(documents(), lamp)}, &byKey)
		if byKey.Documents[0].Content[0].Text != "A lamp of brass." {
			t.Errorf("first is %q", byKey.Documents[0].Content[0].Text)
		}
		// A retrieval within a flow.
		flow := genkit.DefineFlow(g, "answer", func(ctx context.Context, question string) (string, error) {
			resp, err := genkit.Retrieve(ctx, g, ai.WithRetrieverName(Provider+"/"+adaptertest.Collection), ai.WithTextDocs(question), ai.WithConfig(&RetrieverOptions{K: 1}))
			if err != nil {
				return "", err
			}
			return resp.Documents[0].Content[0].Text, nil
		})
		if got, err := flow.Run(ctx, adaptertest.Query); err != nil || got != texts[adaptertest.Best] {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// Errors are the engine's, wherever the collection is, and a context ends a call.
func TestErrors(t *testing.T) {
	adaptertest.Run(t, func(t *testing.T, db remote.Database, model encoder.Encoder) {
		g, ds, r := initialised(t, db, model, Config{})
		bare := genkit.Init(ctx)
		_, _, noPlugin := DefineRetriever(ctx, bare, Config{Collection: "notes"}, nil)
		_, noPlugin2 := Rerank(ctx, bare, nil, nil)
		_, _, none := DefineRetriever(ctx, g, Config{Collection: "none"}, nil)
		ended, cancel := context.WithCancel(ctx)
		cancel()
		retrieve := func(ctx context.Context, config any) error {
			_, err := r.Retrieve(ctx, &ai.RetrieverRequest{Query: ai.DocumentFromText("x", nil), Options: config})
			return err
		}
		index := func(ctx context.Context, d *ai.Document) error { _, err := ds.Index(ctx, d); return err }
		rerank := func(ctx context.Context, q *ai.Document) error { _, err := Rerank(ctx, g, q, documents()); return err }
		picture := &ai.Document{Content: []*ai.Part{ai.NewMediaPart("image/png", "data:")}}
		some := ai.DocumentFromText("x", nil)
		for name, c := range map[string]struct{ got, want error }{
			"plugin":        {noPlugin, ErrNoPlugin},
			"rerank plugin": {noPlugin2, ErrNoPlugin},
			"collection":    {none, engine.ErrCollectionNotFound},
			"k":             {retrieve(ctx, &RetrieverOptions{K: -1}), engine.ErrInvalid},
			"threshold":     {retrieve(ctx, &RetrieverOptions{ScoreThreshold: 2}), engine.ErrInvalid},
			"filter":        {retrieve(ctx, &RetrieverOptions{Filter: "year >"}), engine.ErrFilter},
			"ended search":  {retrieve(ended, nil), context.Canceled},
			"picture":       {index(ctx, picture), engine.ErrInvalid},
			"nil":           {index(ctx, nil), engine.ErrInvalid},
			"ended write":   {index(ended, some), context.Canceled},
			"ended rerank":  {rerank(ended, some), context.Canceled},
			"rerank":        {rerank(ctx, picture), engine.ErrInvalid},
		} {
			if !errors.Is(c.got, c.want) {
				t.Errorf("%s: %v, want %v", name, c.got, c.want)
			}
		}
		if err := retrieve(ctx, 5); err == nil {
			t.Error("options that are no object are taken")
		}
		if _, server := db.(*remote.Client); !server {
			without := genkit.Init(ctx, genkit.WithPlugins(&Plugin{Database: db}))
			if _, err := Rerank(ctx, without, some, documents()); !errors.Is(err, engine.ErrNoEncoder) {
				t.Error(err)
			}
		}
	})
}

func TestDocumentation(t *testing.T) { adaptertest.Documented(t, "Genkit") }
