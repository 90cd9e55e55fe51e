package engine

import (
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/segment"
)

// What tests of package engine_test need to see of the inside.

// RememberedWrites counts the writes with an idempotency key that a store knows,
// in memory and in Pebble.
func RememberedWrites(t testing.TB, e *Engine) (inMemory, stored int) {
	t.Helper()
	span := segment.WriteKeys()
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: span.Start, UpperBound: span.End})
	if err != nil {
		t.Fatal(err)
	}
	for it.First(); it.Valid(); it.Next() {
		stored++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.keys.all), stored
}
