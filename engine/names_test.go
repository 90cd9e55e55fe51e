package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/encoder/fake"
	"github.com/colbertdb-go/colbertdb/segment"
)

func openTest(t testing.TB, fsys vfs.FS) *Engine {
	t.Helper()
	e, err := Open(context.Background(), "db", &Options{FS: fsys, DisableAutoCompaction: true})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// closeTest verifies a store and closes it.
func closeTest(t testing.TB, e *Engine) {
	t.Helper()
	r, err := e.Verify(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Error(p)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func testDocument(i int) Document {
	r := rand.New(rand.NewPCG(uint64(i), 3))
	m := Matrix{Dim: 16, Data: make([]float32, 3*16)}
	for i := range m.Data {
		m.Data[i] = float32(r.NormFloat64())
	}
	return Document{ID: fmt.Sprint("doc ", i), Text: fmt.Sprint("text ", i), Vectors: m}
}

func testCollection(t testing.TB, e *Engine, name string, docs int) *Collection {
	t.Helper()
	ctx := context.Background()
	col, err := e.CreateCollection(ctx, name, CollectionConfig{Dim: 16})
	if err != nil {
		t.Fatal(err)
	}
	for i := range docs {
		if _, err := col.Upsert(ctx, testDocument(i)); err != nil {
			t.Fatal(err)
		}
	}
	return col
}

// Records of a collection that was dropped stay in the log until the next seal and
// are no damage, however often the store is opened; those of one that is simply
// not there are, and a repair names them.
func TestLogRecordsWithoutTheirCollection(t *testing.T) {
	ctx, fsys := context.Background(), vfs.NewMem()
	e := openTest(t, fsys)
	testCollection(t, e, "stays", 5)
	testCollection(t, e, "goes", 3)
	if err := e.DropCollection(ctx, "goes"); err != nil {
		t.Fatal(err)
	}
	testCollection(t, e, "lost", 4)
	for range 2 {
		closeTest(t, e)
		e = openTest(t, fsys)
		if got := e.state().Dropped; len(got) != 1 {
			t.Errorf("dropped collections with records in the log: %v", got)
		}
	}
	lost := e.byName["lost"].id
	if err := errors.Join(e.db.Delete(segment.CollectionKey(lost), pebble.Sync), e.Close()); err != nil {
		t.Fatal(err)
	}
	_, err := Open(ctx, "db", &Options{FS: fsys})
	if !errors.Is(err, ErrCorruption) || !strings.Contains(err.Error(), fmt.Sprintf("collection %d, which is not in the store", lost)) {
		t.Fatal(err)
	}
	report, err := Repair(ctx, "db", RepairOptions{FS: fsys, Apply: true})
	if err != nil || len(report.Losses) != 4 || report.Losses[0].Kind != LostRecords || report.Records != 5+3 {
		t.Fatalf("%+v, %v", report, err)
	}
	e = openTest(t, fsys)
	if err := e.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if got := e.state().Dropped; got != nil {
		t.Errorf("after a seal the log has no records of %v", got)
	}
	if h, err := e.Collection("stays"); err != nil || h.Info().Documents != 5 {
		t.Errorf("%v", err)
	}
	closeTest(t, e)
	closeTest(t, openTest(t, fsys))
}

// Verify finds damaged aliases, progress of reindexes and idempotency keys; Repair
// leaves them out, and keeps those that are whole.
func TestDamagedNames(t *testing.T) {
	ctx := context.Background()
	build := func(t *testing.T) (*vfs.MemFS, *Engine) {
		fsys := vfs.NewMem()
		e := openTest(t, fsys)
		testCollection(t, e, "one", 3)
		if err := e.SetAlias(ctx, "alias", "one"); err != nil {
			t.Fatal(err)
		}
		if _, err := e.byName["one"], e.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		h, err := e.Collection("one")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Idempotent("key").Upsert(ctx, testDocument(9)); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Reindex(ctx, "one", fake.New(32), &ReindexOptions{NoSwitch: true}); err != nil {
			t.Fatal(err)
		}
		if err := e.Flush(ctx); err != nil {
			t.Fatal(err)
		}
		return fsys, e
	}
	reindex := func(e *Engine) []byte {
		for id := range e.reindexes {
			return segment.ReindexKey(id)
		}
		return nil
	}
	write := func(e *Engine) []byte {
		for id := range e.keys.all {
			return segment.WriteKey(id.collection, id.name)
		}
		return nil
	}
	alias := func(*Engine) []byte { return segment.AliasKey("alias") }
	for name, key := range map[string]func(*Engine) []byte{"alias": alias, "progress of the reindex": reindex, "idempotency key": write} {
		t.Run(name, func(t *testing.T) {
			fsys, e := build(t)
			r, err := e.Verify(ctx)
			if err != nil || !r.Ok() {
				t.Fatalf("before: %v, %v", r.Problems, err)
			}
			k := key(e)
			b, closer, err := e.db.Get(k)
			if err != nil {
				t.Fatal(err)
			}
			bad := append([]byte(nil), b...)
			bad[len(bad)-1] ^= 1
			if err := errors.Join(closer.Close(), e.db.Set(k, bad, pebble.Sync)); err != nil {
				t.Fatal(err)
			}
			if r, err = e.Verify(ctx); err != nil || len(r.Problems) != 1 || !errors.Is(r.Problems[0], ErrCorruption) {
				t.Errorf("Verify found %v, %v", r.Problems, err)
			}
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			report, err := Repair(ctx, "db", RepairOptions{FS: fsys, Apply: true})
			if err != nil || len(report.Losses) != 1 || report.Losses[0].Kind != LostName || !strings.HasPrefix(report.Losses[0].Where, name) {
				t.Fatalf("%+v, %v", report, err)
			}
			e = openTest(t, fsys)
			if left := len(e.aliases) + len(e.reindexes) + len(e.keys.all); left != 2 {
				t.Errorf("%d of the other two are left", left)
			}
			closeTest(t, e)
		})
	}
}

// A flat collection at rest is described as when it is open, but for its columns.
func TestInfoAtRest(t *testing.T) {
	ctx, fsys := context.Background(), vfs.NewMem()
	e := openTest(t, fsys)
	col := testCollection(t, e, "c", 20)
	if err := e.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := col.Delete(ctx, "doc 3", "doc 4"); err != nil {
		t.Fatal(err)
	}
	testCollection(t, e, "c", 3)
	if err := e.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	open := col.Info()
	closeTest(t, e)
	e = openTest(t, fsys)
	col, err := e.Collection("c")
	if err != nil {
		t.Fatal(err)
	}
	rest := col.Info()
	if len(rest.Tiers) == 0 || !reflect.DeepEqual(rest.Tiers, open.Tiers) || rest.Debt.DeletedBytes == 0 || rest.Debt.DeletedBytes != open.Debt.DeletedBytes {
		t.Errorf("at rest %+v %+v, open %+v %+v", rest.Tiers, rest.Debt, open.Tiers, open.Debt)
	}
	if len(e.opened) != 0 {
		t.Error("describing it has opened it")
	}
	closeTest(t, e)
}

// Whoever waits for a change of a load sees its documents.
func TestWaitVisibleDuringLoad(t *testing.T) {
	ctx := context.Background()
	// A step of a load has its number before it is written, and is seen afterwards.
	slow := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSync) {
			time.Sleep(2 * time.Millisecond)
		}
		return nil
	})
	e, err := Open(ctx, "db", &Options{FS: errorfs.Wrap(vfs.NewMem(), slow), MaxSegmentDocuments: 50, TrainTokens: 1 << 40, DisableAutoCompaction: true})
	if err != nil {
		t.Fatal(err)
	}
	col := testCollection(t, e, "c", 1)
	type look struct {
		seq  uint64
		docs int64
	}
	var looks []look
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for next := e.Seq() + 1; ; {
			short, cancel := context.WithTimeout(ctx, 200*time.Microsecond)
			err := e.WaitVisible(short, next)
			cancel()
			if err == nil {
				looks = append(looks, look{next, col.Info().Documents})
				next++
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	var steps []BulkProgress
	load, err := col.Bulk(ctx, BulkOptions{OnPublish: func(p BulkProgress) { steps = append(steps, p) }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := load.Add(ctx, testDocument(i+100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(load.Commit(ctx), load.Close()); err != nil {
		t.Fatal(err)
	}
	close(stop)
	wg.Wait()
	if len(steps) < 10 || len(looks) < 10 {
		t.Fatalf("%d steps, %d looks: no power", len(steps), len(looks))
	}
	for _, l := range looks {
		for _, s := range steps {
			if l.seq >= s.Seq && l.docs < s.Documents {
				t.Fatalf("change %d was visible with %d documents, change %d has brought %d", l.seq, l.docs, s.Seq, s.Documents)
			}
		}
	}
	closeTest(t, e)
}
