// Package langchaingo makes a colbertdb collection a vector store of langchaingo, and so
// a retriever of its chains. The collection is of a store in the process or of a server:
//
//	db := remote.Embedded(engine, engine.WithEncoder(model)) // in the process
//	db, err := remote.Open(ctx, "http://127.0.0.1:8080", nil)  // a server
//	store, err := langchaingo.New(ctx, db, "notes")
//	retriever := vectorstores.ToRetriever(store, 5)
//
// The collection encodes text by itself, one vector a token; langchaingo's embedders are
// not used. It is a module of its own, so that langchaingo is no dependency of colbertdb.
package langchaingo
