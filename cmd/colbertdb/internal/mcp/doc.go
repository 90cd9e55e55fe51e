// Package mcp lets agents use a collection over the Model Context Protocol: the tools
// search and get, and by permission upsert. The collection is one of a store in the
// process or of a server; which one is not the agent's choice.
//
// The protocol is that of the official SDK. Over HTTP no session is kept: every call
// stands by itself.
//
// Start reading at server.go.
package mcp
