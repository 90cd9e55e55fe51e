// Package judged reads test collections, documents with queries and judgments, and
// knows the rules by which some of them are measured.
//
//	BEIR       corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv
//	MS MARCO   collection.tsv, queries.SPLIT.tsv, qrels.SPLIT.tsv
//
// Judgments may come from a file of their own, in TREC's form or BEIR's.
//
// The suites (suite.go) are the collections of published tables with their figures, so
// that a table can be printed again with ours beside it.
//
// It measures nothing: query/eval does. Open collection.go first.
package judged
