package engine

import (
	"errors"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/encoder"
	"github.com/colbertdb-go/colbertdb/segment"
)

// Errors that callers test for with errors.Is. Every error of this package
// wraps one of them or comes from the operating system.
var (
	ErrClosed             = errors.New("colbertdb: store is closed")
	ErrLocked             = errors.New("colbertdb: store is in use by another process")
	ErrReadOnly           = errors.New("colbertdb: store is read-only after a failed write; reopen it")
	ErrDiskFull           = errors.New("colbertdb: disk is full; make room, or delete and compact")
	ErrFormatTooNew       = errors.New("colbertdb: store was written by a newer version")
	ErrNotVisible         = errors.New("colbertdb: change is not visible yet")
	ErrNotFound           = errors.New("colbertdb: document not found")
	ErrCollectionNotFound = errors.New("colbertdb: collection not found")
	ErrCollectionExists   = errors.New("colbertdb: collection exists with another configuration")
	ErrModelMismatch      = errors.New("colbertdb: encoder is not the one this collection was made with")
	ErrMoved              = errors.New("colbertdb: name leads to another collection now")
	ErrInUse              = errors.New("colbertdb: collection is in use")
	ErrNoText             = errors.New("colbertdb: documents without text cannot be re-encoded")
	ErrNoEncoder          = errors.New("colbertdb: text needs an encoder")
	ErrIncomplete         = errors.New("colbertdb: folder is no whole store")
	ErrTooOld             = errors.New("colbertdb: the log does not reach back so far")
	ErrBrokenChain        = errors.New("colbertdb: backups do not follow one another")
	ErrInvalid            = errors.New("colbertdb: invalid argument")
	// ErrBusy: there is no room in memory for the write, and Options.FailWhenBusy
	// says not to wait. Nothing of it was done.
	ErrBusy = errors.New("colbertdb: too much waits to be written")
	// ErrEncoderBusy: the model has too much to do. Nothing was done.
	ErrEncoderBusy = encoder.ErrBusy
	// ErrIdempotencyConflict: an idempotency key came with another write before.
	ErrIdempotencyConflict = errors.New("colbertdb: idempotency key was used for another write")
	ErrDimension           = codec.ErrDimension
	ErrBadVector           = codec.ErrBadVector
	ErrNoVectors           = codec.ErrNoVectors
	ErrCorruption          = segment.ErrCorruption
)
