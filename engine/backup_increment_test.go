package engine_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/colbertdb-go/colbertdb/engine"
)

// increments is a store that grows, and the chain of its backups.
type increments struct {
	t     testing.TB
	db    *engine.Engine
	col   *engine.Collection
	r     *rand.Rand
	want  model
	chain []backup
}

func newIncrements(t testing.TB, docs int) *increments {
	o := small()
	o.SealDocuments, o.MaxSegmentDocuments, o.TrainTokens, o.DisableAutoCompaction = 1000, 60_000, 2000, true
	s := &increments{t: t, db: mustOpen(t, vfs.NewMem(), o), r: rand.New(rand.NewPCG(12, 12)), want: model{}}
	s.col = mustCollection(t, s.db, engine.CollectionConfig{Profile: engine.Balanced})
	s.write(0, docs)
	if err := s.col.Compact(ctx); err != nil {
		t.Fatal(err)
	}
	s.backup()
	return s
}

// write stores documents of consecutive numbers and seals them.
func (s *increments) write(from, to int) {
	s.t.Helper()
	for i := from; i < to; i += 100 {
		var batch []engine.Document
		for id := i; id < min(to, i+100); id++ {
			d := document(s.r, id)
			d.ID, d.Vectors = fmt.Sprintf("document number %07d", id), vectors(s.r, 10)
			batch = append(batch, d)
		}
		if _, err := s.col.Upsert(ctx, batch...); err != nil {
			s.t.Fatal(err)
		}
		s.want.put(batch...)
	}
	if err := s.db.Flush(ctx); err != nil {
		s.t.Fatal(err)
	}
}

// backup adds to the chain and returns how much the files in it have.
func (s *increments) backup() int64 {
	s.t.Helper()
	var o engine.BackupOptions
	if n := len(s.chain); n > 0 {
		o.Since = s.chain[n-1].d
	}
	var b bytes.Buffer
	d, err := s.db.Backup(ctx, &b, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.chain = append(s.chain, backup{d, b.Bytes(), maps.Clone(s.want)})
	return d.Stored()
}

// What an incremental backup holds follows what was written since the earlier one:
// nothing that was there travels again, though Pebble has written all its sstables
// anew meanwhile, and it does not matter how large the store is.
// COLBERTDB_BACKUP_DOCS makes it larger, for the figures of docs/backup.md.
func TestIncrementFollowsWhatWasWritten(t *testing.T) {
	large := 900
	if s := os.Getenv("COLBERTDB_BACKUP_DOCS"); s != "" {
		large, _ = strconv.Atoi(s)
	}
	var of [2][3]int64
	for i, docs := range []int{300, large} {
		s := newIncrements(t, docs)
		engine.RewriteTables(t, s.db)
		of[i][0] = s.backup()
		s.write(docs-10, docs+90) // ten of them are replaced
		engine.RewriteTables(t, s.db)
		of[i][1] = s.backup()
		s.write(docs+90, docs+490)
		engine.RewriteTables(t, s.db)
		of[i][2] = s.backup()
		t.Logf("%d documents, %d bytes: nothing new %d bytes, 100 documents %d, 400 documents %d", docs, s.chain[0].d.Bytes(), of[i][0], of[i][1], of[i][2])
		s.restored()
		s.broken()
		mustClose(t, s.db)
	}
	for step, most := range []int64{1 << 10, 40 << 10, 130 << 10} {
		if small, large := of[0][step], of[1][step]; large > most || large > small*5/4+256 {
			t.Errorf("step %d: %d bytes in a small store, %d in a large one, at most %d", step, small, large, most)
		}
	}
}

// restored compares what a chain restores to with the store, bit by bit.
func (s *increments) restored() {
	s.t.Helper()
	mem := vfs.NewMem()
	for n := range s.chain {
		dir := fmt.Sprint("restored-", n)
		if _, err := engine.Restore(ctx, dir, readers(s.chain[:n+1]), engine.RestoreOptions{FS: mem}); err != nil {
			s.t.Fatal(err)
		}
		checkCheckpoint(s.t, mem, dir, s.chain[n].want, false)
	}
	o := small()
	o.FS, o.MustExist, o.DisableAutoCompaction = mem, true, true
	db, err := engine.Open(ctx, fmt.Sprint("restored-", len(s.chain)-1), o)
	if err != nil {
		s.t.Fatal(err)
	}
	defer mustClose(s.t, db)
	col, err := db.Collection("test")
	if err != nil {
		s.t.Fatal(err)
	}
	for d, err := range s.col.All(ctx) {
		if err != nil {
			s.t.Fatal(err)
		}
		got, err := col.Get(ctx, d.ID)
		if err != nil || !slices.Equal(got.Vectors.Data, d.Vectors.Data) {
			s.t.Fatalf("restored %q (%v) differs", d.ID, err)
		}
	}
	req := engine.SearchRequest{Vectors: vectors(rand.New(rand.NewPCG(3, 3)), 8), K: 20}
	want, err := s.col.Search(ctx, req)
	if err != nil {
		s.t.Fatal(err)
	}
	got, err := col.Search(ctx, req)
	if err != nil || len(got.Hits) != 20 || !slices.EqualFunc(got.Hits, want.Hits, func(a, b engine.Hit) bool { return a.ID == b.ID && a.Score == b.Score }) {
		s.t.Errorf("restored: %v, %v, want %v", got.Hits, err, want.Hits)
	}
	// What is restored goes on with the chain.
	d, err := db.Backup(ctx, io.Discard, engine.BackupOptions{Since: s.chain[len(s.chain)-1].d})
	if err != nil {
		s.t.Fatal(err)
	}
	if d.Stored() > 1<<10 {
		s.t.Errorf("a backup of the restored store has %d bytes more", d.Stored())
	}
}

// broken leaves out and damages each backup of the chain in turn.
func (s *increments) broken() {
	s.t.Helper()
	for n := range s.chain {
		mem := vfs.NewMem()
		short := slices.Delete(slices.Clone(s.chain), n, n+1)
		if n < len(s.chain)-1 { // without the last one, what comes before it is restored
			_, err := engine.Restore(ctx, "short", readers(short), engine.RestoreOptions{FS: mem})
			if !errors.Is(err, engine.ErrBrokenChain) || !strings.Contains(err.Error(), s.chain[n].d.ID) {
				s.t.Errorf("backup %d is missing: %v", n, err)
			}
		}
		bad := slices.Clone(s.chain)
		bad[n].bytes = slices.Clone(bad[n].bytes)
		bad[n].bytes[len(bad[n].bytes)-200] ^= 4 // in a block of the last file
		_, err := engine.Restore(ctx, "bad", readers(bad), engine.RestoreOptions{FS: mem})
		named := err != nil && (strings.Contains(err.Error(), "backup "+s.chain[n].d.ID) || strings.Contains(err.Error(), fmt.Sprintf("backup %d of %d", n+1, len(s.chain))))
		if !errors.Is(err, engine.ErrCorruption) || !named {
			s.t.Errorf("backup %d is damaged: %v", n, err)
		}
		if names, err := mem.List("bad"); err == nil {
			s.t.Errorf("a refused restore left %q", names)
		}
	}
}

// Backups from before there were files of keys restore, and a new one adds to them.
func TestBackupOfFiles(t *testing.T) {
	var chain []backup
	for _, name := range []string{"full", "more"} {
		b, err := os.ReadFile("testdata/backup-of-files-" + name + "-v1.cdb")
		if err != nil {
			t.Fatal(err)
		}
		d, err := engine.VerifyBackup(ctx, bytes.NewReader(b), nil)
		if err != nil {
			t.Fatal(err)
		}
		chain = append(chain, backup{d: d, bytes: b})
	}
	mem := vfs.NewMem()
	if _, err := engine.Restore(ctx, "db", readers(chain), engine.RestoreOptions{FS: mem}); err != nil {
		t.Fatal(err)
	}
	db := mustOpen(t, mem, small())
	col, err := db.Collection("test")
	if err != nil {
		t.Fatal(err)
	}
	all := model{}
	for d, err := range col.All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		all.put(*d)
	}
	want := []string{"doc-000", "doc-001", "doc-002", "doc-010", "doc-011", "doc-012"}
	if got := slices.Sorted(maps.Keys(all)); !slices.Equal(got, want) || all["doc-011"].Text != "text of 11, version 698" {
		t.Errorf("restored %q, %q", got, all["doc-011"].Text)
	}
	extra := document(rand.New(rand.NewPCG(1, 2)), 20)
	if _, err := col.Upsert(ctx, extra); err != nil {
		t.Fatal(err)
	}
	all.put(extra)
	var b bytes.Buffer
	d, err := db.Backup(ctx, &b, engine.BackupOptions{Since: chain[1].d})
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, db)
	chain = append(chain, backup{d: d, bytes: b.Bytes()})
	if _, err := engine.Restore(ctx, "again", readers(chain), engine.RestoreOptions{FS: mem}); err != nil {
		t.Fatal(err)
	}
	checkCheckpoint(t, mem, "again", all, true)
}
