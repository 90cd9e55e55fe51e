// Package server is colbertdb's HTTP server: the native interface under /v1, routes
// that clients of other late-interaction and rerank servers already speak, and what
// operators need. docs/api.md describes it, openapi.json is its exact form.
//
// # Invariants
//
//   - A 200 for a write means that it is on disk and seen by every later search.
//   - Nothing is done for a request before its key was checked; nothing of its body
//     is read before that either.
//   - What a request takes is bounded before it is taken: bytes of bodies (limits.go,
//     body.go), objects of JSON (json.go), searches and writes at once (gate.go), time
//     (server.go). A handler that panics answers 500 and ends nothing else.
//   - Names from a client never reach the file system but for snapshots, whose names
//     are checked and stay in one folder; models are named, not located.
//   - The server does not outlive its requests: Serve drains them, then returns.
//
// # Where to look
//
// server.go has the routes and the way of a request; errors.go the answers that are no
// success. One file a concept: collections.go, documents.go, bulk.go, search.go,
// snapshots.go, and compat*.go for the routes of other servers. It uses the engine's
// and the encoder's public APIs only; types of bodies are in internal/wire, which
// the Go client uses too.
package server
