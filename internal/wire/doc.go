// Package wire is the JSON that a colbertdb server and its Go client exchange:
// bodies of requests and answers, token vectors in text and in base64, and the names
// of errors. docs/api.md describes it for people, openapi.json for programs.
//
// It converts to and from the engine's types and knows nothing of HTTP. Decoding is
// bounded by the length of what is decoded: vectors become one flat array whatever
// their nesting.
//
// Start reading at document.go.
package wire
