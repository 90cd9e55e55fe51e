package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// MaxList is the most elements of a list that are decoded, whatever the limits of a
// server are.
const MaxList = 1 << 17

// List is a list whose decoding ends at the first element that is none of T, or
// that is one too many. encoding/json goes on to the end in both cases, with an
// element of T for every one, however short its text.
type List[T any] []T

// UnmarshalJSON reads a list; the error names the element. Fields that T does not
// have are an error.
func (l *List[T]) UnmarshalJSON(b []byte) error {
	*l = nil
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	switch t, err := d.Token(); {
	case err != nil:
		return err
	case t == nil:
		return nil
	case t != json.Delim('['):
		return errors.New("want a list")
	}
	for d.More() {
		if len(*l) == MaxList {
			return fmt.Errorf("a list has more than %d elements", MaxList)
		}
		var v T
		if err := d.Decode(&v); err != nil {
			return fmt.Errorf("element %d: %w", len(*l), err)
		}
		*l = append(*l, v)
	}
	_, err := d.Token()
	return err
}
