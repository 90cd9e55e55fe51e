package engine_test

import (
	"context"
	"fmt"
	"log"

	"github.com/colbertdb-go/colbertdb/engine"
)

func Example() {
	ctx := context.Background()
	db, err := engine.OpenMem(nil) // or engine.Open(ctx, "my.db", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	col, err := db.CreateCollection(ctx, "notes", engine.CollectionConfig{Dim: 8})
	if err != nil {
		log.Fatal(err)
	}
	vectors := engine.Matrix{Dim: 8, Data: []float32{1, 0, 0, 0, 0, 0, 0, 0 /* token 1 */, 0, 1, 0, 0, 0, 0, 0, 0 /* token 2 */}}
	if _, err := col.Upsert(ctx, engine.Document{ID: "a", Text: "first note", Vectors: vectors}); err != nil {
		log.Fatal(err)
	}
	res, err := col.Search(ctx, engine.SearchRequest{Vectors: vectors, K: 10})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s %.1f %s\n", res.Hits[0].ID, res.Hits[0].Score, res.Hits[0].Text)
	// Output: a 2.0 first note
}
