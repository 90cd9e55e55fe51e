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
	maxDepth   = 64
	maxObjects = 1 << 16
	maxLists   = 1 << 20
	maxWords   = 1 << 20 // elements of lists that are no numbers, lists or objects
)

// decodedSize is what decoding a body may take at once, in multiples of its length:
// that of numbers of one digit as float32. Objects and words are bounded by number.
const decodedSize = 2

// checkJSON bounds nesting and the numbers of objects, lists and words, before
// anything is allocated for them. It does not check that b is JSON.
func checkJSON(b []byte) error {
	var open [maxDepth]byte
	depth, objects, lists, words := 0, 0, 0, 0
	element := false // a list's element begins here
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '{', '[':
			if depth == maxDepth {
				return badRequest("nested deeper than %d", maxDepth)
			}
			open[depth] = c
			depth++
			if c == '{' {
				objects++
			} else {
				lists++
			}
		case '}', ']':
			depth = max(0, depth-1)
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ',', ':':
		default:
			if element {
				words++
			}
			if c == '"' {
				for i++; i < len(b) && b[i] != '"'; i++ {
					if b[i] == '\\' {
						i++
					}
				}
			}
		}
		element = depth > 0 && open[depth-1] == '[' && (c == '[' || c == ',')
	}
	switch {
	case objects > maxObjects:
		return tooLarge("more than %d objects", maxObjects)
	case lists > maxLists:
		return tooLarge("more than %d lists", maxLists)
	case words > maxWords:
		return tooLarge("more than %d texts in lists", maxWords)
	case !utf8.Valid(b):
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
	if !q.takeMemory(decodedSize * int64(len(b))) {
		return errMemory
	}
	return decodeJSON(b, v, strict)
}
