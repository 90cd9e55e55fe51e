// Package eino makes a colbertdb collection an indexer and a retriever of Eino
// (github.com/cloudwego/eino), for its graphs and chains. The collection is of a store
// in the process or of a server:
//
//	db := remote.Embedded(engine, engine.WithEncoder(model)) // in the process
//	db, err := remote.Open(ctx, "http://127.0.0.1:8080", nil)  // a server
//	retriever, err := eino.NewRetriever(ctx, &eino.RetrieverConfig{Database: db, Collection: "notes"})
//
// The collection encodes text by itself, one vector a token; Eino's embedders are not
// used. It is a module of its own, so that Eino is no dependency of colbertdb.
//
// Start reading at retriever.go.
package eino
