package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/engine"
)

// replica applies changes to a model, checking their order.
type replica struct {
	m   model
	seq uint64
}

func (r *replica) apply(t testing.TB, c *engine.Change) {
	t.Helper()
	if c.Seq <= r.seq {
		t.Fatalf("change %d after %d", c.Seq, r.seq)
	}
	r.seq = c.Seq
	for _, o := range c.Operations {
		if o.Document == nil {
			delete(r.m, o.ID)
		} else {
			r.m.put(*o.Document)
		}
	}
}

// same compares models as far as the log keeps documents: float16 unit vectors.
func (m model) same(t testing.TB, want model) {
	t.Helper()
	if !slices.Equal(slices.Sorted(maps.Keys(m)), slices.Sorted(maps.Keys(want))) {
		t.Fatalf("%d documents, want %d", len(m), len(want))
	}
	for id, w := range want {
		d := m[id]
		unit := w.Vectors.Normalized()
		if d.Text != w.Text || string(d.Attributes) != string(w.Attributes) || len(d.Vectors.Data) != len(unit.Data) {
			t.Fatalf("%q: %+v, want %+v", id, d, w)
		}
		for i, x := range d.Vectors.Data {
			if diff := x - unit.Data[i]; diff > 1e-3 || diff < -1e-3 {
				t.Fatalf("%q: component %d is %v, want %v", id, i, x, unit.Data[i])
			}
		}
	}
}

// Changes from any point on, applied to the model of that point, are the model
// of the end; through seals, merges, reopening and rotations that copy forward.
func TestChanges(t *testing.T) {
	mem := vfs.NewMem()
	o := small()
	o.KeepLogAge = time.Hour
	db := mustOpen(t, mem, o)
	col := mustCollection(t, db, engine.CollectionConfig{Profile: engine.Balanced})
	other, err := db.CreateCollection(ctx, "other", engine.CollectionConfig{Dim: dim})
	if err != nil {
		t.Fatal(err)
	}
	h := &history{changes: map[uint64]change{}}
	r := rand.New(rand.NewPCG(51, 51))
	for i := range 300 {
		if _, err := h.change(col, r, 120); err != nil {
			t.Fatal(err)
		}
		switch {
		case i%50 == 20: // a buffer that stays small is copied at every rotation
			seq, err := other.Upsert(ctx, document(r, i))
			if err != nil {
				t.Fatal(err)
			}
			h.changes[seq] = change{delete: "no document of the first collection"}
		case i == 150:
			mustClose(t, db)
			db = mustOpen(t, mem, o)
			if col, err = db.Collection("test"); err != nil {
				t.Fatal(err)
			}
			if other, err = db.Collection("other"); err != nil {
				t.Fatal(err)
			}
		case i%90 == 60:
			if err := col.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	last := db.Seq()
	for _, after := range []uint64{0, 1, 17, last / 2, last - 1, last} {
		all, one := &replica{h.at(after), after}, &replica{h.at(after), after}
		n := 0
		for c, err := range db.Changes(ctx, after, engine.ChangesOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if c.Collection == "test" {
				all.apply(t, c)
			}
		}
		for c, err := range db.Changes(ctx, after, engine.ChangesOptions{Collection: "test"}) {
			if err != nil {
				t.Fatal(err)
			}
			one.apply(t, c)
		}
		if n != int(last-after) {
			t.Errorf("%d changes after %d, want %d", n, after, last-after)
		}
		if after == 0 {
			all.m.same(t, h.at(last))
		}
		if len(all.m) != len(one.m) || !slices.Equal(slices.Sorted(maps.Keys(one.m)), slices.Sorted(maps.Keys(h.at(last)))) {
			t.Errorf("after %d: %d and %d documents, want %d", after, len(all.m), len(one.m), len(h.at(last)))
		}
	}
	for range db.Changes(ctx, 0, engine.ChangesOptions{}) {
		break // an iteration may be left early
	}
	mustClose(t, db)
}

// Changes of one collection are found by the names that lead to it now, after a
// reindex has renamed it too; a name that leads nowhere is an error.
func TestChangesByName(t *testing.T) {
	fs := vfs.NewMem()
	o := &engine.Options{KeepLogBytes: 1 << 30}
	db := mustOpen(t, fs, o)
	col, err := db.CreateCollection(ctx, "docs", engine.CollectionConfig{Encoder: fake.New(dim)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := col.Upsert(ctx, engine.Document{ID: "1", Text: "old"}); err != nil {
		t.Fatal(err)
	}
	res, err := db.Reindex(ctx, "docs", fake.New(32), nil)
	if err != nil {
		t.Fatal(err)
	}
	now, err := db.Collection("docs", engine.WithEncoder(fake.New(32)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := now.Upsert(ctx, engine.Document{ID: "2", Text: "new"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for name, want := range map[string]string{
			"docs":         fmt.Sprintf("%s 1, %s 2, ", res.Collection, res.Collection),
			res.Collection: fmt.Sprintf("%s 1, %s 2, ", res.Collection, res.Collection),
			res.Old:        fmt.Sprintf("%s 1, ", res.Old),
			"":             fmt.Sprintf("%s 1, %s 1, %s 2, ", res.Old, res.Collection, res.Collection),
		} {
			var got strings.Builder
			for c, err := range db.Changes(ctx, 0, engine.ChangesOptions{Collection: name}) {
				if err != nil {
					t.Fatal(name, err)
				}
				fmt.Fprintf(&got, "%s %s, ", c.Collection, c.Operations[0].ID)
			}
			if got.String() != want {
				t.Errorf("changes of %q: %s, want %s", name, &got, want)
			}
		}
		for _, err := range db.Changes(ctx, 0, engine.ChangesOptions{Collection: "nothing"}) {
			if !errors.Is(err, engine.ErrCollectionNotFound) {
				t.Errorf("a name that leads nowhere: %v", err)
			}
		}
		mustClose(t, db)
		db = mustOpen(t, fs, o)
	}
	mustClose(t, db)
}

// Without kept logs, changes before the last seal are gone, and it says so.
func TestChangesTooOld(t *testing.T) {
	mem := vfs.NewMem()
	db := mustOpen(t, mem, small())
	col := mustCollection(t, db, engine.CollectionConfig{})
	h := &history{changes: map[uint64]change{}}
	r := rand.New(rand.NewPCG(52, 52))
	for range 30 {
		if _, err := h.change(col, r, 50); err != nil {
			t.Fatal(err)
		}
	}
	if err := col.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if _, err := h.change(col, r, 50); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ after, first uint64 }{{0, 31}, {29, 31}} {
		var got error
		for _, err := range db.Changes(ctx, test.after, engine.ChangesOptions{}) {
			got = err
		}
		var old *engine.TooOldError
		if !errors.As(got, &old) || !errors.Is(got, engine.ErrTooOld) || old.First != test.first {
			t.Errorf("after %d: %v", test.after, got)
		}
	}
	n := 0
	for _, err := range db.Changes(ctx, 30, engine.ChangesOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 5 {
		t.Errorf("%d changes after 30, want 5", n)
	}
	mustClose(t, db)
}

// A follower sees every change that is committed while it runs, through seals,
// and ends with its context, or with the store.
func TestFollowChanges(t *testing.T) {
	mem := vfs.NewMem()
	db := mustOpen(t, mem, small())
	col := mustCollection(t, db, engine.CollectionConfig{})
	h := &history{changes: map[uint64]change{}}
	follow, cancel := context.WithCancel(ctx)
	rep := &replica{m: model{}}
	reached, ended := make(chan struct{}), make(chan error, 2)
	const changes = 400
	go func() {
		for c, err := range db.Changes(follow, 0, engine.ChangesOptions{Follow: true}) {
			if err != nil {
				ended <- err
				return
			}
			rep.apply(t, c)
			if c.Seq == changes {
				close(reached)
			}
		}
	}()
	go func() {
		for _, err := range db.Changes(ctx, 0, engine.ChangesOptions{Follow: true}) {
			if err != nil {
				ended <- err
				return
			}
		}
	}()
	r := rand.New(rand.NewPCG(53, 53))
	for i := range changes {
		if _, err := h.change(col, r, 100); err != nil {
			t.Fatal(err)
		}
		if i%100 == 50 {
			if err := col.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-reached
	rep.m.same(t, h.at(changes))
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled iteration ended with %v", err)
	}
	mustClose(t, db)
	if err := <-ended; !errors.Is(err, engine.ErrClosed) {
		t.Errorf("an iteration of a closed store ended with %v", err)
	}
}

// A checkpoint and the kept log restore the store as it was after any change.
func TestRestoreTo(t *testing.T) {
	mem := vfs.NewMem()
	o := small()
	o.KeepLogBytes = 1 << 30
	db := mustOpen(t, mem, o)
	col := mustCollection(t, db, engine.CollectionConfig{Profile: engine.Balanced})
	h := &history{changes: map[uint64]change{}}
	r := rand.New(rand.NewPCG(54, 54))
	more := func(n int) {
		for range n {
			if _, err := h.change(col, r, 150); err != nil {
				t.Fatal(err)
			}
		}
	}
	more(120)
	d, err := db.Checkpoint(ctx, "base")
	if err != nil {
		t.Fatal(err)
	}
	more(100)
	later, err := db.CreateCollection(ctx, "later", engine.CollectionConfig{Dim: dim})
	if err != nil {
		t.Fatal(err)
	}
	inLater, err := later.Upsert(ctx, document(r, 7))
	if err != nil {
		t.Fatal(err)
	}
	h.changes[inLater] = change{delete: "no document of this collection"}
	more(80)
	if err := col.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	if err := db.DropCollection(ctx, "later"); err != nil {
		t.Fatal(err)
	}
	more(50)
	last := db.Seq()
	for i, seq := range []uint64{d.Seq, d.Seq + 1, d.Seq + 57, inLater - 1, inLater, inLater + 30, last - 1, 0} {
		dir := fmt.Sprintf("at-%d", i)
		got, err := engine.RestoreTo(ctx, dir, "base", engine.RestoreToOptions{Seq: seq, Logs: "db/wal", FS: mem})
		if err != nil {
			t.Fatalf("to %d: %v", seq, err)
		}
		if seq == 0 {
			seq = last
		}
		if got != seq {
			t.Errorf("restored to %d, want %d", got, seq)
		}
		checkCheckpoint(t, mem, dir, h.at(seq), true)
		at := mustOpenAt(t, mem, dir)
		_, err = at.Collection("later")
		if there := err == nil; there != (seq >= inLater && seq < last-1) {
			t.Errorf("at %d the other collection is there: %t", seq, there)
		}
		mustClose(t, at)
	}
	for _, bad := range []struct {
		o    engine.RestoreToOptions
		base string
		want error
	}{
		{engine.RestoreToOptions{Seq: d.Seq - 1, Logs: "db/wal"}, "base", engine.ErrInvalid},
		{engine.RestoreToOptions{Seq: last + 1, Logs: "db/wal"}, "base", engine.ErrInvalid},
		{engine.RestoreToOptions{Logs: "db/wal"}, "db", engine.ErrInvalid},
	} {
		bad.o.FS = mem
		if _, err := engine.RestoreTo(ctx, "bad", bad.base, bad.o); !errors.Is(err, bad.want) {
			t.Errorf("%+v: %v", bad.o, err)
		}
		if names, err := mem.List("bad"); err == nil {
			t.Errorf("a refused restore left %q", names)
		}
	}
	mustClose(t, db)
}

func mustOpenAt(t testing.TB, fsys vfs.FS, dir string) *engine.Engine {
	t.Helper()
	db, err := engine.Open(ctx, dir, &engine.Options{FS: fsys, MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	return db
}
