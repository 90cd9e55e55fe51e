package segment

import (
	"errors"
	"fmt"
)

// ErrCorruption is what every CorruptionError is.
var ErrCorruption = errors.New("colbertdb: stored data is damaged")

// ErrFull is returned by Builder.Add when the segment cannot take the document.
var ErrFull = errors.New("colbertdb: segment is full")

// CorruptionError names the place of damaged data.
type CorruptionError struct {
	Where  string // such as "segment 7, column codes, document 64"
	Offset int64  // in that value, where it is known
	Err    error  // what is wrong
}

func (e *CorruptionError) Error() string {
	return fmt.Sprintf("%v: %s at byte %d: %v", ErrCorruption, e.Where, e.Offset, e.Err)
}

// Is makes errors.Is(err, ErrCorruption) true.
func (e *CorruptionError) Is(target error) bool { return target == ErrCorruption }

func (e *CorruptionError) Unwrap() error { return e.Err }

func corrupt(where string, offset int64, format string, args ...any) error {
	return &CorruptionError{Where: where, Offset: offset, Err: fmt.Errorf(format, args...)}
}
