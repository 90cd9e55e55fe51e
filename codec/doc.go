// Package codec turns token vectors into stored bytes and stored bytes into
// scores. It holds all the mathematics of colbertdb: the two-level codebook and
// its training, residual planes, int8 and float16 originals, MaxSim, and the
// routing of queries to centroids.
//
// # Invariants
//
//   - Integer scores (planes A, B and C) are the same on every kernel tier.
//   - Encoding is a function of the vectors, the codebook and the routing alone.
//   - Nothing here knows of documents' ids, files or Pebble.
//
// Vectors are unit vectors: what is given is normalised. Open matrix.go and
// codec.go for the types, codebook.go for the two levels, encode.go for what is
// stored, score.go for MaxSim, probe.go for candidate centroids, train.go for
// k-means. docs/design.md and docs/format/codebook.md tell why.
package codec
