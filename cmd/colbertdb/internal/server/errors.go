package server

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/colbertdb-go/colbertdb/internal/wire"
)

// failure is an error with the answer that it gets.
type failure struct {
	status  int
	kind    string
	message string
	retry   int // seconds, for Retry-After; 0: none
}

func (f *failure) Error() string { return f.message }

func failf(status int, kind, format string, args ...any) *failure {
	return &failure{status: status, kind: kind, message: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *failure {
	return failf(http.StatusBadRequest, "bad_request", format, args...)
}

func unprocessable(format string, args ...any) *failure {
	return failf(http.StatusUnprocessableEntity, "invalid", format, args...)
}

func badSearch(format string, args ...any) *failure {
	return failf(http.StatusUnprocessableEntity, "bad_search", format, args...)
}

func tooLarge(format string, args ...any) *failure {
	return failf(http.StatusRequestEntityTooLarge, "too_large", format, args...)
}

var (
	errOverloaded = &failure{http.StatusTooManyRequests, "overloaded", "too many requests are at work; try again", 1}
	errMemory     = &failure{http.StatusTooManyRequests, "overloaded", "the bodies of running requests take all the memory that they may; try again", 1}
	errDraining   = &failure{http.StatusServiceUnavailable, "shutting_down", "the server is shutting down", 1}
	errInternal   = &failure{status: http.StatusInternalServerError, kind: "internal", message: "internal error; the server's log has it by the request id"}
)

// failureOf is the answer to any error.
func failureOf(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	status, kind, known := wire.KindOf(err)
	if !known {
		return errInternal
	}
	f = &failure{status: status, kind: kind, message: err.Error()}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		f.retry = 1
	}
	return f
}

// wireError is an error as a body tells it.
func (q *request) wireError(err error) wire.Error {
	f := failureOf(err)
	if f.kind == "collection_not_found" && q.allowed != nil { // the text names others
		f = failf(f.status, f.kind, "collection %.80q not found", q.collection)
	}
	e := wire.NewError(f.status, f.kind, f.message)
	e.RequestID = q.id
	return e
}

// fail answers with an error, unless an answer has begun.
func (q *request) fail(err error) {
	f := failureOf(err)
	q.err = err
	if q.w.status != 0 {
		return // the client sees that the answer ends too early
	}
	if f.retry > 0 {
		q.w.Header().Set("Retry-After", strconv.Itoa(f.retry))
	}
	q.json(f.status, q.wireError(err))
}

// buffer holds an answer, up to a limit.
type buffer struct {
	bytes.Buffer
	most int64
}

var errAnswer = failf(http.StatusUnprocessableEntity, "answer_too_large", "the answer would be too large: ask for less of it, such as fewer hits or a shorter include")

func (b *buffer) Write(p []byte) (int, error) {
	if int64(b.Len()+len(p)) > b.most {
		return 0, errAnswer
	}
	return b.Buffer.Write(p)
}

// json answers with a value.
func (q *request) json(status int, v any) {
	b := buffer{most: int64(q.s.limits.Answer)}
	if err := lineEncoder(&b).Encode(v); err != nil {
		q.err, status = err, failureOf(err).status
		b.Reset()
		_ = lineEncoder(&b).Encode(q.wireError(err))
	}
	if q.gated {
		q.pending, q.pendingStatus = b.Bytes(), status
		return
	}
	q.send(status, b.Bytes())
}

// send sends a JSON answer, which the client must take in time.
func (q *request) send(status int, b []byte) {
	rc := http.NewResponseController(q.w)
	_ = rc.SetWriteDeadline(time.Now().Add(q.s.limits.ReadTimeout))
	h := q.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	q.w.WriteHeader(status)
	if _, err := q.w.Write(b); err != nil && q.err == nil {
		q.err = err
	}
	_ = rc.Flush()
	_ = rc.SetWriteDeadline(time.Time{})
}
