package server

import (
	_ "embed"
	"net/http"
	"strconv"
)

// openapiJSON is the exact form of the routes. It is kept by hand: openapi_test.go
// compares it with the routes, and sends every example in it to a server.
//
//go:embed openapi.json
var openapiJSON []byte

func openapi(q *request) error {
	h := q.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(openapiJSON)))
	q.w.WriteHeader(http.StatusOK)
	_, err := q.w.Write(openapiJSON)
	return err
}
