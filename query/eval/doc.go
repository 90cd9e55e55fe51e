// Package eval measures rankings against relevance judgments: nDCG@k,
// recall@k, MRR@k, success@k and mean average precision, with trec_eval's
// definitions, and reads and writes the files that hold them.
//
// # Invariants
//
//   - Figures agree with trec_eval to four decimals: testdata holds hostile cases
//     with the values of an independent scorer, scripts/check_eval.py redoes them.
//
//   - A mean is over all judged queries. One without a ranking counts as zero.
//
//   - A comparison of two systems agrees with SciPy's, by the same script.
//
// It runs no searches. Open measures.go for the definitions, significance.go for what
// a difference is worth, qrels.go and run.go for the files.
package eval
