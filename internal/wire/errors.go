package wire

import (
	"context"
	"errors"
	"net/http"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Error is the body of every answer that is no success. The text is there under
// each of the names that clients of other servers look for.
type Error struct {
	Message string `json:"message"`
	Detail  string `json:"detail"`
	Error   string `json:"error"`
	// Type is stable: programs may compare it.
	Type      string `json:"error_type"`
	Code      int    `json:"code"` // the HTTP status
	RequestID string `json:"request_id,omitempty"`
}

// NewError fills in an Error.
func NewError(status int, kind, message string) Error {
	return Error{Message: message, Detail: message, Error: message, Type: kind, Code: status}
}

// kinds say how an error of the engine is told: the first that matches.
var kinds = []struct {
	err    error
	status int
	kind   string
}{
	{engine.ErrCollectionNotFound, http.StatusNotFound, "collection_not_found"},
	{engine.ErrNotFound, http.StatusNotFound, "not_found"},
	{engine.ErrCollectionExists, http.StatusConflict, "collection_exists"},
	{engine.ErrModelMismatch, http.StatusConflict, "model_mismatch"},
	{engine.ErrMoved, http.StatusConflict, "moved"},
	{engine.ErrInUse, http.StatusConflict, "in_use"},
	{engine.ErrBulkOpen, http.StatusConflict, "bulk_open"},
	{engine.ErrIdempotencyConflict, http.StatusConflict, "idempotency_conflict"},
	{engine.ErrTooOld, http.StatusGone, "too_old"},
	{engine.ErrNoEncoder, http.StatusUnprocessableEntity, "no_model"},
	{engine.ErrNoText, http.StatusUnprocessableEntity, "no_text"},
	{engine.ErrDimension, http.StatusUnprocessableEntity, "dimension"},
	{engine.ErrBadVector, http.StatusUnprocessableEntity, "bad_vector"},
	{engine.ErrNoVectors, http.StatusUnprocessableEntity, "no_vectors"},
	{engine.ErrFilter, http.StatusUnprocessableEntity, "bad_filter"},
	{engine.ErrSearch, http.StatusUnprocessableEntity, "bad_search"},
	{ErrVectors, http.StatusUnprocessableEntity, "bad_vectors"},
	{engine.ErrInvalid, http.StatusUnprocessableEntity, "invalid"},
	{engine.ErrBusy, http.StatusTooManyRequests, "busy"},
	{engine.ErrEncoderBusy, http.StatusTooManyRequests, "encoder_busy"},
	{engine.ErrDiskFull, http.StatusInsufficientStorage, "disk_full"},
	{engine.ErrNotVisible, http.StatusGatewayTimeout, "not_visible"},
	{engine.ErrReadOnly, http.StatusServiceUnavailable, "read_only"},
	{engine.ErrClosed, http.StatusServiceUnavailable, "closed"},
	{engine.ErrCorruption, http.StatusInternalServerError, "corruption"},
	{engine.ErrLocked, http.StatusInternalServerError, "locked"},
	{engine.ErrFormatTooNew, http.StatusInternalServerError, "format_too_new"},
	{engine.ErrIncomplete, http.StatusInternalServerError, "incomplete"},
	{engine.ErrBrokenChain, http.StatusInternalServerError, "broken_chain"},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, "timeout"},
	{context.Canceled, 499, "cancelled"}, // nobody is there to read it
}

// KindOf tells how an error of the engine is answered; ok is false for one that is
// none of its named ones.
func KindOf(err error) (status int, kind string, ok bool) {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.status, k.kind, true
		}
	}
	return http.StatusInternalServerError, "internal", false
}

// Sentinel is the error of the engine that a kind stands for, nil for none.
func Sentinel(kind string) error {
	for _, k := range kinds {
		if k.kind == kind {
			return k.err
		}
	}
	return nil
}
