package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// recorder notes events in the order in which they arrive.
type recorder struct {
	mu   sync.Mutex
	list []any
}

// named is an event whose type does not tell which it is.
type named struct {
	name string
	info any
}

func (r *recorder) add(e any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, e)
}

func (r *recorder) listener() *engine.EventListener {
	return &engine.EventListener{
		RecoveryEnd:       func(i engine.RecoveryInfo) { r.add(named{"recovery", i}) },
		SealBegin:         func(i engine.SealInfo) { r.add(named{"seal begin", i}) },
		SealEnd:           func(i engine.SealInfo) { r.add(named{"seal end", i}) },
		MergeBegin:        func(i engine.MergeInfo) { r.add(named{"merge begin", i}) },
		MergeEnd:          func(i engine.MergeInfo) { r.add(named{"merge end", i}) },
		TrainBegin:        func(i engine.TrainInfo) { r.add(named{"train begin", i}) },
		TrainEnd:          func(i engine.TrainInfo) { r.add(named{"train end", i}) },
		WriteStallBegin:   func(i engine.WriteStallInfo) { r.add(named{"stall begin", i}) },
		WriteStallEnd:     func(i engine.WriteStallInfo) { r.add(named{"stall end", i}) },
		BackgroundError:   func(err error) { r.add(named{"background error", err}) },
		Poisoned:          func(err error) { r.add(named{"poisoned", err}) },
		LogRotated:        func(i engine.LogInfo) { r.add(named{"log rotated", i}) },
		LogRemoved:        func(i engine.LogInfo) { r.add(named{"log removed", i}) },
		CollectionCreated: func(name string) { r.add(named{"created", name}) },
		CollectionDropped: func(name string) { r.add(named{"dropped", name}) },
	}
}

// events returns what arrived, by name.
func (r *recorder) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]string, len(r.list))
	for i, e := range r.list {
		out[i] = e.(named).name
	}
	return out
}

// first returns the n-th event of a name, from 0.
func nth[T any](t *testing.T, r *recorder, name string, n int) T {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.list {
		if e := e.(named); e.name == name {
			if n == 0 {
				return e.info.(T)
			}
			n--
		}
	}
	t.Fatalf("no %d. event %q", n, name)
	panic("unreachable")
}

// The life of a store without background work, event by event.
func TestEvents(t *testing.T) {
	var rec recorder
	o := small()
	o.DisableAutoCompaction, o.SealDocuments, o.TrainTokens = true, 1000, 1000
	o.EventListener = rec.listener()
	db := mustOpen(t, vfs.NewMem(), o)
	col := mustCollection(t, db, engine.CollectionConfig{})
	r := rand.New(rand.NewPCG(21, 1))
	put := func(from, n, tokens int) {
		t.Helper()
		docs := make([]engine.Document, n)
		for i := range docs {
			docs[i] = engine.Document{ID: fmt.Sprint(from + i), Vectors: vectors(r, tokens)}
		}
		if _, err := col.Upsert(ctx, docs...); err != nil {
			t.Fatal(err)
		}
	}
	step := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	put(0, 20, 4)
	step(col.Flush(ctx))
	put(20, 10, 4)
	step(col.Flush(ctx))
	if _, err := col.Delete(ctx, "0", "1", "25"); err != nil {
		t.Fatal(err)
	}
	step(col.Compact(ctx)) // saves the deletes, then merges two segments
	put(30, 200, 10)
	step(col.Compact(ctx)) // seals and trains
	step(db.DropCollection(ctx, "test"))
	mustClose(t, db)

	want := []string{
		"recovery", "created",
		"log rotated", "seal begin", "log removed", "seal end",
		"log rotated", "seal begin", "log removed", "seal end",
		"log rotated", "log removed", "merge begin", "merge end",
		"log rotated", "seal begin", "log removed", "seal end",
		"train begin", "merge begin", "merge begin", "merge end", "merge end", "train end",
		"merge begin", "merge end",
		"dropped",
	}
	if got := rec.names(); !slices.Equal(got, want) {
		t.Fatalf("events:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	seal := nth[engine.SealInfo](t, &rec, "seal end", 0)
	if seal.Collection != "test" || seal.Segment == 0 || seal.Documents != 20 || seal.BytesIn < 20*4*2*dim || seal.BytesOut <= 0 || seal.Err != nil || seal.Duration <= 0 {
		t.Errorf("seal: %+v", seal)
	}
	second := nth[engine.SealInfo](t, &rec, "seal end", 1)
	merge := nth[engine.MergeInfo](t, &rec, "merge end", 0)
	if merge.Reason != "compact" || !slices.Equal(merge.Inputs, []uint64{seal.Segment, second.Segment}) ||
		merge.DocumentsIn != 30 || merge.DocumentsOut != 27 || merge.BytesIn != seal.BytesOut+second.BytesOut ||
		merge.BytesOut <= 0 || merge.BytesOut >= merge.BytesIn || merge.Output <= second.Segment || merge.Err != nil {
		t.Errorf("merge: %+v", merge)
	}
	train := nth[engine.TrainInfo](t, &rec, "train end", 0)
	if !train.First || train.Tokens != 27*4+200*10 || train.Codebook != 1 || train.Routing != 1 || train.Err != nil {
		t.Errorf("training: %+v", train)
	}
	if m := nth[engine.MergeInfo](t, &rec, "merge end", 1); m.Reason != "train" || m.DocumentsOut != 27 {
		t.Errorf("merge of a training: %+v", m)
	}
}

// Writers that outrun sealing stall; the stall begins once and ends, and a
// listener that calls the store back does not hang it.
func TestStallEvents(t *testing.T) {
	var rec recorder
	o := small()
	o.SealBytes = 4 << 10
	l := rec.listener()
	var db *engine.Engine
	opened := make(chan struct{})
	l.SealEnd = func(engine.SealInfo) {
		<-opened
		if err := db.Flush(ctx); err != nil && !errors.Is(err, engine.ErrClosed) && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		db.Metrics()
	}
	o.EventListener = l
	db = mustOpen(t, vfs.NewMem(), o)
	close(opened)
	col := mustCollection(t, db, engine.CollectionConfig{})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(22, uint64(w)))
			for i := range 60 {
				if _, err := col.Upsert(ctx, engine.Document{ID: fmt.Sprint(w, i), Vectors: vectors(r, 60)}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	m := db.Metrics()
	mustClose(t, db)
	open := 0
	for _, name := range rec.names() {
		switch name {
		case "stall begin":
			open++
		case "stall end":
			open--
		}
		if open < 0 || open > 1 {
			t.Fatalf("%d stalls at once: %v", open, rec.names())
		}
	}
	if open != 0 || m.Stalls == 0 || m.Stalled <= 0 {
		t.Errorf("%d stalls did not end; metrics say %d, %v", open, m.Stalls, m.Stalled)
	}
	if i := nth[engine.WriteStallInfo](t, &rec, "stall end", 0); i.Collection != "test" || i.Buffered < 2*o.SealBytes || i.Duration <= 0 {
		t.Errorf("%+v", i)
	}
}

// A failed write to the log is an event, and a metric until the store is reopened.
func TestPoisonedEvent(t *testing.T) {
	mem := vfs.NewMem()
	broken := errorfs.Toggle{Injector: errorfs.ErrInjected.If(errorfs.And(errorfs.Writes, errorfs.PathMatch("db/wal/*")))}
	var rec recorder
	o := small()
	o.EventListener = rec.listener()
	db := mustOpen(t, errorfs.Wrap(mem, &broken), o)
	col := mustCollection(t, db, engine.CollectionConfig{})
	if m := db.Metrics(); m.Poisoned != nil {
		t.Fatal(m.Poisoned)
	}
	broken.On()
	r := rand.New(rand.NewPCG(23, 1))
	for range 3 {
		if _, err := col.Upsert(ctx, document(r, 1)); !errors.Is(err, engine.ErrReadOnly) {
			t.Fatalf("a write that failed: %v", err)
		}
	}
	broken.Off()
	if m := db.Metrics(); m.Poisoned == nil || !strings.Contains(m.Poisoned.Error(), "injected error") {
		t.Errorf("metrics: poisoned by %v", m.Poisoned)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := rec.names(); !slices.Equal(got, []string{"recovery", "created", "poisoned"}) {
		t.Errorf("%v", got)
	}
	if err := nth[error](t, &rec, "poisoned", 0); !strings.Contains(err.Error(), "injected error") {
		t.Error(err)
	}
	db = mustOpen(t, mem, small())
	mustClose(t, db)
}

func TestLoggingEventListener(t *testing.T) {
	var log bytes.Buffer
	o := small()
	o.EventListener = engine.LoggingEventListener(slog.New(slog.NewTextHandler(&log, nil)))
	db := mustOpen(t, vfs.NewMem(), o)
	col := mustCollection(t, db, engine.CollectionConfig{})
	if _, err := col.Upsert(ctx, document(rand.New(rand.NewPCG(24, 1)), 1)); err != nil {
		t.Fatal(err)
	}
	if err := col.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	mustClose(t, db)
	for _, want := range []string{`msg="store opened" collections=0`, `msg="collection created" collection=test`, "msg=sealed collection=test segment=1 documents=1 bytes_in="} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "level=DEBUG") || strings.Contains(log.String(), "ERROR") {
		t.Errorf("%s", log.String())
	}
}
