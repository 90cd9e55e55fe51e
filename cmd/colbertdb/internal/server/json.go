package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"unicode/utf8"
)

// Limits of the form of JSON bodies, whose values take more memory than their text.
const (
	maxDepth = 64
	maxNodes = 1 << 20 // objects and lists
)

// checkJSON bounds nesting and the number of objects and lists, before anything is
// allocated for them. It does not check that b is JSON.
func checkJSON(b []byte) error {
	depth, nodes := 0, 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if depth++; depth > maxDepth {
				return badRequest("nested deeper than %d", maxDepth)
			}
			if nodes++; nodes > maxNodes {
				return tooLarge("more than %d objects and lists", maxNodes)
			}
		case '}', ']':
			depth--
		}
	}
	if !utf8.Valid(b) {
		return badRequest("not valid UTF-8")
	}
	return nil
}

// decodeJSON reads a value. Fields that v does not have are an error where strict,
// so that a misspelt one is not overlooked.
func decodeJSON(b []byte, v any, strict bool) error {
	if err := checkJSON(b); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if strict {
		d.DisallowUnknownFields()
	}
	err := d.Decode(v)
	if err == nil {
		if _, more := d.Token(); more == io.EOF {
			return nil
		}
		return badRequest("something follows the JSON value")
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return badRequest("no JSON: at byte %d: %v", syntax.Offset, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return badRequest("no JSON: it ends too early")
	case errors.As(err, &kind):
		return badRequest("%s: a JSON %s is not what is wanted here", kind.Field, kind.Value)
	}
	if failureOf(err) != errInternal {
		return err // of a filter, of vectors
	}
	return badRequest("%v", err)
}

// readJSON reads the body as JSON; the types of browsers' forms are refused, which
// pages of other sites may send.
func (q *request) readJSON(v any, strict bool) error {
	if t := mediaType(q.r); t != "application/json" {
		return failf(http.StatusUnsupportedMediaType, "unsupported_type", "Content-Type %.80q: use application/json", q.r.Header.Get("Content-Type"))
	}
	b, err := q.body()
	if err != nil {
		return err
	}
	return decodeJSON(b, v, strict)
}
