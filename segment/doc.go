// Package segment is the format of one immutable segment: up to 65,536 encoded
// documents as a Pebble key range, with their posting lists.
//
// A Builder writes a segment's sstables aside, for Pebble to ingest whole; a
// Reader serves documents, columns and postings from it; Verify reads every
// byte. Every value carries a crc32c, checked when it is read.
//
// # Invariants
//
//   - A segment never changes. Deletes live outside, as bitsets (Bitset).
//   - Documents are in ascending order of their number; an ordinal is a
//     position in that order and fits 16 bits.
//   - Columns are named and versioned, each with a codec id (Meta.Columns), so
//     that other codecs add columns without touching keys or readers.
//
// It knows nothing of queries, logs or merges. Open key.go for what is stored
// under which key, builder.go and reader.go for the two ends, postings.go for
// the centroid lists. docs/format/ has the byte boxes.
package segment
