package bundled_test

import (
	"context"
	"fmt"
	"log"

	"github.com/colbertdb-go/colbertdb/encoder/bundled"
	"github.com/colbertdb-go/colbertdb/engine"
)

func Example() {
	ctx := context.Background()
	model, err := bundled.Open() // or onnx.OpenDir("my-model", onnx.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	db, err := engine.OpenMem(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	col, err := db.CreateCollection(ctx, "notes", engine.CollectionConfig{Encoder: model})
	if err != nil {
		log.Fatal(err)
	}
	_, err = col.Upsert(ctx,
		engine.Document{ID: "cat", Text: "The cat sleeps on the warm windowsill."},
		engine.Document{ID: "tax", Text: "Income tax returns are due at the end of May."})
	if err != nil {
		log.Fatal(err)
	}
	res, err := col.Search(ctx, engine.SearchRequest{Text: "where does the kitten rest?"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Hits[0].ID, res.Hits[0].Text)
}
