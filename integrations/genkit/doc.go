// Package genkit is a plugin of Genkit (github.com/firebase/genkit/go): an indexer and a
// retriever for each collection that is defined, and a reranker. Collections are of a
// store in the process or of a server:
//
//	db := remote.Embedded(engine, engine.WithEncoder(model)) // in the process
//	db, err := remote.Open(ctx, "http://127.0.0.1:8080", nil)  // a server
//	g := genkit.Init(ctx, genkit.WithPlugins(&colbertdb.Plugin{Database: db}))
//	store, retriever, err := colbertdb.DefineRetriever(ctx, g, colbertdb.Config{Collection: "notes"}, nil)
//
// A collection encodes text by itself, one vector a token; Genkit's embedders are not
// used. It is a module of its own, so that Genkit is no dependency of colbertdb.
//
// Start reading at plugin.go.
package genkit
