// Package bench measures searches over token vectors: recall against exact
// MaxSim of the float originals, and time.
//
// A Set (set.go) is what is searched and asked, Truth (truth.go) the right
// answers, a Store (measure.go) the set in a collection of one profile; a Report
// (report.go) prints what was measured, as Markdown, JSON and a plot.
//
// Two words are never mixed: recall@k is against exact MaxSim of the float
// vectors, candidate recall@k against an exact search over the same stored planes.
package bench
