// Package adapter has what the adapters to frameworks (integrations/) share: documents
// with metadata in place of attributes, filters in any form, scores from 0 to 1 that a
// threshold can be held against. It stands on the interfaces of engine/remote, so an
// adapter does not know whether its collection is of a store in the process or of a
// server.
//
// Start reading at adapter.go.
package adapter
