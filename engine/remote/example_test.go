package remote_test

import (
	"context"
	"fmt"
	"log"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/engine/remote"
)

// A program that does not know where its store is.
func answer(ctx context.Context, db remote.Database, question string) (string, error) {
	col, err := db.Collection(ctx, "notes")
	if err != nil {
		return "", err
	}
	res, err := col.Search(ctx, engine.SearchRequest{Text: question, K: 1})
	if err != nil || len(res.Hits) == 0 {
		return "", err
	}
	return res.Hits[0].Text, nil
}

func Example() {
	ctx := context.Background()
	db, err := remote.Open(ctx, "http://127.0.0.1:8080", &remote.Options{Key: "cdb_…"})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	fmt.Println(answer(ctx, db, "where does the kitten rest?"))
}
