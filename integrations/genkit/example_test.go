package genkit_test

import (
	"context"
	"fmt"
	"log"

	"github.com/firebase/genkit/go/ai"
	"github.com/firebase/genkit/go/genkit"

	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
	colbertdb "github.com/colbertdb-go/colbertdb/integrations/genkit"
)

func Example() {
	ctx := context.Background()
	model, err := bundled.Open()
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	store, err := engine.OpenMem(nil) // or engine.Open(ctx, "my.db", nil)
	if err != nil {
		log.Fatal(err)
	}
	db := remote.Embedded(store, engine.WithEncoder(model)) // or remote.Open(ctx, "http://127.0.0.1:8080", nil)
	defer db.Close()
	_, err = db.CreateCollection(ctx, "notes", engine.CollectionConfig{Encoder: model})
	if err != nil {
		log.Fatal(err)
	}
	g := genkit.Init(ctx, genkit.WithPlugins(&colbertdb.Plugin{Database: db, Encoder: model}))
	notes, retriever, err := colbertdb.DefineRetriever(ctx, g, colbertdb.Config{Collection: "notes", K: 1}, nil)
	if err != nil {
		log.Fatal(err)
	}
	_, err = notes.Index(ctx,
		ai.DocumentFromText("The cat sleeps on the warm windowsill.", map[string]any{"year": 2020}),
		ai.DocumentFromText("Income tax returns are due at the end of May.", map[string]any{"year": 2021}),
	)
	if err != nil {
		log.Fatal(err)
	}
	found, err := genkit.Retrieve(ctx, g, ai.WithRetriever(retriever), ai.WithTextDocs("where does the kitten rest?"))
	if err != nil {
		log.Fatal(err)
	}
	ranked, err := colbertdb.Rerank(ctx, g, ai.DocumentFromText("where does the kitten rest?", nil), found.Documents)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ranked.Documents[0].Content[0].Text)
	// Output: The cat sleeps on the warm windowsill.
}
