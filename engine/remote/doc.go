// Package remote is a colbertdb server (colbertdb serve) with the methods and the types
// of an embedded store. A program that is written against Database moves from one to
// the other by changing how it opens:
//
//	db := remote.Embedded(store)                           // of engine.Open
//	db, err := remote.Open(ctx, "http://127.0.0.1:8080", nil) // a server
//
//	col, err := db.CreateCollection(ctx, "notes", engine.CollectionConfig{})
//	seq, err := col.Upsert(ctx, engine.Document{ID: "a", Text: "a lamp of brass"})
//	res, err := col.Search(ctx, engine.SearchRequest{Text: "lamp"})
//
// Results are those of the engine, scores to the last bit. Errors answer errors.Is for
// the engine's sentinels as the engine's own do.
//
// What differs: a server encodes text with its own models, so a collection is created
// with the name of one (CollectionConfig.Encoder counts by its name) or with the server's
// default; sizes of batches and of k are bounded by the server's limits; ids and text
// that are not UTF-8 cannot be sent.
//
// Start reading at database.go.
package remote
