// Package compaction decides which segments to merge and merges them.
//
// The planner is pure: it sees metadata and returns tasks, and knows nothing of
// files, time or goroutines. Only neighbours in document-number order are
// merged, so that document numbers keep ascending over segments and no other
// part of a store has to be rewritten. Merge streams live documents of some
// readers into one builder.
//
// When a merge runs and how its result is published is package engine's
// business. Open planner.go to see why a segment was merged, merger.go for how.
package compaction
