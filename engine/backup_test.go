package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/colbertdb-go/colbertdb/engine"
	"github.com/colbertdb-go/colbertdb/internal/crashmem"
)

// backup is one backup of a chain in memory.
type backup struct {
	d     *engine.Descriptor
	bytes []byte
	want  model
}

// backups makes a full backup and two that add to it, during writes.
func backups(t testing.TB) []backup {
	t.Helper()
	o := small()
	o.DisableAutoCompaction = true // segments of the full backup stay
	db := mustOpen(t, vfs.NewMem(), o)
	col := mustCollection(t, db, engine.CollectionConfig{Profile: engine.Balanced})
	h := &history{changes: map[uint64]change{}}
	r := rand.New(rand.NewPCG(8, 8))
	var out []backup
	var last *engine.Descriptor
	for i := range 3 {
		for range []int{600, 60, 30}[i] {
			if _, err := h.change(col, r, 250); err != nil {
				t.Fatal(err)
			}
		}
		if i == 0 {
			if err := col.Compact(ctx); err != nil {
				t.Fatal(err)
			}
		}
		var buf bytes.Buffer
		var done, total int64
		d, err := db.Backup(ctx, &buf, engine.BackupOptions{Since: last, Progress: func(d, n int64) { done, total = d, n }})
		if err != nil {
			t.Fatal(err)
		}
		if done == 0 || done != total {
			t.Errorf("progress ended at %d of %d bytes", done, total)
		}
		out = append(out, backup{d, buf.Bytes(), h.at(d.Seq)})
		last = d
	}
	mustClose(t, db)
	return out
}

func readers(backups []backup) (out []io.Reader) {
	for _, b := range backups {
		out = append(out, bytes.NewReader(b.bytes))
	}
	return out
}

func TestBackupAndRestore(t *testing.T) {
	chain := backups(t)
	mem := vfs.NewMem()
	for i, b := range chain {
		dir := fmt.Sprintf("restored-%d", i)
		d, err := engine.Restore(ctx, dir, readers(chain[:i+1]), engine.RestoreOptions{FS: mem})
		if err != nil {
			t.Fatal(err)
		}
		if d.Seq != b.d.Seq || len(b.want) == 0 {
			t.Errorf("restored change %d, backed up %d; %d documents", d.Seq, b.d.Seq, len(b.want))
		}
		checkCheckpoint(t, mem, dir, b.want, true)
		if _, err := engine.VerifyBackup(ctx, bytes.NewReader(b.bytes), nil); err != nil {
			t.Error(err)
		}
		if i > 0 && b.d.Stored() > b.d.Bytes()*3/4 {
			t.Errorf("incremental backup %d stores %d of %d bytes", i, b.d.Stored(), b.d.Bytes())
		}
	}
	for _, bad := range [][]backup{chain[1:], {chain[0], chain[2]}, {chain[0], chain[0]}, {chain[0], chain[1], chain[1]}, nil} {
		_, err := engine.Restore(ctx, "bad", readers(bad), engine.RestoreOptions{FS: mem})
		if want := engine.ErrBrokenChain; !errors.Is(err, want) && len(bad) > 0 {
			t.Errorf("%d backups: %v, want %v", len(bad), err, want)
		} else if err == nil {
			t.Error("restored from nothing")
		}
		if names, err := mem.List("bad"); err == nil {
			t.Errorf("a refused restore left %q", names)
		}
	}
	if _, err := engine.Restore(ctx, "restored-0", readers(chain[:1]), engine.RestoreOptions{FS: mem}); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("restore over a store: %v", err)
	}
}

// A flipped byte or a cut anywhere in a backup is found by VerifyBackup and by
// Restore, which leaves nothing that Open accepts.
func TestDamagedBackup(t *testing.T) {
	chain := backups(t)
	b := chain[1].bytes
	r := rand.New(rand.NewPCG(9, 9))
	mem := vfs.NewMem()
	try := func(what string, bad []byte) {
		t.Helper()
		known := func(err error) bool {
			return errors.Is(err, engine.ErrCorruption) || errors.Is(err, engine.ErrFormatTooNew)
		}
		if _, err := engine.VerifyBackup(ctx, bytes.NewReader(bad), nil); !known(err) {
			t.Errorf("%s: verify: %v", what, err)
		}
		if r.IntN(10) > 0 {
			return
		}
		in := []io.Reader{bytes.NewReader(chain[0].bytes), bytes.NewReader(bad)}
		if _, err := engine.Restore(ctx, "bad", in, engine.RestoreOptions{FS: mem}); !known(err) {
			t.Errorf("%s: restore: %v", what, err)
		}
		if _, err := engine.Open(ctx, "bad", &engine.Options{FS: mem, MustExist: true}); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, engine.ErrIncomplete) {
			t.Errorf("%s: open: %v", what, err)
		}
	}
	flip := func(bit int) {
		bad := slices.Clone(b)
		bad[bit/8] ^= 1 << (bit % 8)
		try(fmt.Sprintf("bit %d of byte %d of %d", bit%8, bit/8, len(b)), bad)
	}
	for bit := range 8 * 32 { // the header, which has no checksum, and what follows it
		flip(bit)
	}
	for range 400 {
		flip(r.IntN(8 * len(b)))
	}
	for range 60 {
		n := r.IntN(len(b))
		try(fmt.Sprintf("cut at %d of %d", n, len(b)), b[:n])
	}
	try("one byte more", append(slices.Clone(b), 0))
	full := chain[0].bytes
	try("blocks of another backup", append(slices.Clone(b[:len(b)/2]), full[len(full)/2:]...))
}

// A crash at any write of a restore leaves a folder that is whole or refused.
func TestCrashInRestore(t *testing.T) {
	chain := backups(t)[:2]
	mem := crashmem.New()
	var mu sync.Mutex // the hook is called by Pebble's goroutines too
	var clones []*vfs.MemFS
	r := rand.New(rand.NewPCG(4, 4))
	hook := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileWrite {
			mu.Lock()
			defer mu.Unlock()
			clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r}))
		}
		return nil
	})
	if _, err := engine.Restore(ctx, "r", readers(chain), engine.RestoreOptions{FS: errorfs.Wrap(mem, hook)}); err != nil {
		t.Fatal(err)
	}
	clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{}))
	whole := 0
	for i, c := range clones {
		db, err := engine.Open(ctx, "r", &engine.Options{FS: c, MustExist: true, ReadOnly: true})
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, engine.ErrIncomplete):
		case err != nil:
			t.Fatalf("clone %d: %v", i, err)
		default:
			whole++
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			checkCheckpoint(t, c, "r", chain[1].want, false)
			continue
		}
		if i%10 == 0 { // again, over what there is
			if _, err := engine.Restore(ctx, "r", readers(chain), engine.RestoreOptions{FS: c}); err != nil {
				t.Fatalf("clone %d: again: %v", i, err)
			}
			checkCheckpoint(t, c, "r", chain[1].want, false)
		}
	}
	if whole == 0 || whole == len(clones) {
		t.Errorf("%d of %d clones are whole: the test has no power", whole, len(clones))
	}
}

// An interrupted backup leaves links, which the next open removes; a cancelled
// one leaves nothing.
func TestInterruptedBackup(t *testing.T) {
	mem := vfs.NewMem()
	db := mustOpen(t, mem, small())
	col := mustCollection(t, db, engine.CollectionConfig{})
	if _, err := col.Upsert(ctx, document(rand.New(rand.NewPCG(1, 2)), 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Backup(ctx, failing{}, engine.BackupOptions{}); err == nil {
		t.Error("a backup to a writer that fails succeeded")
	}
	other, err := engine.OpenMem(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer mustClose(t, other)
	d, err := other.Backup(ctx, io.Discard, engine.BackupOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Backup(ctx, io.Discard, engine.BackupOptions{Since: d}); !errors.Is(err, engine.ErrBrokenChain) {
		t.Errorf("backup since one of another store: %v", err)
	}
	if err := mem.MkdirAll("db/backup-1.tmp/wal", 0o755); err != nil {
		t.Fatal(err)
	}
	mustClose(t, db)
	db = mustOpen(t, mem, small())
	defer mustClose(t, db)
	names, err := mem.List("db")
	slices.Sort(names)
	if want := []string{"COPIES", "LOCK", "build", "pebble", "wal"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("the store's folder has %q (%v), want %q", names, err, want)
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }
