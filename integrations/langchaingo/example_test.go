package langchaingo_test

import (
	"context"
	"fmt"
	"log"

	"github.com/tmc/langchaingo/schema"
	"github.com/tmc/langchaingo/vectorstores"

	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
	"github.com/colbertdb-go/colbertdb/integrations/langchaingo"
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
	notes, err := langchaingo.New(ctx, db, "notes")
	if err != nil {
		log.Fatal(err)
	}
	_, err = notes.AddDocuments(ctx, []schema.Document{
		{PageContent: "The cat sleeps on the warm windowsill.", Metadata: map[string]any{"year": 2020}},
		{PageContent: "Income tax returns are due at the end of May.", Metadata: map[string]any{"year": 2021}},
	})
	if err != nil {
		log.Fatal(err)
	}
	retriever := vectorstores.ToRetriever(notes, 1, vectorstores.WithFilters("year >= 2020"))
	docs, err := retriever.GetRelevantDocuments(ctx, "where does the kitten rest?")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(docs[0].PageContent)
	// Output: The cat sleeps on the warm windowsill.
}
