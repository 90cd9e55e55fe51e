// Package engine is colbertdb as a library: a store of collections of
// documents, each kept as one vector a token, searched by late interaction.
//
//	db, err := engine.Open(ctx, "my.db", nil)
//	col, err := db.CreateCollection(ctx, "notes", engine.CollectionConfig{Dim: 128})
//	_, err = col.Upsert(ctx, engine.Document{ID: "a", Vectors: vectors})
//	res, err := col.Search(ctx, engine.SearchRequest{Vectors: query, K: 10})
//
// # Invariants
//
//   - An Upsert or Delete that returned nil is in the log, synced as
//     Options.Sync says, and visible to the next search. A batch is applied
//     wholly or not at all.
//   - A search sees one version of the collection: the segments, their delete
//     bits and the memory buffers of one moment (version.go).
//   - A document's score does not depend on where it lives (docs/design.md).
//   - A log file or an input segment is removed only after the manifest that
//     supersedes it is in an sstable (seal.go, merge.go).
//   - After a failed write to the log or to Pebble the store is read-only until
//     it is reopened (guard.go).
//
// It does not run models: text is encoded through an encoder.Encoder that the
// caller supplies. Start reading at engine.go, then commit.go (the write path),
// seal.go (buffer to segment), bulk.go (documents straight to segments), recovery.go (open after a crash), search.go.
package engine
