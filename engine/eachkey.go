package engine

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/segment"
)

// eachKey calls f with the keys of a range and their values, valid during the call;
// bad is why a value cannot be read. An error of f ends it.
func eachKey(db segment.KeySource, span segment.KeyRange, f func(key, value []byte, bad error) error) (err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for it.First(); it.Valid(); it.Next() {
		value, bad := it.ValueAndErr()
		if err := f(it.Key(), value, bad); err != nil {
			return err
		}
	}
	return it.Error()
}

// eachGoodKey is eachKey that ends with the first value that cannot be read.
func eachGoodKey(db segment.KeySource, span segment.KeyRange, f func(key, value []byte) error) error {
	return eachKey(db, span, func(key, value []byte, bad error) error {
		if bad != nil {
			return bad
		}
		return f(key, value)
	})
}
