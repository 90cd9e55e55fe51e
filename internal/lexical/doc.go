// Package lexical turns text into terms and says what a term counts for in BM25.
//
// analyzer.go has the terms, counter.go counts them over many texts, bm25.go has the
// formula and Index, the plain BM25 in memory that the lexical indexes of segments
// have to agree with. docs/rfcs/0005-lexical-index.md.
package lexical
