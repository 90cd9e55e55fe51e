package engine

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/segment"
)

// moment is what Pebble held when it was taken: writes, seals, merges and removals
// that come later do not show in it. A pebble.Snapshot would not do, since Excise
// shows through that. While it is open Pebble removes no sstable that it holds.
type moment struct{ it *pebble.Iterator }

var _ segment.KeySource = (*moment)(nil)

// moment takes one. The caller holds Engine.pub where it is to go with a version.
func (e *Engine) moment() (*moment, error) {
	it, err := e.db.NewIter(nil)
	return &moment{it}, err
}

// NewIter returns an iterator over a part of it.
func (m *moment) NewIter(o *pebble.IterOptions) (*pebble.Iterator, error) {
	return m.it.Clone(pebble.CloneOptions{IterOptions: o})
}

// Get returns a value, valid until the closer is closed; pebble.ErrNotFound where
// there is none.
func (m *moment) Get(key []byte) ([]byte, io.Closer, error) {
	it, err := m.NewIter(&pebble.IterOptions{LowerBound: key, UpperBound: append(key[:len(key):len(key)], 0)})
	if err != nil {
		return nil, nil, err
	}
	if !it.First() {
		err := it.Error()
		if err == nil {
			err = pebble.ErrNotFound
		}
		return nil, nil, errors.Join(err, it.Close())
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return nil, nil, errors.Join(err, it.Close())
	}
	return value, it, nil
}

// Close lets go of what it holds.
func (m *moment) Close() error { return m.it.Close() }
