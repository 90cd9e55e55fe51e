// Package lexical turns text into terms and says what a term counts for in BM25.
//
// It is the ground of the lexical index that docs/rfcs/0005-lexical-index.md
// proposes, which is not built: no collection stores or searches terms yet. Index
// is the plain BM25 in memory that an index in segments has to agree with.
// analyzer.go has the terms, bm25.go the formula and Index.
package lexical
