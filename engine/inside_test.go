package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/colbertdb-go/colbertdb/codec"
	"github.com/colbertdb-go/colbertdb/segment"
	"github.com/colbertdb-go/colbertdb/wal"
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

// EachStored calls f with everything that a store holds, decoded: the keys and
// values of Pebble, texts, attributes, ids and planes of every document of every
// segment, dead ones too, and the operations of the log, of kept files too.
func EachStored(t testing.TB, e *Engine, f func(where string, b []byte)) {
	t.Helper()
	ctx := context.Background()
	it, err := e.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for it.First(); it.Valid(); it.Next() {
		f("key", it.Key())
		f(fmt.Sprintf("value of %q", it.Key()), it.Value())
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	ids, err := segment.ListIDs(e.db)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		r, err := segment.Open(e.db, id)
		if err != nil {
			t.Fatal(err)
		}
		for ord := range r.Len() {
			where := fmt.Sprintf("segment %d, document %d", id, ord)
			f(where, []byte(r.ExternalID(ord)))
			text, _, err := r.Text(ord)
			if err != nil {
				t.Fatal(err)
			}
			f(where, []byte(text))
			attrs, err := r.Attributes(ord)
			if err != nil {
				t.Fatal(err)
			}
			f(where, attrs)
			v, err := r.Full(ord, new(segment.Buffer))
			if err != nil {
				t.Fatal(err)
			}
			for _, plane := range [][]byte{v.Raw, v.C, v.A, v.B} {
				f(where, plane)
			}
		}
		r.Close()
	}
	nums, err := wal.List(e.fs, e.walDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nums {
		_, err := wal.Scan(e.fs, e.walDir(), n, 0, -1, func(r wal.Record) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			f(fmt.Sprintf("log file %d, change %d", n, r.Seq), r.Payload)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Planes returns the bytes that a sealed document has in each plane.
func Planes(t testing.TB, c *Collection, id string) map[string][]byte {
	t.Helper()
	v, err := c.c.acquire()
	if err != nil {
		t.Fatal(err)
	}
	defer c.c.release(v)
	for _, s := range v.segs {
		for ord := range s.Len() {
			if s.ExternalID(ord) == id && s.isLive(ord) {
				view, err := s.Full(ord, new(segment.Buffer))
				if err != nil {
					t.Fatal(err)
				}
				return map[string][]byte{"raw": bytes.Clone(view.Raw), "c": bytes.Clone(view.C), "a": bytes.Clone(view.A), "b": bytes.Clone(view.B)}
			}
		}
	}
	t.Fatalf("no segment has document %q", id)
	return nil
}

// ScrubID puts an id into Pebble in a table of its own, so that the MANIFEST names
// it, and scrubs it again; check is called in between and at the end.
func ScrubID(t testing.TB, e *Engine, id string, check func(scrubbed bool)) {
	t.Helper()
	ctx := context.Background()
	key := segment.DocumentKey(1<<31, id)
	if err := errors.Join(e.db.Set(key, segment.EncodeDocumentRef(1), pebble.Sync), e.db.Flush()); err != nil {
		t.Fatal(err)
	}
	check(false)
	if err := e.publishing(ctx, func(ctx context.Context) error { return e.scrub(ctx, [][]byte{key}) }); err != nil {
		t.Fatal(err)
	}
	check(true)
}

// Float16 is a vector as the log and plane R hold it.
func Float16(v []float32) []byte { return codec.AppendF16(nil, v) }

// RewriteTables makes Pebble write every sstable of the store anew, as a compaction
// may, without a change of what is in them.
func RewriteTables(t testing.TB, e *Engine) {
	t.Helper()
	start, end := []byte{0}, []byte{0xff}
	for _, key := range [][]byte{start, end} { // one table that spans all others
		if err := e.db.Delete(key, pebble.Sync); err != nil {
			t.Fatal(err)
		}
	}
	before := tables(t, e)
	if err := e.guard.flush(context.Background(), e.db); err != nil {
		t.Fatal(err)
	}
	if err := e.db.Compact(context.Background(), start, append(end, 0), false); err != nil {
		t.Fatal(err)
	}
	for n := range tables(t, e) {
		if before[n] {
			t.Fatalf("sstable %d was not written anew", n)
		}
	}
}

// tables are the sstables of Pebble's current version.
func tables(t testing.TB, e *Engine) map[uint64]bool {
	t.Helper()
	levels, err := e.db.SSTables()
	if err != nil {
		t.Fatal(err)
	}
	out := map[uint64]bool{}
	for _, level := range levels {
		for _, table := range level {
			out[uint64(table.BackingSSTNum)] = true
		}
	}
	return out
}

// SegmentTables names the sstables of a collection's segments.
func SegmentTables(t testing.TB, c *Collection) map[string]bool {
	t.Helper()
	levels, err := c.c.engine.db.SSTables()
	if err != nil {
		t.Fatal(err)
	}
	infos, err := c.Segments()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, level := range levels {
		for _, table := range level {
			for _, s := range infos {
				if bytes.HasPrefix(table.Smallest.UserKey, segment.Span(segment.ID(s.ID)).Start) {
					out[fmt.Sprintf("%06d.sst", uint64(table.BackingSSTNum))] = true
				}
			}
		}
	}
	return out
}

func TestStaleCalibration(t *testing.T) {
	m := &Calibration{Documents: 1000, Codebook: 2, Routing: 5, NextNum: 3000}
	for _, c := range []struct {
		name  string
		m     *Calibration
		docs  int64
		in    versions
		next  segment.DocNum
		stale bool
	}{
		{"none", nil, 0, versions{2, 5}, 3000, true},
		{"as it was", m, 1000, versions{2, 5}, 3000, false},
		{"another routing", m, 1000, versions{2, 6}, 3000, true},
		{"another codebook", m, 1000, versions{3, 5}, 3000, true},
		{"grown by less than half", m, 1499, versions{2, 5}, 3499, false},
		{"grown by half", m, 1500, versions{2, 5}, 3500, true},
		{"less than a quarter replaced", m, 1000, versions{2, 5}, 3249, false},
		{"a quarter replaced", m, 1000, versions{2, 5}, 3250, true},
		{"more than half left", m, 501, versions{2, 5}, 3000, false},
		{"half deleted", m, 500, versions{2, 5}, 3000, true},
	} {
		if got := c.m.stale(c.docs, c.in, c.next); got != c.stale {
			t.Errorf("%s: stale is %t", c.name, got)
		}
	}
}
