package eino_test

import (
	"context"
	"fmt"
	"log"

	"github.com/cloudwego/eino/schema"

	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
	"github.com/colbertdb-go/colbertdb/integrations/eino"
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
	indexer, err := eino.NewIndexer(ctx, &eino.IndexerConfig{Database: db, Collection: "notes"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = indexer.Store(ctx, []*schema.Document{
		{Content: "The cat sleeps on the warm windowsill.", MetaData: map[string]any{"year": 2020}},
		{Content: "Income tax returns are due at the end of May.", MetaData: map[string]any{"year": 2021}},
	})
	if err != nil {
		log.Fatal(err)
	}
	retriever, err := eino.NewRetriever(ctx, &eino.RetrieverConfig{Database: db, Collection: "notes", TopK: 1})
	if err != nil {
		log.Fatal(err)
	}
	docs, err := retriever.Retrieve(ctx, "where does the kitten rest?", eino.WithFilter("year >= 2020"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(docs[0].Content)
	// Output: The cat sleeps on the warm windowsill.
}
