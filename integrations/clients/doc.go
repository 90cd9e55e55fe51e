// Package clients proves that clients which others wrote for other servers work with
// colbertdb's, unchanged but for the address. It is a module of its own, so that none of
// them is a dependency of colbertdb. Its tests build and start the real command:
//
//	go test ./...
package clients
