package wire

import (
	"bytes"
	"encoding/json"

	"github.com/colbertdb-go/colbertdb/engine"
)

// Filter is a filter in either form: a string is the text form, an object the JSON
// form.
type Filter struct{ *engine.Filter }

// UnmarshalJSON reads either form.
func (f *Filter) UnmarshalJSON(b []byte) (err error) {
	text := string(b)
	if bytes.HasPrefix(b, []byte{'"'}) {
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
	}
	f.Filter, err = engine.ParseFilter(text)
	return err
}

// Get returns the engine's filter, nil without one.
func (f *Filter) Get() *engine.Filter {
	if f == nil {
		return nil
	}
	return f.Filter
}
