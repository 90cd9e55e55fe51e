package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
	"github.com/colbertdb-go/colbertdb/segment"
)

// repaired runs a dry repair, which changes nothing, then one that is applied,
// after which the store opens, verifies and needs no other.
func repaired(t testing.TB, fsys vfs.FS) (*engine.RepairReport, *engine.Engine) {
	t.Helper()
	before := contents(t, fsys, "db")
	dry, err := engine.Repair(ctx, "db", engine.RepairOptions{FS: fsys})
	if err != nil {
		t.Fatal(err)
	}
	if dry.Applied {
		t.Error("a dry repair says that it was applied")
	}
	if after := contents(t, fsys, "db"); !maps.EqualFunc(before, after, bytes.Equal) {
		t.Fatal("a dry repair changed the store")
	}
	r, err := engine.Repair(ctx, "db", engine.RepairOptions{FS: fsys, Apply: true})
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(r.Losses) != fmt.Sprint(dry.Losses) {
		t.Errorf("dry run: %v\napplied: %v", dry.Losses, r.Losses)
	}
	if r.Applied { // what was replaced is still there
		aside := contents(t, fsys, r.Aside)
		for p, b := range aside {
			if old := strings.Replace(p, r.Aside, "db", 1); !bytes.Equal(before[old], b) {
				t.Errorf("%s is not what was moved aside", p)
			}
		}
	}
	if again, err := engine.Repair(ctx, "db", engine.RepairOptions{FS: fsys, Apply: true}); err != nil || again.Applied {
		t.Errorf("a second repair: %+v, %v", again, err)
	}
	o := small()
	o.DisableAutoCompaction = true
	return r, mustOpen(t, fsys, o)
}

// checkLosses compares a repaired collection with a model: what is missing was
// reported, what is there is right.
func checkLosses(t testing.TB, r *engine.RepairReport, db *engine.Engine, want model) {
	t.Helper()
	col, err := db.Collection("test")
	if err != nil {
		t.Fatal(err)
	}
	lost := map[string]bool{}
	for _, l := range r.Losses {
		for _, id := range l.IDs {
			lost[id] = true
		}
	}
	left := maps.Clone(want)
	for d, err := range col.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		w, ok := left[d.ID]
		if !ok || w.Text != d.Text || string(w.Attributes) != string(d.Attributes) || w.Vectors.Len() != d.Vectors.Len() {
			t.Errorf("document %q is not what was stored", d.ID)
		}
		delete(left, d.ID)
	}
	for id := range left {
		if !lost[id] {
			t.Errorf("document %q is missing and was not reported", id)
		}
	}
}

func kinds(r *engine.RepairReport) map[engine.LossKind]int {
	out := map[engine.LossKind]int{}
	for _, l := range r.Losses {
		out[l.Kind]++
	}
	return out
}

func TestRepairOfASoundStore(t *testing.T) {
	mem, want := richStore(t)
	r, db := repaired(t, mem)
	if len(r.Losses) != 0 || r.Applied || r.Documents == 0 || r.Records == 0 {
		t.Errorf("a sound store: %+v", r)
	}
	checkLosses(t, r, db, want)
	mustClose(t, db)
	if _, err := engine.Repair(ctx, "nowhere", engine.RepairOptions{FS: mem}); err == nil {
		t.Error("repaired what is not there")
	}
}

// Flipped bytes in sstables: everything that can be read is kept, everything else
// reported; or the repair says that it needs a backup.
func TestRepairOfSSTables(t *testing.T) {
	mem, want := richStore(t)
	files := contents(t, mem, "db")
	r := rand.New(rand.NewPCG(21, 21))
	tries := 4
	if thorough() {
		tries = 100
	}
	seen, refused := map[engine.LossKind]int{}, 0
	for p, b := range files {
		if path.Ext(p) != ".sst" {
			continue
		}
		for range tries {
			changed := maps.Clone(files)
			changed[p] = slices.Clone(b)
			changed[p][r.IntN(len(b))] ^= 1 << r.IntN(8)
			fsys := storeOf(t, changed)
			if _, err := engine.Repair(ctx, "db", engine.RepairOptions{FS: fsys}); err != nil {
				if !errors.Is(err, engine.ErrCorruption) {
					t.Fatal(err)
				}
				refused++
				continue
			}
			report, db := repaired(t, fsys)
			if len(report.Losses) == 0 {
				t.Errorf("%s: nothing found", p)
			}
			checkLosses(t, report, db, want)
			mustClose(t, db)
			for k, n := range kinds(report) {
				seen[k] += n
			}
		}
	}
	t.Logf("losses %v, %d need a backup", seen, refused)
	if seen[engine.LostSegment] == 0 || seen[engine.LostDocument] == 0 {
		t.Errorf("losses %v: the test has no power", seen)
	}
}

// Damage of single values: delete sets, ids, chunks of a segment.
func TestRepairOfValues(t *testing.T) {
	sound, want := richStore(t)
	files := contents(t, sound, "db")
	for _, test := range []struct {
		name   string
		damage func(db *pebble.DB, key []byte) bool // of one key; true: enough
		kind   engine.LossKind
	}{
		{"delete set", func(db *pebble.DB, key []byte) bool {
			return key[0] == 'd' && db.Set(key, []byte("garbage"), pebble.Sync) == nil
		}, engine.LostDeletes},
		{"id without a document", func(db *pebble.DB, key []byte) bool {
			return key[0] == 'k' && db.Set(segment.DocumentKey(1, "ghost"), segment.EncodeDocumentRef(1<<40), pebble.Sync) == nil
		}, engine.LostIDs},
		{"document without an id", func(db *pebble.DB, key []byte) bool {
			return key[0] == 'k' && want[segment.DocumentID(key)].ID != "" && db.Delete(key, pebble.Sync) == nil
		}, engine.LostIDs},
		{"id that cannot be read", func(db *pebble.DB, key []byte) bool {
			return key[0] == 'k' && db.Set(key, []byte("x"), pebble.Sync) == nil
		}, engine.LostIDs},
		{"text", func(db *pebble.DB, key []byte) bool {
			return key[0] == 's' && key[10] == 'T' && db.Set(key, []byte("not zstd"), pebble.Sync) == nil
		}, engine.LostDocument},
		{"document table", func(db *pebble.DB, key []byte) bool {
			return key[0] == 's' && key[10] == 'D' && db.Delete(key, pebble.Sync) == nil
		}, engine.LostSegment},
	} {
		t.Run(test.name, func(t *testing.T) {
			fsys := storeOf(t, files)
			o := segment.PebbleOptions()
			o.FS = fsys
			db, err := pebble.Open("db/pebble", o)
			if err != nil {
				t.Fatal(err)
			}
			it, err := db.NewIter(nil)
			if err != nil {
				t.Fatal(err)
			}
			done := false
			for it.First(); it.Valid() && !done; it.Next() {
				done = test.damage(db, slices.Clone(it.Key()))
			}
			if err := errors.Join(it.Close(), db.Close()); err != nil || !done {
				t.Fatal(err, done)
			}
			if report, err := found(t, fsys, "db"); err == nil && report.Ok() {
				t.Error("Verify does not see it")
			}
			report, repairedDB := repaired(t, fsys)
			if kinds(report)[test.kind] == 0 {
				t.Errorf("losses %v, want one of kind %q", report.Losses, test.kind)
			}
			if test.kind != engine.LostDeletes {
				checkLosses(t, report, repairedDB, want)
			} else if col, err := repairedDB.Collection("test"); err != nil || col.Info().Documents < int64(len(want)) {
				t.Errorf("%v, %+v", err, col.Info())
			}
			mustClose(t, repairedDB)
		})
	}
}

// Damage in Pebble's own log, which Pebble takes for the log's end, is refused, and
// costs no document.
func TestRepairOfPebblesLog(t *testing.T) {
	mem := vfs.NewMem()
	db := mustOpen(t, mem, small())
	col := mustCollection(t, db, engine.CollectionConfig{})
	m := model{}
	for _, d := range documents(5, 80) {
		if _, err := col.Upsert(ctx, d); err != nil {
			t.Fatal(err)
		}
		m.put(d)
	}
	if err := db.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if _, err := db.CreateCollection(ctx, fmt.Sprint("later", i), engine.CollectionConfig{Dim: dim}); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, db)
	files := contents(t, mem, "db")
	flips := 0
	for name, b := range files {
		if !strings.HasSuffix(name, ".log") || len(b) < 1000 || b[6] < 9 { // the first one, superseded, is in an older format
			continue
		}
		for at := 10; at < 900; at += 100 {
			changed := maps.Clone(files)
			changed[name] = slices.Clone(b)
			changed[name][at] ^= 1
			fsys := storeOf(t, changed)
			if _, err := engine.Open(ctx, "db", &engine.Options{FS: fsys}); !errors.Is(err, engine.ErrCorruption) || !strings.Contains(err.Error(), ".log") {
				t.Fatalf("byte %d of %s: open: %v", at, name, err)
			}
			report, db := repaired(t, fsys)
			if kinds(report)[engine.LostPebbleLog] != 1 {
				t.Fatalf("byte %d of %s: %+v", at, name, report)
			}
			col, err := db.Collection("test")
			if err != nil {
				t.Fatal(err)
			}
			m.check(t, col)
			mustClose(t, db)
			flips++
		}
	}
	if flips == 0 {
		t.Fatal("Pebble's log is empty")
	}
}

// A damaged record in the middle of the log costs its own change alone.
func TestRepairOfTheLog(t *testing.T) {
	mem := vfs.NewMem()
	o := small()
	o.SealDocuments = 1000 // everything stays in the log
	o.TrainTokens = 1 << 30
	db := mustOpen(t, mem, o)
	col := mustCollection(t, db, engine.CollectionConfig{})
	h := &history{changes: map[uint64]change{}}
	r := rand.New(rand.NewPCG(31, 31))
	for range 80 {
		if _, err := h.change(col, r, 60); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, db)
	files := contents(t, mem, "db")
	const log = "db/wal/000000000001.wal"
	b := files[log]
	for range 10 {
		at := 2000 + r.IntN(len(b)-4000)
		changed := maps.Clone(files)
		changed[log] = slices.Clone(b)
		changed[log][at] ^= 1
		fsys := storeOf(t, changed)
		if _, err := engine.Open(ctx, "db", &engine.Options{FS: fsys}); !errors.Is(err, engine.ErrCorruption) {
			t.Fatalf("byte %d: open: %v", at, err)
		}
		report, db := repaired(t, fsys)
		if len(report.Losses) != 1 || report.Losses[0].Kind != engine.LostRecords || report.Losses[0].FirstSeq != report.Losses[0].LastSeq || report.Records != 79 {
			t.Fatalf("byte %d: %+v", at, report)
		}
		without := &history{changes: maps.Clone(h.changes)}
		delete(without.changes, report.Losses[0].FirstSeq)
		checkLosses(t, report, db, without.at(80))
		mustClose(t, db)
	}
	// A torn end is dropped by Open itself.
	changed := maps.Clone(files)
	changed[log] = b[:len(b)-40]
	report, db := repaired(t, storeOf(t, changed))
	if len(report.Losses) != 1 || report.Losses[0].Kind != engine.LostTorn || report.Applied {
		t.Errorf("torn end: %+v", report)
	}
	mustClose(t, db)
}

// A log whose files are gone is damage, not a log that was never begun.
func TestRepairOfALogThatIsGone(t *testing.T) {
	mem := vfs.NewMem()
	db := mustOpen(t, mem, small())
	col := mustCollection(t, db, engine.CollectionConfig{})
	r := rand.New(rand.NewPCG(31, 32))
	must(t, upsert(col, document(r, 1)), db.Flush(ctx), upsert(col, document(r, 2)))
	mustClose(t, db)
	files := contents(t, mem, "db")
	for p := range files {
		if path.Ext(p) == ".wal" {
			delete(files, p)
		}
	}
	fsys := storeOf(t, files)
	if _, err := engine.Open(ctx, "db", &engine.Options{FS: fsys}); !errors.Is(err, engine.ErrCorruption) {
		t.Fatalf("open: %v", err)
	}
	report, db := repaired(t, fsys)
	if len(report.Losses) != 1 || report.Losses[0].Kind != engine.LostRecords || report.Losses[0].LastSeq != 0 || !report.Applied {
		t.Errorf("%+v", report)
	}
	col, err := db.Collection("test")
	must(t, err)
	if _, err := col.Get(ctx, "doc-001"); err != nil {
		t.Errorf("what was sealed: %v", err)
	}
	mustClose(t, db)
}

// A crash at any write of a repair leaves the damaged store, or one that another
// repair finishes.
func TestCrashInRepair(t *testing.T) {
	sound, want := richStore(t)
	files := contents(t, sound, "db")
	for p, b := range files { // a table of a segment: the others need a backup
		if path.Ext(p) != ".sst" {
			continue
		}
		changed := maps.Clone(files)
		changed[p] = slices.Clone(b)
		changed[p][len(b)/4] ^= 1
		if _, err := engine.Repair(ctx, "db", engine.RepairOptions{FS: storeOf(t, changed)}); err == nil {
			files = changed
			break
		}
	}
	mem := crashmem.New()
	fill(t, mem, files)
	for _, dir := range []string{"db/pebble", "db/wal", "db", ""} {
		d, err := mem.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(41, 41))
	var clones []*vfs.MemFS
	var mu sync.Mutex // the hook is called by Pebble's goroutines too
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileWrite {
			clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r}))
		}
		return nil
	})
	report, err := engine.Repair(ctx, "db", engine.RepairOptions{FS: errorfs.Wrap(mem, hook), Apply: true})
	if err != nil || !report.Applied {
		t.Fatalf("%+v, %v", report, err)
	}
	clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{}))
	interrupted := 0
	for i, c := range clones {
		if _, err := engine.Repair(ctx, "db", engine.RepairOptions{FS: c}); errors.Is(err, engine.ErrIncomplete) {
			interrupted++
			if _, err := engine.Open(ctx, "db", &engine.Options{FS: c}); !errors.Is(err, engine.ErrIncomplete) {
				t.Fatalf("clone %d: open: %v", i, err)
			}
		} else if i%5 > 0 {
			continue // before the swap every clone is the damaged store
		}
		if _, err := engine.Repair(ctx, "db", engine.RepairOptions{FS: c, Apply: true}); err != nil {
			t.Fatalf("clone %d of %d: %v", i, len(clones), err)
		}
		o := small()
		o.DisableAutoCompaction = true
		db := mustOpen(t, c, o)
		checkLosses(t, report, db, want)
		mustClose(t, db)
	}
	t.Logf("%d crash points, %d within the swap", len(clones), interrupted)
	if interrupted == 0 {
		t.Error("no crash within the swap: the test has no power")
	}
}
