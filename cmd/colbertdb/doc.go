// Command colbertdb indexes text and searches it by late interaction, from the
// command line.
//
//	colbertdb index docs/
//	colbertdb search how are segments merged
//	colbertdb eval beir/scifact
//
// # Exit status
//
//	0  success
//	1  an error; what was acknowledged before it stays
//	2  wrong usage
//	3  index: some lines or files of the input could not be read or stored; all
//	   others were, and each failure was reported by file and line.
//	   verify: the store is damaged.
//
// Results go to standard output, everything else to standard error. With --json
// the output of every verb is one JSON value (search, get, stats: documented by
// the Go types with json tags beside each verb).
//
// # Where to look
//
// main.go has the flags shared by all verbs and the exit status; each verb has a
// file of its own name; store.go opens stores, collections and models; sync.go
// and pipeline.go are the two halves of index (what has changed; encode and
// store it). internal/ingest reads inputs, internal/render draws results.
//
// This package knows nothing of storage or models beyond the engine's and the
// encoder's public APIs.
package main
