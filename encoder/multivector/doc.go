// Package multivector encodes with a server: one that speaks Jina's /v1/multi-vector,
// such as Jina's own or colbertdb serve, so that a store runs without a model and its
// runtime.
//
// Invariants: nothing that a server answers reaches a store unchecked: the number of
// texts and their order, dimensions, finite numbers, the model's name and, where the
// server tells it, its fingerprint. Answers are read up to the length that the texts
// can make of them. A request is sent again where that may help, within bounds; it
// changes nothing at the server.
//
// A server's tokens are not known here: there are no spans to highlight, and windows are
// cut by an estimate of their length. What is cut by the server all the same is
// reported where the server reports it, as colbertdb serve does.
//
// Open encoder.go first, then client.go.
package multivector
