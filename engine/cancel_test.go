package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/testdata"
)

// gateFS holds up whoever creates a file of a segment that is being built.
type gateFS struct {
	vfs.FS
	mu      sync.Mutex
	reached chan struct{} // closed when somebody waits; nil: nobody is held up
	open    chan struct{}
}

// shut makes the next creation of such a file wait for open, and says when it does.
func (f *gateFS) shut() (reached <-chan struct{}, open func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reached, f.open = make(chan struct{}), make(chan struct{})
	return f.reached, sync.OnceFunc(func() { close(f.open) })
}

func (f *gateFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.Contains(name, "build") {
		f.mu.Lock()
		reached, open := f.reached, f.open
		f.reached = nil
		f.mu.Unlock()
		if reached != nil {
			close(reached)
			<-open
		}
	}
	return f.FS.Create(name, c)
}

// Who waits for another merge, or for a seal, stops waiting when its context ends.
func TestWaitersStopWhenTold(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	fs := &gateFS{FS: vfs.NewMem()}
	db := mustOpen(t, fs, &engine.Options{DisableAutoCompaction: true, SealAge: -1})
	col := mustCollection(t, db, engine.CollectionConfig{})
	for i := range 2 {
		if _, err := col.Upsert(ctx, document(r, i)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := col.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	reached, open := fs.shut()
	ended := make(chan error, 1)
	go func() { ended <- col.Compact(ctx) }() // it is held up in its seal, with both locks
	<-reached
	for name, wait := range map[string]func(context.Context) error{
		"Compact":     col.Compact,
		"Flush":       col.Flush,
		"Compact all": db.Compact,
		"SetAlias":    func(ctx context.Context) error { return db.SetAlias(ctx, "name", "test") },
		"Checkpoint":  func(ctx context.Context) error { _, err := db.Checkpoint(ctx, "copy"); return err },
		"Verify":      func(ctx context.Context) error { _, err := db.Verify(ctx); return err },
	} {
		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		waited := make(chan error, 1)
		go func() { waited <- wait(short) }()
		select {
		case err := <-waited:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(10 * time.Second):
			open()
			t.Errorf("%s goes on to wait when its context has ended", name)
			<-waited
		}
		cancel()
	}
	open()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	mustClose(t, db)
}

// Whatever a store does in the background or by hand, it stops soon after its
// context ends or the store is closed, and nothing is lost: a store that is opened
// again has every document.
func TestStopsWhenTold(t *testing.T) {
	_, docs := testdata.Lotte(t)
	docs = docs[:150]
	work := map[string]struct {
		options engine.Options
		start   func(context.Context, *engine.Collection) error
		// files: it writes some, and is stopped there; else it is stopped in a training.
		files bool
	}{
		"seal":     {engine.Options{TrainTokens: 1 << 30}, func(ctx context.Context, col *engine.Collection) error { return col.Flush(ctx) }, true},
		"merge":    {engine.Options{TrainTokens: 1 << 30}, func(ctx context.Context, col *engine.Collection) error { return col.Compact(ctx) }, true},
		"training": {engine.Options{TrainTokens: 1000}, func(ctx context.Context, col *engine.Collection) error { return col.Compact(ctx) }, false},
	}
	for name, w := range work {
		for _, how := range []string{"context", "close"} {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				fs := &gateFS{FS: vfs.NewMem()}
				training := make(chan struct{}, 1)
				o := w.options
				o.FS, o.DisableAutoCompaction, o.Sync = fs, true, engine.SyncNever
				o.EventListener = &engine.EventListener{TrainBegin: func(engine.TrainInfo) { training <- struct{}{} }}
				db, err := engine.Open(ctx, "db", &o)
				if err != nil {
					t.Fatal(err)
				}
				col, err := db.CreateCollection(ctx, "test", engine.CollectionConfig{Dim: 128, Profile: engine.Balanced})
				if err != nil {
					t.Fatal(err)
				}
				for i, d := range docs {
					if _, err := col.Upsert(ctx, engine.Document{ID: fmt.Sprint(i), Vectors: d}); err != nil {
						t.Fatal(err)
					}
					if i == len(docs)/2 && name != "seal" {
						if err := col.Flush(ctx); err != nil {
							t.Fatal(err)
						}
					}
				}
				if name != "seal" { // two segments, which may be merged
					if err := col.Flush(ctx); err != nil {
						t.Fatal(err)
					}
				}
				working, cancel := context.WithCancel(ctx)
				defer cancel()
				release := func() {}
				var reached <-chan struct{} = training
				if w.files {
					reached, release = fs.shut()
				}
				ended := make(chan error, 1)
				go func() { ended <- w.start(working, col) }()
				<-reached
				closed := make(chan error, 1)
				if how == "context" {
					cancel()
					release()
				} else {
					go func() { closed <- db.Close() }()
					for {
						if _, err := col.Get(ctx, "0"); errors.Is(err, engine.ErrClosed) {
							break
						}
						time.Sleep(time.Millisecond)
					}
					release()
					if err := <-closed; err != nil {
						t.Error(err)
					}
				}
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Errorf("it ended with %v", err)
				}
				if how == "context" {
					if _, err := col.Search(ctx, engine.SearchRequest{Vectors: docs[0]}); err != nil {
						t.Error(err)
					}
					if err := w.start(ctx, col); err != nil { // as if nothing had been
						t.Error(err)
					}
					verify(t, db)
					mustClose(t, db)
				}
				db = mustOpen(t, fs.FS, &engine.Options{DisableAutoCompaction: true, TrainTokens: w.options.TrainTokens})
				if names, err := fs.List("db/build"); err != nil || len(names) > 0 {
					t.Errorf("left behind: %v, %v", names, err)
				}
				if col, err = db.Collection(col.Name()); err != nil {
					t.Fatal(err)
				}
				n := 0
				for _, err := range col.All(ctx) {
					if err != nil {
						t.Fatal(err)
					}
					n++
				}
				if n != len(docs) {
					t.Errorf("%d of %d documents", n, len(docs))
				}
				verify(t, db)
				mustClose(t, db)
			})
		}
	}
}
